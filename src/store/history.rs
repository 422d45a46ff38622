//! Finding stored runs: filter, sort and page. A page begins after a row, not at a number, so it
//! stays quick however deep it lies, and a run that comes in meanwhile shifts nothing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::{Store, StoreError, runs};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, HistoryDetail, HistoryPage, HistoryQuery, HistorySort,
    Order,
};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// The row that a page ended with.
#[derive(Serialize, Deserialize)]
struct Cursor {
    sort: HistorySort,
    order: Order,
    key: Key,
    id: String,
}

/// What a row was sorted by.
#[derive(Serialize, Deserialize)]
enum Key {
    Unknown,
    Integer(i64),
    Real(f64),
    Text(String),
}

impl Cursor {
    fn write(&self) -> Result<String, StoreError> {
        let json = serde_json::to_vec(self).map_err(StoreError::Unwritable)?;
        Ok(hex::encode(json))
    }

    fn read(text: &str, query: &HistoryQuery) -> Result<Self, StoreError> {
        let json = hex::decode(text).map_err(|_| StoreError::BadCursor)?;
        let cursor: Self = serde_json::from_slice(&json).map_err(|_| StoreError::BadCursor)?;
        if (cursor.sort, cursor.order) != (query.sort, query.order) {
            return Err(StoreError::BadCursor);
        }
        Ok(cursor)
    }
}

/// The closed set of columns that history is sorted by.
fn column(sort: HistorySort) -> &'static str {
    match sort {
        HistorySort::Timestamp => "created_at",
        HistorySort::Status => "status",
        HistorySort::Model => "first_model",
        HistorySort::TimeToFirstChunk => "time_to_first_chunk",
        HistorySort::OutputTokensPerSecond => "output_tokens_per_second",
        HistorySort::TotalTime => "total_time",
    }
}

impl Store {
    /// A page of runs, without chunks and samples.
    pub async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        let limit = match query.limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        };
        let mut snapshot = self.readers.begin().await?;
        let mut rows = statement(query, limit + 1)?
            .build()
            .fetch_all(&mut *snapshot)
            .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut page = HistoryPage::default();
        for row in &rows {
            let id: &str = row.try_get("id")?;
            // One that cannot be read must not hide the others.
            match runs::decode(row, "benchmark", id) {
                Ok(run) => page.runs.push(run),
                Err(error) => tracing::error!(%error, "a run is left out of the history"),
            }
        }
        if let (true, Some(row)) = (more, rows.last()) {
            page.next = Some(cursor(row, query)?.write()?);
        }
        if query.detail == HistoryDetail::Results && !page.runs.is_empty() {
            let rows = results_of(&page.runs)
                .build()
                .fetch_all(&mut *snapshot)
                .await?;
            give_results(&mut page.runs, &rows)?;
        }
        Ok(page)
    }
}

impl Store {
    /// Gives runs their results, without chunks.
    pub async fn read_results(&self, runs: &mut [BenchmarkResponse]) -> Result<(), StoreError> {
        if runs.is_empty() {
            return Ok(());
        }
        let rows = results_of(runs).build().fetch_all(&self.readers).await?;
        give_results(runs, &rows)
    }
}

/// The one place where a statement is put together: from fixed pieces and bound values.
fn statement(query: &HistoryQuery, limit: u32) -> Result<QueryBuilder<Sqlite>, StoreError> {
    let column = column(query.sort);
    let mut sql = QueryBuilder::new("select id, document, ");
    sql.push(column).push(" as sort_key from runs where true");
    filter(&mut sql, query);
    if let Some(text) = &query.cursor {
        after(&mut sql, &Cursor::read(text, query)?, column);
    }
    let direction = match query.order {
        Order::Desc => "desc",
        Order::Asc => "asc",
    };
    sql.push(" order by ")
        .push(column)
        .push(" ")
        .push(direction)
        .push(" nulls last, id ")
        .push(direction);
    sql.push(" limit ").push_bind(limit);
    Ok(sql)
}

