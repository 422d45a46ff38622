//! Traces, as a collector gets them: the program is a process of its own, and the collector listens on a
//! real socket.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use assert_cmd::Command;
use ollama_benchmarker::record::{BenchmarkResponse, BenchmarkResult, NovaResponse};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use poem::listener::TcpAcceptor;
use poem::{EndpointExt, Request, Route, Server, handler, post};
use prost::Message;
use tokio::net::TcpListener;

use super::QUICK;

/// A collector of OTLP over HTTP.
struct Collector {
    url: String,
    got: Got,
}

/// What came: bodies.
type Got = Arc<Mutex<Vec<Vec<u8>>>>;

#[handler]
fn take(request: &Request, body: Vec<u8>, poem::web::Data(got): poem::web::Data<&Got>) {
    let kind = request.content_type().unwrap_or_default();
    assert_eq!(kind, "application/x-protobuf");
    got.lock().unwrap().push(body);
}

impl Collector {
    async fn start() -> Self {
        let got = Got::default();
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(here).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
        let routes = Route::new()
            .at("/v1/traces", post(take))
            .data(Arc::clone(&got));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        Self { url, got }
    }

    /// Every span with the attributes of its resource.
    fn spans(&self) -> Vec<(Span, Attributes)> {
        let bodies = self.got.lock().unwrap();
        let requests = bodies
            .iter()
            .map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
        let mut found = Vec::new();
        for resource in requests.flat_map(|it| it.resource_spans) {
            let own = attributes(&resource.resource.unwrap().attributes);
            for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
                found.push((span, own.clone()));
            }
        }
        found
    }
}

/// Values as text.
type Attributes = BTreeMap<String, String>;

