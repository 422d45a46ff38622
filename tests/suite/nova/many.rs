use futures_util::StreamExt;
use serde_json::json;

use super::{LONG, QUICK, request};
use crate::support::{start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sessions_at_once_are_never_mixed_up() {
    let server = start().await;
    let model = "script:tokens=1,ttft=2,gap=1,echo=4000@reference";
    let server = &server;
    let sessions = (0..100).map(|number| async move {
        let marker = format!("marker-{number:03}-end");
        let mut session = json!(null);
        for turn in 0..2 {
            let mut body = request(&format!("Say {marker} in turn {turn}."), model);
            if turn > 0 {
                body["session_id"] = session.clone();
            }
            let response = server.ask(&body).await;
            assert_eq!(response["status"], "completed", "{response}");
            session = response["session_id"].clone();
            let text = response["text"].as_str().unwrap();
            assert!(text.contains(&marker), "{text}");
            let others = text.matches("marker-").count() - text.matches(&marker).count();
            assert_eq!(others, 0, "{text}");
        }
    });
    futures_util::future::join_all(sessions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_at_once_no_more_are_taken_than_may() {
    let server = start_with(|config| config.nova.max_turns = 2).await;
    // Turns wait behind it.
    let run = json!({"prompt": "x", "models": [LONG], "repetitions": 1, "warmup": 0});
    let run = server.post("/api/benchmarks/start", &run).await;
    let id = run.body["id"].as_str().unwrap();
    let body = request("x", QUICK);
    let mut asked: futures_util::stream::FuturesUnordered<_> = (0..12)
        .map(|_| server.post("/api/nova/ask", &body))
        .collect();
    for _ in 0..10 {
        let refused = asked.next().await.unwrap();
        refused.problem(429);
        assert_eq!(refused.header("retry-after"), "5");
    }
    let path = format!("/api/benchmarks/{id}/cancel");
    server.post(&path, &json!({})).await;
    while let Some(taken) = asked.next().await {
        assert_eq!(taken.status, 200, "{}", taken.text);
    }
    server.ask(&body).await;
}
