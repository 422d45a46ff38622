//! A finished run as one file that needs nothing else: to be mailed, attached and kept.

use poem::http::header;
use poem::web::{Data, Path};
use poem::{Response, handler};

use super::charts::View;
use super::{glossary, page, result, runs};
use crate::api::Problem;
use crate::app::App;
use crate::record::{BenchmarkResponse, RunId};

/// The result page of a run as one HTML file: style and script stand within it, and its own content
/// security policy lets it load nothing.
pub fn report(run: BenchmarkResponse) -> Result<String, Problem> {
    let mut values = result::values(run, View::default());
    values["is_report"] = true.into();
    values["groups"] = glossary::groups().into();
    page::text("report.html", values)
}

/// The run where it has ended; what is not over has no last word.
pub async fn ended(app: &App, id: &RunId) -> Result<BenchmarkResponse, Problem> {
    let run = app.record(id).await?;
    if run.status.is_final() {
        return Ok(run);
    }
    Err(Problem::new(
        409,
        "the benchmark goes on; try again when it has ended",
    ))
}

#[handler]
pub async fn download(app: Data<&App>, Path(text): Path<String>) -> Result<Response, Problem> {
    let id = runs::id(&text)?;
    let run = ended(&app, &id).await?;
    let made = runs::aside(move || report(run)).await?;
    let name = format!("attachment; filename=\"benchmark-{id}.html\"");
    Ok(Response::builder()
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_DISPOSITION, name)
        .header(header::CACHE_CONTROL, "no-store")
        .body(made))
}
