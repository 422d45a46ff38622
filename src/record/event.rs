//! What a run announces while it goes on.

use std::fmt;
use std::str::FromStr;

use poem_openapi::{Object, Union};
use serde::{Deserialize, Serialize};

use super::{BenchmarkResult, ModelSummaryStatistics, RunId, Sample, Status};

/// Position of an event in its run, written `R.S`: `R` requests had finished, and it is the
/// `S`-th event since. A client that saw `R.S` can be served the rest from the running
/// program or, after the end, from the stored record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Requests that had finished, this event included.
    pub finished: u32,
    /// Events since then.
    pub step: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.finished, self.step)
    }
}

impl FromStr for EventId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (finished, step) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self {
            finished: finished.parse()?,
            step: step.parse()?,
        })
    }
}

/// Something that happened in a run.
#[expect(
    clippy::large_enum_variant,
    reason = "events are kept behind an `Arc`, one at a time"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Union)]
#[serde(tag = "type", rename_all = "snake_case")]
#[oai(discriminator_name = "type")]
pub enum RunEvent {
    /// It waits.
    #[oai(mapping = "queued")]
    Queued(Queued),
    /// It goes on now.
    #[oai(mapping = "run_started")]
    RunStarted(RunStarted),
    /// A stage of a sweep began.
    #[oai(mapping = "stage_started")]
    StageStarted(StageStarted),
    /// The run pauses until the machine is cool.
    #[oai(mapping = "cooling_down")]
    CoolingDown(CoolingDown),
    /// A request was sent.
    #[oai(mapping = "request_started")]
    RequestStarted(RequestStarted),
    /// Text came.
    #[oai(mapping = "text_arrived")]
    TextArrived(TextArrived),
    /// A request ended, and its result is stored.
    #[oai(mapping = "request_finished")]
    RequestFinished(RequestFinished),
    /// The machine was looked at.
    #[oai(mapping = "sample_taken")]
    SampleTaken(SampleTaken),
    /// The run ended; nothing follows.
    #[oai(mapping = "run_finished")]
    RunFinished(RunFinished),
}

impl RunEvent {
    /// The event's name, as in its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued(_) => "queued",
            Self::RunStarted(_) => "run_started",
            Self::StageStarted(_) => "stage_started",
            Self::CoolingDown(_) => "cooling_down",
            Self::RequestStarted(_) => "request_started",
            Self::TextArrived(_) => "text_arrived",
            Self::RequestFinished(_) => "request_finished",
            Self::SampleTaken(_) => "sample_taken",
            Self::RunFinished(_) => "run_finished",
        }
    }
}

/// The run waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct Queued {
    /// Place in the queue, 1 is next.
    pub position: u32,
}

/// The run left the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct RunStarted {
    /// Requests that are known so far, warm-up included.
    pub total_requests: u32,
}

/// A stage of a sweep began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct StageStarted {
    /// Number of the model in the run's request, from 0.
    pub model_index: u32,
    /// Which stage, from 0.
    pub stage: u32,
    /// Requests a second that are meant to be sent; null in the first, which has one at a time.
    pub requests_per_second: Option<f64>,
}

/// The run pauses before the next request. Told about once a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct CoolingDown {
    /// Since the pause began, s.
    pub waited: f64,
    /// The pause ends after so long at the latest, s.
    pub at_most: f64,
    /// Temperature now, °C; null where none can be read.
    pub temperature_celsius: Option<f64>,
    /// Temperature that is waited for, °C; null where only a time is.
    pub target_celsius: Option<f64>,
}

/// A request was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct RequestStarted {
    /// Number of the request in the run's plan, from 0.
    pub request: u32,
    /// Number of the model in the run's request, from 0.
    pub model_index: u32,
    /// Model name as the backend knows it.
    pub model: String,
    /// The backend that serves it.
    pub backend: String,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// Sent to warm up.
    pub warmup: bool,
}

/// Text came. Chunks that came close together are told in one event; the stored record has each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct TextArrived {
    /// Number of the request in the run's plan, from 0.
    pub request: u32,
    /// Number of the model in the run's request, from 0.
    pub model_index: u32,
    /// Answer text since the last event.
    pub text: String,
    /// Thinking since the last event.
    pub thinking: String,
    /// Content chunks of the request so far.
    pub chunks: u64,
    /// TTFT of the request, s.
    pub time_to_first_chunk: Option<f64>,
    /// Arrival of the newest chunk, s from send.
    pub offset: f64,
    /// Chunks a second from the first to the newest; null before the second.
    pub chunks_per_second: Option<f64>,
}

/// A request ended, and its result is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct RequestFinished {
    /// Number of the request in the run's plan, from 0; null where it is told from the stored record.
    #[serde(default)]
    pub request: Option<u32>,
    /// Number of the model in the run's request, from 0.
    pub model_index: u32,
    /// Requests that have finished, this one included.
    pub finished: u32,
    /// Requests of the whole run, as far as they are known.
    pub total: u32,
    /// What was measured, without its chunks.
    pub result: BenchmarkResult,
}

/// The machine was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct SampleTaken {
    /// The backend whose machine it was, as the agent there told; null for this machine.
    #[serde(default)]
    pub backend: Option<String>,
    /// What it was doing.
    pub sample: Sample,
}

/// The run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct RunFinished {
    /// Id of the run.
    pub id: RunId,
    /// How it ended.
    pub status: Status,
    /// Why it ended so, where that needs a word.
    pub status_reason: Option<String>,
    /// One entry a model.
    pub summary: Vec<ModelSummaryStatistics>,
}
