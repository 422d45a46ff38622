//! What a set of values says: quantiles, spread, and how sure the median is. It knows numbers, not
//! what they stand for.

use super::random::Random;
use crate::record::Distribution;

/// Fewest values for a percentile: with 99 % confidence at least two of so many values lie beyond
/// it, the smallest n with `q^n + n·(1 − q)·q^(n−1) ≤ 0.01`. Below, a percentile is the maximum
/// under another name.
const FEWEST_FOR_P90: usize = 64;
const FEWEST_FOR_P95: usize = 130;
pub(super) const FEWEST_FOR_P99: usize = 662;

/// Fewest values for an interval of the median: of four or fewer, all lie on one side of the true
/// median more often than once in ten sets, so no resampling of them can reach 95 %.
pub const FEWEST_FOR_INTERVAL: usize = 5;

/// Resamples of a bootstrap: each end of a 95 % interval then rests on fifty of them.
const RESAMPLES: usize = 2000;

/// Any number; fixed, so that the same values always give the same interval.
const SEED: u64 = 0x0b5e_55ed;

/// Describes a set of values. What is not finite is left out.
pub fn distribution(values: &[f64]) -> Distribution {
    let sorted = sorted(values);
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return Distribution::default();
    };
    Distribution {
        n: sorted.len() as u64,
        min: Some(min),
        max: Some(max),
        mean: mean(&sorted).map(|mean| mean.clamp(min, max)),
        standard_deviation: standard_deviation(&sorted),
        median_absolute_deviation: median_absolute_deviation(&sorted),
        ..ranks(&sorted)
    }
}

/// The figures that follow from the order of values alone.
pub(super) fn ranks<O: Ordered + ?Sized>(values: &O) -> Distribution {
    let interval = median_interval(values);
    Distribution {
        median_low: interval.map(|(low, _)| low),
        median_high: interval.map(|(_, high)| high),
        ..percentiles(values)
    }
}

/// The median, and the percentiles that there are values enough for.
pub(super) fn percentiles<O: Ordered + ?Sized>(values: &O) -> Distribution {
    let n = values.count();
    let percentile = |fewest: usize, share: f64| {
        (n >= fewest)
            .then(|| quantile(values, share))
            .and_then(finite)
    };
    Distribution {
        median: median(values),
        p90: percentile(FEWEST_FOR_P90, 0.90),
        p95: percentile(FEWEST_FOR_P95, 0.95),
        p99: percentile(FEWEST_FOR_P99, 0.99),
        percentile_reason: percentile_reason(n),
        ..Distribution::default()
    }
}

/// Values in order.
pub(super) trait Ordered {
    /// How many there are.
    fn count(&self) -> usize;
    /// The one at a place, from 0; places beyond the last have the last.
    fn at(&self, place: usize) -> f64;
}

impl Ordered for [f64] {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, place: usize) -> f64 {
        self.get(place).or(self.last()).copied().unwrap_or(f64::NAN)
    }
}

impl Ordered for Vec<f64> {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, place: usize) -> f64 {
        self.as_slice().at(place)
    }
}

fn percentile_reason(n: usize) -> Option<String> {
    let needed: Vec<String> = [
        ("p90", FEWEST_FOR_P90),
        ("p95", FEWEST_FOR_P95),
        ("p99", FEWEST_FOR_P99),
    ]
    .into_iter()
    .filter(|(_, fewest)| n < *fewest)
    .map(|(name, fewest)| format!("{name} needs {fewest} values"))
    .collect();
    (!needed.is_empty()).then(|| format!("n too small: {n}; {}", needed.join(", ")))
}

