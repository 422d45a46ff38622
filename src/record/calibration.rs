//! How well a machine can measure.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Clock, RunId};

/// How well this machine can measure: what the instrument itself adds to a figure, found by timing
/// a server whose send times are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Calibration {
    /// 24 hexadecimal digits.
    pub id: RunId,
    /// When it was made, UTC.
    pub timestamp: DateTime<Utc>,
    /// Version of this program that made it.
    pub benchmarker_version: String,
    /// The machine and its system, in words; a calibration holds for this one only.
    pub machine: String,
    /// One part for each number of streams, fewest first.
    pub levels: Vec<CalibrationLevel>,
}

/// The instrument's error at one number of streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct CalibrationLevel {
    /// Streams at once.
    pub streams: u32,
    /// Chunks a second that each stream was to send.
    pub chunks_per_second: f64,
    /// Chunks a second that were sent in all.
    pub sent_per_second: Option<f64>,
    /// Chunks that were sent.
    pub chunks: u64,
    /// Of them never seen.
    pub missed: u64,
    /// Of them seen together with a later one, under one stamp.
    pub merged: u64,
    /// Median time that the sender's writes took, s: what is nearer to the truth cannot be told.
    pub resolution: Option<f64>,
    /// Which clock stamped the arrivals; `kernel` only where it stamped every chunk.
    pub clock: Clock,
    /// Error of the stamp of each chunk.
    pub arrival: ClockErrors,
    /// Error of the time to the first chunk of each stream.
    pub time_to_first_chunk: ClockErrors,
    /// Error of each gap between chunks.
    pub inter_chunk_latency: ClockErrors,
    /// Processor time of this program for each chunk, s: reading, parsing and counting.
    pub cpu_per_chunk: Option<f64>,
}

/// How far figures lie from the truth: outside the interval in which the true value is known to
/// lie, as far as its nearer end; 0 within it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct ClockErrors {
    /// Figures that were looked at.
    pub n: u64,
    /// Median, s.
    pub median: Option<f64>,
    /// 99th percentile, s; null where there are too few to tell.
    pub p99: Option<f64>,
    /// Largest, s.
    pub max: Option<f64>,
}

/// The error of arrival stamps that was found on this machine with as many streams at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct ClockError {
    /// Median, s, beyond the resolution.
    pub median: f64,
    /// 99th percentile, s, beyond the resolution; the largest one where there were too few to tell.
    pub p99: f64,
    /// What is nearer to the truth cannot be told, s: the sender's own writes took so long.
    pub resolution: f64,
    /// Streams at once when it was found.
    pub streams: u32,
    /// When it was found, UTC.
    pub calibrated: DateTime<Utc>,
}