fn attributes(of: &[KeyValue]) -> Attributes {
    let text = |value: &AnyValue| match value.value.clone().unwrap() {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let each = of.iter();
    each.map(|it| (it.key.clone(), text(it.value.as_ref().unwrap())))
        .collect()
}

/// Runs the program and gives what it printed.
async fn program(arguments: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("ollama-benchmarker").unwrap();
    command
        .env_clear()
        .current_dir(folder.path())
        .args(arguments);
    command.env("DATABASE_URL", "sqlite:runs.db");
    command.env("OLLAMA_HOST", "127.0.0.1:9");
    command.env("BENCHMARKER_SAMPLING__BASELINE", "0.05");
    command.env("BENCHMARKER_CALIBRATION__AUTOMATIC", "false");
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn nanos(at: chrono::DateTime<chrono::Utc>) -> u64 {
    u64::try_from(at.timestamp_nanos_opt().unwrap()).unwrap()
}

/// That the span of a request says what its result says.
#[track_caller]
fn tells(span: &Span, result: &BenchmarkResult) {
    assert_eq!(span.name, format!("text_completion {}", result.model));
    assert_eq!(span.kind, 3, "a client");
    let took = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e9;
    let total = result.timing.flight().unwrap_or_default();
    assert!((took - total).abs() < 1e-6, "{took} {total}");
    let own = attributes(&span.attributes);
    assert_eq!(own["gen_ai.operation.name"], "text_completion");
    assert_eq!(own["gen_ai.provider.name"], "reference");
    assert_eq!(own["gen_ai.request.model"], result.model);
    assert_eq!(own["server.address"], "127.0.0.1");
    assert!(own["server.port"].parse::<u16>().unwrap() > 0);
    let code = result.error.as_ref().map(|it| it.code.as_str());
    assert_eq!(own.get("error.type").map(String::as_str), code);
    let is_error = span.status.as_ref().is_some_and(|it| it.code == 2);
    assert_eq!(is_error, code.is_some());
    let tokens = result.throughput.output_tokens.map(|it| it.to_string());
    assert_eq!(own.get("gen_ai.usage.output_tokens"), tokens.as_ref());
    let first = result.timing.time_to_first_chunk.map(|it| it.to_string());
    assert_eq!(
        own.get("gen_ai.response.time_to_first_chunk"),
        first.as_ref()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_a_trace_with_a_span_a_request() {
    let collector = Collector::start().await;
    let arguments = [
        "run",
        "--model",
        QUICK,
        "--model",
        "fault-truncated@reference",
        "--prompt",
        "a secret question",
        "--repetitions",
        "2",
        "--format",
        "json",
    ];
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_SERVICE_NAME", "bench"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
    ];
    let (out, err) = program(&arguments, &variables).await;
    let run: BenchmarkResponse = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    let spans = collector.spans();
    assert_eq!(spans.len(), run.results.len() + 1, "{err}");
    for (_, resource) in &spans {
        assert_eq!(resource["service.name"], "bench");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(resource["deployment.environment.name"], "test");
    }
    let (root, _) = spans
        .iter()
        .find(|(span, _)| span.name == "benchmark")
        .unwrap();
    assert!(root.parent_span_id.is_empty());
    assert_eq!(root.start_time_unix_nano, nanos(run.timestamp));
    assert_eq!(root.end_time_unix_nano, nanos(run.finished_at.unwrap()));
    let own = attributes(&root.attributes);
    assert_eq!(own["benchmarker.run.id"], run.id.to_string());
    assert_eq!(own["benchmarker.run.status"], run.status.as_str());

    for result in &run.results {
        let begins = |(span, _): &&(Span, Attributes)| {
            span.start_time_unix_nano == nanos(result.timestamp) && span.name != "benchmark"
        };
        let (span, _) = spans.iter().find(begins).unwrap();
        assert_eq!(span.trace_id, root.trace_id);
        assert_eq!(span.parent_span_id, root.span_id);
        tells(span, result);
    }
    let told = format!("{spans:?}");
    assert!(!told.contains("secret") && !told.contains("messages"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_a_trace_with_a_span_an_agent_and_tells_texts_only_when_asked() {
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"),
    ];
    let arguments = [
        "nova",
        "ask",
        "--model",
        QUICK,
        "--format",
        "json",
        "a secret question",
    ];
    let (out, err) = program(&arguments, &variables).await;
    let turn: NovaResponse = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {err}"));
    let spans = collector.spans();
    let root = spans
        .iter()
        .find(|(span, _)| span.name == "invoke_agent turn");
    let (root, resource) = root.unwrap();
    assert_eq!(resource["service.name"], "ollama-benchmarker");
    let own = attributes(&root.attributes);
    assert_eq!(own["gen_ai.operation.name"], "invoke_agent");
    assert_eq!(own["gen_ai.conversation.id"], turn.session_id.to_string());
    for step in &turn.steps {
        let name = format!("invoke_agent {}", step.agent_name);
        let is_own = |(span, _): &&(Span, Attributes)| {
            span.name == name && span.start_time_unix_nano == nanos(step.timestamp)
        };
        let (span, _) = spans.iter().find(is_own).unwrap();
        assert_eq!(span.parent_span_id, root.span_id);
        assert_eq!(
            attributes(&span.attributes)["gen_ai.agent.name"],
            step.agent_name
        );
        let below = |(it, _): &&(Span, Attributes)| it.parent_span_id == span.span_id;
        let calls: Vec<_> = spans.iter().filter(below).collect();
        let is_asked = step.throughput.total_chunks > 0;
        assert_eq!(calls.len(), usize::from(is_asked), "{name}");
        if let Some((call, _)) = calls.first() {
            let own = attributes(&call.attributes);
            assert_eq!(
                own["gen_ai.request.model"],
                QUICK.strip_suffix("@reference").unwrap()
            );
            let said: serde_json::Value =
                serde_json::from_str(&own["gen_ai.output.messages"]).unwrap();
            assert_eq!(said[0]["parts"][0]["content"], step.output);
            assert!(own["gen_ai.input.messages"].contains("secret"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_logged_once_and_disturbs_nothing() {
    let variables = [
        // The discard port: nothing listens there.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let arguments = [
        "run",
        "--model",
        QUICK,
        "--prompt",
        "a",
        "--repetitions",
        "5",
        "--format",
        "json",
    ];
    let begun = Instant::now();
    let (out, err) = program(&arguments, &variables).await;
    let run: BenchmarkResponse = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!(run.status.as_str(), "completed");
    assert!(begun.elapsed() < crate::support::PATIENCE);
    assert_eq!(err.matches("does not take them").count(), 1, "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nothing_is_sent_and_another_protocol_is_refused() {
    let collector = Collector::start().await;
    let arguments = ["run", "--model", QUICK, "--prompt", "a", "--format", "json"];
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str());
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let (out, err) = program(&arguments, &[endpoint, off]).await;
        assert!(out.contains("\"completed\""), "{err}");
    }
    assert!(collector.spans().is_empty());
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let (_, err) = program(&arguments, &[endpoint, grpc]).await;
    assert!(
        err.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && err.contains("http/protobuf"),
        "{err}"
    );
}
