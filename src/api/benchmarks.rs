//! Run benchmarks and read what they found.

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, OpenApi};

use super::Part;
use super::following::Events;
use super::payload::{Answer, Body};
use super::problem::{Failure, Problem};
use super::prompts::Deleted;
use crate::app::App;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, Comparison, DeleteReport, ErrorCode, EventId, FieldError,
    HistoryDetail, HistoryQuery, HistorySort, Order, RunEvent, RunId, Status, Trend,
};

/// The routes.
pub struct Benchmarks;

/// A run was accepted.
#[derive(ApiResponse)]
pub enum Accepted {
    /// The run as it stands.
    #[oai(status = 202)]
    Run(
        Answer<BenchmarkResponse>,
        /// Where the record is.
        #[oai(header = "Location")]
        String,
    ),
}

/// A page of history.
#[derive(ApiResponse)]
enum HistoryAnswer {
    /// The runs, newest first unless sorted otherwise, without chunks and samples.
    #[oai(status = 200)]
    Page(
        Answer<Vec<BenchmarkResponse>>,
        /// The next page, `<…>; rel="next"`; absent on the last.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// Reads an id of a path.
pub fn parse_id(text: &str) -> Result<RunId, Problem> {
    parse_id_of("/id", text)
}

/// Reads an id of a parameter that may be absent.
pub fn parse_optional_id(pointer: &str, text: Option<&str>) -> Result<Option<RunId>, Problem> {
    text.map(|text| parse_id_of(pointer, text)).transpose()
}

fn parse_id_of(pointer: &str, text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|error: crate::record::InvalidId| {
        Problem::invalid(vec![FieldError {
            pointer: pointer.into(),
            message: error.to_string(),
        }])
    })
}

/// Reads the id of the last event that was seen.
pub fn parse_event_id(
    header: Option<String>,
    query: Option<String>,
) -> Result<Option<EventId>, Problem> {
    let pointer = if header.is_some() {
        "/Last-Event-ID"
    } else {
        "/after"
    };
    let id = header.or(query).map(|text| text.parse()).transpose();
    id.map_err(|_| {
        Problem::invalid(vec![FieldError {
            pointer: pointer.into(),
            message: "is no id of an event, such as `3.14`".into(),
        }])
    })
}

/// Reads ids that are parted by commas.
pub fn parse_ids(texts: &[String]) -> Result<Vec<RunId>, Problem> {
    let ids = texts.iter().flat_map(|text| text.split(','));
    ids.map(str::trim)
        .filter(|id| !id.is_empty())
        .map(|id| parse_id_of("/ids", id))
        .collect()
}

/// The answer to who started a run.
pub fn accepted(run: BenchmarkResponse) -> Accepted {
    let location = format!("/api/benchmarks/history/{}", run.id);
    Accepted::Run(Answer(run), location)
}

/// A run in which nothing succeeded is an error to whoever waited for it.
fn outcome(run: BenchmarkResponse) -> Result<Answer<BenchmarkResponse>, Problem> {
    if run.status != Status::Failed {
        return Ok(Answer(run));
    }
    let error = run.results.iter().find_map(|result| result.error.as_ref());
    let timed_out = error.is_none_or(|error| {
        matches!(
            error.code,
            ErrorCode::TimeoutFirstByte | ErrorCode::TimeoutIdle | ErrorCode::TimeoutTotal
        )
    });
    let why = error
        .map(|error| error.message.clone())
        .or(run.status_reason)
        .unwrap_or_else(|| "no request ended".into());
    let problem = Problem::new(
        if timed_out { 504 } else { 502 },
        format!("no request succeeded: {why}"),
    );
    Err(Problem {
        benchmark_id: Some(run.id),
        ..problem
    })
}

#[OpenApi]
impl Benchmarks {
    /// Run a benchmark and wait for its end
    ///
    /// Answers with the whole record, every chunk included. Where no request succeeded the answer
    /// is 502 or 504 with `benchmark_id`; the record is stored all the same. Where it could not be
    /// stored it is 503 with `benchmark_id`. A run goes
    /// on where its caller goes away: it is found in the history.
    #[oai(
        path = "/api/benchmarks/run",
        method = "post",
        tag = "Part::Benchmarks",
        operation_id = "runBenchmark"
    )]
    async fn run(
        &self,
        app: Data<&App>,
        request: Body<BenchmarkRequest>,
    ) -> Result<Answer<BenchmarkResponse>, Failure> {
        let run = app.start(request.0).await?;
        let run = app.finished(&run.id).await?;
        if app.is_unsaved(&run.id) {
            let detail = "the run has ended and its record could not be stored; it is stored as soon \
                          as the database takes it, unless this program ends before";
            return Err(Problem {
                benchmark_id: Some(run.id),
                ..Problem::new(503, detail)
            }
            .into());
        }
        Ok(outcome(run)?)
    }

    /// Start a benchmark
    ///
    /// Answers at once; follow it by its events or its record.
    #[oai(
        path = "/api/benchmarks/start",
        method = "post",
        tag = "Part::Benchmarks",
        operation_id = "startBenchmark"
    )]
    async fn start(
        &self,
        app: Data<&App>,
        request: Body<BenchmarkRequest>,
    ) -> Result<Accepted, Failure> {
        Ok(accepted(app.start(request.0).await?))
    }

    /// List stored benchmarks
    #[oai(
        path = "/api/benchmarks/history",
        method = "get",
        tag = "Part::Benchmarks",
        operation_id = "listBenchmarks"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a query parameter of the route"
    )]
    async fn history(
        &self,
        app: Data<&App>,
        request: &poem::Request,
        /// Runs a page, 1 to 500; 50 where absent.
        limit: Query<Option<u32>>,
        /// Where the page before ended; take it from its `Link` header.
        cursor: Query<Option<String>>,
        /// Only runs with this model, `NAME` or `NAME@BACKEND`.
        model: Query<Option<String>>,
        /// Only runs on this backend.
        backend: Query<Option<String>>,
        /// Only runs that stand so.
        status: Query<Option<Status>>,
        /// Only runs at or after this time, RFC 3339.
        from: Query<Option<DateTime<Utc>>>,
        /// Only runs before this time, RFC 3339.
        to: Query<Option<DateTime<Utc>>>,
        /// Only runs whose name, prompt or models hold this text.
        q: Query<Option<String>>,
        /// Only runs with this tag.
        tag: Query<Option<String>>,
        /// What to sort by; `timestamp` where absent.
        sort: Query<Option<HistorySort>>,
        /// In which direction; `desc` where absent.
        order: Query<Option<Order>>,
    ) -> Result<HistoryAnswer, Failure> {
        if limit.0.is_some_and(|limit| !(1..=500).contains(&limit)) {
            let message = "must be from 1 to 500".into();
            return Err(Problem::invalid(vec![FieldError {
                pointer: "/limit".into(),
                message,
            }])
            .into());
        }
        let query = HistoryQuery {
            limit: limit.0.unwrap_or_default(),
            cursor: cursor.0,
            model: model.0,
            backend: backend.0,
            status: status.0,
            from: from.0,
            to: to.0,
            q: q.0,
            tag: tag.0,
            sort: sort.0.unwrap_or_default(),
            order: order.0.unwrap_or_default(),
            detail: HistoryDetail::Results,
        };
        let page = app.history(&query).await?;
        let link = page
            .next
            .map(|cursor| next_link("/api/benchmarks/history", request.uri().query(), &cursor));
        Ok(HistoryAnswer::Page(Answer(page.runs), link))
    }

    /// How a model did over time
    ///
    /// The runs that asked the same of it, and what each change of its weights,
    /// its server, the machine or this program did to its figures.
    #[oai(
        path = "/api/benchmarks/trend",
        method = "get",
        tag = "Part::Benchmarks",
        operation_id = "getTrend"
    )]
    async fn trend(
        &self,
        app: Data<&App>,
        /// The model, `NAME` or `NAME@BACKEND`.
        model: Query<String>,
        /// Run that asked for the work that is followed; the newest of the model where absent.
        like: Query<Option<String>>,
    ) -> Result<Answer<Trend>, Failure> {
        let like = parse_optional_id("/like", like.0.as_deref())?;
        Ok(Answer(app.trend(&model.0, like.as_ref()).await?))
    }

    /// Show one benchmark with every chunk and sample
    #[oai(
        path = "/api/benchmarks/history/:id",
        method = "get",
        tag = "Part::Benchmarks",
        operation_id = "getBenchmark"
    )]
    async fn record(
        &self,
        app: Data<&App>,
        /// Id of the run, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Answer<BenchmarkResponse>, Failure> {
        Ok(Answer(app.record(&parse_id(&id)?).await?))
    }

    /// Delete a benchmark that has ended
    #[oai(
        path = "/api/benchmarks/history/:id",
        method = "delete",
        tag = "Part::Benchmarks",
        operation_id = "deleteBenchmark"
    )]
    async fn delete(
        &self,
        app: Data<&App>,
        /// Id of the run, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Deleted, Failure> {
        app.delete(&parse_id(&id)?).await?;
        Ok(Deleted::Gone)
    }

    /// Delete several benchmarks that have ended
    ///
    /// All that have ended are deleted at once or, where it fails, none; the others stay and are named.
    #[oai(
        path = "/api/benchmarks/history",
        method = "delete",
        tag = "Part::Benchmarks",
        operation_id = "deleteManyBenchmarks"
    )]
    async fn delete_many(
        &self,
        app: Data<&App>,
        /// Ids of the runs, parted by commas; at most 500.
        ids: Query<String>,
    ) -> Result<Answer<DeleteReport>, Failure> {
        Ok(Answer(app.delete_many(&parse_ids(&[ids.0])?).await?))
    }

    /// Follow a benchmark
    ///
    /// Server-sent events, from the start or after `Last-Event-ID`; also of runs that have ended.
    /// The event's type is the `type` of its data. The stream ends after `run_finished`. What happens within
    /// 50 ms is sent together. Where the events after an id are not known one by one any more, since very
    /// many came, all that are known come from the start again, `run_started` before any of a request.
    #[oai(
        path = "/api/benchmarks/:id/events",
        method = "get",
        tag = "Part::Benchmarks",
        operation_id = "followBenchmark"
    )]
    async fn events(
        &self,
        app: Data<&App>,
        /// Id of the run, 24 hexadecimal digits.
        id: Path<String>,
        /// Id of the last event that was seen.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
        /// The same, for who cannot send the header; where both are there, the header counts.
        after: Query<Option<String>>,
    ) -> Result<Events<RunEvent>, Failure> {
        let after = parse_event_id(last_event_id.0, after.0)?;
        let events = app.events(&parse_id(&id)?, after).await?;
        Ok(Events::new(&app, events, RunEvent::name))
    }

    /// Cancel a benchmark
    ///
    /// Stops the generation upstream; what was measured stays. A run that has ended stays as it is.
    #[oai(
        path = "/api/benchmarks/:id/cancel",
        method = "post",
        tag = "Part::Benchmarks",
        operation_id = "cancelBenchmark"
    )]
    async fn cancel(
        &self,
        app: Data<&App>,
        /// Id of the run, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Answer<BenchmarkResponse>, Failure> {
        Ok(Answer(app.cancel(&parse_id(&id)?).await?))
    }

    /// Start the same benchmark again
    #[oai(
        path = "/api/benchmarks/:id/rerun",
        method = "post",
        tag = "Part::Benchmarks",
        operation_id = "rerunBenchmark"
    )]
    async fn rerun(
        &self,
        app: Data<&App>,
        /// Id of the run, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Accepted, Failure> {
        Ok(accepted(app.rerun(&parse_id(&id)?).await?))
    }

    /// Compare benchmarks
    ///
    /// The first is the baseline. One run of several models is compared by its models. With `models`
    /// instead of `ids` models are compared over their newest 200 stored runs, as far as those asked all of
    /// them for the same: the newest work that they have in common.
    #[oai(
        path = "/api/benchmarks/compare",
        method = "get",
        tag = "Part::Benchmarks",
        operation_id = "compareBenchmarks"
    )]
    async fn compare(
        &self,
        app: Data<&App>,
        /// Ids of the runs, parted by commas.
        ids: Query<Option<String>>,
        /// The models, `NAME` or `NAME@BACKEND`, each in a parameter of its own; or all in one, parted by
        /// commas.
        models: Query<Option<Vec<String>>>,
    ) -> Result<Answer<Comparison>, Failure> {
        let ids = parse_ids(ids.0.as_slice())?;
        let mut models = models.0.unwrap_or_default();
        if let [all] = models.as_slice() {
            models = listed(Some(all)).map(str::to_owned).collect();
        }
        let wrong = |pointer: &str, message: &str| {
            Problem::invalid(vec![FieldError {
                pointer: pointer.into(),
                message: message.into(),
            }])
        };
        match (ids.is_empty(), models.is_empty()) {
            (true, true) => Err(wrong("/ids", "is missing; name runs, or `models` instead").into()),
            (false, true) => Ok(Answer(app.compare(&ids).await?)),
            (true, false) => Ok(Answer(app.compare_models(&models).await?)),
            (false, false) => {
                let message = "either `ids` or `models` is compared, not both";
                Err(wrong("/models", message).into())
            }
        }
    }
}

/// The parts of a text that commas part.
fn listed(text: Option<&str>) -> impl Iterator<Item = &str> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// The query of the page that was asked for, with the next cursor.
pub fn next_link(path: &str, query: Option<&str>, cursor: &str) -> String {
    let kept = query
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("cursor="));
    let next = format!("cursor={cursor}");
    let parts: Vec<&str> = kept.chain([next.as_str()]).collect();
    format!("<{path}?{}>; rel=\"next\"", parts.join("&"))
}