/// The number itself where it is one.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Figures to twelve significant digits: a clock of microseconds tells nine of them within a quarter of an
/// hour, and what lies behind the twelfth is noise of the arithmetic, such as `0.018000000000000016`.
pub(super) fn rounded(figures: Distribution) -> Distribution {
    let round = |figure: Option<f64>| figure.map(significant);
    Distribution {
        min: round(figures.min),
        max: round(figures.max),
        mean: round(figures.mean),
        median: round(figures.median),
        p90: round(figures.p90),
        p95: round(figures.p95),
        p99: round(figures.p99),
        standard_deviation: round(figures.standard_deviation),
        median_absolute_deviation: round(figures.median_absolute_deviation),
        median_low: round(figures.median_low),
        median_high: round(figures.median_high),
        ..figures
    }
}

/// A number to twelve significant digits.
pub(super) fn significant(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// The finite ones of some values, in order.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut kept: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    kept.sort_by(f64::total_cmp);
    kept
}

/// Arithmetic mean; `None` of nothing, or where the sum leaves the range of a double.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    finite(values.iter().sum::<f64>() / values.len() as f64)
}

/// Middle value of sorted ones.
pub(super) fn median<O: Ordered + ?Sized>(sorted: &O) -> Option<f64> {
    if sorted.count() == 0 {
        return None;
    }
    let (low, high) = middle(sorted.count());
    Some(f64::midpoint(sorted.at(low), sorted.at(high)))
}

/// Positions of the one or two middle values.
fn middle(n: usize) -> (usize, usize) {
    ((n - 1) / 2, n / 2)
}

/// Quantile of sorted values, interpolated linearly between the neighbours of rank
/// `share · (n − 1)` (type 7 of Hyndman and Fan 1996, the default of `NumPy` and R).
pub(super) fn quantile<O: Ordered + ?Sized>(sorted: &O, share: f64) -> f64 {
    let rank = share * (sorted.count() - 1) as f64;
    let below = position(rank, sorted.count());
    let weight = rank - below as f64;
    let low = sorted.at(below);
    low + weight * (sorted.at(below + 1) - low)
}

/// A rank as a position in a list of `n`, `n` at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are positive and below the length of a list"
)]
fn position(rank: f64, n: usize) -> usize {
    (rank as usize).min(n - 1)
}

/// Standard deviation of the sample (n − 1); `None` below two values.
pub(super) fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    finite((squares / (values.len() - 1) as f64).sqrt())
}

/// Median distance from the median, unscaled, of sorted values.
pub(super) fn median_absolute_deviation(sorted_values: &[f64]) -> Option<f64> {
    let centre = median(sorted_values)?;
    let distances: Vec<f64> = sorted_values
        .iter()
        .map(|value| (value - centre).abs())
        .collect();
    median(&sorted(&distances))
}

/// 95 % percentile-bootstrap interval of the median of sorted values; `None` below five of them.
fn median_interval<O: Ordered + ?Sized>(sorted: &O) -> Option<(f64, f64)> {
    if sorted.count() < FEWEST_FOR_INTERVAL {
        return None;
    }
    interval_of(resampled_medians(sorted, &mut Random::new(SEED)).collect())
}

/// 95 % percentile-bootstrap interval of `median(candidate) / median(baseline)`, both sorted;
/// `None` below five values on a side, or where one is not positive.
pub(super) fn ratio_interval(baseline: &[f64], candidate: &[f64]) -> Option<(f64, f64)> {
    let enough =
        |values: &[f64]| values.len() >= FEWEST_FOR_INTERVAL && values.iter().all(|v| *v > 0.0);
    if !enough(baseline) || !enough(candidate) {
        return None;
    }
    // Each side has its own stream: with one for both, equal sets would always be resampled alike
    // and their ratio would be 1 without any doubt.
    let below = resampled_medians(baseline, &mut Random::new(SEED)).collect::<Vec<_>>();
    let above = resampled_medians(candidate, &mut Random::new(!SEED)).collect::<Vec<_>>();
    interval_of(below.iter().zip(&above).map(|(b, c)| c / b).collect())
}

