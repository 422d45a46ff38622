//! Runs out as documents, and documents in.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};
use poem::http::{HeaderValue, header};
use poem::web::Data;
use poem::{Body, IntoResponse, Request, RequestBody, Response};
use poem_openapi::param::Query;
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi};

use super::Part;
use super::benchmarks::{parse_ids, parse_optional_id};
use super::payload::Answer;
use super::problem::{Failure, Problem};
use crate::app::App;
use crate::record::{
    BenchmarkResponse, ExportFormat, ExportQuery, FieldError, HistoryQuery, ImportReport, Order,
    RunId, Status,
};

/// The routes.
pub struct Exchange;

/// One document a line.
const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";
const CSV: &str = "text/csv";
/// Whatever of these.
const BYTES: &str = "application/octet-stream";

/// Runs as a stream of bytes.
struct Exported {
    format: ExportFormat,
    body: Body,
}

impl ExportFormat {
    fn content_type(self) -> &'static str {
        match self {
            Self::Mongodb => LINES,
            Self::Json => JSON,
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Mongodb => "benchmarks.jsonl",
            Self::Json => "benchmarks.json",
            Self::Csv => "benchmarks.csv",
        }
    }
}

fn binary() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")))
}

fn media() -> Vec<MetaMediaType> {
    vec![
        MetaMediaType {
            content_type: LINES,
            schema: binary(),
        },
        MetaMediaType {
            content_type: JSON,
            schema: Vec::<BenchmarkResponse>::schema_ref(),
        },
        MetaMediaType {
            content_type: CSV,
            schema: binary(),
        },
    ]
}

impl ApiResponse for Exported {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The runs, oldest first.",
                status: Some(200),
                status_range: None,
                content: media(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        BenchmarkResponse::register(registry);
    }
}

impl IntoResponse for Exported {
    fn into_response(self) -> Response {
        let mut response = Response::builder()
            .content_type(self.format.content_type())
            .body(self.body);
        let name = format!("attachment; filename=\"{}\"", self.format.file_name());
        if let Ok(name) = HeaderValue::from_str(&name) {
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, name);
        }
        response
    }
}

/// A body of any size, read as it comes.
struct Documents(Body);

impl<'a> ApiExtractor<'a> for Documents {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: Some(
                "One document, an array of them, one a line, or CSV. What it is is found out by its \
                 content, whatever its type is said to be.",
            ),
            content: vec![MetaMediaType {
                content_type: BYTES,
                schema: binary(),
            }],
            required: true,
        })
    }

    async fn from_request(
        _: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        Ok(Self(body.take()?))
    }
}

