//! Finding stored runs: filter, sort and page. A page begins after a row, not at a number, so it
//! stays quick however deep it lies, and a run that comes in meanwhile shifts nothing.
//!
//! Every run has a row in `run_facets` for each way it is looked for, and an index for each way of
//! sorting those: a page of one filter is a stretch of one index. More filters are looked up for each row
//! of that stretch. A text, or a span of time where the list is not sorted by it, is the exception: what
//! few runs fit is collected and sorted, what many fit is read in the list's order until the page is full.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::database::{Dialect, Row, Statement, Work};
use super::facets::{self, Facet};
use super::search::{MOST_TEXTS, pattern, push_fits, texts};
use super::sizes::{count, sizes_of};
use super::{Store, StoreError, runs};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, HistoryDetail, HistoryPage, HistoryQuery, HistorySort,
    Order,
};

/// What a list shows.
const DOCUMENTS: &str = "select r.id, r.document, f.run, f.";
/// What tells which runs they are.
const NUMBERS: &str = "select f.run, f.";

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// Filters, each as the numbers of the facets that fit it, any of them.
type Filters = Vec<Vec<i64>>;

/// So many rows are collected and sorted in a few milliseconds; where more fit, one in a hundred of a
/// million does, and a page of them is found as quickly in the list's own order.
const MOST_SORTED: u32 = 10_000;
/// So many rows of the list are looked at before any index of texts: a text that many runs hold fills the
/// page from them, in two milliseconds.
const LOOKED_AT: u32 = if cfg!(test) { 10 } else { 500 };

/// The row that a page ended with.
#[derive(Serialize, Deserialize)]
pub(super) struct Cursor {
    sort: HistorySort,
    order: Order,
    key: Key,
    run: i64,
}

/// What a row was sorted by.
#[derive(PartialEq, PartialOrd, Serialize, Deserialize)]
enum Key {
    Unknown,
    Integer(i64),
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
        let fits = match cursor.key {
            Key::Unknown => is_figure(cursor.sort),
            Key::Integer(_) => cursor.sort != HistorySort::Model,
            Key::Text(_) => cursor.sort == HistorySort::Model,
        };
        if !fits || (cursor.sort, cursor.order) != (query.sort, query.order) {
            return Err(StoreError::BadCursor);
        }
        Ok(cursor)
    }
}

/// The closed set of columns that history is sorted by.
pub(super) fn column(sort: HistorySort) -> &'static str {
    match sort {
        HistorySort::Timestamp => "created_at",
        HistorySort::Status => "status",
        HistorySort::Model => "first_model",
        HistorySort::TimeToFirstChunk => "time_to_first_chunk",
        HistorySort::OutputTokensPerSecond => "output_tokens_per_second",
        HistorySort::TotalTime => "total_time",
    }
}

/// Whether a run may lack it.
fn is_figure(sort: HistorySort) -> bool {
    match sort {
        HistorySort::Timestamp | HistorySort::Status | HistorySort::Model => false,
        HistorySort::TimeToFirstChunk
        | HistorySort::OutputTokensPerSecond
        | HistorySort::TotalTime => true,
    }
}

impl Store {
    /// A page of runs, without chunks and samples.
    pub async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        let limit = match query.limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        };
        let cursor = query.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::read(text, query)).transpose()?;
        let mut snapshot = self.database.read().await?;
        let dialect = self.database.dialect();
        let view = View::of(&mut snapshot, dialect, query, cursor.as_ref(), limit).await?;
        let Some(view) = view else {
            return Ok(HistoryPage::default());
        };
        let mut rows = view.rows(&mut snapshot, cursor, limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut page = HistoryPage::default();
        for row in &rows {
            let id: String = row.get("id")?;
            // One that cannot be read must not hide the others.
            match runs::decode(row, "benchmark", &id) {
                Ok(run) => page.runs.push(run),
                Err(error) => tracing::error!(%error, "a run is left out of the history"),
            }
        }
        if let (true, Some(row)) = (more, rows.last()) {
            page.next = Some(cursor_at(row, query)?.write()?);
        }
        if query.detail == HistoryDetail::Results && !page.runs.is_empty() {
            let rows = snapshot.fetch_all(results_of(&page.runs)).await?;
            give_results(&mut page.runs, &rows)?;
        }
        Ok(page)
    }

    /// Gives runs their results, without chunks.
    pub async fn read_results(&self, runs: &mut [BenchmarkResponse]) -> Result<(), StoreError> {
        if runs.is_empty() {
            return Ok(());
        }
        let rows = self.database.fetch_all(results_of(runs)).await?;
        give_results(runs, &rows)
    }
}

