use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{LONG, QUICK, request};
use crate::support::{Server, start};

const OTHER: &str = "script:tokens=4,ttft=5,gap=1,json=prose@reference";

/// A session of two turns; its id, and the turns with their steps.
async fn recorded(server: &Server) -> (String, Vec<Value>) {
    let mut body = request("Why is the sky blue?", QUICK);
    body["parameters"] = json!({"seed": 7});
    let first = server.ask(&body).await;
    let mut next = request("And in the evening?", QUICK);
    next["session_id"] = first["session_id"].clone();
    let second = server.ask(&next).await;
    let id = first["session_id"].as_str().unwrap().to_owned();
    (id, vec![first, second])
}

/// Starts a benchmark with a session and waits for its end.
async fn benchmark(server: &Server, session: &str, body: &Value) -> Value {
    let path = format!("/api/nova/sessions/{session}/benchmark");
    let accepted = server.post(&path, body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let id = accepted.body["id"].as_str().unwrap().to_owned();
    let record = format!("/api/benchmarks/history/{id}");
    assert_eq!(accepted.header("location"), record);
    server.ended(&id).await
}

fn of<'a>(run: &'a Value, model: &str) -> Vec<&'a Value> {
    let name = model.split('@').next().unwrap();
    let results = run["results"].as_array().unwrap().iter();
    results.filter(|it| it["model"] == name).collect()
}

