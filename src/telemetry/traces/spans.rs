//! What is told of a run, a request, a turn and a step. Names are those of OpenTelemetry's semantic
//! conventions for generative AI; what has none there begins with `benchmarker.`.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use opentelemetry::trace::SpanKind;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use serde_json::json;

use super::Span;
use crate::record::{
    BenchmarkResponse, BenchmarkResult, ErrorInfo, NovaStatus, NovaStep, NovaTurn, Status,
    Throughput, Timing,
};
use crate::telemetry::labels::{OTHER, Servers};

/// A call of a model.
struct Call<'a> {
    model: &'a str,
    backend: &'a str,
    timing: &'a Timing,
    throughput: &'a Throughput,
    done_reason: Option<&'a str>,
}

impl Call<'_> {
    fn span(&self, servers: &Servers, start: SystemTime, error: Option<&ErrorInfo>) -> Span {
        let server = servers.get(self.backend);
        let operation = server.map_or(OTHER, |it| it.operation);
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new(
                "gen_ai.provider.name",
                server.map_or(OTHER, |it| it.provider),
            ),
            KeyValue::new("gen_ai.request.model", self.model.to_owned()),
            KeyValue::new("gen_ai.request.stream", true),
            KeyValue::new("benchmarker.backend", self.backend.to_owned()),
        ];
        if let Some(server) = server {
            attributes.push(KeyValue::new("server.address", server.address.clone()));
            attributes.extend(
                server
                    .port
                    .map(|it| KeyValue::new("server.port", i64::from(it))),
            );
        }
        let first = self.timing.time_to_first_chunk;
        attributes.extend(first.map(|it| KeyValue::new("gen_ai.response.time_to_first_chunk", it)));
        if let Some(reason) = self.done_reason {
            let reasons = Array::String(vec![StringValue::from(reason.to_owned())]);
            let reasons = Value::Array(reasons);
            attributes.push(KeyValue::new("gen_ai.response.finish_reasons", reasons));
        }
        attributes.extend(usage(
            self.throughput.prompt_tokens,
            self.throughput.output_tokens,
        ));
        let cached = self.throughput.cached_prompt_tokens;
        attributes.extend(count("gen_ai.usage.cache_read.input_tokens", cached));
        Span {
            name: format!("{operation} {}", self.model),
            kind: SpanKind::Client,
            start,
            end: start + seconds(self.timing.flight().unwrap_or_default()),
            attributes,
            error: error.map(failed),
        }
    }
}

/// A request of a run.
pub fn request(result: &BenchmarkResult, servers: &Servers, with_content: bool) -> Span {
    let call = Call {
        model: &result.model,
        backend: &result.backend,
        timing: &result.timing,
        throughput: &result.throughput,
        done_reason: result.done_reason.as_deref(),
    };
    let mut span = call.span(servers, time(result.timestamp), result.error.as_ref());
    let repetition = i64::from(result.repetition);
    span.attributes.extend([
        KeyValue::new("benchmarker.repetition", repetition),
        KeyValue::new("benchmarker.warmup", result.warmup),
    ]);
    if with_content {
        span.attributes
            .extend(content(&result.prompt, &result.response));
    }
    span
}

/// A whole run, from its being asked for.
pub fn run(run: &BenchmarkResponse) -> Span {
    let start = time(run.timestamp);
    let reason = || run.status_reason.clone().unwrap_or_default();
    let models = run.environment.models.iter();
    let models = models.map(|it| StringValue::from(format!("{}@{}", it.model, it.backend)));
    let models = Value::Array(Array::String(models.collect()));
    let requests = i64::from(run.total_requests);
    Span {
        name: "benchmark".into(),
        kind: SpanKind::Internal,
        start,
        end: run.finished_at.map_or(start, time),
        attributes: vec![
            KeyValue::new("benchmarker.run.id", run.id.to_string()),
            KeyValue::new("benchmarker.run.status", run.status.as_str()),
            KeyValue::new("benchmarker.run.requests", requests),
            KeyValue::new("benchmarker.run.models", models),
        ],
        error: (run.status == Status::Failed).then(|| ("failed", reason())),
    }
}

