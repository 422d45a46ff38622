//! Which results count: measured ones that succeeded, cold ones apart from warm ones. The one place
//! where a figure's name is tied to its field and to the results it is taken from.

use std::collections::BTreeMap;

use super::cold::Cold;
use crate::record::BenchmarkResult;

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
        let cold = self
            .includes_load()
            .then(|| Cold::among(successes))
            .flatten();
        successes
            .iter()
            .filter(|result| cold.as_ref().is_none_or(|cold| !cold.is(result)))
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
    result.has_failed()
}

/// Which results of a run were cold, counted from 0, so that statistics over many runs can leave out of them what loading
/// is part of: those beside warm ones, and those whose model was unloaded on purpose.
pub fn cold_places(results: &[BenchmarkResult]) -> Vec<u32> {
    let mut by_model: BTreeMap<(&str, &str), Vec<(u32, &BenchmarkResult)>> = BTreeMap::new();
    for (place, result) in (0..).zip(results).filter(|(_, it)| is_success(it)) {
        let model = (result.model.as_str(), result.backend.as_str());
        by_model.entry(model).or_default().push((place, result));
    }
    let mut found = Vec::new();
    for own in by_model.into_values() {
        let successes: Vec<&BenchmarkResult> = own.iter().map(|(_, result)| *result).collect();
        let cold = Cold::among(&successes);
        let is_cold =
            |it: &BenchmarkResult| it.cold_start || cold.as_ref().is_some_and(|cold| cold.is(it));
        found.extend(
            own.into_iter()
                .filter(|(_, it)| is_cold(it))
                .map(|(place, _)| place),
        );
    }
    found
}

/// How many of one model's successes loaded it first while others did not.
pub(super) fn cold_among_warm(successes: &[&BenchmarkResult]) -> usize {
    Cold::among(successes).map_or(0, |cold| successes.iter().filter(|it| cold.is(it)).count())
}
