use serde_json::{Value, json};

use super::{QUICK, request};
use crate::support::{start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named() {
    let server = start().await;
    let with = |pointer: &str, value: Value| {
        let mut body = request(&[QUICK]);
        body[pointer] = value;
        body
    };
    let models: Vec<String> = (0..100)
        .map(|number| format!("script:tokens={number}@reference"))
        .collect();
    for (body, pointer) in [
        (with("prompt", json!("")), "/prompt"),
        (with("prompt", json!("  \n")), "/prompt"),
        (with("prompt", json!("x".repeat(2_000_000))), "/prompt"),
        (with("prompt", json!(7)), "/prompt"),
        (with("models", json!([])), "/models"),
        (with("models", json!(models)), "/models"),
        (with("models", json!([QUICK, QUICK])), "/models/1"),
        (
            with(
                "models",
                json!(["steady@reference", "steady:latest@reference"]),
            ),
            "/models",
        ),
        (with("models", json!([""])), "/models/0"),
        (with("models", json!("steady")), "/models"),
        (with("name", json!("two\nlines")), "/name"),
        (with("tags", json!(["\u{1b}[31m"])), "/tags/0"),
        (with("think", json!("x")), "/think"),
        (with("repetitions", json!(-1)), "/repetitions"),
        (with("repetitions", json!(0)), "/repetitions"),
        (with("repetitions", json!(1e9)), "/repetitions"),
        (with("repetitions", json!(1_000_000)), "/repetitions"),
        (with("warmup", json!(-1)), "/warmup"),
        (with("timeout", json!(0)), "/timeout"),
        (with("timeout", json!(1e300)), "/timeout"),
        (with("execution", json!("all")), "/execution"),
        (
            with("parameters", json!({"temperature": -1})),
            "/parameters/temperature",
        ),
        (
            with("parameters", json!({"temperature": "NaN"})),
            "/parameters/temperature",
        ),
        (
            with("parameters", json!({"top_p": 1.5})),
            "/parameters/top_p",
        ),
        (
            with("parameters", json!({"num_ctx": 0})),
            "/parameters/num_ctx",
        ),
        (
            with("parameters", json!({"temprature": 1})),
            "/parameters/temprature",
        ),
        (with("speed", json!(1)), "/speed"),
        (with("keep_alive", json!("soon")), "/keep_alive"),
    ] {
        let answer = server.post("/api/benchmarks/start", &body).await;
        answer.problem(422);
        assert_eq!(answer.pointers()[0], pointer, "{}", answer.text);
    }
    assert_eq!(
        server.get("/api/benchmarks/history").await.body,
        json!([]),
        "something was stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_is_refused_whole() {
    let server = start_with(|config| config.limits.max_body_bytes = 10_000).await;
    let path = "/api/benchmarks/start";
    for (kind, body, status) in [
        ("application/json", String::new(), 400),
        ("application/json", "{".into(), 400),
        (
            "application/json",
            r#"{"prompt": "a", "models": ["b"], "timeout": NaN}"#.into(),
            400,
        ),
        ("application/json", "[]".into(), 422),
        ("application/json", "null".into(), 422),
        ("text/plain", "{}".into(), 415),
        ("application/x-www-form-urlencoded", "prompt=x".into(), 415),
        ("application/json", "x".repeat(20_000), 413),
    ] {
        server.post_raw(path, kind, body).await.problem(status);
    }
    let garbage = server
        .post_raw(path, "application/json", b"\xff\xfe{".to_vec())
        .await;
    garbage.problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_told_with_their_neighbours() {
    let server = start().await;
    let missing = server
        .post("/api/benchmarks/start", &request(&["staedy@reference"]))
        .await;
    assert!(
        missing.problem(404).contains("did you mean steady"),
        "{}",
        missing.text
    );
    let backend = server
        .post("/api/benchmarks/start", &request(&["steady@nowhere"]))
        .await;
    assert!(
        backend.problem(404).contains("ollama, reference"),
        "{}",
        backend.text
    );
    let details = server.get("/api/models/staedy@reference").await;
    assert!(details.problem(404).contains("steady"), "{}", details.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_backend_is_told_with_what_to_do() {
    let server = start().await;
    let answer = server
        .post("/api/benchmarks/start", &request(&["llama3.2"]))
        .await;
    assert!(
        answer.problem(502).contains("ollama serve"),
        "{}",
        answer.text
    );
    let models = server.get("/api/models").await;
    assert_eq!(models.status, 200);
    let text = models.text;
    assert!(
        text.contains("steady") && text.contains("ollama serve"),
        "{text}"
    );
    let system = server.get("/api/system").await.body;
    let ollama = system["backends"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == "ollama")
        .unwrap();
    assert_eq!(ollama["reachable"], false);
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_wrongly_is_a_problem() {
    let server = start().await;
    server.get("/api/nothing").await.problem(404);
    server.get("/nothing").await.problem(404);
    server.delete("/api/benchmarks/start").await.problem(405);
    server
        .get("/api/benchmarks/history/not-an-id")
        .await
        .problem(422);
    server.get("/api/benchmarks/history/%00").await.problem(422);
    server
        .get("/api/benchmarks/history/6742f0a1c3d2e1f0a9b8c7d6")
        .await
        .problem(404);
    server
        .get("/api/benchmarks/6742f0a1c3d2e1f0a9b8c7d6/events")
        .await
        .problem(404);
    server
        .post(
            "/api/benchmarks/6742f0a1c3d2e1f0a9b8c7d6/cancel",
            &json!(null),
        )
        .await
        .problem(404);
    server
        .post(
            "/api/benchmarks/6742f0a1c3d2e1f0a9b8c7d6/rerun",
            &json!(null),
        )
        .await
        .problem(404);
    for query in [
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=zz",
        "cursor=00",
        "cursor=7b7d",
        "status=gone",
        "from=yesterday",
        "sort=speed",
        "order=up",
    ] {
        let answer = server
            .get(&format!("/api/benchmarks/history?{query}"))
            .await;
        answer.problem(422);
        assert_eq!(
            answer.pointers(),
            [format!("/{}", query.split('=').next().unwrap())],
            "{}",
            answer.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_are_no_objects() {
    let server = start().await;
    let list = server
        .post("/api/benchmarks/start", &json!(["x", [], [QUICK]]))
        .await;
    list.problem(422);
    let mut body = request(&[QUICK]);
    body["parameters"] = json!([0.5]);
    let answer = server.post("/api/benchmarks/start", &body).await;
    answer.problem(422);
    assert_eq!(answer.body["errors"][0]["pointer"], "/parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_in_words_of_the_api() {
    let server = start().await;
    for (path, message) in [
        ("history?sort=nonsense", "is none of the values"),
        ("history?limit=abc", "invalid digit"),
        (&format!("history?q={}", "x".repeat(2000)), "at most 1000"),
        ("compare", "is missing"),
    ] {
        let answer = server.get(&format!("/api/benchmarks/{path}")).await;
        answer.problem(422);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(message), "{detail}");
        assert!(!detail.contains("occurred"), "{detail}");
    }
    let nothing = server.post("/api/benchmarks/start", &json!({})).await;
    let detail = nothing.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("missing field"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_models_may_hold_slashes() {
    let server = start().await;
    let answer = server.get("/api/models/hf.co/maker/model@reference").await;
    answer.problem(404);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("`hf.co/maker/model`"), "{detail}");
}
