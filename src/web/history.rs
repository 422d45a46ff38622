//! Stored runs: filter, sort, page through, choose some to compare. The address holds the whole
//! view, so that a link shows it again.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, Utc};
use poem::web::Data;
use poem::{Request, Response, handler};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::form::Fields;
use super::run_form::{Messages, by_field};
use super::{figures, page, result, trend};
use crate::api::Problem;
use crate::app::{App, AppError};
use crate::measure::{Direction, Step};
use crate::record::{
    BenchmarkResponse, Distribution, FieldError, HistoryDetail, HistoryPage, HistoryQuery,
    HistorySort, ModelSummaryStatistics, Order, RunId, SavedView, Status,
};

/// Runs a page where none is asked for.
const PAGE: u32 = 50;
/// Most runs a page.
const MOST: u32 = 500;

/// Columns that can be sorted by: the title, whether it holds numbers, and the name in the address.
const COLUMNS: [(&str, bool, &str); 6] = [
    ("When", false, "timestamp"),
    ("Models", false, "model"),
    ("Status", false, "status"),
    ("First chunk", true, "time_to_first_chunk"),
    ("Decode rate", true, "output_tokens_per_second"),
    ("Total time", true, "total_time"),
];

/// What runs are filtered by.
const FILTERS: [&str; 7] = ["q", "model", "backend", "status", "tag", "from", "to"];

/// What is told once, after something was done.
const TOLD: [&str; 3] = ["deleted", "running", "unknown"];

pub const STATUSES: [Status; 7] = [
    Status::Queued,
    Status::Running,
    Status::Completed,
    Status::Partial,
    Status::Failed,
    Status::Cancelled,
    Status::Interrupted,
];

#[derive(Debug, Serialize)]
struct Heading {
    title: &'static str,
    numeric: bool,
    /// The same view sorted by this column, or the other way round.
    address: String,
    /// `ascending` or `descending`, of the column that the view is sorted by.
    sorted: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct RowModel {
    label: String,
    synthetic: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    id: RunId,
    timestamp: DateTime<Utc>,
    title: String,
    models: Vec<RowModel>,
    status: Status,
    requests: u32,
    tags: Vec<String>,
    time_to_first_chunk: Option<f64>,
    output_tokens_per_second: Option<f64>,
    total_time: Option<f64>,
    /// Its first model over time.
    trend: Option<String>,
    step: Option<Mark>,
}

/// How a run stands against the one before it.
#[derive(Debug, Serialize)]
struct Mark {
    direction: &'static str,
    sign: String,
    words: String,
}

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let (query, mut errors) = read(&fields);
    let mut found = HistoryPage::default();
    if errors.is_empty() {
        match app.history(&query).await {
            Ok(runs) => found = runs,
            Err(AppError::Invalid(more)) => errors = more,
            Err(other) => return Err(other.into()),
        }
    }
    let messages = by_field(&errors);
    let status = if messages.is_empty() { 200 } else { 422 };
    // Without marks and links a list is still a list.
    let steps = app.steps(&found.runs).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what came before the runs of a page is not known");
        HashMap::new()
    });
    let views = app.views().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "saved views are not known");
        Vec::new()
    });
    let shown = Shown {
        found,
        steps,
        views,
    };
    let values = values(&fields, &query, shown, &messages);
    page::render(status, "history.html", values)
}

/// What a page shows besides its filters.
struct Shown {
    found: HistoryPage,
    steps: HashMap<RunId, Step>,
    views: Vec<SavedView>,
}

/// A model of the filter over time; its backend may be named apart.
fn trend_of(model: &str, backend: Option<&str>) -> String {
    match backend {
        Some(backend) if !model.contains('@') => {
            trend::address(&format!("{model}@{backend}"), None)
        }
        _ => trend::address(model, None),
    }
}

fn values(
    fields: &Fields,
    query: &HistoryQuery,
    shown: Shown,
    errors: &Messages,
) -> serde_json::Value {
    let Shown {
        found,
        mut steps,
        views,
    } = shown;
    let is_filtered = FILTERS.iter().any(|name| fields.filled(name).is_some());
    let is_all_chosen = fields.text("chosen") == "all";
    let mut choose_all = fields.clone();
    for told in TOLD {
        choose_all.set(told, "");
    }
    choose_all.set("chosen", if is_all_chosen { "" } else { "all" });
    let rows: Vec<Row> = found
        .runs
        .into_iter()
        .map(|run| {
            let step = steps.remove(&run.id);
            row(run, step)
        })
        .collect();
    let next = found.next.map(|cursor| {
        let mut next = unpaged(fields);
        next.set("cursor", cursor);
        format!("/history?{}", next.to_query())
    });
    json!({
        "typed": typed(fields),
        "query": view_of(fields).to_query(),
        "views": views,
        "statistics": format!("/statistics?{}", filters_of(fields).to_query()),
        "exports": exports(query),
        "is_all_chosen": is_all_chosen,
        "choose_all": format!("/history?{}", choose_all.to_query()),
        "is_filtered": is_filtered,
        "errors": errors,
        "trend": fields.filled("model").map(|model| trend_of(model, fields.filled("backend"))),
        "next": next,
        "statuses": STATUSES.map(Status::as_str),
        "sort": fields.text("sort"),
        "order": fields.text("order"),
        "headings": headings(fields, query),
        "rows": rows,
        "first": query.cursor.is_some().then(|| format!("/history?{}", unpaged(fields).to_query())),
        "told": told(fields),
    })
}

