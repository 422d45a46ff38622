//! Which results count: measured ones that succeeded, cold ones apart from warm ones. The one place
//! where a figure's name is tied to its field and to the results it is taken from.

use crate::record::{BenchmarkResult, ErrorCode};

/// A result that waited for its model this long beside one that did not was cold. Ollama states
/// some 10 to 100 ms for a model that is loaded already; reading even a small model takes longer.
const COLD_LOAD_SECONDS: f64 = 0.2;

/// And this many times longer, so that a slow machine's warm ones do not count as cold.
const COLD_LOAD_FACTOR: f64 = 5.0;

/// A figure that is described and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    TimeToFirstChunk,
    TimeToFirstOutput,
    TimeToSecondChunk,
    TimePerOutputToken,
    RequestLatency,
    TotalTime,
    OutputTokensPerSecond,
    ServerOutputTokensPerSecond,
    PromptTokensPerSecond,
    BytesPerSecond,
    LoadTime,
}

impl Metric {
    const ALL: [Self; 11] = [
        Self::TimeToFirstChunk,
        Self::TimeToFirstOutput,
        Self::TimeToSecondChunk,
        Self::TimePerOutputToken,
        Self::RequestLatency,
        Self::TotalTime,
        Self::OutputTokensPerSecond,
        Self::ServerOutputTokensPerSecond,
        Self::PromptTokensPerSecond,
        Self::BytesPerSecond,
        Self::LoadTime,
    ];

    /// The figure of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Name of the figure's field.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TimeToFirstChunk => "time_to_first_chunk",
            Self::TimeToFirstOutput => "time_to_first_output",
            Self::TimeToSecondChunk => "time_to_second_chunk",
            Self::TimePerOutputToken => "time_per_output_token",
            Self::RequestLatency => "request_latency",
            Self::TotalTime => "total_time",
            Self::OutputTokensPerSecond => "output_tokens_per_second",
            Self::ServerOutputTokensPerSecond => "server_output_tokens_per_second",
            Self::PromptTokensPerSecond => "prompt_tokens_per_second",
            Self::BytesPerSecond => "bytes_per_second",
            Self::LoadTime => "load_time",
        }
    }

    /// A rate: more is better. Of a time, less is.
    pub(super) fn is_rate(self) -> bool {
        matches!(
            self,
            Self::OutputTokensPerSecond
                | Self::ServerOutputTokensPerSecond
                | Self::PromptTokensPerSecond
                | Self::BytesPerSecond
        )
    }

    /// A span from the send to one stamp, or between two: as wrong as the stamps are.
    pub(super) fn is_stamped(self) -> bool {
        matches!(
            self,
            Self::TimeToFirstChunk
                | Self::TimeToFirstOutput
                | Self::TimeToSecondChunk
                | Self::RequestLatency
                | Self::TotalTime
        )
    }

    /// Loading the model is part of it.
    fn includes_load(self) -> bool {
        matches!(
            self,
            Self::TimeToFirstChunk
                | Self::TimeToFirstOutput
                | Self::RequestLatency
                | Self::TotalTime
                | Self::BytesPerSecond
        )
    }

    /// The figure of one result.
    pub(super) fn of(self, result: &BenchmarkResult) -> Option<f64> {
        let timing = &result.timing;
        let throughput = &result.throughput;
        let figure = match self {
            Self::TimeToFirstChunk => timing.time_to_first_chunk,
            Self::TimeToFirstOutput => timing.time_to_first_output,
            Self::TimeToSecondChunk => timing.time_to_second_chunk,
            Self::TimePerOutputToken => timing.time_per_output_token,
            Self::RequestLatency => timing.request_latency,
            Self::TotalTime => timing.total_time,
            Self::OutputTokensPerSecond => throughput.output_tokens_per_second,
            Self::ServerOutputTokensPerSecond => throughput.server_output_tokens_per_second,
            Self::PromptTokensPerSecond => throughput.prompt_tokens_per_second,
            Self::BytesPerSecond => throughput.bytes_per_second,
            Self::LoadTime => timing.load_time,
        };
        figure.filter(|value| value.is_finite())
    }

    /// The figures of one model's successes. Cold and warm are never averaged together: where
    /// there are both, only the warm ones give a figure that loading is part of.
    pub(super) fn values(self, successes: &[&BenchmarkResult]) -> Vec<f64> {
        let load_limit = cold_limit(successes).filter(|_| self.includes_load());
        successes
            .iter()
            .filter(|result| load_limit.is_none_or(|limit| load_seconds(result) < limit))
            .filter_map(|result| self.of(result))
            .collect()
    }
}

/// Measured requests that succeeded.
pub(super) fn is_success(result: &BenchmarkResult) -> bool {
    result.success && result.is_measured()
}

/// Measured requests that failed. One that was stopped did not fail.
pub(super) fn is_failure(result: &BenchmarkResult) -> bool {
    let error = result.error.as_ref();
    let was_stopped = error.is_some_and(|error| error.code == ErrorCode::Cancelled);
    result.is_measured() && !result.success && !was_stopped
}

/// How many of one model's successes loaded it first while others did not.
pub(super) fn cold_among_warm(successes: &[&BenchmarkResult]) -> usize {
    cold_limit(successes).map_or(0, |limit| {
        successes
            .iter()
            .filter(|result| load_seconds(result) >= limit)
            .count()
    })
}

/// Where cold and warm part, s; `None` where all are alike.
fn cold_limit(successes: &[&BenchmarkResult]) -> Option<f64> {
    let least = successes
        .iter()
        .map(|result| load_seconds(result))
        .min_by(f64::total_cmp)?;
    let most = successes
        .iter()
        .map(|result| load_seconds(result))
        .max_by(f64::total_cmp)?;
    let limit = COLD_LOAD_SECONDS.max(COLD_LOAD_FACTOR * least);
    (most >= limit).then_some(limit)
}

/// Servers leave a zero out.
fn load_seconds(result: &BenchmarkResult) -> f64 {
    result.timing.load_time.unwrap_or(0.0)
}
