//! A whole run: what was asked, what was found, and what it means.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use super::{
    BenchmarkRequest, BenchmarkResult, EnergySummary, Goodput, LoadPattern, ObjectiveOutcome,
    Placement, RateChange, RemoteSamples, RunId, Samples, SystemInfo,
};

/// A run, as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct BenchmarkResponse {
    /// Id of the run, 24 hexadecimal digits.
    pub id: RunId,
    /// When the run was asked for, UTC.
    pub timestamp: DateTime<Utc>,
    /// How it stands.
    pub status: Status,
    /// Why it ended so, where that needs a word.
    pub status_reason: Option<String>,
    /// Place in the queue, 1 is next; null where it does not wait.
    pub queue_position: Option<u32>,
    /// Requests of the whole run, warm-up included; while it goes on, those that are known so far: what a
    /// sweep sends next, or a run until it is decided, follows from what came before.
    pub total_requests: u32,
    /// What was asked.
    pub request: BenchmarkRequest,
    /// The machine that measured.
    pub system_info: SystemInfo,
    /// One result a finished request, in the order they finished.
    pub results: Vec<BenchmarkResult>,
    /// One entry a model, in the order of the request.
    pub summary: Vec<ModelSummaryStatistics>,
    /// What the run ran against.
    pub environment: Environment,
    /// How far the figures can be trusted.
    pub validity: Validity,
    /// When the last request ended, UTC.
    pub finished_at: Option<DateTime<Utc>>,
    /// Host that executed the run.
    pub worker: Option<String>,
    /// What the machine that measured was doing; null in lists and where nothing was sampled.
    pub samples: Option<Samples>,
    /// What other machines were doing, on which models of the run were served, as the agents there told.
    #[serde(default)]
    pub remote_samples: Vec<RemoteSamples>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Status {
    /// Waits for its turn.
    Queued,
    /// Goes on now.
    Running,
    /// Every request succeeded.
    Completed,
    /// Some requests succeeded, some failed.
    Partial,
    /// No request succeeded.
    Failed,
    /// Stopped by a person; what was measured stays.
    Cancelled,
    /// The program ended in the middle; what was measured stays.
    Interrupted,
}

impl Status {
    /// The name as it is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// Nothing will change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Self::Queued,
            Self::Running,
            Self::Completed,
            Self::Partial,
            Self::Failed,
            Self::Cancelled,
            Self::Interrupted,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| format!("`{text}` is no status"))
    }
}

/// The measured requests of one model taken together. Warm-up and failed requests are counted
/// apart and never averaged in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct ModelSummaryStatistics {
    /// Model name as the backend knows it.
    pub model: String,
    /// The backend that served it.
    pub backend: String,
    /// Measured requests that succeeded: those that the figures are of.
    pub succeeded: u64,
    /// Measured requests that failed; they are in no figure.
    pub failed: u64,
    /// Warm-up requests; they are in no figure.
    pub warmups: u64,
    /// Different answers among the successes, told apart by hash.
    pub distinct_outputs: u64,
    /// Time to the first chunk (TTFT), s.
    pub time_to_first_chunk: Distribution,
    /// Time to the first chunk of the answer itself (TTFO), s.
    pub time_to_first_output: Distribution,
    /// From the first chunk to the second (TTST), s.
    pub time_to_second_chunk: Distribution,
    /// Every gap between two chunks of text or thinking, of all requests together, s. Also called ICL. Less
    /// is better.
    pub inter_chunk_latency: Distribution,
    /// Time per output token (TPOT), s.
    pub time_per_output_token: Distribution,
    /// From the send to the last chunk (E2E), s.
    pub request_latency: Distribution,
    /// Last byte − send, s.
    pub total_time: Distribution,
    /// Decode rate by the client's clock, tokens/s.
    pub output_tokens_per_second: Distribution,
    /// Decode rate by the server's clock, tokens/s.
    pub server_output_tokens_per_second: Distribution,
    /// Prefill rate by the server's clock, tokens/s.
    pub prompt_tokens_per_second: Distribution,
    /// Bytes of text a second.
    pub bytes_per_second: Distribution,
    /// Loading the model, s.
    pub load_time: Distribution,
    /// Output tokens of all successes / (first send → last chunk), tokens/s.
    pub system_output_tokens_per_second: Option<f64>,
    /// What the load came to; null where the run had none.
    #[serde(default)]
    pub load: Option<LoadSummary>,
    /// What became of each objective, in their order.
    #[serde(default)]
    pub objectives: Vec<ObjectiveOutcome>,
    /// Requests that kept the bounds of all objectives; null where none speaks of requests.
    #[serde(default)]
    pub goodput: Option<Goodput>,
    /// Energy that its requests took on the machine that served them; null where nothing was sampled.
    #[serde(default)]
    pub energy: Option<EnergySummary>,
    /// Where its decode rate changed for good in the course of the run; null where it did not.
    #[serde(default)]
    pub rate_change: Option<RateChange>,
}