#[OpenApi]
impl Exchange {
    /// Export benchmarks
    ///
    /// Runs that have ended, oldest first, as a stream of any size: `mongodb` is one document a line of
    /// MongoDB Extended JSON (version 2), `json` an array of the records that this API serves, `csv` one
    /// row a request. Where a stream was cut off, go on with `after`, the id of its last whole run.
    #[oai(
        path = "/api/benchmarks/export",
        method = "get",
        tag = "Part::Benchmarks",
        operation_id = "exportBenchmarks"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a query parameter of the route"
    )]
    async fn export(
        &self,
        app: Data<&App>,
        /// In which form; `mongodb` where absent.
        format: Query<Option<ExportFormat>>,
        /// Canonical Extended JSON, in which every number tells its type; only of `mongodb`.
        canonical: Query<Option<bool>>,
        /// Only these runs: ids parted by commas, or the parameter several times; at most 500.
        ids: Query<Option<Vec<String>>>,
        /// Only runs behind this id.
        after: Query<Option<String>>,
        /// Only runs with this model, `NAME` or `NAME@BACKEND`.
        model: Query<Option<String>>,
        /// Only runs on this backend.
        backend: Query<Option<String>>,
        /// Only runs that ended so.
        status: Query<Option<Status>>,
        /// Only runs at or after this time, RFC 3339.
        from: Query<Option<DateTime<Utc>>>,
        /// Only runs before this time, RFC 3339.
        to: Query<Option<DateTime<Utc>>>,
        /// Only runs whose name, prompt or models hold this text.
        q: Query<Option<String>>,
        /// Only runs with this tag.
        tag: Query<Option<String>>,
    ) -> Result<Exported, Failure> {
        let format = format.0.unwrap_or_default();
        let query = ExportQuery {
            format,
            canonical: canonical.0.unwrap_or_default(),
            filter: HistoryQuery {
                model: model.0,
                backend: backend.0,
                status: status.0,
                from: from.0,
                to: to.0,
                q: q.0,
                tag: tag.0,
                order: Order::Asc,
                ..HistoryQuery::default()
            },
            ids: ids.0.as_deref().map_or(Ok(Vec::new()), chosen)?,
            after: parse_optional_id("/after", after.0.as_deref())?,
        };
        let body = Body::from_bytes_stream(app.export(query).await?);
        Ok(Exported { format, body })
    }

    /// Import benchmarks
    ///
    /// Documents in any form that is exported, or of the older program that this one follows. A run
    /// that is stored already stays as it is, so that the same import twice is harmless. A document that
    /// cannot be read is named with its line, and the rest goes on; where none can be read, it is a 422.
    #[oai(
        path = "/api/benchmarks/import",
        method = "post",
        tag = "Part::Benchmarks",
        operation_id = "importBenchmarks"
    )]
    async fn import(
        &self,
        app: Data<&App>,
        /// Store nothing; only tell what would become of the documents.
        dry_run: Query<Option<bool>>,
        documents: Documents,
    ) -> Result<Answer<ImportReport>, Failure> {
        let dry_run = dry_run.0.unwrap_or_default();
        let report = take_in(&app, documents.0.into_bytes_stream(), dry_run).await?;
        if report.stored + report.known == 0 {
            return Err(useless(report).into());
        }
        Ok(Answer(report))
    }
}

/// Imports what a client sends, as it comes: neither its size nor its time is bounded, only how long nothing
/// comes.
pub async fn take_in(
    app: &App,
    bytes: impl Stream<Item = io::Result<Bytes>> + Send,
    dry_run: bool,
) -> Result<ImportReport, Problem> {
    let patience = Duration::from_secs_f64(app.config.timeouts.client);
    let bytes = with_patience(bytes, patience);
    let stopping = app.stopping();
    let report = app
        .import(Box::pin(bytes), dry_run, &stopping, |_| ())
        .await?;
    if stopping.is_cancelled() {
        return Err(Problem::new(
            503,
            format!("the program is stopping; {report}"),
        ));
    }
    Ok(report)
}

/// A stream that ends with an error when nothing comes for a while.
fn with_patience(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send,
    patience: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let bytes = Box::pin(bytes);
    futures_util::stream::unfold(Some(bytes), move |bytes| async move {
        let mut bytes = bytes?;
        match tokio::time::timeout(patience, bytes.next()).await {
            Ok(Some(next)) => Some((next, Some(bytes))),
            Ok(None) => None,
            Err(_) => {
                let reason = format!("nothing came for {patience:?}");
                Some((Err(io::Error::new(io::ErrorKind::TimedOut, reason)), None))
            }
        }
    })
}

/// Runs that were named. Of nobody's choice not all are meant.
fn chosen(ids: &[String]) -> Result<Vec<RunId>, Problem> {
    let chosen = parse_ids(ids)?;
    if chosen.is_empty() {
        return Err(Problem::invalid(vec![FieldError {
            pointer: "/ids".into(),
            message: "is empty; name runs, or leave it out for all".into(),
        }]));
    }
    Ok(chosen)
}

/// Nothing of it could be read.
fn useless(report: ImportReport) -> Problem {
    if report.documents == 0 {
        return Problem::new(400, "the body holds no document");
    }
    let errors = report.errors.into_iter().map(|error| FieldError {
        pointer: String::new(),
        message: format!("line {}: {}", error.line, error.message),
    });
    Problem::invalid(errors.collect())
}
