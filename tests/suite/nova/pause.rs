use serde_json::{Value, json};

use super::{QUICK, request};
use crate::support::{Server, start};

/// A turn that pauses after a stage, and the next one, which only says a word.
async fn paused(server: &Server, pipeline: &str, stage: &str) -> (Value, Value) {
    let mut body = request("How do we build a bridge?", QUICK);
    body["pipeline"] = json!(pipeline);
    body["pause_after"] = json!(stage);
    body["max_iterations"] = json!(1);
    let first = server.ask(&body).await;
    assert_eq!(first["status"], "awaiting_user", "{first}");
    assert_eq!(first["state"]["paused_after"], stage);
    let word = json!({"prompt": "Of steel.", "session_id": first["session_id"]});
    let second = server.ask(&word).await;
    assert_eq!(second["status"], "completed", "{second}");
    assert_eq!(second["state"]["resumed_after"], stage);
    assert_eq!(second["state"]["resumed_turn"], 1);
    assert_eq!(second["state"]["paused"], Value::Null);
    (first, second)
}

fn stages(response: &Value) -> Vec<&str> {
    let steps = response["steps"].as_array().unwrap().iter();
    let mut stages: Vec<&str> = steps.map(|it| it["stage"].as_str().unwrap()).collect();
    stages.dedup();
    stages
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_work_goes_on_at_its_next_stage_with_the_word_of_the_user() {
    let server = start().await;
    let unpacking = [
        "expertise_assembly",
        "collaborative_ideation",
        "synthesis",
        "memorising",
    ];
    for (pipeline, stage, rest) in [
        (
            "turn",
            "recall",
            &["planning", "execution", "memorising"][..],
        ),
        ("turn", "planning", &["execution", "memorising"]),
        ("nova_process", "problem_unpacking", &unpacking),
        ("nova_process", "expertise_assembly", &unpacking[1..]),
        ("nova_process", "collaborative_ideation", &unpacking[2..]),
    ] {
        let (first, second) = paused(&server, pipeline, stage).await;
        assert_eq!(stages(&second), rest, "{pipeline} {stage}");
        let asked = second["steps"][0]["input"].as_str().unwrap();
        assert!(asked.contains("How do we build a bridge?"), "{asked}");
        assert!(asked.contains("The user says now: Of steel."), "{asked}");
        // A tape takes the same way.
        let id = second["turn_id"].as_str().unwrap();
        let tape = server
            .post(&format!("/api/nova/turns/{id}/replay"), &json!({}))
            .await;
        assert_eq!(tape.body["identical"], true, "{}", tape.text);
        // It is what the first part came to that is gone on with.
        let told: Vec<&str> = second["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["input"].as_str().unwrap())
            .collect();
        let work = &first["state"]["paused"];
        match stage {
            "planning" => {
                let plan = work["plan"].as_array().unwrap();
                assert!(!plan.is_empty());
                if plan.len() > 1 {
                    assert!(told[0].contains(plan[0].as_str().unwrap()), "{told:?}");
                }
            }
            "problem_unpacking" | "expertise_assembly" => {
                let summary = work["summary"].as_str().unwrap();
                let is_told = told.iter().any(|it| it.contains(summary));
                assert!(!summary.is_empty() && is_told, "{told:?}");
            }
            "collaborative_ideation" => {
                for said in work["contributions"].as_array().unwrap() {
                    assert!(told[0].contains(said["text"].as_str().unwrap()), "{told:?}");
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pipeline_begins_anew_and_work_goes_on_once() {
    let server = start().await;
    let mut body = request("A bridge?", QUICK);
    body["pause_after"] = json!("planning");
    let first = server.ask(&body).await;
    let mut other = request("Experts, please.", QUICK);
    other["session_id"] = first["session_id"].clone();
    other["pipeline"] = json!("nova_process");
    other["domains"] = json!(["a", "b"]);
    other["max_iterations"] = json!(1);
    let anew = server.ask(&other).await;
    assert_eq!(anew["state"]["resumed_turn"], Value::Null);
    assert_eq!(stages(&anew)[0], "recall");
    let mut third = request("And now?", QUICK);
    third["session_id"] = first["session_id"].clone();
    let third = server.ask(&third).await;
    assert_eq!(third["state"]["resumed_turn"], Value::Null);
    assert_eq!(stages(&third)[..2], ["recall", "planning"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_may_pause_more_than_once() {
    let server = start().await;
    let mut body = request("A bridge?", QUICK);
    body["pipeline"] = json!("nova_process");
    body["pause_after"] = json!("problem_unpacking");
    body["max_iterations"] = json!(1);
    let first = server.ask(&body).await;
    let mut next = json!({"prompt": "Of steel.", "session_id": first["session_id"]});
    next["pause_after"] = json!("expertise_assembly");
    let second = server.ask(&next).await;
    assert_eq!(second["status"], "awaiting_user", "{second}");
    assert!(
        !second["state"]["paused"]["domains"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    next.as_object_mut().unwrap().remove("pause_after");
    next["prompt"] = json!("And red.");
    let third = server.ask(&next).await;
    assert_eq!(third["state"]["resumed_turn"], 2);
    let asked = third["steps"][0]["input"].as_str().unwrap();
    for word in ["A bridge?", "Of steel.", "And red."] {
        assert!(asked.contains(word), "{asked}");
    }
}
