//! Every case of the wire that the reference server can act out, against both protocols and all
//! four routes: what a client must make of it, and that what came before a failure stays.

use std::collections::BTreeMap;
use std::time::Duration;

use ollama_benchmarker::backend::stream::{Bounds, follow};
use ollama_benchmarker::backend::transport::{Deadlines, Transport};
use ollama_benchmarker::backend::{Backends, Words, configured};
use ollama_benchmarker::config::{BackendConfig, BackendKind, Config, Endpoint};
use ollama_benchmarker::measure::{Measured, measure};
use ollama_benchmarker::record::{BenchmarkRequest, ErrorCode};
use ollama_benchmarker::reference::{Server, faults};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// A reference server and a way to it for each route that makes a model write.
struct Bench {
    transport: Transport,
    routes: Backends,
    bounds: Bounds,
    _server: Server,
}

fn bench() -> Bench {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", server.addr());
    let route = |kind, endpoint| BackendConfig {
        kind,
        endpoint,
        url: url.clone(),
        ..BackendConfig::default()
    };
    let backends = BTreeMap::from([
        (
            "ollama".to_owned(),
            route(BackendKind::Ollama, Endpoint::Generate),
        ),
        (
            "chat".to_owned(),
            route(BackendKind::Ollama, Endpoint::Chat),
        ),
        (
            "openai".to_owned(),
            route(BackendKind::Openai, Endpoint::Chat),
        ),
        (
            "completions".to_owned(),
            route(BackendKind::Openai, Endpoint::Completions),
        ),
    ]);
    let config = Config {
        backends,
        ..Config::default()
    };
    let bounds = Bounds {
        deadlines: Deadlines {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_millis(700),
            idle: Duration::from_millis(500),
            total: Duration::from_secs(3),
        },
        max_line_bytes: 1 << 20,
        max_response_bytes: 1 << 20,
    };
    Bench {
        transport: Transport::start().unwrap(),
        routes: configured(&config, &url).unwrap(),
        bounds,
        _server: server,
    }
}

impl Bench {
    async fn ask(&self, route: &str, model: &str) -> (Measured, String) {
        let backend = &self.routes[route];
        let request = BenchmarkRequest::new("Why?", vec![model.to_owned()]);
        let call = backend.call(&request, model, Words::alone("Why?"));
        let cancel = CancellationToken::new();
        let (timeline, _) = follow(
            &self.transport,
            call,
            backend.decoder(),
            &self.bounds,
            cancel,
            &mut |_| (),
        )
        .await;
        (measure(&timeline), timeline.text)
    }
}

/// The whole text of a case, and the part of it before the third frame.
const WHOLE: &str = "Hello, wörld 🙂!";
const PART: &str = "Hello, wörld";

/// What a case must come to: an error or none, and the text that stays.
fn expected(name: &str) -> (Option<ErrorCode>, &'static str) {
    match name {
        "truncated" | "broken-chunk" | "unfinished-chunks" | "wrong-length" | "reset"
        | "sse-blank-reason" => (Some(ErrorCode::Truncated), WHOLE),
        "cut-object" => (Some(ErrorCode::Truncated), PART),
        "empty" | "close" => (Some(ErrorCode::Truncated), ""),
        "lone-surrogate" | "invalid-utf8" | "gzip" | "html" | "header-flood" | "not-http" => {
            (Some(ErrorCode::Protocol), "")
        }
        "stall" => (Some(ErrorCode::TimeoutIdle), WHOLE),
        "trickle" => (Some(ErrorCode::TimeoutTotal), WHOLE),
        "silent" => (Some(ErrorCode::TimeoutFirstByte), ""),
        "endless-line" => (Some(ErrorCode::Limit), ""),
        "html-error" | "huge-error" | "hostile-error" | "forbidden" | "redirect-host"
        | "redirect-loop" => (Some(ErrorCode::Server), ""),
        "error-line" | "error-then-done" => (Some(ErrorCode::Server), PART),
        "sse-error-then-end" => (Some(ErrorCode::Server), WHOLE),
        "load-object" | "no-text" => (Some(ErrorCode::EmptyOutput), ""),
        "one-token" => (None, "Hello"),
        "escaped-surrogates" => (None, "🙂"),
        "hostile" => (None, faults::HOSTILE),
        _ => (None, WHOLE),
    }
}

async fn check(bench: &Bench, route: &str, name: &str) {
    // Times that fit the bounds of this test.
    let model = match name {
        "late-headers" | "late-body" => format!("fault-{name}:ms=100"),
        "trickle" => "fault-trickle:ms=50".to_owned(),
        _ => format!("fault-{name}"),
    };
    let (measured, text) = bench.ask(route, &model).await;
    let (code, kept) = expected(name);
    let error = measured.error;
    assert_eq!(
        error.as_ref().map(|error| error.code),
        code,
        "{name} on {route}: {error:?}"
    );
    assert_eq!(text, kept, "{name} on {route}");
    assert_eq!(measured.success, code.is_none(), "{name} on {route}");
    // It is noticed only where it comes in the same read.
    let has_more = measured.notes.iter().any(|note| note.contains("sent more"));
    let may_have = matches!(name, "second-done" | "after-done" | "sse-duplicated");
    assert!(
        may_have || !has_more,
        "{name} on {route}: {:?}",
        measured.notes
    );
    let bytes: u32 = measured.chunks.sizes.iter().sum();
    assert_eq!(bytes as usize, text.len(), "{name} on {route}");
    if let Some(error) = error {
        assert!(
            !error.message.is_empty() && error.message.len() < 2000,
            "{name} on {route}"
        );
    }
}

