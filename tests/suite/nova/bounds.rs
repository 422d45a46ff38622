use std::net::{Ipv4Addr, SocketAddr};

use ollama_benchmarker::reference;
use serde_json::{Value, json};

use super::{QUICK, request, step};
use crate::support::{Server, start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_any_more_is_summed_up_and_counted() {
    let server = start().await;
    let mut session = Value::Null;
    let mut summarised = None;
    for number in 1..=5 {
        let mut body = request(
            &format!("Question {number}: {}", "why so? ".repeat(24)),
            QUICK,
        );
        body["session_id"] = session.clone();
        if session.is_null() {
            body.as_object_mut().unwrap().remove("session_id");
        }
        body["parameters"] = json!({"num_ctx": 640, "num_predict": 64});
        let response = server.ask(&body).await;
        assert_eq!(response["status"], "completed", "{response}");
        session = response["session_id"].clone();
        let state = &response["state"];
        // Every turn before is told, word for word or in the summary.
        let told = state["turns_told"].as_u64().unwrap();
        let short = state["turns_summarised"].as_u64().unwrap();
        assert_eq!(told + short, number - 1, "{state}");
        if short > 0 && summarised.is_none() {
            summarised = Some(response);
        }
    }
    let response = summarised.unwrap();
    let steps = response["steps"].as_array().unwrap();
    let summary = steps
        .iter()
        .find(|it| it["role"] == "memory" && !it["model"].is_null())
        .unwrap();
    assert_eq!(summary["stage"], "recall");
    assert!(summary["input"].as_str().unwrap().contains("Question 1:"));
    let told = step(&response, "planner")["input"].as_str().unwrap();
    assert!(told.contains(summary["output"].as_str().unwrap()), "{told}");
    assert!(!told.contains("User: Question 1:"), "{told}");
    let path = format!("/api/nova/sessions/{}", session.as_str().unwrap());
    let kept = server.get(&path).await.body["summary"].clone();
    assert!(kept["through"].as_u64().unwrap() >= 1, "{kept}");
    // A tape knows what the summary was then.
    let id = response["turn_id"].as_str().unwrap();
    let tape = server
        .post(&format!("/api/nova/turns/{id}/replay"), &json!({}))
        .await;
    assert_eq!(tape.body["identical"], true, "{}", tape.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_experts_say_is_made_to_fit_and_named() {
    let server = start().await;
    // Experts that say all they were told once more.
    let echo = "script:tokens=1,ttft=1,gap=1,echo=4000@reference";
    let mut body = request(&"What does a long bridge need? ".repeat(30), echo);
    body["pipeline"] = json!("nova_process");
    body["domains"] = json!(["statics", "economics", "ecology"]);
    body["max_iterations"] = json!(1);
    body["parameters"] = json!({"num_ctx": 1024, "num_predict": 256});
    let response = server.ask(&body).await;
    assert_eq!(response["status"], "completed", "{response}");
    let steps = response["steps"].as_array().unwrap();
    let synthesis = steps.iter().find(|it| it["stage"] == "synthesis").unwrap();
    let notes = synthesis["notes"].to_string();
    for domain in ["statics", "economics", "ecology"] {
        let named = format!("what came of `{domain}` was shortened from");
        assert!(notes.contains(&named), "{notes}");
    }
    // A token has two and a half characters as long as nothing else is known.
    let told = synthesis["input"].as_str().unwrap();
    assert!(told.chars().count() * 2 / 5 <= 1024 - 256, "{told}");
    assert_eq!(synthesis["prompt_truncated"], false);
    let expert = step(&response, "expert");
    assert!(expert["output"].as_str().unwrap().len() > 600, "{expert}");
}

/// A program with a model server that can die, as its backend `ollama`.
async fn with_mortal() -> (reference::Server, Server) {
    let mortal = reference::Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let url = format!("http://{}", mortal.addr());
    let server = start_with(|config| {
        config.backends.get_mut("ollama").unwrap().url = url;
    })
    .await;
    (mortal, server)
}

/// Asks, kills the model server of the executor at a moment, and gives what came of the turn.
async fn bereaved(executor: &str, at: impl Fn(&crate::support::Event) -> bool) -> (Server, Value) {
    let (mortal, server) = with_mortal().await;
    let mut mortal = Some(mortal);
    let mut body = request("Why?", QUICK);
    body["models"] = json!({
        "executor": executor, "planner": "script:tokens=40,ttft=5,gap=20,json=prose@reference",
    });
    let mut events = server.ask_for_events(&body).await;
    let mut response = Value::Null;
    while let Some(event) = events.next().await {
        if at(&event)
            && let Some(mortal) = mortal.take()
        {
            tokio::task::spawn_blocking(move || mortal.stop())
                .await
                .unwrap();
        }
        if event.kind == "turn_finished" {
            response = event.data["response"].clone();
        }
    }
    assert!(mortal.is_none());
    still_usable(&server, &response).await;
    (server, response)
}

/// The turn failed and is kept so, and its session goes on.
async fn still_usable(server: &Server, response: &Value) {
    assert_eq!(response["status"], "failed", "{response}");
    // What was done before stays, and the session is usable.
    assert_eq!(step(response, "planner")["partial"], false);
    let stored = format!(
        "/api/nova/sessions/{}/turns/1",
        response["session_id"].as_str().unwrap()
    );
    let stored = server.get(&stored).await.body["response"].clone();
    assert_eq!(stored["status"], "failed");
    assert_eq!(stored["text"], response["text"]);
    let mut next = request("Again?", QUICK);
    next["session_id"] = response["session_id"].clone();
    assert_eq!(server.ask(&next).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_dies_between_two_steps_fails_the_turn() {
    let begins = |event: &crate::support::Event| event.kind == "token";
    let (_server, response) = bereaved("steady@ollama", begins).await;
    assert_eq!(response["error"]["code"], "connect", "{response}");
    assert!(
        response["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("executor: ")
    );
    assert_eq!(step(&response, "executor")["success"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_dies_within_a_step_leaves_what_it_wrote() {
    let server = start().await;
    // It closes the connection in the middle of an answer, as one that dies does.
    let mut body = request("Why?", QUICK);
    body["models"] = json!({"executor": "fault-truncated@reference"});
    let response = server.ask(&body).await;
    let last = step(&response, "executor");
    assert_eq!(
        (&last["partial"], &last["success"]),
        (&json!(true), &json!(false))
    );
    assert!(!response["text"].as_str().unwrap().is_empty(), "{response}");
    assert_eq!(last["output"], response["text"]);
    still_usable(&server, &response).await;
}
