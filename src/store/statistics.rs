//! Figures of stored requests, and what they add up to: sums by day, by 32 days and by 1,024 days, kept
//! with the number of changes that they were made after. What they are made of and how they look is not
//! known here; that they are emptied as soon as a result comes or goes is seen to by the database itself.

use std::ops::Range;

use super::database::{Dialect, Row, Statement, Work};
use super::history::{self, Cursor};
use super::{Store, StoreError};
use crate::record::{HistoryQuery, StoredFigures};

/// A span has so many of the next smaller ones: 1 << 5.
const BITS_A_LEVEL: u32 = 5;
/// Requests that are read at once.
const MOST_ROWS: u32 = 10_000;
/// Runs whose requests are read at once.
const RUNS_AT_ONCE: u32 = 500;

/// How long a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A day.
    Day,
    /// 32 days.
    Month,
    /// 1,024 days.
    Years,
}

impl Level {
    /// From the shortest to the longest.
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Years];

    fn number(self) -> u32 {
        match self {
            Self::Day => 0,
            Self::Month => 1,
            Self::Years => 2,
        }
    }

    /// The next shorter one.
    pub fn below(self) -> Option<Self> {
        match self {
            Self::Day => None,
            Self::Month => Some(Self::Day),
            Self::Years => Some(Self::Month),
        }
    }

    /// The span that a day is in.
    pub fn span_of(self, day: i64) -> i64 {
        day >> (BITS_A_LEVEL * self.number())
    }

    /// The next shorter spans that one consists of.
    pub fn parts_of(span: i64) -> Range<i64> {
        let first = span.saturating_mul(1 << BITS_A_LEVEL);
        first..first.saturating_add(1 << BITS_A_LEVEL)
    }

    /// The days of a span.
    pub fn days_of(self, span: i64) -> Range<i64> {
        let days = |span: i64| span.saturating_mul(1 << (BITS_A_LEVEL * self.number()));
        days(span)..days(span.saturating_add(1))
    }

    /// The spans, of which only the first and the last may be cut, that days are in.
    pub fn spans_of(self, days: &Range<i64>) -> Range<i64> {
        self.span_of(days.start)..self.span_of(days.end.saturating_sub(1)) + 1
    }
}

/// What the figures of a model add up to over a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How long the span is.
    pub level: Level,
    /// Which of those since 1970.
    pub span: i64,
    /// The number of the model.
    pub model: i64,
    /// How often results had come or gone.
    changes: i64,
    /// `None` where it is to be made.
    pub packed: Option<Vec<u8>>,
}

/// A model that results are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub model: String,
    /// Its backend.
    pub backend: String,
}

/// A place among the requests of a day: model, run and position of the last one that was read.
type Place = (i64, i64, i64);

/// Which requests of a day.
#[derive(Clone, Debug)]
pub struct OfDay<'a> {
    /// Days since 1970.
    pub day: i64,
    /// Numbers of the models; `None` is all.
    pub models: Option<&'a [i64]>,
    /// Only of runs that were asked for then, µs since 1970; `None` is the whole day.
    pub times: Option<Range<i64>>,
}

/// One state of the database.
pub struct Figures {
    work: Work,
    dialect: Dialect,
}

/// Where the pages of a filter go on.
#[derive(Default)]
pub struct Pages {
    cursor: Option<Cursor>,
    is_over: bool,
}

impl Store {
    /// Begins to read figures: all that is read sees one state.
    pub async fn figures(&self) -> Result<Figures, StoreError> {
        Ok(Figures {
            work: self.database.read().await?,
            dialect: self.database.dialect(),
        })
    }

    /// Keeps sums that were made; those that results came to or went from meanwhile stay empty.
    pub async fn keep_sums(&self, sums: &[Sum]) -> Result<(), StoreError> {
        if sums.is_empty() {
            return Ok(());
        }
        let mut work = self.database.write().await?;
        for sum in sums {
            let keep = Statement::new(
                "update figure_sums set packed = $1
                 where level = $2 and span = $3 and model = $4 and changes = $5",
            )
            .bind(sum.packed.clone())
            .bind(sum.level.number())
            .bind(sum.span)
            .bind(sum.model)
            .bind(sum.changes);
            work.execute(keep).await?;
        }
        work.commit().await?;
        Ok(())
    }
}

impl Figures {
    /// Every model that results are or were of.
    pub async fn models(&mut self) -> Result<Vec<StoredModel>, StoreError> {
        let all = Statement::new("select id, model, backend from models");
        let rows = self.work.fetch_all(all).await?;
        let model = |row: &Row| -> Result<StoredModel, sqlx::Error> {
            Ok(StoredModel {
                number: row.get("id")?,
                model: row.get("model")?,
                backend: row.get("backend")?,
            })
        };
        Ok(rows.iter().map(model).collect::<Result<_, _>>()?)
    }

