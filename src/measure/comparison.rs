//! Whether one set of results differs from another, by how much, and how sure that is.
//!
//! "Faster" speaks of speed: the ratio of two rates, or the inverse ratio of two times. A time of
//! 0.8 s against one of 1 s is 25 % faster, as the rate of 1.25 tokens/s against 1 is.

use super::rank_test::{RankTest, rank_test};
use super::selection::{Metric, is_success};
use super::statistics::{FEWEST_FOR_INTERVAL, finite, median, ratio_interval, sorted};
use super::wording::{Speed, count, speed_change, time};
use crate::record::{BenchmarkResult, ComparisonRow, Verdict};

/// What is compared, in this order.
const METRICS: [Metric; 10] = [
    Metric::TimeToFirstChunk,
    Metric::TimeToFirstOutput,
    Metric::OutputTokensPerSecond,
    Metric::ServerOutputTokensPerSecond,
    Metric::TimePerOutputToken,
    Metric::PromptTokensPerSecond,
    Metric::RequestLatency,
    Metric::TotalTime,
    Metric::BytesPerSecond,
    Metric::LoadTime,
];

/// A difference counts where both the interval of the ratio excludes 1 and p is below this, so that
/// neither a lucky resampling of few values nor a shift without size decides alone.
const SIGNIFICANCE: f64 = 0.05;

/// `(z₀.₉₇₅ + z₀.₈)² · 2/3`: by Noether (1987) a two-sided test at 5 % needs this over delta² values
/// a side to see a Cliff's delta with a power of 80 %.
const POWER_FACTOR: f64 = 5.2326;

/// More repetitions than this are not worth advising; a run has at most so many.
const MOST_ADVISED: f64 = 1000.0;

/// One metric of a candidate against a baseline.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assessment {
    /// Values of the baseline, sorted.
    baseline: Vec<f64>,
    /// Values of the candidate, sorted.
    candidate: Vec<f64>,
    /// Candidate's median by the baseline's.
    ratio: Option<f64>,
    /// 95 % interval of the ratio.
    interval: Option<(f64, f64)>,
    /// What the ranks say.
    ranks: Option<RankTest>,
    /// The difference of the medians and the error of the clock, s, where that is the larger.
    blurred: Option<(f64, f64)>,
    /// Whether the difference is real.
    pub(super) verdict: Verdict,
    /// More values is better.
    is_rate: bool,
}

/// Compares sets of results with the first of them. Failed and warm-up requests are left out. There
/// is a row for each candidate and each metric that any of the sets has.
pub fn compare(sets: &[(String, Vec<&BenchmarkResult>)]) -> Vec<ComparisonRow> {
    compare_by(&METRICS, sets)
}

/// The same for some metrics only.
pub(super) fn compare_by(
    metrics: &[Metric],
    sets: &[(String, Vec<&BenchmarkResult>)],
) -> Vec<ComparisonRow> {
    let counted: Vec<(&str, Vec<&BenchmarkResult>)> = sets
        .iter()
        .map(|(label, results)| {
            let successes = results.iter().copied().filter(|r| is_success(r)).collect();
            (label.as_str(), successes)
        })
        .collect();
    let Some(((_, baseline), candidates)) = counted.split_first() else {
        return Vec::new();
    };
    metrics
        .iter()
        .copied()
        .filter(|metric| is_present(*metric, &counted))
        .flat_map(|metric| {
            candidates.iter().map(move |(label, candidate)| {
                assess(metric, baseline, candidate).into_row(metric, label)
            })
        })
        .collect()
}

/// Some set has the metric, and it is not another one's twin: without thinking, the first output is
/// the first chunk.
fn is_present(metric: Metric, sets: &[(&str, Vec<&BenchmarkResult>)]) -> bool {
    let mut results = sets.iter().flat_map(|(_, results)| results);
    if metric == Metric::TimeToFirstOutput {
        return results.any(|r| r.timing.time_to_first_output != r.timing.time_to_first_chunk);
    }
    results.any(|result| metric.of(result).is_some())
}

/// Compares one metric of two sets of successes.
pub(super) fn assess(
    metric: Metric,
    baseline: &[&BenchmarkResult],
    candidate: &[&BenchmarkResult],
) -> Assessment {
    let error = clock_error(baseline.iter().chain(candidate)).filter(|_| metric.is_stamped());
    let baseline = sorted(&metric.values(baseline));
    let candidate = sorted(&metric.values(candidate));
    let ratio = median(&baseline)
        .zip(median(&candidate))
        .filter(|(below, _)| *below > 0.0)
        .and_then(|(below, above)| finite(above / below));
    let interval = ratio_interval(&baseline, &candidate);
    let ranks = rank_test(&baseline, &candidate);
    let is_rate = metric.is_rate();
    let difference = median(&baseline)
        .zip(median(&candidate))
        .map(|(below, above)| (above - below).abs());
    let blurred = difference
        .zip(error)
        .filter(|(difference, error)| *difference > 0.0 && difference < error);
    Assessment {
        verdict: if blurred.is_some() {
            Verdict::CannotTell
        } else {
            verdict(interval, ranks, is_rate)
        },
        blurred,
        baseline,
        candidate,
        ratio,
        interval,
        ranks,
        is_rate,
    }
}

