//! A real model behind both protocols. The counts and texts of the real server are the witness;
//! how fast a machine is, and what so small a model knows, is not asserted.
//!
//! `tests/run.sh` starts the server (`tests/real-model`) and says by environment where it listens.
//! It works on one request at a time, so these tests run one after the other.

use std::time::{Duration, Instant};

use ollama_benchmarker::config::{BackendConfig, BackendKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{PATIENCE, Server, start_with};

/// Real weights, on both ports.
const MODEL: &str = "smollm2:135m";
/// Random weights, some thousands of tokens a second.
const FAST: &str = "tiny:latest";
const PROMPT: &str = "Write two sentences about the sea.";

/// Where the real server listens.
fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: `tests/run.sh` starts the real model and sets it")
    })
}

/// The application with the real server as its Ollama, and as `engine` by the other protocol.
async fn start() -> Server {
    let backend = |kind, variable| BackendConfig {
        kind,
        url: address(variable),
        ..BackendConfig::default()
    };
    let ollama = backend(BackendKind::Ollama, "REAL_OLLAMA_URL");
    let engine = backend(BackendKind::Openai, "REAL_OPENAI_URL");
    start_with(|config| {
        config.backends = [("ollama".to_owned(), ollama), ("engine".to_owned(), engine)].into();
    })
    .await
}

/// What always gives the same text.
fn parameters(tokens: u32) -> Value {
    json!({ "temperature": 0.0, "seed": 7, "num_predict": tokens })
}

/// The real server asked directly, without streaming.
async fn ask(server: &Server, url: String, body: Value) -> Value {
    let answer = server.http.post(url).json(&body).send().await.unwrap();
    answer.error_for_status().unwrap().json().await.unwrap()
}

/// A direct answer: text, tokens of the prompt, tokens of the output.
struct Witness {
    text: String,
    prompt_tokens: u64,
    output_tokens: u64,
}

