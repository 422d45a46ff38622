//! The results of a run taken together, model by model. It describes; it compares nothing.

use std::collections::BTreeSet;

use super::metrics::gaps;
use super::pool::Pool;
use super::selection::{Metric, is_failure, is_success};
use super::statistics::{distribution, finite, rounded, significant};
use crate::record::{BenchmarkResult, Distribution, ModelSummaryStatistics};

/// Summarises results for each of `models`, given as name and backend in the order of the request.
///
/// Warm-up and failed requests are counted and never averaged in. Where some requests of a model
/// had to load it and others had not, figures that loading is part of describe the latter only;
/// `load_time` describes all. What a load came to and what
/// became of objectives is not said here.
pub fn summarize(
    models: &[(String, String)],
    results: &[BenchmarkResult],
) -> Vec<ModelSummaryStatistics> {
    models
        .iter()
        .map(|(model, backend)| summary_of(model, backend, results))
        .collect()
}

fn summary_of(model: &str, backend: &str, results: &[BenchmarkResult]) -> ModelSummaryStatistics {
    let (own, others): (Vec<_>, Vec<_>) = results
        .iter()
        .partition(|result| result.model == model && result.backend == backend);
    let successes: Vec<_> = own.iter().copied().filter(|r| is_success(r)).collect();
    let failed = own.iter().filter(|r| is_failure(r)).count();
    let hashes: BTreeSet<_> = successes.iter().map(|r| &r.response_sha256).collect();
    let of = |metric: Metric| rounded(distribution(&metric.values(&successes)));
    ModelSummaryStatistics {
        model: model.to_owned(),
        backend: backend.to_owned(),
        succeeded: successes.len() as u64,
        failed: failed as u64,
        warmups: own.iter().filter(|r| r.warmup).count() as u64,
        distinct_outputs: hashes.len() as u64,
        time_to_first_chunk: of(Metric::TimeToFirstChunk),
        time_to_first_output: of(Metric::TimeToFirstOutput),
        time_to_second_chunk: of(Metric::TimeToSecondChunk),
        inter_chunk_latency: inter_chunk_latency(&successes),
        time_per_output_token: of(Metric::TimePerOutputToken),
        request_latency: of(Metric::RequestLatency),
        total_time: of(Metric::TotalTime),
        output_tokens_per_second: of(Metric::OutputTokensPerSecond),
        server_output_tokens_per_second: of(Metric::ServerOutputTokensPerSecond),
        prompt_tokens_per_second: of(Metric::PromptTokensPerSecond),
        bytes_per_second: of(Metric::BytesPerSecond),
        load_time: of(Metric::LoadTime),
        system_output_tokens_per_second: system_rate(&successes, &others),
        load: None,
        objectives: Vec::new(),
        goodput: None,
        energy: None,
        rate_change: None,
    }
}

/// Every gap of every request: a mean per request would hide the stalls.
fn inter_chunk_latency(successes: &[&BenchmarkResult]) -> Distribution {
    let mut pooled = GapPool::default();
    for result in successes {
        pooled.add(result);
    }
    pooled.distribution()
}

/// The gaps between chunks of a model's successes, so that the chunks need not be kept until the end of
/// a run.
#[derive(Clone, Debug, Default)]
pub struct GapPool(Pool);

impl GapPool {
    /// Takes in the gaps of a result, where it counts and has its chunks.
    pub fn add(&mut self, result: &BenchmarkResult) {
        let chunks = result.chunks.as_ref().filter(|_| is_success(result));
        if let Some(chunks) = chunks {
            self.0.merge(gaps(chunks).collect());
        }
    }

    /// All of them.
    pub fn distribution(&self) -> Distribution {
        rounded(self.0.distribution())
    }
}