/// A turn of agents.
pub fn turn(turn: &NovaTurn) -> Span {
    let response = &turn.response;
    let start = time(turn.timestamp);
    let agent = turn.pipeline.as_str();
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", "invoke_agent"),
        KeyValue::new("gen_ai.agent.name", agent),
        KeyValue::new("gen_ai.conversation.id", response.session_id.to_string()),
        KeyValue::new("benchmarker.turn.id", response.turn_id.to_string()),
        KeyValue::new("benchmarker.turn.status", response.status.as_str()),
    ];
    let metrics = &response.metrics;
    attributes.extend(usage(metrics.prompt_tokens, metrics.output_tokens));
    let is_failed = response.status == NovaStatus::Failed;
    let unknown = || ("failed", String::new());
    Span {
        name: format!("invoke_agent {agent}"),
        kind: SpanKind::Internal,
        start,
        end: turn.finished_at.map_or(start, time),
        attributes,
        error: is_failed.then(|| response.error.as_ref().map_or_else(unknown, failed)),
    }
}

/// A step of an agent, waiting included.
pub fn step(step: &NovaStep) -> Span {
    let start = time(step.timestamp);
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", "invoke_agent"),
        KeyValue::new("gen_ai.agent.name", step.agent_name.clone()),
        KeyValue::new("benchmarker.step.role", step.role.as_str()),
        KeyValue::new("benchmarker.step.queue_time", step.queue_time),
    ];
    let model = step.model.clone();
    attributes.extend(model.map(|it| KeyValue::new("gen_ai.request.model", it)));
    let throughput = &step.throughput;
    attributes.extend(usage(throughput.prompt_tokens, throughput.output_tokens));
    Span {
        name: format!("invoke_agent {}", step.agent_name),
        kind: SpanKind::Internal,
        start,
        end: start + seconds(step.elapsed_time_ms / 1e3),
        attributes,
        error: step.error.as_ref().map(failed),
    }
}

/// The call of a step's model, where it asked one for text.
pub fn call(step: &NovaStep, servers: &Servers, with_content: bool) -> Option<Span> {
    step.chunks.as_ref()?;
    let call = Call {
        model: step.model.as_deref()?,
        backend: step.backend.as_deref()?,
        timing: &step.timing,
        throughput: &step.throughput,
        done_reason: step.done_reason.as_deref(),
    };
    let start = time(step.timestamp) + seconds(step.queue_time);
    let mut span = call.span(servers, start, step.error.as_ref());
    if with_content {
        span.attributes.extend(content(&step.input, &step.output));
    }
    Some(span)
}

fn usage(input: Option<u64>, output: Option<u64>) -> impl Iterator<Item = KeyValue> {
    let input = count("gen_ai.usage.input_tokens", input);
    input
        .into_iter()
        .chain(count("gen_ai.usage.output_tokens", output))
}

fn count(name: &'static str, count: Option<u64>) -> Option<KeyValue> {
    let count = i64::try_from(count?).ok()?;
    Some(KeyValue::new(name, count))
}

/// The messages in the form of the conventions.
fn content(prompt: &str, answer: &str) -> [KeyValue; 2] {
    let message = |role: &str, text: &str| {
        json!([{ "role": role, "parts": [{ "type": "text", "content": text }] }]).to_string()
    };
    [
        KeyValue::new("gen_ai.input.messages", message("user", prompt)),
        KeyValue::new("gen_ai.output.messages", message("assistant", answer)),
    ]
}

/// In a server's own words there may be the prompt: only the code is told.
fn failed(error: &ErrorInfo) -> (&'static str, String) {
    (error.code.as_str(), error.code.as_str().to_owned())
}

fn time(at: DateTime<Utc>) -> SystemTime {
    at.into()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
