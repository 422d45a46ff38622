//! The way to the collector: a bounded queue, a thread of its own, and HTTP by the client that is here anyway.

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};
use tokio::runtime::Handle;

/// Variables that name a collector; without one of them nothing is exported.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const PROTOCOL: &str = "http/protobuf";
/// Says that prompts and answers are told, too, as in OpenTelemetry's own instrumentations.
const CONTENT: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
/// Longer than the exporter itself waits, which by its variables says how long.
const LONGEST_CALL: Duration = Duration::from_mins(5);

/// Why traces cannot be exported as the variables say.
#[derive(Debug, thiserror::Error)]
pub enum TracingError {
    /// There is another way that is not spoken here.
    #[error("{variable} is `{value}`; here is only `http/protobuf`")]
    Protocol {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// The variables cannot be followed.
    #[error("traces cannot be exported: {0}; check the variables that begin with OTEL_")]
    Setup(String),
}

/// A variable that says something.
fn said(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn is_true(name: &str) -> bool {
    said(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// Whether prompts and answers are to be told.
pub fn wants_content() -> bool {
    is_true(CONTENT)
}

/// Takes spans and sends them.
#[derive(Debug)]
pub struct Exporter(BatchSpanProcessor);

impl Exporter {
    /// As the variables say; `None` where they name no collector, or say that nothing is exported.
    pub fn from_environment() -> Result<Option<Self>, TracingError> {
        let is_named = ENDPOINTS.into_iter().any(|it| said(it).is_some());
        let is_other = said("OTEL_TRACES_EXPORTER").is_some_and(|it| it.trim() != "otlp");
        if !is_named || is_other || is_true("OTEL_SDK_DISABLED") {
            return Ok(None);
        }
        // The first that says something is the one that holds.
        let protocol = PROTOCOLS.into_iter().find_map(|it| Some((it, said(it)?)));
        if let Some((variable, value)) = protocol.filter(|(_, value)| value.trim() != PROTOCOL) {
            return Err(TracingError::Protocol { variable, value });
        }
        let setup = |error: &dyn fmt::Display| TracingError::Setup(error.to_string());
        let http = reqwest::Client::builder()
            .timeout(LONGEST_CALL)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| setup(&error))?;
        let client = Client {
            http,
            runtime: Handle::try_current().map_err(|error| setup(&error))?,
            is_away: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()
            .map_err(|error| setup(&error))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource());
        Ok(Some(Self(processor)))
    }

    /// Takes a span; where too many wait it is lost.
    pub fn take(&self, span: SpanData) {
        self.0.on_end(span);
    }

    /// Sends what is left, for so long at most.
    pub fn close(&self, patience: Duration) {
        if let Err(error) = self.0.shutdown_with_timeout(patience) {
            tracing::debug!(%error, "some traces were not exported");
        }
    }
}

/// What this program is: the variables say more, and `OTEL_SERVICE_NAME` is stronger.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let own = Resource::builder().with_attribute(version);
    match said("OTEL_SERVICE_NAME") {
        Some(name) => own.with_service_name(name),
        None => own.with_service_name(env!("CARGO_PKG_NAME")),
    }
    .build()
}

/// HTTP for the exporter's thread, which has no runtime.
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    /// The last call failed, and that has been logged.
    is_away: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Client")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let called = self.runtime.spawn(call(self.http.clone(), request));
        let answer = match called.await {
            Ok(answer) => answer,
            Err(error) => Err(error.into()),
        };
        match &answer {
            Ok(response) if response.status().is_success() => self.note(None),
            Ok(response) => self.note(Some(&response.status())),
            Err(error) => self.note(Some(error)),
        }
        answer
    }
}

impl Client {
    /// Says once that the collector is away, and once that it is back.
    fn note(&self, trouble: Option<&dyn fmt::Display>) {
        let was_away = self.is_away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !was_away => {
                tracing::warn!(%trouble, "the collector of traces does not take them; nothing else is disturbed");
            }
            None if was_away => tracing::info!("the collector of traces takes them again"),
            _ => {}
        }
    }
}

async fn call(
    http: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = http.execute(request.try_into()?).await?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut response = Response::new(answer.bytes().await?);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
