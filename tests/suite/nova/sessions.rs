use serde_json::json;

use super::{QUICK, request};
use crate::support::start;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_begun_changed_closed_and_deleted() {
    let server = start().await;
    let begun = server
        .post(
            "/api/nova/sessions",
            &json!({"title": "sky", "model": QUICK}),
        )
        .await;
    assert_eq!(begun.status, 201, "{}", begun.text);
    let path = begun.header("location").to_owned();
    let id = begun.body["id"].as_str().unwrap();
    let response = server
        .ask(&json!({"prompt": "Why?", "session_id": id}))
        .await;
    assert_eq!(
        response["steps"][1]["model"],
        "script:tokens=8,ttft=5,gap=1"
    );
    let change = server
        .http
        .patch(format!("{}{path}", server.url))
        .json(&json!({"title": "heaven", "parameters": {"seed": 3}}));
    assert_eq!(change.send().await.unwrap().status().as_u16(), 200);
    let again = server
        .ask(&json!({"prompt": "Why?", "session_id": id}))
        .await;
    assert_eq!(again["steps"][1]["parameters"]["seed"], 3);
    let shown = server.get(&path).await.body;
    assert_eq!(
        (&shown["title"], &shown["turns"]),
        (&json!("heaven"), &json!(2))
    );
    let listed = server.get("/api/nova/sessions?limit=1").await;
    assert_eq!(listed.body[0]["id"], id);
    let turns = server.get(&format!("{path}/turns?after=1")).await.body;
    assert_eq!(turns[0]["number"], 2);
    let closed = server.post(&format!("{path}/close"), &json!(null)).await;
    assert_eq!(closed.body["status"], "closed");
    let refused = server
        .post(
            "/api/nova/ask",
            &json!({"prompt": "Why?", "session_id": id}),
        )
        .await;
    assert!(refused.problem(409).contains("closed"));
    assert_eq!(server.delete(&path).await.status, 204);
    server.get(&path).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_goes_its_own_way() {
    let server = start().await;
    let first = server.ask(&request("one", QUICK)).await;
    let session = first["session_id"].as_str().unwrap();
    for prompt in ["two", "three"] {
        let mut body = request(prompt, QUICK);
        body["session_id"] = json!(session);
        server.ask(&body).await;
    }
    let path = format!("/api/nova/sessions/{session}/fork");
    let branch = server.post(&path, &json!({"turn": 2})).await;
    assert_eq!(branch.status, 201, "{}", branch.text);
    let from = json!({"session_id": session, "turn": 2});
    assert_eq!(branch.body["forked_from"], from);
    let id = branch.body["id"].as_str().unwrap();
    let mut body = request("four", QUICK);
    body["session_id"] = json!(id);
    assert_eq!(server.ask(&body).await["state"]["turns"], 3);
    let prompts = async |id: &str| -> Vec<String> {
        let turns = server.get(&format!("/api/nova/sessions/{id}/turns")).await;
        let turns = turns.body.as_array().unwrap().clone();
        let prompt = |it: &serde_json::Value| it["request"]["prompt"].as_str().unwrap().to_owned();
        turns.iter().map(prompt).collect()
    };
    assert_eq!(prompts(session).await, ["one", "two", "three"]);
    assert_eq!(prompts(id).await, ["one", "two", "four"]);
    let beyond = server.post(&path, &json!({"turn": 9})).await;
    beyond.problem(422);
    assert_eq!(beyond.pointers(), ["/turn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_begins_the_session_elsewhere() {
    let (server, other) = (start().await, start().await);
    let first = server.ask(&request("My name is Ada.", QUICK)).await;
    let session = first["session_id"].as_str().unwrap();
    let checkpoint = server
        .get(&format!("/api/nova/sessions/{session}/export"))
        .await
        .body;
    let begun = other.post("/api/nova/sessions/import", &checkpoint).await;
    assert_eq!(begun.status, 201, "{}", begun.text);
    let id = begun.body["id"].as_str().unwrap();
    let again = other
        .get(&format!("/api/nova/sessions/{id}/export"))
        .await
        .body;
    let texts = |it: &serde_json::Value| {
        let steps = it["turns"][0]["response"]["steps"].as_array().unwrap();
        steps
            .iter()
            .map(|step| step["output"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&again), texts(&checkpoint));
    assert_eq!(again["memory"][0]["text"], checkpoint["memory"][0]["text"]);
    let mut next = request(
        "What is my name?",
        "script:tokens=1,ttft=1,gap=1,echo=4000@reference",
    );
    next["session_id"] = json!(id);
    let response = other.ask(&next).await;
    assert!(
        response["text"]
            .as_str()
            .unwrap()
            .contains("My name is Ada.")
    );
    let mut broken = checkpoint.clone();
    broken["turns"][0]["number"] = json!(5);
    let refused = other.post("/api/nova/sessions/import", &broken).await;
    refused.problem(422);
    assert_eq!(refused.pointers(), ["/turns/0/number"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_can_be_read_as_a_text() {
    let server = start().await;
    let prompt = "# Title\n```\n| a | b |\n````\n</details> Say it again.";
    let echo = "script:tokens=1,ttft=1,gap=1,echo=4000@reference";
    let response = server.ask(&request(prompt, echo)).await;
    let session = response["session_id"].as_str().unwrap();
    let path = format!("/api/nova/sessions/{session}/export?format=markdown");
    let export = server.get(&path).await;
    assert_eq!(export.status, 200, "{}", export.text);
    assert_eq!(
        export.header("content-type"),
        "text/markdown; charset=utf-8"
    );
    let text = &export.text;
    assert!(text.starts_with("# \\# Title \\`\\`\\` \\| a"), "{text}");
    assert!(
        text.contains(&format!("### Prompt\n\n`````text\n{prompt}\n`````\n")),
        "{text}"
    );
    assert!(text.contains("\n### Answer\n\n`````text\n"), "{text}");
    assert!(
        text.contains("\n| 1 | planner | planning | script:"),
        "{text}"
    );
    let plain = server
        .get(&format!("/api/nova/sessions/{session}/export"))
        .await;
    assert_eq!(plain.body["version"], 1);
    let wrong = format!("/api/nova/sessions/{session}/export?format=pdf");
    assert_eq!(server.get(&wrong).await.status, 422);
}
