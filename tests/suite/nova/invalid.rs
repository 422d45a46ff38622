use ollama_benchmarker::app::App;
use serde_json::{Value, json};

use super::{QUICK, request};
use crate::support::{Server, settings, start};

async fn refused(server: &Server, change: impl FnOnce(&mut Value)) -> (u16, Value) {
    let mut body = request("Why?", QUICK);
    change(&mut body);
    let answer = server.post("/api/nova/ask", &body).await;
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_with_its_field() {
    let server = start().await;
    let cases: [(&str, Value, &str); 9] = [
        ("prompt", json!("  "), "/prompt"),
        ("prompt", json!(null), "/prompt"),
        ("session_id", json!("x"), "/session_id"),
        ("models", json!({"oracle": QUICK}), "/models/oracle"),
        ("parameters", json!({"top_p": 2.0}), "/parameters/top_p"),
        (
            "parameters",
            json!({"temprature": 1}),
            "/parameters/temprature",
        ),
        ("pause_after", json!("synthesis"), "/pause_after"),
        ("domains", json!(["one"]), "/domains"),
        ("model", json!("embedding@reference"), "/model"),
    ];
    for (field, value, pointer) in cases {
        let (status, body) = refused(&server, |it| it[field] = value.clone()).await;
        assert_eq!(status, 422, "{field}: {body}");
        let found = body["errors"][0]["pointer"].as_str().unwrap();
        assert!(
            found.starts_with('/') && pointer.starts_with(found),
            "{body}"
        );
    }
    let (status, _) = refused(&server, |it| {
        it["session_id"] = json!("6742f0a1c3d2e1f0a9b8c7d6");
    })
    .await;
    assert_eq!(status, 404);
    let (status, _) = refused(&server, |it| it["model"] = json!("nothing@reference")).await;
    assert_eq!(status, 404);
    let (status, _) = refused(&server, |it| it["model"] = json!("x@ollama")).await;
    assert_eq!(status, 502);
    // Nothing of all that is left.
    assert_eq!(server.get("/api/nova/sessions").await.body, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_larger_than_the_context_has_no_answer_and_a_reason() {
    let server = start().await;
    let mut body = request(&"many words ".repeat(2000), QUICK);
    body["parameters"] = json!({"num_ctx": 512});
    let response = server.ask(&body).await;
    assert_eq!(response["status"], "failed", "{response}");
    assert!(
        response["error"]["message"]
            .as_str()
            .unwrap()
            .contains("512")
    );
    assert_eq!(response["metrics"]["model_calls"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_fail_give_a_failed_turn_that_says_why() {
    let server = start().await;
    for (model, code) in [
        ("script:tokens=0,ttft=1@reference", "empty_output"),
        ("fault-truncated@reference", "truncated"),
        ("fault-error-midstream@reference", "server"),
    ] {
        let mut body = request("Why?", QUICK);
        body["models"] = json!({"executor": model});
        let answer = server.post("/api/nova/ask", &body).await;
        if answer.status == 404 {
            continue;
        }
        let response = &answer.body;
        assert_eq!(response["status"], "failed", "{model}: {response}");
        assert_eq!(response["error"]["code"], code, "{model}: {response}");
        let mut again = request("Again?", QUICK);
        again["session_id"] = response["session_id"].clone();
        assert_eq!(server.ask(&again).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_is_bounded_by_time() {
    let server = start().await;
    let mut body = request("Why?", QUICK);
    body["models"] = json!({"executor": "script:tokens=20000,ttft=1,gap=50@reference"});
    body["parameters"] = json!({"num_predict": -1});
    body["timeout"] = json!(0.5);
    let response = server.ask(&body).await;
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"]["code"], "timeout_total", "{response}");
    assert!(!response["text"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_of_ones_own_with_an_error_is_named_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts");
    std::fs::create_dir(&prompts).unwrap();
    std::fs::write(
        prompts.join("planner.planning.txt"),
        "{# mine #}\n{{ prompt }\n",
    )
    .unwrap();
    let mut settings = settings(&folder);
    settings.nova.prompts = prompts.display().to_string();
    // A second one finds the first in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let error = App::open(settings).await.err().unwrap().to_string();
    assert!(error.contains("planner.planning.txt:2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn benchmarks_and_agents_wait_for_each_other() {
    let server = start().await;
    let run = json!({
        "prompt": "x", "models": ["script:tokens=60,ttft=5,gap=10@reference"],
        "repetitions": 1, "warmup": 0,
    });
    let started = server.post("/api/benchmarks/start", &run).await;
    let id = started.body["id"].as_str().unwrap().to_owned();
    server.heard(&id, "request_started").await;
    let response = server.ask(&request("Why?", QUICK)).await;
    assert_eq!(response["status"], "completed");
    let queue = response["metrics"]["accounting"]["queue"].as_f64().unwrap();
    assert!(queue > 0.1, "{response}");
    let run = server.ended(&id).await;
    assert_eq!(run["results"][0]["contended"], false);
}
