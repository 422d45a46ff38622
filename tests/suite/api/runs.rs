use std::time::Duration;

use serde_json::json;

use super::{LONG, QUICK, request};
use crate::support::{start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_answers_with_its_whole_record_and_stays_stored() {
    let server = start().await;
    let mut body = request(&[QUICK]);
    body["parameters"] = json!({"seed": 7});
    let answer = server.post("/api/benchmarks/run", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let run = &answer.body;
    assert_eq!(run["status"], "completed");
    assert_eq!(run["results"].as_array().unwrap().len(), 3);
    let [warmup, first, second] = [0, 1, 2].map(|index| &run["results"][index]);
    assert_eq!(warmup["warmup"], true);
    assert_eq!(
        (first["warmup"].as_bool(), first["repetition"].as_u64()),
        (Some(false), Some(1))
    );
    assert_eq!(second["repetition"], 2);
    assert_eq!(first["response_sha256"], second["response_sha256"]);
    assert_eq!(first["throughput"]["output_tokens"], 8);
    assert_eq!(first["throughput"]["total_chunks"], 8);
    assert_eq!(first["chunks"]["offsets"].as_array().unwrap().len(), 8);
    assert!(first["timing"]["time_to_first_chunk"].as_f64().unwrap() >= 0.005);
    let clock = if cfg!(target_os = "linux") {
        "kernel"
    } else {
        "user"
    };
    assert_eq!(second["timing"]["clock"], clock);
    let samples = run["samples"]["items"].as_array().unwrap();
    assert!(
        samples.first().unwrap()["offset"].as_f64().unwrap() < 0.0,
        "no baseline"
    );
    assert_eq!(run["environment"]["models"][0]["synthetic"], true);
    assert_eq!(run["summary"][0]["time_to_first_chunk"]["n"], 2);

    let id = run["id"].as_str().unwrap();
    let stored = server.get(&format!("/api/benchmarks/history/{id}")).await;
    assert_eq!(stored.body, *run, "what was answered is not what is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_did_to_the_machine_is_told_for_each_core() {
    let server = start().await;
    let mut body = request(&["script:tokens=40,ttft=5,gap=10@reference"]);
    body["warmup"] = json!(0);
    let run = server.run(&body).await;
    let first = &run["results"][0];
    let cores = run["system_info"]["cpu"]["total_cores"].as_u64().unwrap();
    assert_eq!(
        first["system_impact"]["cpu_delta"]
            .as_array()
            .unwrap()
            .len() as u64,
        cores
    );
    assert!(first["system_impact"]["memory_delta"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_reach_the_model() {
    let server = start().await;
    let body = json!({
        "prompt": "x", "models": ["steady@reference"], "repetitions": 1, "warmup": 0,
        "parameters": {"num_predict": 3, "seed": 7},
    });
    let run = server.run(&body).await;
    assert_eq!(run["results"][0]["throughput"]["output_tokens"], 3);
    assert_eq!(run["results"][0]["done_reason"], "length");
    let mut other = body.clone();
    other["parameters"]["seed"] = json!(8);
    let other = server.run(&other).await;
    assert_ne!(
        run["results"][0]["response"],
        other["results"][0]["response"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn models_run_side_by_side_only_where_asked() {
    let server = start().await;
    let mut body = request(&[
        "script:tokens=30,ttft=5,gap=5@reference",
        "script:tokens=31,ttft=5,gap=5@reference",
    ]);
    body["warmup"] = json!(0);
    body["repetitions"] = json!(1);
    for (execution, together) in [
        ("sequential", false),
        ("interleaved", false),
        ("concurrent", true),
    ] {
        body["execution"] = json!(execution);
        let run = server.run(&body).await;
        let span = |index: usize| {
            let timing = &run["results"][index]["timing"];
            let begin = timing["send_offset"].as_f64().unwrap();
            (begin, begin + timing["total_time"].as_f64().unwrap())
        };
        let (a, b) = (span(0), span(1));
        assert_eq!(a.0 < b.1 && b.0 < a.1, together, "{execution}: {a:?} {b:?}");
        assert_eq!(run["results"][0]["contended"], together);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_keeps_its_text_and_lets_the_others_go_on() {
    let server = start().await;
    let mut body = request(&["fault-error-line@reference", QUICK]);
    body["warmup"] = json!(0);
    let run = server.run(&body).await;
    assert_eq!(run["status"], "partial");
    let failed = &run["results"][0];
    assert_eq!(failed["error"]["code"], "server");
    assert_eq!(failed["response"], "Hello, wörld");
    assert_eq!(failed["chunks"]["sizes"], json!([5, 8]));
    assert_eq!(run["results"][2]["success"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_success_is_an_error_to_whoever_waited_and_stored_all_the_same() {
    let server = start().await;
    let mut body = request(&["fault-truncated@reference"]);
    body["warmup"] = json!(0);
    let answer = server.post("/api/benchmarks/run", &body).await;
    answer.problem(502);
    let id = answer.body["benchmark_id"].as_str().unwrap();
    let stored = server
        .get(&format!("/api/benchmarks/history/{id}"))
        .await
        .body;
    assert_eq!(stored["status"], "failed");
    assert_eq!(stored["results"].as_array().unwrap().len(), 2);

    body["models"] = json!(["fault-stall@reference"]);
    body["repetitions"] = json!(1);
    body["timeout"] = json!(0.2);
    server.post("/api/benchmarks/run", &body).await.problem(504);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_model_and_keeps_what_was_measured() {
    let server = start().await;
    let started = server
        .post("/api/benchmarks/start", &request(&[LONG]))
        .await;
    assert_eq!(started.status, 202);
    let id = started.body["id"].as_str().unwrap();
    assert_eq!(
        started.header("location"),
        format!("/api/benchmarks/history/{id}")
    );
    server.heard(id, "text_arrived").await;
    let begun = std::time::Instant::now();
    let cancelled = server
        .post(&format!("/api/benchmarks/{id}/cancel"), &json!(null))
        .await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(cancelled.body["status"], "cancelled", "{}", cancelled.text);
    let result = &cancelled.body["results"][0];
    assert_eq!(result["error"]["code"], "cancelled");
    assert!(!result["response"].as_str().unwrap().is_empty());
    // Once more changes nothing.
    let again = server
        .post(&format!("/api/benchmarks/{id}/cancel"), &json!(null))
        .await;
    assert_eq!(again.body, cancelled.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_at_its_own_timeout() {
    let server = start().await;
    let mut body = request(&[LONG]);
    body["run_timeout"] = json!(0.5);
    let run = server.run(&body).await;
    assert_eq!(run["status"], "failed");
    assert!(
        run["status_reason"].as_str().unwrap().contains("0.5 s"),
        "{}",
        run["status_reason"]
    );
    assert_eq!(run["results"][0]["error"]["code"], "timeout_total");
    let waited = server.post("/api/benchmarks/run", &body).await;
    waited.problem(504);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_backend_wait_for_each_other_and_the_queue_has_an_end() {
    let server = start_with(|config| config.limits.max_queued_runs = 3).await;
    let mut ids = Vec::new();
    for position in [None, Some(1), Some(2)] {
        let started = server
            .post("/api/benchmarks/start", &request(&[LONG]))
            .await;
        assert_eq!(
            started.body["queue_position"].as_u64(),
            position,
            "{}",
            started.text
        );
        ids.push(started.body["id"].as_str().unwrap().to_owned());
    }
    let full = server
        .post("/api/benchmarks/start", &request(&[QUICK]))
        .await;
    full.problem(429);
    assert!(full.header("retry-after").parse::<u32>().unwrap() > 0);
    let system = server.get("/api/system").await.body;
    assert_eq!(
        (system["running"].as_u64(), system["queued"].as_u64()),
        (Some(1), Some(2))
    );
    // One that waits can be cancelled, too.
    let cancelled = server
        .post(&format!("/api/benchmarks/{}/cancel", ids[2]), &json!(null))
        .await;
    assert_eq!(cancelled.body["status"], "cancelled");
    assert_eq!(cancelled.body["results"], json!([]));
    server
        .post(&format!("/api/benchmarks/{}/cancel", ids[0]), &json!(null))
        .await;
    server.heard(&ids[1], "text_arrived").await;
    server
        .post(&format!("/api/benchmarks/{}/cancel", ids[1]), &json!(null))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_loses_nothing() {
    let server = start().await;
    let path = format!("{}/api/benchmarks/run", server.url);
    let ask = server
        .http
        .post(path)
        .json(&request(&["script:tokens=100,ttft=5,gap=20@reference"]));
    let call = tokio::spawn(ask.send());
    let id = loop {
        let runs = server.get("/api/benchmarks/history").await.body;
        if let Some(id) = runs[0]["id"].as_str() {
            break id.to_owned();
        }
    };
    server.heard(&id, "request_started").await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_asks_the_same_again() {
    let server = start().await;
    let run = server.run(&request(&[QUICK])).await;
    let id = run["id"].as_str().unwrap();
    let again = server
        .post(&format!("/api/benchmarks/{id}/rerun"), &json!(null))
        .await;
    assert_eq!(again.status, 202);
    assert_ne!(again.body["id"], run["id"]);
    assert_eq!(again.body["request"], run["request"]);
    server.ended(again.body["id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_program_stores_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let settings = crate::support::settings(&folder);
    let mut server = crate::support::start_from(settings.clone()).await;
    let mut body = request(&[QUICK, LONG]);
    body["repetitions"] = json!(1);
    body["warmup"] = json!(0);
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap().to_owned();
    server.heard(&id, "request_finished").await;
    server.stop().await;
    let server = crate::support::start_from(settings).await;
    let run = server
        .get(&format!("/api/benchmarks/history/{id}"))
        .await
        .body;
    assert_eq!(run["status"], "interrupted");
    assert_eq!(run["status_reason"], "the program was stopped");
    assert_eq!(run["results"][0]["success"], true);
    assert_eq!(run["summary"][0]["time_to_first_chunk"]["n"], 1);
}