/// The calls of recorded turns: where each was, what was told and what was asked for.
fn calls(turns: &[Value]) -> Vec<Value> {
    let mut calls = Vec::new();
    for (turn, number) in turns.iter().zip(1..) {
        for step in turn["steps"].as_array().unwrap() {
            if !step["model"].is_null() {
                calls.push(json!({
                    "place": {
                        "turn": number, "step": step["number"], "agent_name": step["agent_name"],
                        "role": step["role"], "stage": step["stage"], "iteration": step["iteration"],
                    },
                    "prompt": step["input"],
                    "options": step["parameters"],
                    "format": step["format"],
                }));
            }
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_tells_every_model_what_was_told_in_the_session() {
    let server = start().await;
    let (session, turns) = recorded(&server).await;
    let calls = calls(&turns);
    let before = server.seen().await.len();
    let body = json!({"models": [QUICK, OTHER], "repetitions": 2, "warmup": 1});
    let run = benchmark(&server, &session, &body).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(run["request"]["name"], "Why is the sky blue?");
    assert_eq!(run["request"]["replay"]["session_id"], session.as_str());

    for model in [QUICK, OTHER] {
        let results = of(&run, model);
        let measured: Vec<_> = results.iter().filter(|it| it["warmup"] == false).collect();
        assert_eq!(measured.len(), 2 * calls.len());
        for (result, call) in measured.iter().zip(calls.iter().chain(&calls)) {
            assert_eq!(result["step"], call["place"]);
            assert_eq!(result["prompt"], call["prompt"]);
            assert_eq!(result["success"], true);
        }
    }
    // That is what the models were really told, with format and parameters.
    let seen = server.seen().await.split_off(before);
    assert_eq!(seen.len(), 2 * (2 * calls.len() + 1));
    let one = &seen[1..=calls.len()];
    for (seen, call) in one.iter().zip(&calls) {
        let body = &seen["body"];
        assert_eq!(body["prompt"], call["prompt"]);
        assert_eq!(body["format"], call["format"]);
        for (name, value) in call["options"].as_object().unwrap() {
            assert_eq!(&body["options"][name], value, "{name}");
        }
    }
    assert_eq!(one[0]["body"]["options"]["seed"], 7);

    // It is like any other benchmark.
    let id = run["id"].as_str().unwrap();
    let rerun = format!("/api/benchmarks/{id}/rerun");
    let again = server.post(&rerun, &json!(null)).await.body["id"].clone();
    let again = again.as_str().unwrap();
    server.ended(again).await;
    let both = server
        .get(&format!("/api/benchmarks/compare?ids={id},{again}"))
        .await;
    assert_eq!(both.status, 200, "{}", both.text);
    let csv = server.get("/api/benchmarks/export?format=csv&q=sky").await;
    assert!(csv.text.contains("session_turn,session_step,agent_name"));
    assert!(
        csv.text.contains(",planner,planner,planning,"),
        "{}",
        csv.text
    );
    let page = server.get(&format!("/runs/{id}")).await;
    assert!(page.text.contains("Repetition 1: turn 1, planner"));
    assert!(page.text.contains(&session));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_lets_each_model_go_its_own_way() {
    let server = start().await;
    let (session, turns) = recorded(&server).await;
    let before = server.seen().await.len();
    let body = json!({"models": [QUICK, OTHER], "mode": "live", "warmup": 1, "repetitions": 2});
    let run = benchmark(&server, &session, &body).await;
    assert_eq!(run["status"], "completed", "{run}");
    let total = run["total_requests"].as_u64().unwrap();
    assert_eq!(run["results"].as_array().unwrap().len() as u64, total);
    assert_eq!(server.seen().await.len() as u64, before as u64 + total);

    // The same model with the same seed writes the same again: both its sessions are the recorded one.
    let places = |results: &[&Value]| -> Vec<Value> {
        let measured = results.iter().filter(|it| it["warmup"] == false);
        measured.map(|it| it["step"].clone()).collect()
    };
    let recorded = calls(&turns);
    let own = places(&of(&run, QUICK));
    let wanted: Vec<Value> = recorded.iter().map(|it| it["place"].clone()).collect();
    assert_eq!(own, [wanted.clone(), wanted].concat());

    // One that writes no JSON is asked for it twice, and then a rule stands in: it goes another way.
    let other = of(&run, OTHER);
    let planners = other
        .iter()
        .filter(|it| it["step"]["agent_name"] == "planner" && it["repetition"] == 1);
    assert_eq!(planners.count(), 4);
    // In the second turn it is told what it said itself in the first.
    let of_turn = |turn: u32, agent: &str| {
        let mut all = other.iter().filter(|it| it["step"]["turn"] == turn);
        all.find(|it| it["step"]["agent_name"] == agent).unwrap()
    };
    let said = of_turn(1, "executor")["response"].as_str().unwrap();
    let told = of_turn(2, "planner")["prompt"].as_str().unwrap();
    assert!(told.contains(said), "{told}");
    assert!(!told.contains(turns[0]["text"].as_str().unwrap()));
    let warm: BTreeSet<u64> = other
        .iter()
        .filter(|it| it["warmup"] == true)
        .map(|it| it["throughput"]["output_tokens"].as_u64().unwrap())
        .collect();
    assert_eq!(warm.len(), 1);
    // The samples of the run cover its requests: offsets are on its time axis.
    let offset = other.last().unwrap()["timing"]["send_offset"]
        .as_f64()
        .unwrap();
    assert!(offset > 0.0);

    // Nothing of it is part of the session.
    let turns = server
        .get(&format!("/api/nova/sessions/{session}/turns"))
        .await;
    assert_eq!(turns.body.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn experts_are_replayed_at_once_when_live() {
    let server = start().await;
    let mut body = request("A bridge?", QUICK);
    body["pipeline"] = json!("nova_process");
    body["domains"] = json!(["statics", "economics"]);
    body["max_iterations"] = json!(1);
    let turn = server.ask(&body).await;
    let session = turn["session_id"].as_str().unwrap();
    let run = benchmark(
        &server,
        session,
        &json!({"models": [QUICK], "mode": "live"}),
    )
    .await;
    assert_eq!(run["status"], "completed", "{run}");
    let names: BTreeSet<&str> = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["step"]["agent_name"].as_str().unwrap())
        .collect();
    let wanted = ["cae", "dce", "expert: economics", "expert: statics"];
    assert_eq!(names, BTreeSet::from(wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused() {
    let server = start().await;
    let none = "/api/nova/sessions/6742f0a1c3d2e1f0a9b8c7d6/benchmark";
    let body = json!({"models": [QUICK]});
    assert_eq!(server.post(none, &body).await.status, 404);
    let empty = server.post("/api/nova/sessions", &json!({})).await;
    let path = |id: &Value| format!("/api/nova/sessions/{}/benchmark", id.as_str().unwrap());
    let refused = server.post(&path(&empty.body["id"]), &body).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text.contains("no model was asked"),
        "{}",
        refused.text
    );

    let asked = server.ask(&request("Why?", QUICK)).await;
    let path = path(&asked["session_id"]);
    for (body, pointer) in [
        (json!({"models": []}), "/models"),
        (json!({"models": [QUICK], "repetitions": 0}), "/repetitions"),
        (json!({"models": [QUICK], "name": "a\nb"}), "/name"),
    ] {
        let refused = server.post(&path, &body).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert!(refused.text.contains(pointer), "{}", refused.text);
    }
    for mode in ["pinned", "live"] {
        let unknown = json!({"models": ["nothing@reference"], "mode": mode});
        assert_eq!(server.post(&path, &unknown).await.status, 404);
    }
    let unknown = server
        .post(&path, &json!({"models": [QUICK], "temperature": 1}))
        .await;
    assert_eq!(unknown.status, 422);

    let mut long = request("Again?", LONG);
    long["session_id"] = asked["session_id"].clone();
    let mut events = server.ask_for_events(&long).await;
    let turn = events.next().await.unwrap().data["turn_id"].clone();
    let refused = server.post(&path, &body).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let cancel = format!("/api/nova/turns/{}/cancel", turn.as_str().unwrap());
    server.post(&cancel, &json!(null)).await;
    assert_eq!(server.post(&path, &body).await.status, 202);
}
