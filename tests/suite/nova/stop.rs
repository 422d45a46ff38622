use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{LONG, QUICK, request};
use crate::support::{Server, settings, start, start_from};

/// Asks a model that writes for long, and waits for its first text.
async fn begun(server: &Server, body: &Value) -> (String, String) {
    let mut events = server.ask_for_events(body).await;
    let mut ids = None;
    while let Some(event) = events.next().await {
        if event.kind == "turn_started" {
            let id = |name: &str| event.data[name].as_str().unwrap().to_owned();
            ids = Some((id("session_id"), id("turn_id")));
        }
        if event.kind == "token" && event.data["answers"] == true {
            return ids.unwrap();
        }
    }
    panic!("the turn ended without a text");
}

/// Only its executor writes for long.
fn long() -> Value {
    let mut body = request("Why?", QUICK);
    body["models"] =
        json!({"executor": LONG, "planner": "script:tokens=4,ttft=1,gap=1,json=prose@reference"});
    body
}

/// When the reference server saw the last connection closed, since 1970.
async fn closed(server: &Server) -> Option<Duration> {
    let seen = server.seen().await;
    let last = seen.last()?;
    let received = last["received_unix_nanoseconds"].as_u64()?;
    let closed = Duration::from_secs_f64(last["closed"].as_f64()?);
    Some(Duration::from_nanos(received) + closed)
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_closes_the_connection_upstream_within_50_ms() {
    let server = start().await;
    // A busy machine may hold up any one attempt.
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let (session, turn) = begun(&server, &long()).await;
        let wished = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let path = format!("/api/nova/turns/{turn}/cancel");
        let stopped = server.post(&path, &json!(null)).await;
        assert_eq!(stopped.status, 200, "{}", stopped.text);
        let response = &stopped.body;
        assert_eq!(response["status"], "cancelled");
        assert!(!response["text"].as_str().unwrap().is_empty());
        let last = response["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["partial"], &last["error"]["code"]),
            (&json!(true), &json!("cancelled"))
        );
        assert_eq!(last["output"], response["text"]);
        assert!(response["metrics"]["cancelled_after_ms"].as_f64().is_some());

        // The session is usable at once.
        let mut next = request("Again?", QUICK);
        next["session_id"] = json!(session);
        assert_eq!(server.ask(&next).await["status"], "completed");
        let seen = server.seen().await;
        let long = seen
            .iter()
            .rfind(|it| it["model"] == "script:tokens=3000,ttft=5,gap=10");
        let long = long.unwrap();
        let received = Duration::from_nanos(long["received_unix_nanoseconds"].as_u64().unwrap());
        let closed = received + Duration::from_secs_f64(long["closed"].as_f64().unwrap());
        best = best.min(closed.saturating_sub(wished));
        if best < Duration::from_millis(50) {
            return;
        }
    }
    panic!("{best:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_stops_the_turn_that_it_waits_for() {
    let server = start().await;
    let call = server
        .http
        .post(format!("{}/api/nova/ask", server.url))
        .json(&long())
        .timeout(Duration::from_millis(1500));
    assert!(call.send().await.unwrap_err().is_timeout());
    for _ in 0..200 {
        if closed(&server).await.is_some() {
            let sessions = server.get("/api/nova/sessions").await.body;
            let id = sessions[0]["id"].as_str().unwrap();
            let turns = server.get(&format!("/api/nova/sessions/{id}/turns")).await;
            if turns.body[0]["response"]["status"] == "cancelled" {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the turn goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_ask_at_once_in_a_session_one_is_refused() {
    let server = start().await;
    let (session, turn) = begun(&server, &long()).await;
    let mut second = request("And?", QUICK);
    second["session_id"] = json!(session);
    let refused = server.post("/api/nova/ask", &second).await;
    assert!(refused.problem(409).contains("goes on"));
    let deleted = server
        .delete(&format!("/api/nova/sessions/{session}"))
        .await;
    deleted.problem(409);
    server
        .post(&format!("/api/nova/turns/{turn}/cancel"), &json!(null))
        .await;
    assert_eq!(server.ask(&second).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_program_keeps_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let mut server = start_from(settings.clone()).await;
    let (session, turn) = begun(&server, &long()).await;
    server.stop().await;
    let server = start_from(settings).await;
    let path = format!("/api/nova/sessions/{session}/turns/{turn}");
    let stored = server.get(&path).await.body;
    assert_eq!(stored["response"]["status"], "interrupted");
    assert_eq!(
        stored["response"]["status_reason"],
        "the program was stopped"
    );
    assert!(!stored["response"]["text"].as_str().unwrap().is_empty());
    let mut next = request("Go on.", QUICK);
    next["session_id"] = json!(session);
    let response = server.ask(&next).await;
    assert_eq!(response["status"], "completed");
    assert_eq!(response["state"]["turns"], 2);
}