/// A head says nothing of the model: a server or a proxy may send one and then load.
#[tokio::test(flavor = "multi_thread")]
async fn before_its_first_byte_a_body_may_be_silent_for_longer_than_between_two() {
    let mut bench = bench();
    bench.bounds.deadlines.first_byte = Duration::from_mins(1);
    bench.bounds.deadlines.idle = Duration::from_millis(1);
    let (measured, _) = bench.ask("ollama", "fault-late-body:ms=400").await;
    let code = measured.error.map(|error| error.code);
    // The frames after the first may take longer than the bound.
    assert_ne!(code, Some(ErrorCode::TimeoutFirstByte));
    assert!(measured.timing.time_to_first_chunk.unwrap() > 0.39);
    // And after it no silence may be as long as the first byte may take.
    let (measured, _) = bench.ask("ollama", "fault-stall").await;
    let code = measured.error.map(|error| error.code);
    assert_eq!(code, Some(ErrorCode::TimeoutIdle));
}

/// Whoever waited for it waited until it was given up, though nothing came.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_was_in_flight_until_it_was_given_up() {
    let bench = bench();
    for (name, at_least, silence) in [
        ("silent", 0.7, 0.7),
        ("stall", 0.5, 0.5),
        ("trickle:ms=50", 3.0, 0.0),
    ] {
        let (measured, _) = bench.ask("chat", &format!("fault-{name}")).await;
        let timing = measured.timing;
        let last_byte = timing.total_time.unwrap_or(0.0);
        let in_flight = timing.in_flight_time.unwrap();
        assert!(
            in_flight >= at_least && in_flight >= last_byte + silence - 0.001,
            "{name}: {last_byte} s, {in_flight} s"
        );
    }
    let (refused, _) = bench.ask("openai", "fault-status-500").await;
    assert!(refused.timing.in_flight_time.unwrap() > 0.0);
    let (whole, _) = bench.ask("openai", "fault-one-token").await;
    assert_eq!(whole.timing.in_flight_time, whole.timing.total_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_has_its_outcome_on_every_route() {
    let bench = bench();
    for name in faults::names() {
        match name {
            // These have tests of their own.
            "busy-once" | "endless-objects" => {}
            name if name.starts_with("sse-") => {
                tokio::join!(
                    check(&bench, "openai", name),
                    check(&bench, "completions", name)
                );
            }
            name => {
                tokio::join!(
                    check(&bench, "ollama", name),
                    check(&bench, "chat", name),
                    check(&bench, "openai", name),
                    check(&bench, "completions", name),
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_off_at_the_limit() {
    let mut bench = bench();
    // A slow machine takes long to read so much: no deadline may come first.
    let patient = Duration::from_mins(1);
    bench.bounds.deadlines.first_byte = patient;
    bench.bounds.deadlines.idle = patient;
    bench.bounds.deadlines.total = patient;
    for route in ["ollama", "openai"] {
        let (measured, text) = bench.ask(route, "fault-endless-objects").await;
        assert_eq!(measured.error.unwrap().code, ErrorCode::Limit);
        let most = bench.bounds.max_response_bytes;
        assert!((most..most + 64).contains(&text.len()), "{}", text.len());
    }
}

/// A server whose objects come faster than any timer goes off, and hold nothing that could be limited.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_nothing_ends_at_the_deadline() {
    let flood = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", flood.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = flood.accept().await.unwrap();
        // An answer that comes before its question is not HTTP.
        socket.read_u8().await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";
        let mut bytes = head.as_bytes().to_vec();
        while socket.write_all(&bytes).await.is_ok() {
            bytes = b"{\"done\":false}\n".repeat(1000);
        }
    });
    let mut bench = bench();
    let backend = BackendConfig {
        url: url.clone(),
        ..BackendConfig::default()
    };
    let config = Config {
        backends: BTreeMap::from([("flood".to_owned(), backend)]),
        ..Config::default()
    };
    bench.routes = configured(&config, &url).unwrap();
    bench.bounds.deadlines.total = Duration::from_secs(1);
    let (measured, _) = bench.ask("flood", "x").await;
    let error = measured.error.unwrap();
    assert_eq!(error.code, ErrorCode::TimeoutTotal, "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_told_in_its_own_words() {
    let bench = bench();
    let (refused, _) = bench.ask("ollama", "fault-busy-once").await;
    let error = refused.error.unwrap();
    assert_eq!(error.code, ErrorCode::Server);
    assert!(
        error.message.contains("503") && error.message.contains("server busy"),
        "{}",
        error.message
    );
    let (served, text) = bench.ask("ollama", "fault-busy-once").await;
    assert!(served.success);
    assert_eq!(text, WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_servers_figures_contradict_is_noted() {
    let bench = bench();
    let (measured, _) = bench.ask("ollama", "fault-inconsistent").await;
    assert!(
        measured
            .notes
            .iter()
            .any(|note| note.contains("do not add up")),
        "{:?}",
        measured.notes
    );
    let (measured, _) = bench.ask("ollama", "fault-zero-eval").await;
    assert_eq!(measured.throughput.server_output_tokens_per_second, None);
    let (measured, _) = bench.ask("ollama", "fault-no-metrics").await;
    assert_eq!(measured.throughput.output_tokens, None);
    assert_eq!(measured.throughput.output_tokens_per_second, None);
    assert_eq!(measured.throughput.total_chunks, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_in_one_write_is_one_instant_and_no_rate() {
    let bench = bench();
    let (measured, _) = bench.ask("ollama", "fault-one-write").await;
    assert_eq!(measured.chunks.offsets.len(), 3);
    assert_eq!(
        measured.chunks.offsets.first(),
        measured.chunks.offsets.last()
    );
    assert_eq!(measured.timing.time_per_output_token, None);
    assert_eq!(measured.throughput.output_tokens_per_second, None);
}