/// Output tokens of all successes / (first send → last chunk).
///
/// Unknown where one success lacks its count or its place in the run, and where other models took
/// their turns within that time: the rate would then be of a server that was kept waiting.
fn system_rate(successes: &[&BenchmarkResult], others: &[&BenchmarkResult]) -> Option<f64> {
    let mut tokens = 0_u64;
    let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
    for result in successes {
        tokens = tokens.saturating_add(result.throughput.output_tokens?);
        let sent = result.timing.send_offset?;
        first = first.min(sent);
        let delay = result.timing.schedule_delay.unwrap_or_default();
        last = last.max(sent - delay + result.timing.request_latency?);
    }
    let in_turn = others.iter().any(|other| {
        !other.contended
            && other
                .timing
                .send_offset
                .is_some_and(|sent| first < sent && sent < last)
    });
    (last > first && !in_turn)
        .then(|| tokens as f64 / (last - first))
        .and_then(finite)
        .map(significant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{failed, result};

    fn summarized(results: &[BenchmarkResult]) -> ModelSummaryStatistics {
        summarize(&[("a".into(), "ollama".into())], results).remove(0)
    }

    #[test]
    fn warm_ups_and_failures_are_counted_and_not_averaged() {
        let mut warmup = result("a", 9.0, 0.5);
        warmup.warmup = true;
        let results = [
            warmup,
            result("a", 0.2, 0.01),
            result("a", 0.4, 0.01),
            failed("a"),
            result("b", 7.0, 0.5),
        ];
        let found = summarized(&results);
        assert_eq!((found.succeeded, found.failed, found.warmups), (2, 1, 1));
        assert_eq!(found.time_to_first_chunk.n, 2);
        assert_eq!(found.time_to_first_chunk.max, Some(0.4));
        assert_eq!(found.distinct_outputs, 1);
    }

    #[test]
    fn gaps_are_pooled_over_requests() {
        let mut first = result("a", 0.2, 0.01);
        first.chunks = Some(crate::record::Chunks {
            offsets: vec![0.0, 1.0, 3.0],
            sizes: vec![1, 1, 1],
        });
        let mut second = first.clone();
        second.chunks = Some(crate::record::Chunks {
            offsets: vec![0.0, 8.0],
            sizes: vec![1, 1],
        });
        let found = summarized(&[first, second]).inter_chunk_latency;
        assert_eq!(
            (found.n, found.median, found.max),
            (3, Some(2.0), Some(8.0))
        );
    }

    #[test]
    fn a_slow_warm_load_hides_no_cold_one() {
        let mut results = vec![result("a", 9.0, 0.01), result("a", 0.3, 0.01)];
        results[0].timing.load_time = Some(8.0);
        results[1].timing.load_time = Some(0.25);
        let models = [("a".to_owned(), "ollama".to_owned())];
        let found = &summarize(&models, &results)[0];
        assert_eq!(found.time_to_first_chunk.n, 1);
        assert_eq!(found.time_to_first_chunk.median, Some(0.3));
    }

    #[test]
    fn a_cold_request_is_not_averaged_with_warm_ones() {
        let mut cold = result("a", 3.0, 0.01);
        cold.timing.load_time = Some(2.7);
        let mut warm = result("a", 0.3, 0.01);
        warm.timing.load_time = Some(0.03);
        let mixed = summarized(&[cold.clone(), warm.clone(), warm]);
        assert_eq!(mixed.time_to_first_chunk.max, Some(0.3));
        assert_eq!(mixed.time_per_output_token.n, 3);
        assert_eq!(mixed.load_time.max, Some(2.7));
        let all_cold = summarized(&[cold.clone(), cold]);
        assert_eq!(all_cold.time_to_first_chunk.n, 2);
    }

    #[test]
    fn the_system_rate_spans_first_send_to_last_chunk() {
        let at = |offset: f64, model: &str| {
            let mut sent = result(model, 0.2, 0.01);
            sent.timing.send_offset = Some(offset);
            sent.timing.request_latency = Some(1.0);
            sent.throughput.output_tokens = Some(60);
            sent
        };
        let alone = summarized(&[at(1.0, "a"), at(2.0, "a"), at(3.5, "b")]);
        assert_eq!(alone.system_output_tokens_per_second, Some(60.0));
        let in_turn = summarized(&[at(1.0, "a"), at(2.0, "b"), at(3.0, "a")]);
        assert_eq!(in_turn.system_output_tokens_per_second, None);
        let mut uncounted = at(4.0, "a");
        uncounted.throughput.output_tokens = None;
        let uncounted = summarized(&[at(1.0, "a"), uncounted]);
        assert_eq!(uncounted.system_output_tokens_per_second, None);
    }

    #[test]
    fn a_model_without_results_has_an_empty_entry() {
        let found = summarized(&[]);
        assert_eq!(found.model, "a");
        assert_eq!(found.total_time, Distribution::default());
        assert_eq!(found.system_output_tokens_per_second, None);
    }
}