/// The numbers of the next runs that fit a filter, oldest first, and where the rest goes on.
pub(super) async fn numbers(
    work: &mut Work,
    dialect: Dialect,
    query: &HistoryQuery,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<(Vec<i64>, Option<Cursor>), StoreError> {
    let query = &HistoryQuery {
        sort: HistorySort::Timestamp,
        order: Order::Asc,
        ..query.clone()
    };
    let view = View::of(work, dialect, query, cursor.as_ref(), limit).await?;
    let Some(mut view) = view else {
        return Ok((Vec::new(), None));
    };
    view.columns = NUMBERS;
    let mut rows = view.rows(work, cursor, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more);
    let next = last.map(|row| cursor_at(row, query)).transpose()?;
    let numbers: Result<_, _> = rows.iter().map(|row| row.get("run")).collect();
    Ok((numbers?, next))
}

/// Which runs a list has, in which order, and how they are found.
struct View<'a> {
    query: &'a HistoryQuery,
    /// What is read of each run, up to the column that is sorted by.
    columns: &'static str,
    dialect: Dialect,
    /// The filter whose stretches of an index are read: one, unless a model was measured on several
    /// backends.
    facets: Vec<i64>,
    /// The other filters.
    others: Filters,
    text: Option<String>,
    /// Those that hold it, where they are few.
    texts: Vec<i64>,
    way: Way,
}

/// How the rows of a view are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In the order of the list, until there are enough.
    InOrder,
    /// By the text, and then sorted.
    ByText,
    /// By the time, and then sorted.
    ByTime,
}

/// The runs that a list is of.
pub(super) fn facets_of(query: &HistoryQuery) -> Vec<Facet> {
    let of = |kind, value: &Option<String>| value.as_deref().map(|it| (kind, facets::storable(it)));
    let status = query.status.map(|it| ("status", it.as_str().to_owned()));
    let asked = [
        of("tag", &query.tag),
        of("model", &query.model),
        status,
        of("backend", &query.backend),
    ];
    let asked: Vec<Facet> = asked.into_iter().flatten().collect();
    if asked.is_empty() {
        vec![facets::all()]
    } else {
        asked
    }
}

impl<'a> View<'a> {
    /// `None` where a filter fits no run at all.
    async fn of(
        work: &mut Work,
        dialect: Dialect,
        query: &'a HistoryQuery,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Option<Self>, StoreError> {
        let mut asked = Filters::new();
        for facet in &facets_of(query) {
            let found = facets::find(work, facet).await?;
            if found.is_empty() {
                return Ok(None);
            }
            asked.push(found);
        }
        // Which one is smallest matters only where there are several.
        if asked.len() > 1 {
            let sizes = sizes_of(work, &asked).await?;
            let mut by_size: Vec<_> = sizes.into_iter().zip(asked).collect();
            by_size.sort_unstable();
            asked = by_size.into_iter().map(|(_, facets)| facets).collect();
        }
        let mut found = asked.into_iter();
        let Some(facets) = found.next() else {
            return Ok(None);
        };
        let text = query.q.as_deref().map(str::trim);
        let text = text.filter(|text| !text.is_empty());
        let mut view = Self {
            query,
            columns: DOCUMENTS,
            dialect,
            facets,
            others: found.collect(),
            text: text.map(|text| pattern(dialect, text)),
            texts: Vec::new(),
            way: Way::InOrder,
        };
        if !view.is_common(work, cursor, limit).await? {
            view.way = view.way(work).await?;
        }
        let is_nowhere = view.way == Way::ByText && view.texts.is_empty();
        Ok((!is_nowhere).then_some(view))
    }

