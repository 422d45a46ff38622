//! What the stored runs say about each model, and how it went from day to day.

use chrono::NaiveDate;
use poem::web::Data;
use poem::{Request, Response, handler};
use serde::Serialize;
use serde_json::json;

use super::form::Fields;
use super::run_form::{Messages, by_field};
use super::{charts, history, page, trend};
use crate::api::Problem;
use crate::app::{App, AppError};
use crate::record::{FigureStatistics, ModelStatistics, REFERENCE, Status};

/// Days that are drawn where the filter has no beginning.
const DAYS: i64 = 90;

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    synthetic: bool,
    trend: String,
    history: String,
    /// Decode rate by day.
    course: Option<charts::DayCourse>,
    /// The same in words.
    course_words: String,
    figures: Vec<Figure>,
    #[serde(flatten)]
    statistics: ModelStatistics,
}

/// One figure in the table of all.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    of: FigureStatistics,
}

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let (query, mut errors) = history::read(&fields);
    let (mut whole, mut daily) = (Vec::new(), Vec::new());
    let mut is_undrawn = false;
    if errors.is_empty() {
        match app.statistics(&query, None).await {
            Ok(found) => whole = found,
            Err(AppError::Invalid(more)) => errors = more,
            Err(other) => return Err(other.into()),
        }
    }
    if errors.is_empty() {
        match app.daily_statistics(&query, DAYS).await {
            Ok(found) => daily = found,
            // More days than can be drawn; the table stands.
            Err(AppError::Invalid(_)) => is_undrawn = true,
            Err(other) => return Err(other.into()),
        }
    }
    let messages = by_field(&errors);
    let status = if messages.is_empty() { 200 } else { 422 };
    let mut values = values(&fields, &messages);
    values["rows"] = json!(rows(&fields, whole, &daily));
    values["is_undrawn"] = json!(is_undrawn);
    values["is_rounded"] = json!(is_rounded(&values["rows"]));
    values["span"] = json!(span(&daily));
    page::render(status, "statistics.html", values)
}

fn values(fields: &Fields, errors: &Messages) -> serde_json::Value {
    let filters = history::filters_of(fields).to_query();
    json!({
        "typed": history::typed(fields),
        "errors": errors,
        "statuses": history::STATUSES.map(Status::as_str),
        "is_filtered": !filters.is_empty(),
        "history": format!("/history?{filters}"),
    })
}

fn is_rounded(rows: &serde_json::Value) -> bool {
    let mut rows = rows.as_array().into_iter().flatten();
    rows.any(|row| !row["total_time"]["resolution"].is_null())
}

/// The first and the last day that are drawn.
fn span(daily: &[ModelStatistics]) -> Option<(NaiveDate, NaiveDate)> {
    let days = || daily.iter().filter_map(|one| one.day);
    days().min().zip(days().max())
}

fn rows(fields: &Fields, whole: Vec<ModelStatistics>, daily: &[ModelStatistics]) -> Vec<Row> {
    let span = span(daily);
    let row = |statistics: ModelStatistics| {
        let model = format!("{}@{}", statistics.model, statistics.backend);
        let own = daily
            .iter()
            .filter(|one| one.model == statistics.model && one.backend == statistics.backend);
        let days: Vec<(NaiveDate, f64)> = own
            .filter_map(|one| Some((one.day?, one.output_tokens_per_second.median?)))
            .collect();
        let mut filters = history::filters_of(fields);
        filters.set("backend", "");
        filters.set("model", model.as_str());
        let figures = statistics.figures().map(|(name, of)| Figure {
            name,
            of: of.clone(),
        });
        Row {
            trend: trend::address(&model, None),
            history: format!("/history?{}", filters.to_query()),
            synthetic: statistics.backend == REFERENCE,
            course: span.and_then(|(first, last)| charts::days(first, last, &days)),
            course_words: words(&days),
            figures: figures.into(),
            statistics,
        }
    };
    whole.into_iter().map(row).collect()
}

/// What a line shows, for those who do not see it.
fn words(days: &[(NaiveDate, f64)]) -> String {
    let figure = |value: f64| super::figures::rate(Some(value), "tokens/s");
    match days {
        [] => String::new(),
        [(day, value)] => format!("decode rate on {day}: {}", figure(*value)),
        [(first, before), .., (last, now)] => format!(
            "decode rate over {} days: {} on {first}, {} on {last}",
            days.len(),
            figure(*before),
            figure(*now)
        ),
    }
}
