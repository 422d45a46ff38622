//! One run: live while it goes on, its result afterwards; stop it, repeat it, delete it.

use poem::http::header;
use poem::web::{Data, Path, Query};
use poem::{Response, handler};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::charts::View;
use super::{answers, page, result};
use crate::api::Problem;
use crate::app::App;
use crate::measure;
use crate::record::{BenchmarkResponse, LoadPattern, RunId, Status};

/// An id of an address. What is no id names nothing.
pub fn id(text: &str) -> Result<RunId, Problem> {
    text.parse()
        .map_err(|error: crate::record::InvalidId| Problem::new(404, error.to_string()))
}

/// The part of a run that is drawn, s since it began. What is no number shows all of it.
#[derive(Debug, Deserialize)]
struct Part {
    from: Option<String>,
    to: Option<String>,
}

/// One column of a run that goes on.
#[derive(Debug, Serialize)]
struct Column {
    label: String,
    synthetic: bool,
    /// Requests of this model that have finished.
    finished: usize,
    /// All requests of this model.
    /// Of a load whose requests are found out as it goes, nobody knows.
    total: Option<u32>,
    /// Its newest answer, for browsers without scripts.
    text: String,
}

#[handler]
pub async fn view(
    app: Data<&App>,
    Path(text): Path<String>,
    Query(part): Query<Part>,
) -> Result<Response, Problem> {
    let view = View {
        from: part.from.and_then(|text| text.parse().ok()),
        to: part.to.and_then(|text| text.parse().ok()),
    };
    let run = app.record(&id(&text)?).await?;
    if run.status.is_final() {
        return aside(move || page::render(200, "result.html", result::values(run, view))).await;
    }
    page::render(
        200,
        "live.html",
        json!({
            "headline": measure::headline(&run),
            "title": result::title(&run),
            "columns": columns(&run),
            "finished": run.results.len(),
            "is_queued": run.status == Status::Queued,
            "id": run.id,
            "total_requests": run.total_requests,
            "prompt": run.request.all_prompts().join("\n\n"),
        }),
    )
}

/// Makes what shows a whole run: sorting out some ten thousand chunks takes a moment, and other requests go
/// on meanwhile.
pub async fn aside<T: Send + 'static>(
    make: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(make).await.map_err(|error| {
        tracing::error!(%error, "a result page could not be made");
        Problem::new(500, "this page could not be made; the log tells more")
    })?
}

fn columns(run: &BenchmarkResponse) -> Vec<Column> {
    let models = u32::try_from(run.environment.models.len())
        .unwrap_or(u32::MAX)
        .max(1);
    let load = run.request.load.as_ref();
    let is_known = !run.request.until_decided
        && load.is_none_or(|it| {
            it.pattern != LoadPattern::Sweep
                && (it.pattern != LoadPattern::Closed || it.duration.is_none())
        });
    result::labels(run)
        .into_iter()
        .zip(&run.environment.models)
        .map(|(label, model)| {
            let results: Vec<_> = run
                .results
                .iter()
                .filter(|it| it.model == model.model && it.backend == model.backend)
                .collect();
            Column {
                label,
                synthetic: model.synthetic,
                finished: results.len(),
                total: is_known.then_some(run.total_requests / models),
                text: results
                    .last()
                    .map(|it| answers::shortened(&it.response).0)
                    .unwrap_or_default(),
            }
        })
        .collect()
}

/// One answer as it came, all of it.
#[handler]
pub async fn answer(
    app: Data<&App>,
    Path((text, place)): Path<(String, usize)>,
) -> Result<Response, Problem> {
    let run = app.record(&id(&text)?).await?;
    let result = run.results.get(place);
    let result = result.ok_or_else(|| Problem::new(404, "This benchmark has no such answer."))?;
    Ok(Response::builder()
        .content_type("text/plain; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-store")
        .body(answers::whole(result)))
}

#[handler]
pub async fn cancel(app: Data<&App>, Path(text): Path<String>) -> Result<Response, Problem> {
    let run = app.cancel(&id(&text)?).await?;
    Ok(page::see_other(&format!("/runs/{}", run.id)))
}

#[handler]
pub async fn rerun(app: Data<&App>, Path(text): Path<String>) -> Result<Response, Problem> {
    let run = app.rerun(&id(&text)?).await?;
    Ok(page::see_other(&format!("/runs/{}", run.id)))
}

#[handler]
pub async fn ask_to_delete(app: Data<&App>, Path(text): Path<String>) -> Result<Response, Problem> {
    let run = app.record(&id(&text)?).await?;
    page::render(
        200,
        "delete.html",
        json!({
            "title": result::title(&run),
            "is_final": run.status.is_final(),
            "requests": run.results.len(),
            "run": { "id": run.id, "timestamp": run.timestamp },
        }),
    )
}

#[handler]
pub async fn delete(app: Data<&App>, Path(text): Path<String>) -> Result<Response, Problem> {
    app.delete(&id(&text)?).await?;
    Ok(page::see_other("/history?deleted=1"))
}
