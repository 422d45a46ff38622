//! Traces of runs and turns for OpenTelemetry, where the standard variables name a collector. They are made of
//! records, with the times of the record, when something has ended: whoever measures knows nothing of them,
//! and a collector that is slow or away holds up nobody.
//!
//! A trace is a run, with a span a request, or a turn, with a span an agent and one a call of its model. Ids of
//! traces follow from those of the records, so that a request is told as soon as it has ended and its run later.

mod export;
mod spans;

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status as SpanStatus, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};

use self::export::Exporter;
use super::labels::Servers;
use crate::record::{BenchmarkResponse, BenchmarkResult, NovaTurn, RunId};

pub use self::export::TracingError;

/// How long what is left may take to be told when the program ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Tells of what has ended. Without a collector it does nothing.
pub struct Traces {
    on: Option<On>,
}

struct On {
    exporter: Exporter,
    servers: Servers,
    /// Prompts and answers are told too.
    with_content: bool,
}

/// What a span is, apart from where it belongs.
struct Span {
    name: String,
    kind: SpanKind,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    /// The kind of failure, and what happened.
    error: Option<(&'static str, String)>,
}

/// Where a span belongs.
#[derive(Clone, Copy)]
struct Place {
    trace: TraceId,
    span: SpanId,
    parent: SpanId,
}

impl Place {
    /// The span of a whole run, or turn.
    fn root(id: &RunId) -> Self {
        let (trace, span) = ids(&["trace", id.as_str()]);
        Self {
            trace,
            span,
            parent: SpanId::INVALID,
        }
    }

    /// A span below this one, told apart from others there by `name`.
    fn child(self, name: &str) -> Self {
        let (_, span) = ids(&[
            "span",
            &self.trace.to_string(),
            &self.span.to_string(),
            name,
        ]);
        Self {
            span,
            parent: self.span,
            ..self
        }
    }
}

/// Ids that anybody makes again of the same parts.
fn ids(parts: &[&str]) -> (TraceId, SpanId) {
    let hash = Sha256::digest(parts.join("\n"));
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&hash[..16]);
    span.copy_from_slice(&hash[16..24]);
    (TraceId::from_bytes(trace), SpanId::from_bytes(span))
}

impl Traces {
    /// As the standard variables of the process say: off unless they name a collector.
    pub fn from_environment(servers: Servers) -> Result<Self, TracingError> {
        let on = Exporter::from_environment()?.map(|exporter| On {
            exporter,
            servers,
            with_content: export::wants_content(),
        });
        Ok(Self { on })
    }

    /// A request of a run has its result.
    pub fn request_ended(&self, run: &RunId, number: u32, result: &BenchmarkResult) {
        if let Some(on) = &self.on {
            let place = Place::root(run).child(&format!("request {number}"));
            on.tell(place, spans::request(result, &on.servers, on.with_content));
        }
    }

    /// A run has ended.
    pub fn run_ended(&self, run: &BenchmarkResponse) {
        if let Some(on) = &self.on {
            on.tell(Place::root(&run.id), spans::run(run));
        }
    }

    /// A turn of agents has ended; its response has its steps.
    pub fn turn_ended(&self, turn: &NovaTurn) {
        let Some(on) = &self.on else {
            return;
        };
        let root = Place::root(&turn.response.turn_id);
        for step in &turn.response.steps {
            let place = root.child(&format!("step {}", step.number));
            on.tell(place, spans::step(step));
            if let Some(call) = spans::call(step, &on.servers, on.with_content) {
                on.tell(place.child("call"), call);
            }
        }
        on.tell(root, spans::turn(turn));
    }

    /// Tells what is left, and no more after that. It may take a moment, on the calling thread, and no longer
    /// than `patience`.
    pub fn close(&self, patience: Duration) {
        if let Some(on) = &self.on {
            on.exporter.close(LAST_WORDS.min(patience));
        }
    }
}

impl On {
    /// Never waits: where too much waits for the collector, this is lost.
    fn tell(&self, place: Place, span: Span) {
        let mut attributes = span.attributes;
        let status = match span.error {
            None => SpanStatus::Unset,
            Some((kind, message)) => {
                attributes.push(KeyValue::new("error.type", kind));
                SpanStatus::error(message)
            }
        };
        let context = SpanContext::new(
            place.trace,
            place.span,
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"));
        self.exporter.take(SpanData {
            span_context: context,
            parent_span_id: place.parent,
            parent_span_is_remote: false,
            span_kind: span.kind,
            name: span.name.into(),
            start_time: span.start,
            end_time: span.end.max(span.start),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: scope.build(),
        });
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn ids_follow_from_the_record_and_never_meet() {
        let id = RunId::new(DateTime::UNIX_EPOCH);
        let root = Place::root(&id);
        let again = Place::root(&id);
        assert_eq!((root.trace, root.span), (again.trace, again.span));
        let (first, second) = (root.child("request 0"), root.child("request 1"));
        assert_eq!((first.trace, first.parent), (root.trace, root.span));
        assert_ne!(first.span, second.span);
        assert_ne!(first.span, second.child("request 0").span);
        assert_ne!(
            Place::root(&RunId::new(DateTime::UNIX_EPOCH)).trace,
            root.trace
        );
    }
}