    /// How many sums there are, as far as that matters: at most one more than `most`.
    pub async fn count_sums(
        &mut self,
        level: Level,
        spans: Range<i64>,
        models: Option<&[i64]>,
        most: u32,
    ) -> Result<u32, StoreError> {
        let mut sql = Statement::new("select count(*) as n from (select 1 from figure_sums");
        push_where(&mut sql, level, &spans, models);
        sql.push(" limit ").push_bind(most + 1).push(") as sums");
        let n: i64 = self.work.fetch_one(sql).await?.get("n")?;
        Ok(u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// The sums of some spans.
    pub async fn sums(
        &mut self,
        level: Level,
        spans: Range<i64>,
        models: Option<&[i64]>,
    ) -> Result<Vec<Sum>, StoreError> {
        let mut sql = Statement::new("select span, model, changes, packed from figure_sums");
        push_where(&mut sql, level, &spans, models);
        sql.push(" order by span, model");
        let rows = self.work.fetch_all(sql).await?;
        sums_of(level, &rows)
    }

    /// Some sums that are to be made, behind a span and a model.
    pub async fn missing_sums(
        &mut self,
        level: Level,
        spans: Range<i64>,
        models: Option<&[i64]>,
        after: Option<(i64, i64)>,
        limit: u32,
    ) -> Result<Vec<Sum>, StoreError> {
        let sql = missing(self.dialect, level, &spans, models, after, limit);
        let rows = self.work.fetch_all(sql).await?;
        sums_of(level, &rows)
    }

    /// The next measured requests of a day, by model and run, behind a place; none where there are no
    /// more.
    pub async fn of_day(
        &mut self,
        which: &OfDay<'_>,
        after: Option<Place>,
    ) -> Result<Vec<StoredFigures>, StoreError> {
        let rows = self.work.fetch_all(of_day(which, after)).await?;
        figures_of(&rows)
    }

    /// All measured requests of some days and models, run by run. For few of them.
    pub async fn of_days(
        &mut self,
        days: Range<i64>,
        models: Option<&[i64]>,
    ) -> Result<Vec<StoredFigures>, StoreError> {
        let rows = self.work.fetch_all(of_days(&days, models)).await?;
        let mut requests = figures_of(&rows)?;
        requests.sort_unstable_by_key(|it| (it.model, it.day, it.run, it.position));
        Ok(requests)
    }

    /// The measured requests of the next runs that fit a filter, run by run; `None` after the last.
    pub async fn of_runs(
        &mut self,
        query: &HistoryQuery,
        pages: &mut Pages,
    ) -> Result<Option<Vec<StoredFigures>>, StoreError> {
        if pages.is_over {
            return Ok(None);
        }
        let cursor = pages.cursor.take();
        let found =
            history::numbers(&mut self.work, self.dialect, query, cursor, RUNS_AT_ONCE).await?;
        let (runs, next) = found;
        pages.is_over = next.is_none();
        pages.cursor = next;
        if runs.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut sql = select();
        sql.push(" from results where results.outcome < 2 and results.run in (");
        sql.push_list(runs);
        sql.push(") order by results.run, results.position");
        let rows = self.work.fetch_all(sql).await?;
        Ok(Some(figures_of(&rows)?))
    }
}

#[cfg(test)]
impl Store {
    /// How the statements that read much would be carried out, each with the index that it must use.
    pub(super) async fn plans_of_figures(&self) -> Vec<(String, &'static str)> {
        let whole = OfDay {
            day: 1,
            models: Some(&[1]),
            times: None,
        };
        let cut = OfDay {
            models: None,
            times: Some(0..1),
            ..whole.clone()
        };
        let figures = "results USING COVERING INDEX results_figures (day=?";
        let mut work = self.database.read().await.unwrap();
        let mut plans = Vec::new();
        for (statement, index) in [
            (of_day(&whole, Some((1, 1, 1))), figures),
            (of_day(&cut, Some((1, 1, 1))), figures),
            (of_days(&(0..1), Some(&[1, 2])), figures),
            (
                missing(
                    Dialect::Sqlite,
                    Level::Day,
                    &(0..1),
                    Some(&[1, 2]),
                    Some((1, 1)),
                    5,
                ),
                "USING INDEX figure_sums_missing",
            ),
        ] {
            let explained = statement.explained("explain query plan");
            let rows = work.fetch_all(explained).await.unwrap();
            let lines: Vec<String> = rows.iter().map(|row| row.get("detail").unwrap()).collect();
            plans.push((lines.join("\n"), index));
        }
        plans
    }
}

/// The place behind a full page of a day; `None` where it was the last one.
pub fn place_behind(page: &[StoredFigures]) -> Option<Place> {
    let is_full = page.len() >= MOST_ROWS as usize;
    let last = page.last().filter(|_| is_full)?;
    Some((last.model, last.run, last.position))
}

fn select() -> Statement {
    Statement::new(
        "select results.day, results.model, results.run, results.position, results.outcome,
            results.time_to_first_chunk, results.time_per_output_token, results.request_latency,
            results.total_time, results.output_tokens_per_second, results.bytes_per_second",
    )
}

fn push_where(sql: &mut Statement, level: Level, spans: &Range<i64>, models: Option<&[i64]>) {
    sql.push(" where level = ").push_bind(level.number());
    sql.push(" and span >= ").push_bind(spans.start);
    sql.push(" and span < ").push_bind(spans.end);
    if let Some(models) = models {
        sql.push(" and model in (");
        sql.push_list(models.iter().copied()).push(")");
    }
}

fn of_day(which: &OfDay, after: Option<Place>) -> Statement {
    let mut sql = select();
    sql.push(" from results");
    if which.times.is_some() {
        sql.push(" join runs on runs.run = results.run");
    }
    sql.push(" where results.day = ").push_bind(which.day);
    match which.models {
        // Said so, the index is entered at the model.
        Some([one]) => {
            sql.push(" and results.model = ").push_bind(*one);
        }
        Some(models) => {
            sql.push(" and results.model in (");
            sql.push_list(models.iter().copied()).push(")");
        }
        None => {}
    }
    sql.push(" and results.outcome < 2");
    if let Some(times) = &which.times {
        sql.push(" and runs.created_at >= ").push_bind(times.start);
        sql.push(" and runs.created_at < ").push_bind(times.end);
    }
    if let Some((model, run, position)) = after {
        sql.push(" and (results.model, results.run, results.position) > (");
        sql.push_list([model, run, position]).push(")");
    }
    sql.push(" order by results.model, results.run, results.position limit ");
    sql.push_bind(MOST_ROWS);
    sql
}

fn of_days(days: &Range<i64>, models: Option<&[i64]>) -> Statement {
    let mut sql = select();
    // The sums know which days a model has. SQLite keeps the order of a cross join.
    sql.push(" from (select span, model as one from figure_sums");
    push_where(&mut sql, Level::Day, days, models);
    sql.push(") as sums cross join results where results.day = sums.span");
    sql.push(" and results.model = sums.one and results.outcome < 2");
    sql
}

fn missing(
    dialect: Dialect,
    level: Level,
    spans: &Range<i64>,
    models: Option<&[i64]>,
    after: Option<(i64, i64)>,
    limit: u32,
) -> Statement {
    let mut sql = Statement::new("select span, model, changes, packed from figure_sums");
    // Without statistics of the tables SQLite would read all sums.
    sql.push(dialect.pick(" indexed by figure_sums_missing", ""));
    push_where(&mut sql, level, spans, models);
    sql.push(" and packed is null");
    if let Some((span, model)) = after {
        sql.push(" and (span, model) > (").push_bind(span);
        sql.push(", ").push_bind(model).push(")");
    }
    sql.push(" order by span, model limit ").push_bind(limit);
    sql
}

fn sums_of(level: Level, rows: &[Row]) -> Result<Vec<Sum>, StoreError> {
    let sum = |row: &Row| -> Result<Sum, sqlx::Error> {
        Ok(Sum {
            level,
            span: row.get("span")?,
            model: row.get("model")?,
            changes: row.get("changes")?,
            packed: row.get("packed")?,
        })
    };
    Ok(rows.iter().map(sum).collect::<Result<_, _>>()?)
}

fn figures_of(rows: &[Row]) -> Result<Vec<StoredFigures>, StoreError> {
    let figures = |row: &Row| -> Result<StoredFigures, sqlx::Error> {
        Ok(StoredFigures {
            run: row.get("run")?,
            position: row.get("position")?,
            day: row.get("day")?,
            model: row.get("model")?,
            is_failed: row.get::<i64>("outcome")? == 1,
            figures: [
                row.get("time_to_first_chunk")?,
                row.get("time_per_output_token")?,
                row.get("request_latency")?,
                row.get("total_time")?,
                row.get("output_tokens_per_second")?,
                row.get("bytes_per_second")?,
            ],
        })
    };
    Ok(rows.iter().map(figures).collect::<Result<_, _>>()?)
}
