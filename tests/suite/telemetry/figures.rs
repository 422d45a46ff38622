use serde_json::json;

use super::{LONG, QUICK, Scrape};
use crate::support::{Server, start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_counted_with_its_requests() {
    let server = start().await;
    let before = Scrape::of(&server).await;
    assert_eq!(before.sum("benchmarker_runs_total", &[]), 0.0);
    let run = server
        .run(&json!({"prompt": "a", "models": [QUICK], "repetitions": 3, "warmup": 1}))
        .await;
    let scrape = Scrape::of(&server).await;
    let ended = |status| scrape.sum("benchmarker_runs_total", &[("status", status)]);
    assert_eq!((ended("completed"), ended("failed")), (1.0, 0.0));
    assert_eq!(
        scrape.sum("benchmarker_run_duration_seconds_count", &[]),
        1.0
    );
    let waited = "benchmarker_queue_wait_seconds_count";
    assert_eq!(scrape.sum(waited, &[("kind", "run")]), 1.0);

    let model = [
        ("gen_ai_request_model", "script:tokens=8,ttft=5,gap=1"),
        ("backend", "reference"),
        ("gen_ai_provider_name", "reference"),
        ("gen_ai_operation_name", "text_completion"),
    ];
    let of = |name: &str| scrape.sum(&format!("gen_ai_client_{name}"), &model);
    assert_eq!(of("operation_duration_seconds_count"), 4.0);
    assert_eq!(of("operation_time_to_first_chunk_seconds_count"), 4.0);
    assert_eq!(
        of("operation_time_per_output_chunk_seconds_count"),
        4.0 * 7.0
    );
    let output = [&model[..], &[("gen_ai_token_type", "output")]].concat();
    assert_eq!(scrape.sum("gen_ai_client_token_usage_sum", &output), 32.0);
    assert_eq!(
        scrape.sum("benchmarker_model_request_errors_total", &[]),
        0.0
    );

    // They are those of the record.
    let results = run["results"].as_array().unwrap();
    let total = |field: &str| -> f64 {
        results
            .iter()
            .map(|it| it["timing"][field].as_f64().unwrap())
            .sum()
    };
    let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
    near(of("operation_duration_seconds_sum"), total("total_time"));
    let first = total("time_to_first_chunk");
    near(of("operation_time_to_first_chunk_seconds_sum"), first);
    let looks = run["samples"]["cost"]["looks"].as_f64().unwrap();
    assert_eq!(scrape.sum("benchmarker_sampler_looks_total", &[]), looks);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_counted_by_its_code() {
    let server = start().await;
    let models = ["fault-truncated@reference", "fault-error-line@reference"];
    let run = server
        .run(&json!({"prompt": "a", "models": models, "repetitions": 1}))
        .await;
    assert_eq!(run["status"], "failed");
    let scrape = Scrape::of(&server).await;
    assert_eq!(
        scrape.sum("benchmarker_runs_total", &[("status", "failed")]),
        1.0
    );
    for result in run["results"].as_array().unwrap() {
        let labels = [
            ("gen_ai_request_model", result["model"].as_str().unwrap()),
            ("error_type", result["error"]["code"].as_str().unwrap()),
        ];
        let errors = "benchmarker_model_request_errors_total";
        assert_eq!(scrape.sum(errors, &labels), 1.0);
        if !result["timing"]["total_time"].is_null() {
            let duration = "gen_ai_client_operation_duration_seconds_count";
            assert_eq!(scrape.sum(duration, &labels), 1.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_and_waits_is_told() {
    let server = start().await;
    let start = async || {
        let body = json!({"prompt": "a", "models": [LONG], "repetitions": 1});
        let run = server.post("/api/benchmarks/start", &body).await;
        run.body["id"].as_str().unwrap().to_owned()
    };
    let first = start().await;
    server.heard(&first, "text_arrived").await;
    let scrape = Scrape::of(&server).await;
    // What comes is seen as an increase only by who saw it at 0.
    for name in [
        "gen_ai_client_operation_duration_seconds_count",
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
        "gen_ai_client_operation_time_per_output_chunk_seconds_count",
        "gen_ai_client_token_usage_count",
        "benchmarker_model_request_errors_total",
    ] {
        assert_eq!(scrape.sum(name, &[("backend", "reference")]), 0.0, "{name}");
    }
    let second = start().await;
    let queue = |scrape: &Scrape, state| {
        let labels = [("kind", "run"), ("state", state)];
        scrape.sum("benchmarker_queue_entries", &labels)
    };
    let streams = |scrape: &Scrape| scrape.sum("benchmarker_event_streams", &[("kind", "run")]);
    let watching = server.events(&first, None).await;
    let scrape = Scrape::of(&server).await;
    assert_eq!(
        (queue(&scrape, "running"), queue(&scrape, "waiting")),
        (1.0, 1.0)
    );
    assert!(streams(&scrape) >= 1.0);
    drop(watching);
    for id in [&second, &first] {
        server
            .post(&format!("/api/benchmarks/{id}/cancel"), &json!({}))
            .await;
    }
    until(&server, |scrape| {
        streams(scrape) == 0.0 && queue(scrape, "running") + queue(scrape, "waiting") == 0.0
    })
    .await;
    let scrape = Scrape::of(&server).await;
    assert_eq!(
        scrape.sum("benchmarker_runs_total", &[("status", "cancelled")]),
        2.0
    );
    // The one that never started has neither waited to the end nor lasted.
    assert_eq!(
        scrape.sum("benchmarker_run_duration_seconds_count", &[]),
        1.0
    );
}

/// Waits for what happens soon, such as the end of a connection being noticed.
async fn until(server: &Server, is_so: impl Fn(&Scrape) -> bool) {
    let begun = std::time::Instant::now();
    loop {
        let scrape = Scrape::of(server).await;
        if is_so(&scrape) {
            return;
        }
        assert!(
            begun.elapsed() < crate::support::PATIENCE,
            "{}",
            scrape.text
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_told_apart_by_route_never_by_path() {
    let server = start().await;
    let run = server
        .run(&json!({"prompt": "a", "models": [QUICK], "repetitions": 1}))
        .await;
    let id = run["id"].as_str().unwrap();
    for path in [
        format!("/api/benchmarks/history/{id}"),
        "/api/benchmarks/history/000000000000000000000000".to_owned(),
        "/api/benchmarks/history/no-id".to_owned(),
        "/api/nothing/secret-path".to_owned(),
        "/secret-path".to_owned(),
        format!("/runs/{id}"),
        "/runs/000000000000000000000000".to_owned(),
        "/api/models/hf.co%2Fsecret-path%2Fname".to_owned(),
        "/docs/secret-path".to_owned(),
        "/assets/secret-path/x.js".to_owned(),
    ] {
        server.get(&path).await;
    }
    let page = server.http.get(format!("{}/runs/secret-path", server.url));
    page.header("accept", "text/html").send().await.unwrap();
    let brew = "BREW".parse::<reqwest::Method>().unwrap();
    let brew = server.http.request(brew, format!("{}/healthz", server.url));
    brew.send().await.unwrap();
    let scrape = Scrape::of(&server).await;
    let count = "http_server_request_duration_seconds_count";
    let routes = scrape.values(count, "http_route");
    for secret in [id, "secret-path", "000000000000000000000000"] {
        assert!(!scrape.text.contains(secret), "{routes:?}");
    }
    let of = |route, status| {
        let labels = [("http_route", route), ("http_response_status_code", status)];
        scrape.sum(count, &labels)
    };
    let record = "/api/benchmarks/history/:id";
    assert_eq!(
        (of(record, "200"), of(record, "404")),
        (2.0, 1.0),
        "{routes:?}"
    );
    assert_eq!(of("/runs/:id", "200"), 1.0);
    assert_eq!(of("/runs/:id", "404"), 2.0);
    assert_eq!(of("/healthz", "405"), 1.0, "{routes:?}");
    let brewed = scrape.all(count, &[("http_request_method", "_OTHER")]);
    assert_eq!(brewed, [1.0]);
    // This scrape is the one that has no answer yet.
    assert_eq!(scrape.sum("http_server_active_requests", &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_process_and_build_are_told() {
    let server = start().await;
    // What a start looks after waits for its connection to be opened, and counts as waiting so long.
    until(&server, |scrape| {
        scrape.sum("benchmarker_database_waiting", &[]) == 0.0
    })
    .await;
    let scrape = Scrape::of(&server).await;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.sum("benchmarker_build_info", &version), 1.0);
    assert!(scrape.sum("benchmarker_database_size_bytes", &[]) > 0.0);
    assert!(scrape.sum("benchmarker_database_connections", &[]) >= 1.0);
    assert!(scrape.sum("benchmarker_database_connections_max", &[]) >= 2.0);
    for none in ["database_waiting", "unstored_results", "unsaved_runs"] {
        assert_eq!(
            scrape.sum(&format!("benchmarker_{none}"), &[]),
            0.0,
            "{none}"
        );
    }
    if cfg!(target_os = "linux") {
        for some in [
            "cpu_seconds_total",
            "resident_memory_bytes",
            "virtual_memory_bytes",
            "open_fds",
            "threads",
            "start_time_seconds",
        ] {
            assert!(scrape.sum(&format!("process_{some}"), &[]) > 0.0, "{some}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_of_agents_are_counted_with_their_steps() {
    let server = start_with(|config| config.nova.plan_steps = 2).await;
    let body = json!({"prompt": "Why is the sky blue?", "model": QUICK});
    let answer = server.post("/api/nova/ask", &body).await;
    assert_eq!(answer.body["status"], "completed", "{}", answer.text);
    let steps = answer.body["steps"].as_array().unwrap();
    let scrape = Scrape::of(&server).await;
    let turn = [("pipeline", "turn"), ("status", "completed")];
    assert_eq!(scrape.sum("benchmarker_nova_turns_total", &turn), 1.0);
    assert_eq!(
        scrape.sum("benchmarker_nova_turn_duration_seconds_count", &[]),
        1.0
    );
    assert_eq!(scrape.sum("benchmarker_nova_turns_active", &[]), 0.0);
    let count = |role: &str| steps.iter().filter(|it| it["role"] == role).count() as f64;
    for role in ["memory", "planner", "executor"] {
        let labels = [("role", role), ("status", "completed")];
        let name = "benchmarker_nova_steps_total";
        assert_eq!(scrape.sum(name, &labels), count(role), "{role}");
    }
    // Their calls are requests to models like any other.
    let calls = count("planner") + count("executor");
    let duration = "gen_ai_client_operation_duration_seconds_count";
    assert_eq!(scrape.sum(duration, &[("backend", "reference")]), calls);
}