    /// Whether so many of the next rows hold the text that nothing quicker need be looked for.
    async fn is_common(
        &self,
        work: &mut Work,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<bool, StoreError> {
        let (Some(text), [facet]) = (&self.text, self.facets.as_slice()) else {
            return Ok(false);
        };
        if !self.others.is_empty() {
            return Ok(false);
        }
        let is_known = !matches!(cursor, Some(cursor) if matches!(cursor.key, Key::Unknown));
        let next = Self {
            query: self.query,
            columns: NUMBERS,
            dialect: self.dialect,
            facets: Vec::new(),
            others: Vec::new(),
            text: None,
            texts: Vec::new(),
            way: Way::InOrder,
        };
        let mut sql = next.statement(*facet, cursor, is_known, LOOKED_AT);
        sql.enclose(
            "select count(*) as n from (",
            self.dialect.pick(
                ") as f cross join runs as r on r.run = f.run where true",
                ") as f join runs as r on r.run = f.run where true",
            ),
        );
        push_fits(&mut sql, self.dialect, text);
        let n: i64 = work.fetch_one(sql).await?.get("n")?;
        Ok(n >= i64::from(limit))
    }

    async fn way(&mut self, work: &mut Work) -> Result<Way, StoreError> {
        if let Some(text) = &self.text {
            let rows = work.fetch_all(texts(self.dialect, text)).await?;
            let found: Result<Vec<i64>, _> = rows.iter().map(|row| row.get("id")).collect();
            self.texts = found?;
            if self.texts.is_empty() {
                return Ok(Way::ByText);
            }
            if rows.len() <= MOST_TEXTS as usize {
                let mut fitting = Statement::new("select 1 as one from runs where text_id in (");
                fitting.push_list(self.texts.iter().copied()).push(")");
                if count(work, fitting, MOST_SORTED).await? <= MOST_SORTED {
                    return Ok(Way::ByText);
                }
            }
        }
        let is_span = self.query.from.is_some() || self.query.to.is_some();
        if is_span && self.query.sort != HistorySort::Timestamp {
            let mut fitting =
                Statement::new("select 1 as one from run_facets as f where facet in (");
            fitting.push_list(self.facets.iter().copied()).push(")");
            self.push_span(&mut fitting);
            if count(work, fitting, MOST_SORTED).await? <= MOST_SORTED {
                return Ok(Way::ByTime);
            }
        }
        Ok(Way::InOrder)
    }

    /// Rows after the cursor's; those that lack the figure lie behind all others.
    async fn rows(
        &self,
        work: &mut Work,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let is_behind = matches!(&cursor, Some(cursor) if matches!(cursor.key, Key::Unknown));
        if !is_behind {
            rows = self.merged(work, cursor.as_ref(), true, limit).await?;
        }
        let found = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if is_figure(self.query.sort) && found < limit {
            let cursor = cursor.filter(|_| is_behind);
            let unknown = self.merged(work, cursor.as_ref(), false, limit - found);
            rows.extend(unknown.await?);
        }
        Ok(rows)
    }

    /// The first rows of all stretches together; a run that is in several of them comes once.
    async fn merged(
        &self,
        work: &mut Work,
        cursor: Option<&Cursor>,
        is_known: bool,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        for facet in &self.facets {
            let rows = self.statement(*facet, cursor, is_known, limit);
            for row in work.fetch_all(rows).await? {
                let at = cursor_at(&row, self.query)?;
                found.push((at.key, at.run, row));
            }
        }
        if self.facets.len() > 1 {
            found.sort_by(|(a, run, _), (b, other, _)| {
                let ascending = a
                    .partial_cmp(b)
                    .unwrap_or(Ordering::Equal)
                    .then(run.cmp(other));
                match self.query.order {
                    Order::Asc => ascending,
                    Order::Desc => ascending.reverse(),
                }
            });
            found.dedup_by_key(|(_, run, _)| *run);
            found.truncate(limit as usize);
        }
        Ok(found.into_iter().map(|(_, _, row)| row).collect())
    }

    /// The one place where a statement is put together: from fixed pieces and bound values. Of the runs
    /// that have the figure which the list is sorted by, or of those that lack it.
    fn statement(
        &self,
        facet: i64,
        cursor: Option<&Cursor>,
        is_known: bool,
        limit: u32,
    ) -> Statement {
        let (column, query) = (column(self.query.sort), self.query);
        let (direction, beyond) = match query.order {
            Order::Desc => (" desc", " < "),
            Order::Asc => (" asc", " > "),
        };
        let mut sql = Statement::new(self.columns);
        sql.push(column).push(" as sort_key from ");
        self.push_source(&mut sql);
        sql.push(" where f.facet = ").push_bind(facet);
        for other in &self.others {
            sql.push(" and exists (select 1 from run_facets as o where o.facet in (");
            sql.push_list(other.iter().copied());
            // Without a limit SQLite makes a join of it, behind that with `runs`: then the document of
            // every run of the stretch is read and not only of those that fit.
            sql.push(") and o.run = f.run limit 1)");
        }
        self.push_span(&mut sql);
        if let (Some(text), Way::InOrder | Way::ByTime) = (&self.text, self.way) {
            push_fits(&mut sql, self.dialect, text);
        }
        if is_figure(query.sort) {
            let present = if is_known { " is not null" } else { " is null" };
            sql.push(" and f.").push(column).push(present);
        }
        match cursor {
            Some(cursor) if is_known => {
                sql.push(" and (f.").push(column).push(", f.run)");
                sql.push(beyond).push("(");
                bind(&mut sql, &cursor.key);
                sql.push(", ").push_bind(cursor.run).push(")");
            }
            Some(cursor) => {
                sql.push(" and f.run").push(beyond).push_bind(cursor.run);
            }
            None => {}
        }
        sql.push(" order by f.");
        if is_known {
            sql.push(column).push(direction).push(", f.");
        }
        sql.push("run").push(direction);
        sql.push(" limit ").push_bind(limit);
        sql
    }

    /// SQLite is told which index to read: without statistics of the tables it guesses. Postgres has
    /// them.
    fn push_source(&self, sql: &mut Statement) {
        let is_of_facets = self.columns == NUMBERS && self.text.is_none();
        if self.dialect == Dialect::Postgres {
            sql.push("run_facets as f");
            if is_of_facets {
                return;
            }
            sql.push(" join runs as r on r.run = f.run");
            if self.way == Way::ByText {
                sql.push(" and r.text_id in (");
                sql.push_list(self.texts.iter().copied()).push(")");
            }
            return;
        }
        if self.way == Way::ByText {
            sql.push("(select run, id, document from runs where text_id in (");
            sql.push_list(self.texts.iter().copied());
            sql.push(")) as r cross join run_facets as f on f.run = r.run");
            return;
        }
        sql.push("run_facets as f indexed by run_facets_");
        sql.push(if self.way == Way::ByTime {
            "created_at"
        } else {
            column(self.query.sort)
        });
        if !is_of_facets {
            sql.push(" cross join runs as r on r.run = f.run");
        }
    }

    fn push_span(&self, sql: &mut Statement) {
        if let Some(from) = self.query.from {
            sql.push(" and f.created_at >= ");
            sql.push_bind(from.timestamp_micros());
        }
        if let Some(to) = self.query.to {
            sql.push(" and f.created_at < ");
            sql.push_bind(to.timestamp_micros());
        }
    }
}

#[cfg(test)]
impl Store {
    /// How each statement of a page behind the first would be carried out.
    pub(super) async fn plans(&self, query: &HistoryQuery) -> Vec<String> {
        let mut work = self.database.read().await.unwrap();
        let view = View {
            query,
            columns: DOCUMENTS,
            dialect: self.database.dialect(),
            facets: vec![1],
            others: facets_of(query).iter().skip(1).map(|_| vec![2]).collect(),
            text: None,
            texts: Vec::new(),
            way: Way::InOrder,
        };
        let key = match query.sort {
            HistorySort::Model => Key::Text("b".into()),
            _ => Key::Integer(1),
        };
        let cursor = Cursor {
            sort: query.sort,
            order: query.order,
            key,
            run: 1,
        };
        let mut plans = Vec::new();
        for is_known in [true, false] {
            if !is_known && !is_figure(query.sort) {
                continue;
            }
            let statement = view.statement(1, Some(&cursor), is_known, 50);
            let explained = statement.explained("explain query plan");
            let rows = work.fetch_all(explained).await.unwrap();
            let lines: Vec<String> = rows.iter().map(|row| row.get("detail").unwrap()).collect();
            plans.push(lines.join("\n"));
        }
        plans
    }
}

fn bind(sql: &mut Statement, key: &Key) {
    match key {
        Key::Unknown => sql.push("null"),
        Key::Integer(value) => sql.push_bind(*value),
        Key::Text(value) => sql.push_bind(value.as_str()),
    };
}

fn cursor_at(row: &Row, query: &HistoryQuery) -> Result<Cursor, StoreError> {
    let key = match query.sort {
        HistorySort::Model => row.get::<Option<String>>("sort_key")?.map(Key::Text),
        _ => row.get::<Option<i64>>("sort_key")?.map(Key::Integer),
    };
    Ok(Cursor {
        sort: query.sort,
        order: query.order,
        key: key.unwrap_or(Key::Unknown),
        run: row.get("run")?,
    })
}

/// The results of all runs of a page in one statement.
fn results_of(runs: &[BenchmarkResponse]) -> Statement {
    let mut sql = Statement::new(
        "select r.id, results.document from runs as r
         join results on results.run = r.run where r.id in (",
    );
    sql.push_list(runs.iter().map(|run| run.id.as_str()));
    sql.push(") order by r.run, results.position");
    sql
}

fn give_results(runs: &mut [BenchmarkResponse], rows: &[Row]) -> Result<(), StoreError> {
    let mut found: HashMap<String, Vec<BenchmarkResult>> = HashMap::new();
    for row in rows {
        let id: String = row.get("id")?;
        let result = runs::decode(row, "result", &id)?;
        found.entry(id).or_default().push(result);
    }
    for run in runs {
        run.results = found.remove(run.id.as_str()).unwrap_or_default();
    }
    Ok(())
}