/// What was typed into each filter.
pub fn typed(fields: &Fields) -> BTreeMap<&str, &str> {
    let names = FILTERS.into_iter().chain(["limit"]);
    names.map(|name| (name, fields.text(name))).collect()
}

/// The filters without order and place.
pub fn filters_of(fields: &Fields) -> Fields {
    let mut filters = Fields::default();
    for name in FILTERS {
        filters.set(name, fields.text(name));
    }
    filters
}

/// What a saved view keeps.
fn view_of(fields: &Fields) -> Fields {
    let mut kept = filters_of(fields);
    for name in ["sort", "order", "limit"] {
        kept.set(name, fields.text(name));
    }
    kept
}

/// What became of runs that were to be deleted.
fn told(fields: &Fields) -> Option<String> {
    let count = |name: &str| fields.text(name).parse::<u32>().unwrap_or_default();
    let mut words = vec![match fields.filled("deleted")? {
        "1" => "The benchmark was deleted.".to_owned(),
        _ => format!("{} benchmarks were deleted.", count("deleted")),
    }];
    match count("running") {
        0 => {}
        1 => words.push("One has not ended and stays.".to_owned()),
        many => words.push(format!("{many} have not ended and stay.")),
    }
    match count("unknown") {
        0 => {}
        1 => words.push("One was not there any more.".to_owned()),
        many => words.push(format!("{many} were not there any more.")),
    }
    Some(words.join(" "))
}

#[derive(Debug, Serialize)]
struct Export {
    title: &'static str,
    address: String,
}