/// Four answers of one model, the first to warm up, are what the witness says and the same each.
#[track_caller]
fn check_results(run: &Value, backend: &str, witness: &Witness) {
    assert_eq!(run["status"], "completed", "{run:#}");
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    let hash = hex::encode(Sha256::digest(&witness.text));
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["success"], true, "{result:#}");
        assert_eq!(result["warmup"], index == 0);
        assert_eq!(result["backend"], backend);
        assert_eq!(result["response"], witness.text);
        assert_eq!(result["response_sha256"], hash);
        assert_eq!(result["done_reason"], "length");
        let throughput = &result["throughput"];
        assert_eq!(throughput["output_tokens"], witness.output_tokens);
        assert_eq!(throughput["prompt_tokens"], witness.prompt_tokens);
        assert_eq!(throughput["total_bytes"], witness.text.len());
        check_times(result);
    }
    let summary = &run["summary"][0];
    assert_eq!(
        (&summary["succeeded"], &summary["warmups"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(summary["distinct_outputs"], 1);
    assert_eq!(summary["time_to_first_chunk"]["n"], 3);
}

/// Things happened in the order in which they can happen.
#[track_caller]
fn check_times(result: &Value) {
    let timing = &result["timing"];
    let seconds = |name: &str| timing[name].as_f64().unwrap();
    let first = seconds("time_to_first_chunk");
    let last = seconds("request_latency");
    assert!(0.0 < first && first < last, "{timing:#}");
    assert!(last <= seconds("total_time"), "{timing:#}");
    assert!(seconds("total_time") < PATIENCE.as_secs_f64(), "{timing:#}");
    let parts = timing["waterfall"].as_array().unwrap();
    let sum: f64 = parts
        .iter()
        .filter_map(|part| part["duration"].as_f64())
        .sum();
    assert!((sum - first).abs() < 1e-6, "{timing:#}");

    let offsets: Vec<f64> = serde_json::from_value(result["chunks"]["offsets"].clone()).unwrap();
    let sizes: Vec<u64> = serde_json::from_value(result["chunks"]["sizes"].clone()).unwrap();
    assert!(offsets.is_sorted(), "{offsets:?}");
    assert!((offsets[0] - first).abs() < 1e-6 && (offsets[offsets.len() - 1] - last).abs() < 1e-6);
    assert_eq!(result["throughput"]["total_chunks"], offsets.len());
    assert_eq!(
        result["throughput"]["total_bytes"],
        sizes.iter().sum::<u64>()
    );
}

#[tokio::test]
async fn ollamas_protocol_measures_what_the_server_counts() {
    let server = start().await;
    let run = server
        .run(&json!({
            "prompt": PROMPT, "models": [MODEL], "parameters": parameters(24),
            "repetitions": 3, "warmup": 1,
        }))
        .await;
    let direct = ask(
        &server,
        format!("{}/api/generate", address("REAL_OLLAMA_URL")),
        json!({ "model": MODEL, "prompt": PROMPT, "stream": false, "options": parameters(24) }),
    )
    .await;
    let witness = Witness {
        text: direct["response"].as_str().unwrap().to_owned(),
        prompt_tokens: direct["prompt_eval_count"].as_u64().unwrap(),
        output_tokens: direct["eval_count"].as_u64().unwrap(),
    };
    assert_eq!(witness.output_tokens, 24);
    check_results(&run, "ollama", &witness);

    // The server's own durations lie within what we saw, and it told where the model lay.
    let measured = &run["results"][3];
    let seconds = |it: &Value| it.as_f64().unwrap();
    let total = seconds(&measured["timing"]["total_time"]);
    let own = &measured["timing"]["server"];
    assert!(seconds(&own["total_duration"]) <= total, "{own:#}");
    let parts = seconds(&own["prompt_eval_duration"]) + seconds(&own["eval_duration"]);
    assert!(
        0.0 < parts && parts <= seconds(&own["total_duration"]),
        "{own:#}"
    );
    assert!(measured["placement"]["size_bytes"].as_u64().unwrap() > 50_000_000);
    assert_eq!(measured["placement"]["cpu_percent"], 100.0);
    let environment = &run["environment"]["models"][0];
    assert_eq!(environment["backend_kind"], "ollama");
    assert_eq!(environment["digest"].as_str().unwrap().len(), 64);
    assert_eq!(environment["synthetic"], false);
}

#[tokio::test]
async fn openais_protocol_measures_what_the_server_counts() {
    let server = start().await;
    let run = server
        .run(&json!({
            "prompt": PROMPT, "models": [format!("{MODEL}@engine")], "parameters": parameters(24),
            "repetitions": 3, "warmup": 1,
        }))
        .await;
    let direct = ask(
        &server,
        format!("{}/v1/chat/completions", address("REAL_OPENAI_URL")),
        json!({
            "model": MODEL, "messages": [{ "role": "user", "content": PROMPT }],
            "temperature": 0.0, "seed": 7, "max_tokens": 24,
        }),
    )
    .await;
    let witness = Witness {
        text: direct["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned(),
        prompt_tokens: direct["usage"]["prompt_tokens"].as_u64().unwrap(),
        output_tokens: direct["usage"]["completion_tokens"].as_u64().unwrap(),
    };
    assert_eq!(witness.output_tokens, 24);
    check_results(&run, "engine", &witness);
    assert_eq!(run["environment"]["models"][0]["backend_kind"], "openai");
}

#[tokio::test]
async fn two_models_are_measured_and_compared() {
    let server = start().await;
    let run = server
        .run(&json!({
            "prompt": PROMPT, "models": [MODEL, FAST], "parameters": parameters(16),
            "repetitions": 5, "warmup": 1,
        }))
        .await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 12);
    for model in run["summary"].as_array().unwrap() {
        assert_eq!(
            (&model["succeeded"], &model["distinct_outputs"]),
            (&json!(5), &json!(1))
        );
        assert!(
            model["time_to_first_chunk"]["median_low"].is_f64(),
            "{model:#}"
        );
    }
    let path = format!(
        "/api/benchmarks/compare?ids={}",
        run["id"].as_str().unwrap()
    );
    let comparison = server.get(&path).await;
    assert_eq!(comparison.status, 200, "{}", comparison.text);
    let labels = comparison.body["labels"].as_array().unwrap();
    assert!(
        labels[0].as_str().unwrap().contains("smollm2"),
        "{labels:?}"
    );
    let rows = comparison.body["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["ratio"].is_f64()), "{rows:?}");
}

#[tokio::test]
async fn a_cold_start_loads_the_model_each_time() {
    let server = start().await;
    let run = server
        .run(&json!({
            "prompt": PROMPT, "models": [FAST], "parameters": parameters(4),
            "repetitions": 2, "cold_start": true,
        }))
        .await;
    assert_eq!(run["status"], "completed", "{run:#}");
    for result in run["results"].as_array().unwrap() {
        assert!(
            result["timing"]["load_time"].as_f64().unwrap() > 0.0,
            "{result:#}"
        );
    }
}

#[tokio::test]
async fn the_models_are_listed_as_the_server_has_them() {
    let server = start().await;
    let listed = server.get("/api/models").await.text;
    for name in [MODEL, FAST] {
        assert!(listed.contains(name), "{listed}");
    }
    let details = server.get(&format!("/api/models/{FAST}")).await;
    assert_eq!(details.status, 200, "{}", details.text);
    let unknown = server
        .post(
            "/api/benchmarks/start",
            &json!({ "prompt": PROMPT, "models": ["smollm2:136m"] }),
        )
        .await;
    assert!(
        unknown.problem(404).contains("smollm2:135m"),
        "{}",
        unknown.text
    );
}

#[tokio::test]
async fn cancelling_stops_the_engine_by_ollamas_protocol() {
    cancelling_stops_the_engine(MODEL).await;
}

#[tokio::test]
async fn cancelling_stops_the_engine_by_openais_protocol() {
    cancelling_stops_the_engine(&format!("{MODEL}@engine")).await;
}

/// What would take the engine long is cancelled as soon as text comes.
async fn cancelling_stops_the_engine(model: &str) {
    let server = start().await;
    let mut parameters = parameters(1800);
    // Nothing may end the text early.
    parameters["repeat_penalty"] = json!(1.0);
    let body = json!({
        "prompt": "Count from one to one thousand, each number on its own line, in words.",
        "models": [model], "parameters": parameters,
    });
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap().to_owned();
    text_arrived(&server, &id).await;
    assert_eq!(busy(&server).await, 1);

    let cancelled = server
        .post(&format!("/api/benchmarks/{id}/cancel"), &json!({}))
        .await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let begun = Instant::now();
    while busy(&server).await > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the engine goes on"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let run = cancelled.body;
    assert_eq!(run["status"], "cancelled");
    let result = &run["results"][0];
    assert_eq!(result["error"]["code"], "cancelled", "{result:#}");
    assert!(!result["response"].as_str().unwrap().is_empty());
    assert!(!result["chunks"]["offsets"].as_array().unwrap().is_empty());
}

/// Follows a run until the first text of it came.
async fn text_arrived(server: &Server, id: &str) {
    let url = format!("{}/api/benchmarks/{id}/events", server.url);
    let mut events = server.http.get(url).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains("event: text_arrived") {
        let bytes = events.chunk().await.unwrap();
        seen += &String::from_utf8_lossy(&bytes.unwrap_or_else(|| panic!("no text: {seen}")));
    }
}

/// Requests that the real server's engines are working on.
async fn busy(server: &Server) -> u64 {
    let url = format!("{}/busy", address("REAL_OLLAMA_URL"));
    let answer: Value = server
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["busy"].as_u64().unwrap()
}
