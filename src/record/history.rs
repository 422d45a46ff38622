//! Which stored runs are asked for.

use chrono::{DateTime, Utc};
use poem_openapi::Enum;
use serde::{Deserialize, Serialize};

use super::{BenchmarkResponse, Status};

/// A view of the history: what to keep, in which order, from where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryQuery {
    /// Runs a page, 1 to 500; 0 stands for the default of 50.
    pub limit: u32,
    /// Where the page before ended, as its `next` told.
    pub cursor: Option<String>,
    /// Only runs with this model (name without backend, or `NAME@BACKEND`).
    pub model: Option<String>,
    /// Only runs on this backend.
    pub backend: Option<String>,
    /// Only runs that stand so.
    pub status: Option<Status>,
    /// Only runs at or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Only runs before this time.
    pub to: Option<DateTime<Utc>>,
    /// Only runs whose name, prompt or models hold this text, letter case aside.
    pub q: Option<String>,
    /// Only runs with this tag.
    pub tag: Option<String>,
    /// What they are sorted by.
    pub sort: HistorySort,
    /// In which direction.
    pub order: Order,
    /// How much of each run.
    pub detail: HistoryDetail,
}

/// How much of each run a page of history holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryDetail {
    /// Its results too, without chunks.
    #[default]
    Results,
    /// Its summary only, for lists.
    Summary,
}

/// What history is sorted by. Runs without the figure come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum HistorySort {
    /// When the run was asked for.
    #[default]
    Timestamp,
    /// The run's status.
    Status,
    /// The first model's name.
    Model,
    /// Smallest median time to first chunk of the run's models.
    TimeToFirstChunk,
    /// Largest median decode rate of the run's models.
    OutputTokensPerSecond,
    /// Smallest median total time of the run's models.
    TotalTime,
}

/// A direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Order {
    /// Newest or largest first.
    #[default]
    Desc,
    /// Oldest or smallest first.
    Asc,
}

/// A page of history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// The runs, without chunks and samples.
    pub runs: Vec<BenchmarkResponse>,
    /// Cursor of the next page; `None` on the last.
    pub next: Option<String>,
}