fn filter(sql: &mut QueryBuilder<Sqlite>, query: &HistoryQuery) {
    if let Some(name) = &query.model {
        sql.push(" and id in (select run_id from run_models where (model = ")
            .push_bind(name.clone());
        // A model's own name may hold an `@`: both readings are tried.
        if let Some((model, backend)) = name.rsplit_once('@') {
            sql.push(" or (model = ").push_bind(model.to_owned());
            sql.push(" and backend = ")
                .push_bind(backend.to_owned())
                .push(")");
        }
        sql.push("))");
    }
    if let Some(backend) = &query.backend {
        sql.push(" and id in (select run_id from run_models where backend = ");
        sql.push_bind(backend.clone()).push(")");
    }
    if let Some(tag) = &query.tag {
        sql.push(" and id in (select run_id from run_tags where tag = ")
            .push_bind(tag.clone())
            .push(")");
    }
    if let Some(status) = query.status {
        sql.push(" and status = ").push_bind(status.as_str());
    }
    if let Some(from) = query.from {
        sql.push(" and created_at >= ")
            .push_bind(from.timestamp_micros());
    }
    if let Some(to) = query.to {
        sql.push(" and created_at < ")
            .push_bind(to.timestamp_micros());
    }
    if let Some(text) = query
        .q
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        sql.push(" and search like ")
            .push_bind(pattern(text))
            .push(" escape '\\'");
    }
}

/// A pattern that finds the text as it is.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Rows behind the cursor's; those without the figure lie behind all others.
fn after(sql: &mut QueryBuilder<Sqlite>, cursor: &Cursor, column: &'static str) {
    let beyond = match cursor.order {
        Order::Desc => " < ",
        Order::Asc => " > ",
    };
    if matches!(cursor.key, Key::Unknown) {
        sql.push(" and ")
            .push(column)
            .push(" is null and id")
            .push(beyond)
            .push_bind(cursor.id.clone());
        return;
    }
    sql.push(" and (").push(column).push(beyond);
    bind(sql, &cursor.key);
    sql.push(" or (").push(column).push(" = ");
    bind(sql, &cursor.key);
    sql.push(" and id")
        .push(beyond)
        .push_bind(cursor.id.clone())
        .push(") or ");
    sql.push(column).push(" is null)");
}

fn bind(sql: &mut QueryBuilder<Sqlite>, key: &Key) {
    match key {
        Key::Unknown => sql.push("null"),
        Key::Integer(value) => sql.push_bind(*value),
        Key::Real(value) => sql.push_bind(*value),
        Key::Text(value) => sql.push_bind(value.clone()),
    };
}

fn cursor(row: &SqliteRow, query: &HistoryQuery) -> Result<Cursor, StoreError> {
    let key = match query.sort {
        HistorySort::Timestamp => row.try_get::<Option<i64>, _>("sort_key")?.map(Key::Integer),
        HistorySort::Status | HistorySort::Model => {
            row.try_get::<Option<String>, _>("sort_key")?.map(Key::Text)
        }
        HistorySort::TimeToFirstChunk
        | HistorySort::OutputTokensPerSecond
        | HistorySort::TotalTime => row.try_get::<Option<f64>, _>("sort_key")?.map(Key::Real),
    };
    Ok(Cursor {
        sort: query.sort,
        order: query.order,
        key: key.unwrap_or(Key::Unknown),
        id: row.try_get("id")?,
    })
}

/// The results of all runs of a page in one statement.
fn results_of(runs: &[BenchmarkResponse]) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("select run_id, document from results where run_id in (");
    let mut ids = sql.separated(", ");
    for run in runs {
        ids.push_bind(run.id.as_str().to_owned());
    }
    sql.push(") order by run_id, position");
    sql
}

fn give_results(runs: &mut [BenchmarkResponse], rows: &[SqliteRow]) -> Result<(), StoreError> {
    let mut found: HashMap<&str, Vec<BenchmarkResult>> = HashMap::new();
    for row in rows {
        let id: &str = row.try_get("run_id")?;
        found
            .entry(id)
            .or_default()
            .push(runs::decode(row, "result", id)?);
    }
    for run in runs {
        run.results = found.remove(run.id.as_str()).unwrap_or_default();
    }
    Ok(())
}
