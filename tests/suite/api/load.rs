//! Working a model with many requests at once.

use serde_json::{Value, json};

use crate::support::{Server, start};

/// 20 tokens in about 60 ms.
const MODEL: &str = "script:tokens=20,ttft=20,gap=2@reference";

fn request(load: &Value) -> Value {
    json!({"prompt": "x", "models": [MODEL], "warmup": 1, "load": load})
}

fn measured(run: &Value) -> Vec<&Value> {
    let results = run["results"].as_array().unwrap().iter();
    results.filter(|it| it["warmup"] == false).collect()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

async fn loaded(server: &Server, load: &Value) -> Value {
    let run = server.run(&request(load)).await;
    assert_eq!(run["status"], "completed", "{}", run["status_reason"]);
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn virtual_users_keep_as_many_requests_going() {
    let server = start().await;
    let load = json!({"pattern": "closed", "concurrency": 4, "max_requests": 20});
    let run = loaded(&server, &load).await;
    let results = measured(&run);
    assert_eq!((results.len(), &run["total_requests"]), (20, &json!(21)));
    assert!(results.iter().all(|it| it["contended"] == true));
    assert!(
        results
            .iter()
            .all(|it| it["timing"]["schedule_delay"].is_null())
    );
    let found = &run["summary"][0]["load"];
    assert_eq!(
        (&found["sent"], &found["answered"]),
        (&json!(20), &json!(20))
    );
    let peak = found["peak_in_flight"].as_u64().unwrap();
    assert!((2..=4).contains(&peak), "{found}");
    // 20 answers of 20 chunks; the record has each.
    assert_eq!(run["summary"][0]["inter_chunk_latency"]["n"], 380);
    assert!(
        results
            .iter()
            .all(|it| it["chunks"]["offsets"].as_array().unwrap().len() == 20)
    );
    assert!(
        results
            .iter()
            .all(|it| !it["response"].as_str().unwrap().is_empty())
    );
    // Four at a time take a quarter of the time that one after another would.
    let alone: f64 = results
        .iter()
        .map(|it| number(&it["timing"]["total_time"]))
        .sum();
    assert!(number(&found["duration"]) < alone / 2.0, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_sends_at_its_times_whatever_the_server_does() {
    let server = start().await;
    let load = json!({"pattern": "constant", "rate": 100, "duration": 0.4});
    let run = loaded(&server, &load).await;
    let results = measured(&run);
    assert_eq!(results.len(), 40);
    let mut meant: Vec<f64> = results
        .iter()
        .map(|it| number(&it["timing"]["send_offset"]) - number(&it["timing"]["schedule_delay"]))
        .collect();
    meant.sort_by(f64::total_cmp);
    for (place, at) in (0..).zip(&meant) {
        let due = meant[0] + f64::from(place) * 0.01;
        assert!(
            (at - due).abs() < 1e-6,
            "request {place} was meant for {at}, not {due}"
        );
    }
    for result in &results {
        let timing = &result["timing"];
        let first = number(&result["chunks"]["offsets"][0]) + number(&timing["schedule_delay"]);
        assert!((number(&timing["time_to_first_chunk"]) - first).abs() < 1e-9);
        let parts = timing["waterfall"].as_array().unwrap();
        let sum: f64 = parts.iter().map(|it| number(&it["duration"])).sum();
        assert!((sum - first).abs() < 1e-6, "{parts:?} are not {first}");
    }
    let found = &run["summary"][0]["load"];
    assert_eq!(found["offered_requests_per_second"], 100.0);
    assert_eq!(found["schedule_delay"]["n"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_ends_by_its_time() {
    let server = start().await;
    let load = json!({"concurrency": 2, "max_requests": 5000, "duration": 0.3});
    let run = loaded(&server, &load).await;
    let sent = run["results"].as_array().unwrap().len();
    assert!((2..200).contains(&sent), "{sent}");
    assert_eq!(run["total_requests"], sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finds_where_a_server_falls_behind() {
    let server = start().await;
    // Two at once, 25 ms each: 80 requests a second.
    let model = "script:tokens=10,ttft=5,gap=2,slots=2@reference";
    let body = json!({
        "prompt": "x", "models": [model],
        "objectives": ["request_latency.median<0.2"],
        "load": {"pattern": "sweep", "duration": 0.5, "max_requests": 60},
    });
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    server.heard(id, "stage_started").await;
    let run = server.ended(id).await;
    assert_eq!(run["status"], "completed", "{}", run["status_reason"]);
    let results = run["results"].as_array().unwrap();
    assert_eq!(run["total_requests"], results.len());
    let load = &run["summary"][0]["load"];
    let (kept_up, behind) = (
        number(&load["sustained_requests_per_second"]),
        number(&load["saturated_requests_per_second"]),
    );
    assert!(kept_up < behind, "{load}");
    // The rates that a loaded machine loses are below; beyond its slots no server gets.
    assert!(kept_up < 95.0, "{load}");
    let stages = load["stages"].as_array().unwrap();
    assert!(stages.len() >= 3, "{load}");
    assert!(stages[0]["offered_requests_per_second"].is_null());
    assert_eq!(stages[0]["peak_in_flight"], 1);
    let sent: u64 = stages.iter().map(|it| it["sent"].as_u64().unwrap()).sum();
    assert_eq!(sent, results.len() as u64);
    // What a model can do is told by one request at a time alone.
    let alone = stages[0]["answered"].as_u64().unwrap();
    assert_eq!(run["summary"][0]["succeeded"], alone);
    assert_eq!(run["summary"][0]["request_latency"]["n"], alone);
    assert_eq!(stages[0]["objectives_met"], true, "{load}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_every_request_and_keeps_what_there_is() {
    let server = start().await;
    let slow = "script:tokens=2000,ttft=5,gap=10@reference";
    let body = json!({
        "prompt": "x", "models": [slow],
        "load": {"pattern": "poisson", "rate": 200, "max_requests": 2000},
    });
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    server.heard(id, "text_arrived").await;
    let cancelled = server
        .post(&format!("/api/benchmarks/{id}/cancel"), &json!({}))
        .await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let run = server.ended(id).await;
    assert_eq!(run["status"], "cancelled");
    let results = measured(&run);
    assert!(!results.is_empty() && results.len() < 2000);
    assert!(results.iter().all(|it| it["error"]["code"] == "cancelled"));
    assert!(
        results
            .iter()
            .any(|it| it["throughput"]["total_chunks"].as_u64() > Some(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_with_its_field() {
    let server = start().await;
    for (load, pointer) in [
        (
            json!({"pattern": "constant", "rate": 0, "duration": 1}),
            "/load/rate",
        ),
        (
            json!({"pattern": "constant", "rate": 1e9, "duration": 1}),
            "/load/rate",
        ),
        (json!({"pattern": "poisson", "rate": 5}), "/load/duration"),
        (json!({"concurrency": 4}), "/load/max_requests"),
        (
            json!({"concurrency": 1001, "max_requests": 1}),
            "/load/concurrency",
        ),
        (json!({"max_requests": 20_000}), "/load"),
        (json!({"max_requests": 1, "users": 4}), "/load/users"),
        (json!({"pattern": "sweep", "rate": 4}), "/load/rate"),
        (json!({"pattern": "waves"}), "/load/pattern"),
        (json!(4), "/load"),
    ] {
        let answer = server.post("/api/benchmarks/start", &request(&load)).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), [pointer], "{load}: {}", answer.text);
    }
    let mut body = request(&json!({"max_requests": 1}));
    body["repetitions"] = json!(3);
    body["execution"] = json!("concurrent");
    body["cold_start"] = json!(true);
    let answer = server.post("/api/benchmarks/start", &body).await;
    assert_eq!(
        answer.pointers(),
        ["/execution", "/repetitions", "/cold_start"]
    );
}
