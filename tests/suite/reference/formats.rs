//! Output that is bound to a format, echoes, and vectors of texts.

use ollama_benchmarker::backend::{Backend, BackendError, Ollama, OpenAi};
use ollama_benchmarker::config::{BackendConfig, BackendKind};
use serde_json::{Value, json};

use super::{generate, get, post, server, text, wait_for};

const QUICK: &str = "script:ttft=0,gap=0";

fn plan() -> Value {
    json!({
        "type": "object", "required": ["steps"],
        "properties": {"steps": {"type": "array", "minItems": 2, "items": {"type": "string"}}},
    })
}

#[track_caller]
fn check_plan(text: &str) {
    let plan: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let steps = plan["steps"].as_array().unwrap();
    assert!(
        steps.len() == 2 && steps.iter().all(Value::is_string),
        "{plan}"
    );
}

#[test]
fn json_is_written_where_a_schema_is_asked_for() {
    let server = server();
    let mut body = generate(QUICK, &json!({"seed": 1}));
    body["format"] = plan();
    let objects = post(&server, "/api/generate", &body).objects();
    check_plan(&text(&objects, "response"));
    let request = wait_for(&server, |request| request.finished);
    assert_eq!(
        request.sent.len(),
        objects.len() - 1,
        "it comes piece by piece"
    );
    assert!(request.sent.len() > 5);

    let chat = json!({
        "model": QUICK, "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "plan", "schema": plan()}},
    });
    let whole = post(&server, "/v1/chat/completions", &chat).json();
    check_plan(whole["choices"][0]["message"]["content"].as_str().unwrap());
}

#[test]
fn a_model_can_be_told_to_keep_to_no_format() {
    let server = server();
    let write = |setting: &str, prompt: &str| {
        let mut body = generate(&format!("{QUICK},{setting}"), &json!({"seed": 1}));
        body["format"] = plan();
        body["prompt"] = json!(prompt);
        text(&post(&server, "/api/generate", &body).objects(), "response")
    };
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    assert_eq!(read(&write("json=prose", "hi")), None);
    assert_eq!(read(&write("json=broken", "hi")), None);
    assert!(read(&write("json=wrong", "hi")).is_some_and(|it| it.get("steps").is_none()));
    assert_eq!(read(&write("json=repair", "hi")), None);
    check_plan(&write("json=repair", "Please repair this."));
    assert_eq!(write("tokens=0", "hi"), "");
}

#[test]
fn an_answer_can_carry_the_end_of_its_prompt() {
    let server = server();
    let mut body = generate("script:ttft=0,gap=0,echo=9", &json!({}));
    body["prompt"] = json!("Say it: marker-17");
    let objects = post(&server, "/api/generate", &body).objects();
    assert_eq!(text(&objects, "response"), "marker-17");
}

#[test]
fn a_model_that_embeds_does_nothing_else_and_others_do_not() {
    let server = server();
    let shown = post(&server, "/api/show", &json!({"model": "embedding"})).json();
    assert_eq!(shown["capabilities"], json!(["embedding"]));
    for (path, verb) in [("/api/generate", "generate"), ("/api/chat", "chat")] {
        let body = json!({
            "model": "embedding", "prompt": "hi", "messages": [{"role": "user", "content": "hi"}],
        });
        let answer = post(&server, path, &body);
        let words = format!("\"embedding\" does not support {verb}");
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!(words))
        );
    }
    let body = json!({"model": "steady", "input": "hi"});
    assert_eq!(post(&server, "/api/embed", &body).status, 501);
    assert_eq!(post(&server, "/v1/embeddings", &body).status, 501);
    let body = json!({"model": "nope", "input": "hi"});
    assert_eq!(post(&server, "/api/embed", &body).status, 404);
    let body = json!({"model": "embedding", "input": 5});
    assert_eq!(
        post(&server, "/api/embed", &body).json()["error"],
        "invalid input type"
    );
    assert_eq!(get(&server, "/api/embed").status, 405);
}

#[test]
fn vectors_come_in_the_shape_of_either_protocol() {
    let server = server();
    let body = json!({"model": "embedding", "input": ["one two", "three"]});
    let answer = post(&server, "/api/embed", &body).json();
    assert_eq!(answer["embeddings"][1].as_array().unwrap().len(), 64);
    assert_eq!(answer["prompt_eval_count"], 3);
    assert!(answer["total_duration"].is_u64());
    let openai = post(&server, "/v1/embeddings", &body).json();
    assert_eq!(openai["data"][1]["index"], 1);
    assert_eq!(openai["data"][1]["embedding"], answer["embeddings"][1]);
    assert_eq!(openai["usage"]["prompt_tokens"], 3);
    let none = post(&server, "/api/embed", &json!({"model": "embedding"})).json();
    assert_eq!(none["embeddings"], json!([]));
    assert_eq!(
        get(&server, "/api/ps").json()["models"][0]["name"],
        "embedding"
    );
}

#[tokio::test]
async fn a_backend_embeds_texts_over_either_protocol() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = server();
    let url = format!("http://{}", server.addr());
    let settings = BackendConfig {
        kind: BackendKind::Openai,
        url: url.clone(),
        ..BackendConfig::default()
    };
    let backends: [Box<dyn Backend>; 2] = [
        Box::new(Ollama::reference(&url).unwrap()),
        Box::new(OpenAi::new("other", &settings).unwrap()),
    ];
    let texts = [
        "the red boat".to_owned(),
        "a red boat".to_owned(),
        "copper wire".to_owned(),
    ];
    let mut seen = Vec::new();
    for backend in backends {
        let vectors = backend.embed("embedding", &texts).await.unwrap();
        let likeness = |one: usize, other: usize| -> f32 {
            let pairs = vectors[one].iter().zip(&vectors[other]);
            pairs.map(|(one, other)| one * other).sum()
        };
        assert!(likeness(0, 1) > likeness(0, 2) + 0.3);
        assert_eq!(
            backend.embed("embedding", &[]).await.unwrap(),
            Vec::<Vec<f32>>::new()
        );
        let refused = backend.embed("steady", &texts).await;
        assert!(
            matches!(&refused, Err(BackendError::Refused { status: 501, message, .. })
                if message.contains("embeddings")),
            "{refused:?}"
        );
        seen.push(vectors);
    }
    assert_eq!(seen[0], seen[1]);
}