/// How wrong a stamp of some results may be, s: the largest that was found out.
fn clock_error<'a>(results: impl Iterator<Item = &'a &'a BenchmarkResult>) -> Option<f64> {
    let errors = results.filter_map(|result| result.timing.clock_error.as_ref());
    errors.map(|it| it.p99 + it.resolution).reduce(f64::max)
}

fn verdict(interval: Option<(f64, f64)>, ranks: Option<RankTest>, is_rate: bool) -> Verdict {
    let significant = ranks.is_some_and(|ranks| ranks.p_value < SIGNIFICANCE);
    match interval {
        Some((low, _)) if significant && low > 1.0 => better(is_rate),
        Some((_, high)) if significant && high < 1.0 => better(!is_rate),
        _ => Verdict::CannotTell,
    }
}

fn better(yes: bool) -> Verdict {
    if yes {
        Verdict::Faster
    } else {
        Verdict::Slower
    }
}

impl Assessment {
    /// How many more repetitions would tell, where it is not told yet and would be with a number
    /// that can be advised.
    pub(super) fn repetitions_needed(&self) -> Option<usize> {
        let effect = self.ranks?.effect_size;
        let needed = (POWER_FACTOR / (effect * effect)).ceil();
        let have = self.baseline.len().min(self.candidate.len());
        if self.verdict != Verdict::CannotTell || needed - have as f64 > MOST_ADVISED {
            return None;
        }
        // At most a thousand more than a count that fits.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and bounded just above"
        )]
        let needed = (needed as usize).max(FEWEST_FOR_INTERVAL);
        Some(needed.saturating_sub(have).max(1))
    }

    /// Two-sided p of the Mann–Whitney U test; 1 where there is nothing to test.
    pub(super) fn p_value(&self) -> f64 {
        self.ranks.map_or(1.0, |ranks| ranks.p_value)
    }

    /// Candidate's speed by the baseline's; `None` where the two cannot be told apart.
    pub(super) fn speed(&self) -> Option<Speed> {
        if self.verdict == Verdict::CannotTell {
            return None;
        }
        let (low, high) = self.interval?;
        let ratio = self.ratio?;
        Some(if self.is_rate {
            Speed { ratio, low, high }
        } else {
            Speed {
                ratio: 1.0 / ratio,
                low: 1.0 / high,
                high: 1.0 / low,
            }
        })
    }

    /// The verdict in words.
    pub(super) fn sentence(&self) -> String {
        self.speed().map_or_else(
            || format!("cannot tell: {}", self.doubt()),
            |speed| speed_change(speed, None),
        )
    }

    /// Why it cannot be told.
    pub(super) fn doubt(&self) -> String {
        if self.candidate.is_empty() {
            return "it has no such values".to_owned();
        }
        if self.baseline.is_empty() {
            return "the baseline has no such values".to_owned();
        }
        if self
            .baseline
            .iter()
            .chain(&self.candidate)
            .any(|v| *v <= 0.0)
        {
            return "a value is 0, so there is no ratio".to_owned();
        }
        if let Some((difference, error)) = self.blurred {
            return format!(
                "the difference, {}, is smaller than the error of the clock, {}",
                time(difference, None),
                time(error, None)
            );
        }
        if self
            .ranks
            .is_some_and(|ranks| ranks.effect_size.abs() < f64::EPSILON)
        {
            let have = self.baseline.len().min(self.candidate.len());
            return if have < FEWEST_FOR_INTERVAL {
                let needed = FEWEST_FOR_INTERVAL - have;
                format!("about {} needed", count(needed, "more repetition"))
            } else {
                "no difference was seen".to_owned()
            };
        }
        match self.repetitions_needed() {
            Some(more) => format!("about {} needed", count(more, "more repetition")),
            None => format!(
                "if there is a difference, {MOST_ADVISED} more repetitions would not show it"
            ),
        }
    }

    fn into_row(self, metric: Metric, label: &str) -> ComparisonRow {
        ComparisonRow {
            metric: metric.name().to_owned(),
            candidate: label.to_owned(),
            baseline_n: self.baseline.len() as u64,
            candidate_n: self.candidate.len() as u64,
            baseline_median: median(&self.baseline),
            candidate_median: median(&self.candidate),
            ratio: self.ratio,
            ratio_low: self.interval.map(|(low, _)| low),
            ratio_high: self.interval.map(|(_, high)| high),
            p_value: self.ranks.map(|ranks| ranks.p_value),
            effect_size: self.ranks.map(|ranks| ranks.effect_size),
            verdict: self.verdict,
            sentence: self.sentence(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::fixture::{at_rates, failed, result};
    use crate::measure::random::Random;
    use crate::record::ClockError;

    fn set<'a>(label: &str, results: &'a [BenchmarkResult]) -> (String, Vec<&'a BenchmarkResult>) {
        (label.to_owned(), results.iter().collect())
    }

    fn row<'a>(rows: &'a [ComparisonRow], metric: &str) -> &'a ComparisonRow {
        rows.iter().find(|row| row.metric == metric).unwrap()
    }

    const SLOW: [f64; 6] = [10.0, 10.1, 9.9, 10.2, 9.8, 10.0];
    const QUICK: [f64; 6] = [12.0, 12.1, 11.9, 12.2, 11.8, 12.0];

    #[test]
    fn a_clear_difference_is_told_with_its_direction() {
        let (slow, quick) = (at_rates("a", &SLOW), at_rates("b", &QUICK));
        let rows = compare(&[set("a", &slow), set("b", &quick)]);
        let rate = row(&rows, "output_tokens_per_second");
        assert_eq!(rate.verdict, Verdict::Faster);
        assert!((rate.ratio.unwrap() - 1.2).abs() < 1e-9);
        assert_eq!(rate.effect_size, Some(1.0));
        assert!(
            rate.sentence.starts_with("20 % faster ("),
            "{}",
            rate.sentence
        );
        let time = row(&rows, "time_per_output_token");
        assert_eq!(time.verdict, Verdict::Faster);
        assert!((time.ratio.unwrap() - 1.0 / 1.2).abs() < 1e-9);
        assert_eq!(time.effect_size, Some(-1.0));
        assert!(
            time.sentence.starts_with("20 % faster ("),
            "{}",
            time.sentence
        );
        let back = compare(&[set("b", &quick), set("a", &slow)]);
        let rate = row(&back, "output_tokens_per_second");
        assert_eq!(rate.verdict, Verdict::Slower);
        assert!(
            rate.sentence.starts_with("17 % slower ("),
            "{}",
            rate.sentence
        );
    }

    #[test]
    fn few_repetitions_cannot_tell_and_say_how_many_would() {
        let (slow, quick) = (at_rates("a", &SLOW[..3]), at_rates("b", &QUICK[..3]));
        let rows = compare(&[set("a", &slow), set("b", &quick)]);
        let rate = row(&rows, "output_tokens_per_second");
        assert_eq!(rate.verdict, Verdict::CannotTell);
        assert_eq!(
            rate.sentence,
            "cannot tell: about 3 more repetitions needed"
        );
        assert!(rate.ratio.is_some());
        assert_eq!(rate.ratio_low, None);
        let alike = row(&rows, "time_to_first_chunk");
        assert_eq!(
            alike.sentence,
            "cannot tell: about 2 more repetitions needed"
        );
    }

    #[test]
    fn a_set_with_itself_cannot_be_told_apart() {
        let results = at_rates("a", &SLOW);
        for row in compare(&[set("a", &results), set("again", &results)]) {
            assert_eq!(row.verdict, Verdict::CannotTell);
            assert_eq!(row.sentence, "cannot tell: no difference was seen");
            assert_eq!(row.ratio, Some(1.0));
        }
    }

    #[test]
    fn a_small_effect_is_not_chased_for_ever() {
        let slow: Vec<f64> = (0..100).map(|i| 10.0 + f64::from(i)).collect();
        let quick: Vec<f64> = (0..100).map(|i| 10.4 + f64::from(i)).collect();
        let (slow, quick) = (at_rates("a", &slow), at_rates("b", &quick));
        let rows = compare(&[set("a", &slow), set("b", &quick)]);
        assert_eq!(
            row(&rows, "output_tokens_per_second").sentence,
            "cannot tell: if there is a difference, 1000 more repetitions would not show it"
        );
    }

    #[test]
    fn failures_and_missing_values_are_said() {
        let (good, bad) = (at_rates("a", &SLOW), [failed("b")]);
        let rows = compare(&[set("a", &good), set("b", &bad)]);
        let rate = row(&rows, "output_tokens_per_second");
        assert_eq!((rate.baseline_n, rate.candidate_n), (6, 0));
        assert_eq!(rate.sentence, "cannot tell: it has no such values");
        let rows = compare(&[set("b", &bad), set("a", &good)]);
        assert_eq!(
            row(&rows, "output_tokens_per_second").sentence,
            "cannot tell: the baseline has no such values"
        );
        assert_eq!(compare(&[]), []);
        assert_eq!(compare(&[set("b", &bad), set("c", &bad)]), []);
    }

    #[test]
    fn what_the_clock_cannot_tell_is_not_told() {
        let slow: Vec<BenchmarkResult> = (0..8)
            .map(|i| result("a", 0.1 + 1e-6 * f64::from(i), 0.01))
            .collect();
        let quick: Vec<BenchmarkResult> = (0..8)
            .map(|i| result("b", 0.1 + 1e-6 * f64::from(i + 40), 0.01))
            .collect();
        let told = |error: f64| {
            let with_error = |results: &[BenchmarkResult]| -> Vec<BenchmarkResult> {
                let mut results = results.to_vec();
                for result in &mut results {
                    result.timing.clock_error = Some(ClockError {
                        median: 0.0,
                        p99: error,
                        resolution: 5e-6,
                        streams: 1,
                        calibrated: chrono::DateTime::UNIX_EPOCH,
                    });
                }
                results
            };
            let (slow, quick) = (with_error(&slow), with_error(&quick));
            let rows = compare(&[set("a", &slow), set("b", &quick)]);
            row(&rows, "time_to_first_chunk").clone()
        };
        assert_eq!(told(20e-6).verdict, Verdict::Slower);
        let blurred = told(70e-6);
        assert_eq!(blurred.verdict, Verdict::CannotTell);
        assert_eq!(
            blurred.sentence,
            "cannot tell: the difference, 40 µs, is smaller than the error of the clock, 75 µs"
        );
    }

    #[test]
    fn a_zero_leaves_no_ratio() {
        let mut results = at_rates("a", &SLOW);
        for result in &mut results {
            result.timing.load_time = Some(0.0);
        }
        let rows = compare(&[set("a", &results), set("b", &results)]);
        let load = row(&rows, "load_time");
        assert_eq!(load.ratio, None);
        assert_eq!(
            load.sentence,
            "cannot tell: a value is 0, so there is no ratio"
        );
    }

    #[test]
    fn the_first_output_has_a_row_only_where_a_model_thought() {
        let plain = at_rates("a", &SLOW);
        let mut thinking = result("b", 0.5, 0.1);
        thinking.timing.time_to_first_output = Some(4.0);
        let without = compare(&[set("a", &plain), set("again", &plain)]);
        assert!(
            without
                .iter()
                .all(|row| row.metric != "time_to_first_output")
        );
        let with = compare(&[set("a", &plain), set("b", std::slice::from_ref(&thinking))]);
        assert_eq!(
            row(&with, "time_to_first_output").candidate_median,
            Some(4.0)
        );
    }

    /// Of sets from one distribution, at most one in twenty is said to differ.
    #[test]
    fn equal_models_are_seldom_called_different() {
        for size in [5, 8, 20] {
            let mut random = Random::new(11);
            let mut draw = || -> Vec<BenchmarkResult> {
                let rates: Vec<f64> = (0..size).map(|_| 8.0 + 4.0 * random.uniform()).collect();
                at_rates("a", &rates)
            };
            let told = (0..200)
                .filter(|_| {
                    let (a, b) = (draw(), draw());
                    let (a, b): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
                    assess(Metric::OutputTokensPerSecond, &a, &b).verdict != Verdict::CannotTell
                })
                .count();
            assert!(told <= 10, "{told} of 200 at {size}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn rows_are_finite_and_a_set_is_never_told_from_itself(
            rates in proptest::collection::vec(0.001..1e5_f64, 0..30),
            others in proptest::collection::vec(0.001..1e5_f64, 0..30),
        ) {
            let (a, b) = (at_rates("a", &rates), at_rates("b", &others));
            for row in compare(&[set("a", &a), set("b", &b), set("c", &a)]) {
                let json = serde_json::to_value(&row).unwrap();
                for (name, value) in json.as_object().unwrap() {
                    prop_assert!(
                        value.is_string() || value.is_null() || value.as_f64().unwrap().is_finite(),
                        "{}", name
                    );
                }
                // JSON has no NaN: it would have become null beside a number.
                prop_assert_eq!(row.ratio_low.is_some(), row.ratio_high.is_some());
                if let (Some(low), Some(ratio), Some(high)) = (row.ratio_low, row.ratio, row.ratio_high) {
                    prop_assert!(low.is_finite() && low <= ratio && ratio <= high && high.is_finite());
                }
                if row.candidate == "c" {
                    prop_assert_eq!(row.verdict, Verdict::CannotTell);
                }
            }
        }
    }
}