/// What a load came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct LoadSummary {
    /// When requests went out.
    pub pattern: LoadPattern,
    /// Requests a second that were meant to be sent; null in a closed loop and of a sweep.
    pub offered_requests_per_second: Option<f64>,
    /// Measured requests that were sent.
    pub sent: u64,
    /// Of them with success.
    pub answered: u64,
    /// First send → last end, s.
    pub duration: f64,
    /// `answered` / `duration`; null of a sweep, whose stages have theirs.
    pub requests_per_second: Option<f64>,
    /// Most requests at one time.
    pub peak_in_flight: u64,
    /// Send − intended send of an open loop, s.
    pub schedule_delay: Distribution,
    /// The stages of a sweep, in their order; empty elsewhere.
    #[serde(default)]
    pub stages: Vec<LoadStage>,
    /// Highest rate of a sweep that the server kept up with.
    #[serde(default)]
    pub sustained_requests_per_second: Option<f64>,
    /// Lowest rate of a sweep at which it fell behind; null where it never did.
    #[serde(default)]
    pub saturated_requests_per_second: Option<f64>,
    /// Highest rate of a sweep at which every objective was met, as at every lower one; null without
    /// objectives, and where no rate met them.
    #[serde(default)]
    pub rate_within_objectives: Option<f64>,
}

/// One rate of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct LoadStage {
    /// Which one, from 0.
    pub stage: u32,
    /// Requests a second that were meant to be sent; null in the first stage, which has one at a time.
    pub offered_requests_per_second: Option<f64>,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were answered with success.
    pub answered: u64,
    /// First send → last end, s.
    pub duration: f64,
    /// Requests a second that were answered with success, from the first send to the last end.
    pub requests_per_second: Option<f64>,
    /// Output tokens a second of all requests together, from the first send to the last chunk.
    pub output_tokens_per_second: Option<f64>,
    /// Most requests that went on at one time.
    pub peak_in_flight: u64,
    /// TTFT, s.
    pub time_to_first_chunk: Distribution,
    /// TPOT, s.
    pub time_per_output_token: Distribution,
    /// E2E, s.
    pub request_latency: Distribution,
    /// Whether the server fell behind the rate at which requests were sent.
    pub saturated: bool,
    /// Whether every objective of the benchmark was met; null where there are none.
    pub objectives_met: Option<bool>,
    /// Requests that kept the bounds of all objectives.
    pub goodput: Option<Goodput>,
}

/// A set of measured values. All null where `n` is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Distribution {
    /// How many values.
    pub n: u64,
    /// The smallest value.
    pub min: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
    /// The arithmetic mean: the sum of the values by their number.
    pub mean: Option<f64>,
    /// The middle value: half of the values lie below it, half above.
    pub median: Option<f64>,
    /// 90th percentile: nine of ten values lie below it; null below 64 values, which tell too little of it.
    pub p90: Option<f64>,
    /// 95th percentile: 19 of 20 values lie below it; null below 130 values, which tell too little of it.
    pub p95: Option<f64>,
    /// 99th percentile: 99 of 100 values lie below it; null below 662 values, which tell too little of it.
    pub p99: Option<f64>,
    /// Why a percentile is null.
    pub percentile_reason: Option<String>,
    /// Standard deviation of the sample (n − 1): how far values usually lie from the mean; null below 2
    /// values.
    pub standard_deviation: Option<f64>,
    /// Median distance from the median.
    pub median_absolute_deviation: Option<f64>,
    /// Lower end of the 95 % interval of the median: measured again, the median would lie between both ends
    /// in about 95 of 100 cases. By bootstrap; null below 5 values.
    pub median_low: Option<f64>,
    /// Upper end of the 95 % interval of the median; null below 5 values.
    pub median_high: Option<f64>,
    /// How finely values were told apart, as a share of them and to a nanosecond at best, where there
    /// were too many to keep each (an HDR histogram, above 10000); null where they are exact. `n`, `min`,
    /// `max`, `mean` and `standard_deviation` always are; `median_absolute_deviation` is as fine as that
    /// share of the median.
    pub resolution: Option<f64>,
}

/// What a run ran against.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Environment {
    /// Version of this program.
    pub benchmarker_version: String,
    /// The commit that it was built from, with `-modified` where its sources were changed since; null
    /// where that is not known, as in older records.
    pub benchmarker_commit: Option<String>,
    /// One entry a model of the run.
    pub models: Vec<ModelEnvironment>,
}

/// What one model of a run ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct ModelEnvironment {
    /// Model name as the backend knows it.
    pub model: String,
    /// The backend that served it.
    pub backend: String,
    /// Kind of the backend: `ollama`, `openai`, `reference`.
    pub backend_kind: String,
    /// Version that the backend states.
    pub backend_version: Option<String>,
    /// Digest of the model's manifest.
    pub digest: Option<String>,
    /// Quantisation of the weights.
    pub quantization: Option<String>,
    /// Parameter count as the backend words it.
    pub parameter_size: Option<String>,
    /// Made by this program with scripted timing; not a language model.
    pub synthetic: bool,
    /// Where the model server is, seen from the machine that measured.
    pub location: Location,
    /// Where the model lay before the run; null where it was not loaded or the backend does not tell.
    pub placement_before: Option<Placement>,
    /// Where it lay after the last request; null where it was not loaded any more or the backend does
    /// not tell.
    pub placement_after: Option<Placement>,
    /// Settings of the model server that its processes show, by their own names; empty where they
    /// cannot be seen.
    pub server_settings: BTreeMap<String, String>,
}

/// Where a model server is, seen from the machine that measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Location {
    /// On the same machine.
    Local,
    /// On another one: samples of this machine tell nothing of the model's.
    Remote,
    /// That is not known.
    #[default]
    Unknown,
}

/// How far figures can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing speaks against them.
    Good,
    /// Read the reasons before quoting them.
    Fair,
    /// Do not quote them.
    Poor,
    /// Nothing has been measured yet.
    #[default]
    Unknown,
}

/// How far the figures of a run can be trusted, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Validity {
    /// The grade.
    pub grade: Grade,
    /// What speaks against them, each a sentence.
    pub reasons: Vec<String>,
}
