use serde_json::json;

use super::{QUICK, request};
use crate::support::start;

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_run_from_start_to_end() {
    let server = start().await;
    let mut body = request(&[QUICK]);
    body["repetitions"] = json!(1);
    body["warmup"] = json!(0);
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    let events = server.events(id, None).await.all().await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds.iter().find(|kind| **kind != "queued"),
        Some(&"run_started")
    );
    assert_eq!(kinds.last(), Some(&"run_finished"));
    assert!(
        events
            .iter()
            .all(|event| event.data["type"] == event.kind.as_str())
    );
    let text: String = events
        .iter()
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    let run = server.ended(id).await;
    assert_eq!(run["results"][0]["response"], text.as_str());
    assert_eq!(events.last().unwrap().data["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_misses_nothing() {
    let server = start().await;
    let started = server
        .post(
            "/api/benchmarks/start",
            &request(&["script:tokens=40,ttft=5,gap=10@reference"]),
        )
        .await;
    let id = started.body["id"].as_str().unwrap();
    let mut first = server.events(id, None).await;
    let mut seen = Vec::new();
    while seen.len() < 8 {
        seen.push(first.next().await.unwrap());
    }
    drop(first);
    let last = seen.last().unwrap().id.clone();
    let rest = server.events(id, Some(&last)).await.all().await;
    let whole: Vec<_> = seen
        .iter()
        .chain(&rest)
        .map(|event| event.id.clone())
        .collect();
    let text = |events: &[crate::support::Event]| -> String {
        events
            .iter()
            .filter_map(|event| event.data["text"].as_str())
            .collect()
    };
    let run = server.ended(id).await;
    let expected: String = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["response"].as_str().unwrap())
        .collect();
    assert_eq!(text(&seen) + &text(&rest), expected);
    let mut unique = whole.clone();
    unique.dedup();
    assert_eq!(whole, unique, "an event came twice");

    // After the end the record tells what is left: the results after the one that was seen.
    let finished = rest
        .iter()
        .position(|event| event.kind == "request_finished")
        .unwrap();
    let later = server
        .events(id, Some(&rest[finished].id))
        .await
        .all()
        .await;
    let kinds: Vec<&str> = later.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["request_finished", "request_finished", "run_finished"]
    );
    let end = server
        .events(id, Some(&rest.last().unwrap().id))
        .await
        .all()
        .await;
    assert_eq!(end, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_cannot_forge_an_event() {
    let server = start().await;
    let mut body = request(&["fault-hostile@reference"]);
    body["repetitions"] = json!(1);
    body["warmup"] = json!(0);
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    let events = server.events(id, None).await.all().await;
    let text: String = events
        .iter()
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    assert_eq!(text, ollama_benchmarker::reference::faults::HOSTILE);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_program() {
    let mut server = start().await;
    let url = format!("{}/api/system/events", server.url);
    let mut stream = server.http.get(url).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let begun = std::time::Instant::now();
    server.stop().await;
    while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
    assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_id_is_refused() {
    let server = start().await;
    let run = server.run(&request(&[QUICK])).await;
    let url = format!(
        "{}/api/benchmarks/{}/events",
        server.url,
        run["id"].as_str().unwrap()
    );
    let answer = server
        .http
        .get(url)
        .header("last-event-id", "x")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 422);
}
