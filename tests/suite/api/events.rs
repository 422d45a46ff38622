use std::time::Instant;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{LONG, QUICK, request};
use crate::support::{Event, Server, start, start_with};

/// Asks for the events of a run over a connection of its own, which takes few bytes unread.
async fn follow(server: &Server, id: &str) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut connection = socket.connect(address.parse().unwrap()).await.unwrap();
    let head = format!(
        "GET /api/benchmarks/{id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

/// What was sent at once, each for itself; the last may be cut.
fn pieces(answer: &[u8]) -> Vec<&[u8]> {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|it| it == what);
    let mut rest = &answer[find(answer, b"\r\n\r\n").unwrap() + 4..];
    let mut pieces = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let begin = end + 2;
        let end = rest.len().min(begin + size);
        pieces.push(&rest[begin..end]);
        rest = &rest[rest.len().min(end + 2)..];
    }
    pieces.retain(|it| !it.is_empty());
    pieces
}

/// The ids of events that are whole.
fn ids(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter_map(|line| line.strip_prefix("id: "));
    lines.map(str::to_owned).collect()
}

/// One request to a model, and all its events. It waits behind another run, so that it is followed before it
/// begins, however slow the machine is.
async fn run_followed(server: &Server, model: &str) -> (String, Vec<Event>) {
    let before = server
        .post("/api/benchmarks/start", &request(&[LONG]))
        .await;
    let mut body = request(&[model]);
    body["repetitions"] = json!(1);
    body["warmup"] = json!(0);
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    let stream = server.events(id, None).await;
    let cancel = format!(
        "/api/benchmarks/{}/cancel",
        before.body["id"].as_str().unwrap()
    );
    server.post(&cancel, &json!({})).await;
    (id.to_owned(), stream.all().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_run_from_start_to_end() {
    let server = start().await;
    let (id, events) = run_followed(&server, QUICK).await;
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
    let run = server.ended(&id).await;
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
    let (_, events) = run_followed(&server, "fault-hostile@reference").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_written_to_at_most_twenty_times_a_second_and_gets_all() {
    let server = start().await;
    let mut body = request(&["script:tokens=2000,ttft=5,gap=1@reference"]);
    body["repetitions"] = json!(1);
    body["warmup"] = json!(0);
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    let mut connection = follow(&server, id).await;
    connection.read_to_end(&mut answer).await.unwrap();
    let lasted = begun.elapsed();
    let pieces = pieces(&answer);
    let most = lasted.as_secs_f64() * 20.0 + 2.0;
    let writes = pieces.len();
    assert!(writes as f64 <= most, "{writes} writes in {lasted:?}");
    let text = pieces.concat();
    let events = ids(&text);
    let mut unique = events.clone();
    unique.dedup();
    assert_eq!(events, unique);
    let arrived: String = String::from_utf8(text)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .filter_map(|data: serde_json::Value| Some(data["text"].as_str()?.to_owned()))
        .collect();
    let run = server.ended(id).await;
    assert_eq!(run["results"][0]["response"], arrived.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_loses_its_place_and_finds_the_rest() {
    // There is one place: who gets it next got it from the client that does not read.
    let server = start_with(|config| {
        config.timeouts.client = 0.5;
        config.limits.max_connections = 1;
    })
    .await;
    // Some megabytes, many times of what fits between the two.
    let mut body = request(&["script:tokens=20000,chunk=500,ttft=1,gap=1@reference"]);
    body["repetitions"] = json!(30);
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    let mut slow = follow(&server, id).await;
    let mut answer = vec![0; 4096];
    let length = slow.read(&mut answer).await.unwrap();
    answer.truncate(length);
    // Who waits for it for two seconds is told to come back, and does.
    while server.get("/healthz").await.status == 503 {}
    let run = server.ended(id).await;
    assert_eq!(run["status"], "completed");
    // Nothing more comes than what had been sent.
    let _ = slow.read_to_end(&mut answer).await;
    let mut seen = ids(&pieces(&answer).concat());
    let rest = server.events(id, seen.last().map(String::as_str)).await;
    let rest = rest.all().await;
    let finished = rest.iter().filter(|it| it.kind == "request_finished");
    assert!(finished.count() > 1, "all was sent to who did not read");
    assert_eq!(rest.last().unwrap().kind, "run_finished");
    seen.extend(rest.iter().map(|it| it.id.clone()));
    let results = seen.iter().filter(|id| id.ends_with(".0"));
    let all: Vec<String> = (1..=31).map(|result| format!("{result}.0")).collect();
    assert!(results.eq(all.iter()), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_event_can_be_named_in_the_address() {
    let server = start().await;
    let run = server.run(&request(&[QUICK])).await;
    let id = run["id"].as_str().unwrap();
    let path = format!("/api/benchmarks/{id}/events");
    let by_address = server.get(&format!("{path}?after=2.0")).await;
    let events = server.events(id, Some("2.0")).await.all().await;
    let shown: Vec<String> = events.iter().map(|it| it.id.clone()).collect();
    assert_eq!(ids(by_address.text.as_bytes()), shown);
    assert_eq!(shown.len(), 2);
    let wrong = server.get(&format!("{path}?after=x")).await;
    assert_eq!(wrong.pointers(), ["/after"]);
    // A browser that comes back by itself keeps the address it began with.
    let url = format!("{}{path}?after=1.0", server.url);
    let again = server.http.get(url).header("last-event-id", "3.0");
    let again = again.send().await.unwrap().text().await.unwrap();
    assert_eq!(ids(again.as_bytes()).len(), 1);
}