fn interval_of(mut resampled: Vec<f64>) -> Option<(f64, f64)> {
    resampled.sort_by(f64::total_cmp);
    let low = finite(quantile(&resampled, 0.025))?;
    let high = finite(quantile(&resampled, 0.975))?;
    Some((low, high))
}

/// Medians of resamples with replacement.
///
/// A resample is never written down. Sorted, its k-th value is the value at position ⌊n·U⌋, where
/// U is the k-th of n sorted uniform numbers, and that is Beta(k, n − k + 1) distributed. A median
/// so costs the same for five values as for a million pooled chunk gaps. The second middle value
/// of an even n lies beyond the first by the smallest of the n − k uniform numbers that are left.
fn resampled_medians<'a, O: Ordered + ?Sized>(
    sorted: &'a O,
    random: &'a mut Random,
) -> impl Iterator<Item = f64> + 'a {
    let n = sorted.count();
    let k = (n.div_ceil(2)) as f64;
    let left = n as f64 - k;
    (0..RESAMPLES).map(move |_| {
        let first = random.beta(k, left + 1.0);
        let low = sorted.at(position(first * n as f64, n));
        if n % 2 == 1 {
            return low;
        }
        let gap = 1.0 - random.uniform().powf(1.0 / left);
        let second = first + (1.0 - first) * gap;
        f64::midpoint(low, sorted.at(position(second * n as f64, n)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn close(found: Option<f64>, expected: f64) {
        let found = found.expect("a figure");
        assert!(
            (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
            "{found} is not {expected}"
        );
    }

    /// Expected values recorded with `SciPy` 1.17.1 and `NumPy` 2.4.6:
    /// `numpy.mean(v)`, `numpy.std(v, ddof=1)`, `scipy.stats.median_abs_deviation(v)`,
    /// `numpy.percentile(v, [90, 95, 99])`.
    #[test]
    fn agrees_with_scipy() {
        let few = distribution(&[3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]);
        close(few.mean, 3.875);
        close(few.median, 3.5);
        close(few.standard_deviation, 2.748_376_143_938_713);
        close(few.median_absolute_deviation, 2.0);

        let many: Vec<f64> = (0..700_u32)
            .map(|i| f64::from((i * 37) % 101) + 0.25 * f64::from(i))
            .collect();
        let many = distribution(&many);
        close(many.p90, 215.775);
        close(many.p95, 233.7625);
        close(many.p99, 255.535);
        close(many.standard_deviation, 58.473_091_123_616_74);
        close(many.median_absolute_deviation, 44.0);
    }

    #[test]
    fn nothing_has_no_figures() {
        assert_eq!(distribution(&[]), Distribution::default());
        assert_eq!(
            distribution(&[f64::NAN, f64::INFINITY]),
            Distribution::default()
        );
    }

    #[test]
    fn noise_of_the_arithmetic_is_rounded_away() {
        assert_eq!(significant(0.018_000_000_000_000_016).to_string(), "0.018");
        assert_eq!(
            significant(-54.819_292_860_724_52).to_string(),
            "-54.8192928607"
        );
        for value in [0.0, 1.5, 899.999_999, f64::MAX, f64::MIN_POSITIVE] {
            let error = (significant(value) - value).abs();
            assert!(error <= value * 1e-11, "{value}");
        }
    }

    #[test]
    fn percentiles_wait_for_enough_values() {
        let values: Vec<f64> = (0..662).map(f64::from).collect();
        assert_eq!(distribution(&values[..63]).p90, None);
        assert_eq!(
            distribution(&values[..63]).percentile_reason.as_deref(),
            Some(
                "n too small: 63; p90 needs 64 values, p95 needs 130 values, p99 needs 662 values"
            )
        );
        assert!(distribution(&values[..64]).p90.is_some());
        assert_eq!(distribution(&values[..129]).p95, None);
        assert!(distribution(&values[..130]).p95.is_some());
        assert_eq!(distribution(&values[..661]).p99, None);
        let all = distribution(&values);
        assert!(all.p99.is_some());
        assert_eq!(all.percentile_reason, None);
    }

    #[test]
    fn the_floors_of_percentiles_follow_from_their_definition() {
        for (share, fewest) in [
            (0.90_f64, FEWEST_FOR_P90),
            (0.95, FEWEST_FOR_P95),
            (0.99, FEWEST_FOR_P99),
        ] {
            let fewer_than_two_beyond = |n: usize| {
                let n = n as f64;
                share.powf(n) + n * (1.0 - share) * share.powf(n - 1.0)
            };
            assert!(fewer_than_two_beyond(fewest) <= 0.01);
            assert!(fewer_than_two_beyond(fewest - 1) > 0.01);
        }
    }

    #[test]
    fn an_interval_of_the_median_needs_five_values() {
        let few = distribution(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!((few.median_low, few.median_high), (None, None));
        let enough = distribution(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(
            (enough.median_low, enough.median_high),
            (Some(1.0), Some(5.0))
        );
    }

    /// The shortcut draws from the same distribution as writing each resample down.
    #[test]
    fn resampled_medians_are_those_of_written_resamples() {
        for n in [5_u32, 6, 31, 32] {
            let values: Vec<f64> = (0..n).map(|i| f64::from(i * i)).collect();
            let quick: Vec<f64> = resampled_medians(&values, &mut Random::new(7)).collect();
            let mut random = Random::new(8);
            let slow: Vec<f64> = (0..RESAMPLES)
                .map(|_| {
                    let drawn: Vec<f64> = (0..n)
                        .map(|_| values[position(random.uniform() * f64::from(n), values.len())])
                        .collect();
                    median(&sorted(&drawn)).unwrap()
                })
                .collect();
            for value in &values {
                let share = |drawn: &[f64]| {
                    drawn.iter().filter(|d| *d <= value).count() as f64 / drawn.len() as f64
                };
                // Five standard errors of a difference of two shares of 2000.
                assert!((share(&quick) - share(&slow)).abs() < 0.08, "{n} {value}");
            }
        }
    }

    /// Of many normal samples, the share whose interval holds the true median is near 95 %.
    #[test]
    fn the_interval_of_the_median_covers_it() {
        let mut random = Random::new(3);
        let covered = (0..300)
            .filter(|_| {
                // A sum of twelve uniform numbers is near enough to a normal one.
                let values: Vec<f64> = (0..25)
                    .map(|_| (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0)
                    .collect();
                let (low, high) = median_interval(&sorted(&values)).unwrap();
                low <= 0.0 && 0.0 <= high
            })
            .count();
        assert!((270..=299).contains(&covered), "{covered} of 300");
    }

    fn any_values() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![-1e6..1e6, Just(0.0), Just(1.0), proptest::num::f64::ANY,];
        proptest::collection::vec(value, 0..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn figures_are_finite_and_in_order(values in any_values()) {
            let found = distribution(&values);
            prop_assert_eq!(found.n, values.iter().filter(|v| v.is_finite()).count() as u64);
            let text = serde_json::to_value(&found).unwrap();
            for (name, value) in text.as_object().unwrap() {
                prop_assert!(value.is_null() || value.is_string() || value.as_f64().unwrap().is_finite(), "{}", name);
            }
            if let (Some(min), Some(median), Some(max)) = (found.min, found.median, found.max) {
                prop_assert!(min <= median && median <= max);
                if let Some(mean) = found.mean {
                    prop_assert!(min <= mean && mean <= max);
                }
                if let (Some(low), Some(high)) = (found.median_low, found.median_high) {
                    prop_assert!(min <= low && low <= median && median <= high && high <= max);
                }
            }
        }

        #[test]
        fn order_does_not_matter(values in any_values()) {
            let mut turned = values.clone();
            turned.reverse();
            prop_assert_eq!(distribution(&values), distribution(&turned));
        }
    }
}
