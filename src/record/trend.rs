//! How one model did over time.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{ComparisonRow, Distribution, RunId};

/// One model over the stored runs that asked the same of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
pub struct Trend {
    /// Model name as the backend knows it.
    pub model: String,
    /// The backend that served it.
    pub backend: String,
    /// The runs, oldest first; the newest 200 of the model are looked at, and 20000 requests of them.
    pub points: Vec<TrendPoint>,
    /// Where the set-up changed, oldest first.
    pub changes: Vec<TrendChange>,
}

/// One run of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct TrendPoint {
    /// The run.
    pub id: RunId,
    /// When it was asked for, UTC.
    pub timestamp: DateTime<Utc>,
    /// Its name.
    pub name: Option<String>,
    /// Which of the set-ups it ran on, from 0; the next one begins with a change.
    pub setup: u32,
    /// TTFT, s.
    pub time_to_first_chunk: Distribution,
    /// Decode rate by the client's clock, tokens/s.
    pub output_tokens_per_second: Distribution,
}

/// A change of what a model ran on: its weights, the model server, the machine or this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct TrendChange {
    /// The first run after it.
    pub id: RunId,
    /// When that was asked for, UTC.
    pub timestamp: DateTime<Utc>,
    /// What changed, in words, such as `the model server changed from 0.12.3 to 0.12.6`.
    pub what: Vec<String>,
    /// All requests of the set-up after it against all of the one before it.
    pub rows: Vec<ComparisonRow>,
    /// What that means, in words.
    pub sentences: Vec<String>,
}
