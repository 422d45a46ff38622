//! How much the values of one model vary: spread, outliers and drift. They are flagged, not removed.

use super::Findings;
use crate::measure::rank_test::rank_test;
use crate::measure::selection::Metric;
use crate::measure::statistics::{
    FEWEST_FOR_INTERVAL, mean, median, median_absolute_deviation, sorted, standard_deviation,
};
use crate::measure::wording::count;
use crate::record::BenchmarkResult;

/// Coefficient of variation from which it is named: five values that vary by a tenth leave their
/// mean uncertain by about as much, the order of difference that models are compared for.
const HIGH_VARIATION: f64 = 0.10;

/// And from which nothing should be quoted: five such values leave the mean uncertain by a third.
const EXTREME_VARIATION: f64 = 0.30;

/// Modified z-score of an outlier (Iglewicz and Hoaglin 1993).
const OUTLIER_SCORE: f64 = 3.5;

/// Makes the median absolute deviation of normal values comparable with their standard deviation.
const MAD_TO_SIGMA: f64 = 0.6745;

/// The same for the mean absolute deviation, used where more than half of the values are equal.
const MEAN_DEVIATION_TO_SIGMA: f64 = 0.7979;

/// Outliers and drifts smaller than this share of the median change no conclusion.
const NEGLIGIBLE: f64 = 0.05;

/// Fewest values for a drift: with fewer than six a half, ranks never reach the level below.
const FEWEST_FOR_DRIFT: usize = 12;

/// Level of the test for drift; strict, since every model, prompt and metric is tested.
const DRIFT_SIGNIFICANCE: f64 = 0.01;

/// What is looked at for spread, outliers and drift.
pub(super) const WATCHED: [(Metric, &str); 2] = [
    (Metric::TimeToFirstChunk, "time to first chunk"),
    (Metric::OutputTokensPerSecond, "tokens a second"),
];

/// The worst of all prompts is named once.
pub(super) fn judge_spread(
    groups: &[Vec<&BenchmarkResult>],
    metric: Metric,
    what: &str,
    findings: &mut Findings,
) {
    let groups: Vec<Vec<f64>> = groups
        .iter()
        .map(|group| metric.values(group))
        .filter(|values| values.len() >= FEWEST_FOR_INTERVAL)
        .collect();
    let variation = groups
        .iter()
        .filter_map(|values| Some(standard_deviation(values)? / mean(values)?))
        .max_by(f64::total_cmp)
        .filter(|variation| *variation > HIGH_VARIATION);
    if let Some(variation) = variation {
        let percent = variation * 100.0;
        let reason = format!("{what} varies by {percent:.0} % (coefficient of variation)");
        if variation > EXTREME_VARIATION {
            findings.poor(reason);
        } else {
            findings.fair(reason);
        }
    }
    let outliers: usize = groups.iter().map(|values| outliers(values)).sum();
    if outliers > 0 {
        let all: usize = groups.iter().map(Vec::len).sum();
        findings.fair(format!(
            "{what} has {} among {all} values",
            count(outliers, "outlier")
        ));
    }
    let drift = groups
        .iter()
        .filter_map(|values| drift(values))
        .max_by(|a, b| a.abs().total_cmp(&b.abs()));
    if let Some(drift) = drift {
        findings.fair(format!(
            "{what} drifted: {:.0} % {} in the second half than in the first",
            drift.abs() * 100.0,
            if drift > 0.0 { "higher" } else { "lower" }
        ));
    }
}

/// How many values lie far out.
pub(in crate::measure) fn outliers(values: &[f64]) -> usize {
    let sorted = sorted(values);
    let (Some(centre), Some(deviation)) = (median(&sorted), median_absolute_deviation(&sorted))
    else {
        return 0;
    };
    let distances: Vec<f64> = sorted.iter().map(|value| (value - centre).abs()).collect();
    let unit = if deviation > 0.0 {
        deviation / MAD_TO_SIGMA
    } else {
        mean(&distances).unwrap_or(0.0) / MEAN_DEVIATION_TO_SIGMA
    };
    distances
        .iter()
        .filter(|distance| {
            **distance > OUTLIER_SCORE * unit && **distance > NEGLIGIBLE * centre.abs()
        })
        .count()
}

/// Change of the median from the first half to the second as a share of the first; `None` where
/// there is no change worth naming. Values are in the order they were taken; of an odd number the
/// middle one belongs to neither half.
fn drift(values: &[f64]) -> Option<f64> {
    if values.len() < FEWEST_FOR_DRIFT {
        return None;
    }
    let half = values.len() / 2;
    let (first, second) = (&values[..half], &values[values.len() - half..]);
    let p_value = rank_test(first, second)?.p_value;
    let before = median(&sorted(first)).filter(|before| *before > 0.0)?;
    let change = median(&sorted(second))? / before - 1.0;
    (p_value < DRIFT_SIGNIFICANCE && change.abs() > NEGLIGIBLE).then_some(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::random::Random;

    fn rising(n: u32, step: f64) -> Vec<f64> {
        (0..n).map(|i| 10.0 + step * f64::from(i)).collect()
    }

    #[test]
    fn a_drift_is_told_in_both_directions_and_of_odd_numbers() {
        let up = drift(&rising(14, 0.2)).unwrap();
        assert!((up - (11.0 + 1.0) / 10.6 + 1.0).abs() < 1e-9, "{up}");
        let mut down = rising(15, 0.2);
        down.reverse();
        assert!(drift(&down).unwrap() < 0.0);
    }

    #[test]
    fn few_values_and_small_changes_are_no_drift() {
        assert_eq!(drift(&rising(11, 0.5)), None);
        assert!(drift(&rising(12, 0.5)).is_some());
        assert_eq!(drift(&rising(40, 0.01)), None);
        assert_eq!(drift(&[]), None);
    }

    /// Of values without a trend, at most one set in a hundred has one, and a little for luck.
    #[test]
    fn chance_is_seldom_called_drift() {
        let mut random = Random::new(23);
        let told = (0..500)
            .filter(|_| {
                let values: Vec<f64> = (0..20).map(|_| 1.0 + random.uniform()).collect();
                drift(&values).is_some()
            })
            .count();
        assert!(told <= 10, "{told} of 500");
    }

    #[test]
    fn an_outlier_begins_at_three_and_a_half() {
        // The median is 10 and the median deviation 1: the score of a distance d is 0.6745 d.
        let with = |far: f64| outliers(&[8.0, 9.0, 9.0, 10.0, 10.0, 11.0, 11.0, 12.0, far]);
        assert_eq!(with(10.0 + 3.4 / 0.6745), 0);
        assert_eq!(with(10.0 + 3.6 / 0.6745), 1);
        assert_eq!(outliers(&[1.0; 9]), 0);
    }
}
