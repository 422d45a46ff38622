use serde_json::json;

use super::request;
use crate::support::start;

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
