//! Prompts that the server had read before: their time to the first chunk is that of its cache.

use std::collections::BTreeMap;

use super::Findings;
use crate::measure::wording::{count, time};
use crate::record::BenchmarkResult;

/// From this share of cached tokens on, the cache decides how long reading the prompt takes.
const MOSTLY_CACHED: f64 = 0.5;

/// Where a server counts no cached tokens: reading the same prompt in a third of the longest time.
/// Clocks and temperatures do not do that.
const FASTER: f64 = 3.0;

/// Prompts that are read in less than this are too short to tell, s.
const TOLD: f64 = 0.02;

/// What speaks against the prefill of one model. `all` are its requests, warm-ups too, in the order
/// they were sent.
pub(super) fn judge(label: &str, all: &[&BenchmarkResult], findings: &mut Findings) {
    let mut by_prompt: BTreeMap<&str, Vec<&BenchmarkResult>> = BTreeMap::new();
    // What begins differently each time is in no cache.
    for result in all
        .iter()
        .filter(|it| it.success && it.prompt_prefix.is_none())
    {
        by_prompt.entry(&result.prompt).or_default().push(result);
    }
    let (mut cached, mut measured) = (0, 0);
    let (mut shortest, mut longest) = (f64::INFINITY, 0.0_f64);
    for results in by_prompt.values() {
        let most = results
            .iter()
            .filter_map(|it| reading(it))
            .fold(0.0, f64::max);
        for result in results.iter().filter(|it| it.is_measured()) {
            measured += 1;
            if is_cached(result, most) {
                cached += 1;
                shortest = shortest.min(reading(result).unwrap_or(f64::INFINITY));
                longest = longest.max(most);
            }
        }
    }
    if cached == 0 {
        return;
    }
    let compared = if shortest.is_finite() && longest >= TOLD {
        format!(
            " (it read a prompt in {}, and in {} when it was new)",
            time(shortest, None),
            time(longest, None)
        )
    } else {
        String::new()
    };
    findings.fair(format!(
        "{label}: the server had the prompt in its cache in {cached} of {}{compared}: the time to the first chunk is that of a prompt it knows; `unique_prefix` avoids that",
        count(measured, "request")
    ));
}

/// How long the server read the prompt, s.
fn reading(result: &BenchmarkResult) -> Option<f64> {
    result.timing.server.as_ref()?.prompt_eval_duration
}

fn is_cached(result: &BenchmarkResult, longest: f64) -> bool {
    let figures = &result.throughput;
    if let (Some(cached), Some(tokens)) = (figures.cached_prompt_tokens, figures.prompt_tokens) {
        return cached as f64 > MOSTLY_CACHED * tokens as f64;
    }
    longest >= TOLD && reading(result).is_some_and(|it| it * FASTER < longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::result;
    use crate::record::ServerTiming;

    fn read_in(seconds: f64) -> BenchmarkResult {
        let mut one = result("a", 0.5, 0.01);
        one.timing.server = Some(ServerTiming {
            prompt_eval_duration: Some(seconds),
            ..ServerTiming::default()
        });
        one
    }

    fn judged(results: &[BenchmarkResult]) -> Vec<String> {
        let mut findings = Findings::default();
        judge("a", &results.iter().collect::<Vec<_>>(), &mut findings);
        findings.into_validity().reasons
    }

    #[test]
    fn a_prompt_that_is_suddenly_read_in_no_time_was_cached() {
        let mut warmup = read_in(0.4);
        warmup.warmup = true;
        let found = judged(&[warmup, read_in(0.01), read_in(0.012), read_in(0.39)]);
        insta::assert_snapshot!(found[0], @"a: the server had the prompt in its cache in 2 of 3 requests (it read a prompt in 10 ms, and in 400 ms when it was new): the time to the first chunk is that of a prompt it knows; `unique_prefix` avoids that");
        assert_eq!(judged(&[read_in(0.4), read_in(0.3), read_in(0.2)]), [""; 0]);
        assert_eq!(judged(&[read_in(0.015), read_in(0.001)]), [""; 0]);
        // Another prompt is shorter by nature.
        let mut other = read_in(0.01);
        other.prompt = "hi".to_owned();
        assert_eq!(judged(&[read_in(0.4), other]), [""; 0]);
    }

    #[test]
    fn a_count_of_the_server_decides_where_there_is_one() {
        let counted = |cached: u64| {
            let mut one = read_in(0.2);
            one.throughput.prompt_tokens = Some(100);
            one.throughput.cached_prompt_tokens = Some(cached);
            one
        };
        assert_eq!(judged(&[counted(0), counted(40)]), [""; 0]);
        assert_eq!(judged(&[counted(0), counted(99)]).len(), 1);
        let mut prefixed = counted(99);
        prefixed.prompt_prefix = Some("[1] ".to_owned());
        assert_eq!(judged(&[prefixed]), [""; 0]);
    }
}
