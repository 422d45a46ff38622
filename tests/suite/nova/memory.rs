use serde_json::{Value, json};

use super::{QUICK, request, step};
use crate::support::{Server, start, start_with};

async fn add(server: &Server, text: &str) -> Value {
    let kept = server
        .post("/api/nova/memory", &json!({"text": text}))
        .await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    kept.body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_what_it_used_and_why() {
    let server = start_with(|config| config.default_backend = "reference".into()).await;
    let harbour = add(&server, "The harbour of Trieste closes at nine.").await;
    add(&server, "Apples are ripe in autumn.").await;
    assert_eq!(harbour["embedding_model"], "embedding@reference");
    let echo = "script:tokens=1,ttft=1,gap=1,echo=4000@reference";
    let asked = request("When does the harbour of Trieste close?", echo);
    let response = server.ask(&asked).await;
    let used = response["state"]["memory_documents"].as_array().unwrap();
    assert_eq!(used[0]["id"], harbour["id"], "{used:?}");
    assert_eq!(used[0]["found_by"], "embedding");
    assert!(
        used[0]["reason"]
            .as_str()
            .unwrap()
            .contains("embedding@reference")
    );
    assert!(
        response["text"]
            .as_str()
            .unwrap()
            .contains("closes at nine")
    );
    assert_eq!(
        step(&response, "memory")["documents"][0]["id"],
        harbour["id"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_for_embeddings_words_do() {
    let server = start().await;
    let harbour = add(&server, "The harbour of Trieste closes at nine.").await;
    assert!(harbour["embedding_model"].is_null());
    let found = server
        .get("/api/nova/memory/search?q=harbour%20Trieste")
        .await;
    assert_eq!(found.body[0]["id"], harbour["id"]);
    assert_eq!(found.body[0]["found_by"], "full_text");
    assert_eq!(found.body[0]["score"], 1.0);
    let mut unread = request("When does the harbour close?", QUICK);
    unread["memory"] = json!({"read": false, "write": false});
    let response = server.ask(&unread).await;
    assert_eq!(response["state"]["memory_documents"], json!([]));
    assert!(!super::roles(&response).contains(&"memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_recalled_in_its_session_only() {
    let server = start().await;
    let first = server
        .ask(&request("The password is swordfish.", QUICK))
        .await;
    let mut own = request("What is the password?", QUICK);
    own["session_id"] = first["session_id"].clone();
    let own = server.ask(&own).await;
    assert_eq!(
        own["state"]["memory_documents"].as_array().unwrap().len(),
        1
    );
    let other = server.ask(&request("What is the password?", QUICK)).await;
    assert_eq!(other["state"]["memory_documents"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_listed_page_by_page_and_deleted() {
    let server = start().await;
    for text in ["one", "two", "three"] {
        add(&server, text).await;
    }
    let page = server.get("/api/nova/memory?limit=2").await;
    assert_eq!(page.body[0]["text"], "three");
    let link = page.header("link").to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    let last = server.get(next).await.body;
    assert_eq!(last[0]["text"], "one");
    let path = format!("/api/nova/memory/{}", last[0]["id"].as_str().unwrap());
    assert_eq!(server.delete(&path).await.status, 204);
    server.delete(&path).await.problem(404);
    assert_eq!(server.delete("/api/nova/memory").await.body["deleted"], 2);
    assert_eq!(server.get("/api/nova/memory").await.body, json!([]));
}
