//! What the stored runs say about each model, all together or day by day.

use chrono::NaiveDate;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

/// What statistics are parted by, besides the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Bucket {
    /// The day in UTC on which a run was asked for.
    Day,
}

/// One model over the stored runs, or over those of a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
pub struct ModelStatistics {
    /// Model name as the backend knows it.
    pub model: String,
    /// The backend that served it.
    pub backend: String,
    /// The day in UTC; null where all days are taken together.
    pub day: Option<NaiveDate>,
    /// Runs with a measured request of it.
    pub runs: u64,
    /// Measured requests that succeeded: those that the figures are of.
    pub succeeded: u64,
    /// Measured requests that failed; they are in no figure.
    pub failed: u64,
    /// TTFT, s.
    pub time_to_first_chunk: FigureStatistics,
    /// TPOT, s.
    pub time_per_output_token: FigureStatistics,
    /// E2E, s: last chunk from the send.
    pub request_latency: FigureStatistics,
    /// Last byte from the send, s.
    pub total_time: FigureStatistics,
    /// Decode rate by the client's clock, tokens/s.
    pub output_tokens_per_second: FigureStatistics,
    /// Text by time, bytes/s.
    pub bytes_per_second: FigureStatistics,
}

/// One figure of many requests. All null where `n` is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
pub struct FigureStatistics {
    /// How many values.
    pub n: u64,
    /// Smallest.
    pub min: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Middle value.
    pub median: Option<f64>,
    /// 90th percentile; null below 64 values.
    pub p90: Option<f64>,
    /// 95th percentile; null below 130 values.
    pub p95: Option<f64>,
    /// 99th percentile; null below 662 values.
    pub p99: Option<f64>,
    /// Why a percentile is null.
    pub percentile_reason: Option<String>,
    /// Standard deviation of the sample (n − 1); null below 2 values.
    pub standard_deviation: Option<f64>,
    /// How far the median and the percentiles may be wrong, as a share of them, where the answer is of
    /// more than 10000 requests; null where they are exact. The other figures always are.
    pub resolution: Option<f64>,
}

impl ModelStatistics {
    /// Its figures with their names, in the order of [`StoredFigures`].
    pub fn figures(&self) -> [(&'static str, &FigureStatistics); 6] {
        [
            ("time_to_first_chunk", &self.time_to_first_chunk),
            ("time_per_output_token", &self.time_per_output_token),
            ("request_latency", &self.request_latency),
            ("total_time", &self.total_time),
            ("output_tokens_per_second", &self.output_tokens_per_second),
            ("bytes_per_second", &self.bytes_per_second),
        ]
    }
}

/// The figures of one stored request that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredFigures {
    /// The number of its run.
    pub run: i64,
    /// Which result of the run it is, from 0.
    pub position: i64,
    /// The day of its run, days since 1970.
    pub day: i64,
    /// The number of its model.
    pub model: i64,
    /// It failed.
    pub is_failed: bool,
    /// TTFT, TPOT, E2E, total time, all s; tokens/s; bytes/s.
    pub figures: [Option<f64>; 6],
}