/// Everything that the filters fit, in each form; the API reads whole times only.
fn exports(query: &HistoryQuery) -> [Export; 3] {
    let time = |time: Option<DateTime<Utc>>| {
        time.map(|it| it.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    };
    let of = |text: &Option<String>| text.clone();
    [("MongoDB", "mongodb"), ("JSON", "json"), ("CSV", "csv")].map(|(title, format)| {
        let mut fields = Fields::default();
        fields.set("format", format);
        for (name, value) in [
            ("model", of(&query.model)),
            ("backend", of(&query.backend)),
            ("status", query.status.map(|it| it.as_str().to_owned())),
            ("from", time(query.from)),
            ("to", time(query.to)),
            ("q", of(&query.q)),
            ("tag", of(&query.tag)),
        ] {
            fields.set(name, value.unwrap_or_default());
        }
        let address = format!("/api/benchmarks/export?{}", fields.to_query());
        Export { title, address }
    })
}

/// The view without its place in the pages.
fn unpaged(fields: &Fields) -> Fields {
    let mut unpaged = fields.clone();
    for name in ["cursor", "chosen"].into_iter().chain(TOLD) {
        unpaged.set(name, "");
    }
    unpaged
}

fn headings(fields: &Fields, query: &HistoryQuery) -> Vec<Heading> {
    let by = json!(query.sort);
    COLUMNS
        .into_iter()
        .map(|(title, numeric, name)| {
            let is_current = by == name;
            // Times are read from the shortest, everything else from the newest or largest.
            let is_time = name.ends_with("_chunk") || name.ends_with("_time") || name == "model";
            let order = match (is_current, query.order) {
                (true, Order::Desc) => "asc",
                (true, Order::Asc) => "desc",
                (false, _) => {
                    if is_time {
                        "asc"
                    } else {
                        "desc"
                    }
                }
            };
            let mut other = unpaged(fields);
            other.set("sort", name);
            other.set("order", order);
            let direction = if query.order == Order::Asc {
                "ascending"
            } else {
                "descending"
            };
            Heading {
                title,
                numeric,
                address: format!("/history?{}", other.to_query()),
                sorted: is_current.then_some(direction),
            }
        })
        .collect()
}

fn mark(step: Step) -> Mark {
    let speed = figures::significant((step.ratio - 1.0).abs() * 100.0);
    let than = "than the benchmark before that asked for the same";
    let (direction, sign, words) = match step.direction {
        Direction::Faster => (
            "faster",
            format!("▲ {speed} %"),
            format!("{speed} % faster {than}"),
        ),
        Direction::Slower => (
            "slower",
            format!("▼ {speed} %"),
            format!("{speed} % slower {than}"),
        ),
        Direction::Both => (
            "",
            "▲▼".to_owned(),
            format!("some models faster, some slower {than}"),
        ),
        Direction::Level => (
            "",
            "=".to_owned(),
            "no sure difference from the benchmark before that asked for the same".to_owned(),
        ),
    };
    Mark {
        direction,
        sign,
        words,
    }
}

fn row(run: BenchmarkResponse, step: Option<Step>) -> Row {
    let first = run.environment.models.first();
    let first = first.map(|it| format!("{}@{}", it.model, it.backend));
    let medians = |of: fn(&ModelSummaryStatistics) -> &Distribution| {
        run.summary.iter().filter_map(move |one| of(one).median)
    };
    Row {
        title: result::title(&run),
        trend: first.map(|model| trend::address(&model, Some(&run.id))),
        step: step.map(mark),
        models: result::labels(&run)
            .into_iter()
            .zip(&run.environment.models)
            .map(|(label, model)| RowModel {
                label,
                synthetic: model.synthetic,
            })
            .collect(),
        time_to_first_chunk: medians(|it| &it.time_to_first_chunk).reduce(f64::min),
        output_tokens_per_second: medians(|it| &it.output_tokens_per_second).reduce(f64::max),
        total_time: medians(|it| &it.total_time).reduce(f64::min),
        id: run.id,
        timestamp: run.timestamp,
        status: run.status,
        requests: run.total_requests,
        tags: run.request.tags,
    }
}

/// The query that the address asks for, and what in it cannot be read.
pub fn read(fields: &Fields) -> (HistoryQuery, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut wrong = |name: &str, message: &str| {
        errors.push(FieldError {
            pointer: format!("/{name}"),
            message: message.to_owned(),
        });
    };
    let limit = match fields.filled("limit").map(str::parse) {
        None => PAGE,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => {
            wrong("limit", "must be a number from 1 to 500");
            PAGE
        }
    };
    let mut status = None;
    if let Some(text) = fields.filled("status") {
        match text.parse() {
            Ok(known) => status = Some(known),
            Err(_) => wrong("status", "is no status"),
        }
    }
    let mut time = |name: &str, is_end: bool| {
        let text = fields.filled(name)?;
        let time = point_in_time(text, is_end);
        if time.is_none() {
            wrong(
                name,
                "must be a date such as 2026-11-23, or a time such as 2026-11-23T08:00:00Z",
            );
        }
        time
    };
    let (from, to) = (time("from", false), time("to", true));
    let text = |name: &str| fields.filled(name).map(str::to_owned);
    let query = HistoryQuery {
        limit,
        cursor: text("cursor"),
        model: text("model"),
        backend: text("backend"),
        status,
        from,
        to,
        q: text("q"),
        tag: text("tag"),
        sort: named::<HistorySort>(fields.text("sort")).unwrap_or_default(),
        order: named::<Order>(fields.text("order")).unwrap_or_default(),
        detail: HistoryDetail::Summary,
    };
    (query, errors)
}

/// A value by the name that it has in the API.
fn named<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(json!(text)).ok()
}

/// A time as it is, or the beginning of a day; the end of the day where it ends a span.
fn point_in_time(text: &str, is_end: bool) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let day = text.parse::<NaiveDate>().ok()?;
    let day = if is_end {
        day.checked_add_days(Days::new(1))?
    } else {
        day
    };
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_whole_at_both_ends() {
        let stamp = |text: &str, is_end| point_in_time(text, is_end).map(|it| it.to_rfc3339());
        assert_eq!(
            stamp("2026-11-23", false).as_deref(),
            Some("2026-11-23T00:00:00+00:00")
        );
        assert_eq!(
            stamp("2026-11-23", true).as_deref(),
            Some("2026-11-24T00:00:00+00:00")
        );
        assert_eq!(
            stamp("2026-11-23T08:00:00+02:00", true).as_deref(),
            Some("2026-11-23T06:00:00+00:00")
        );
        assert_eq!(stamp("yesterday", false), None);
    }

    #[test]
    fn headings_sort_one_way_and_then_the_other() {
        let fields = Fields::parse("q=x&sort=status&order=desc&cursor=abc").unwrap();
        let (query, errors) = read(&fields);
        assert_eq!(errors, []);
        let headings = headings(&fields, &query);
        let status = headings.iter().find(|it| it.title == "Status").unwrap();
        assert_eq!(status.sorted, Some("descending"));
        assert_eq!(status.address, "/history?q=x&sort=status&order=asc");
        let first = headings
            .iter()
            .find(|it| it.title == "First chunk")
            .unwrap();
        assert_eq!(first.sorted, None);
        assert_eq!(
            first.address,
            "/history?q=x&sort=time%5Fto%5Ffirst%5Fchunk&order=asc"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let (_, errors) = read(&Fields::parse("limit=0&status=odd&from=now").unwrap());
        let pointers: Vec<&str> = errors.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(pointers, ["/limit", "/status", "/from"]);
    }
}
