//! Gaps, and other durations, of many requests taken together, in bounded memory: each is kept until there are too many,
//! then they go into a histogram. What was pooled apart can be merged.

use hdrhistogram::Histogram;

use super::statistics::{self, Ordered, finite};
use crate::record::Distribution;

/// So many are kept as they are. Their order is then exact, and sorting them takes a millisecond.
const MOST_EXACT: usize = 10_000;

/// Decimal digits that the histogram keeps of each value: one more than is shown, since deviations are
/// differences of two of them. Its bins for gaps up to a minute take three megabytes.
const DIGITS: u8 = 4;
const RESOLUTION: f64 = 1e-4;

const NANOSECONDS: f64 = 1e9;

/// Longest duration that is told apart from longer ones: a year, ns.
const LONGEST: f64 = 365.0 * 86_400.0 * NANOSECONDS;

/// Some durations, s.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    moments: Moments,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    Each(Vec<f64>),
    Counted(Histogram<u64>),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Extend<f64> for Pool {
    /// What is not finite is left out, as in every distribution.
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        for value in values.into_iter().filter(|value| value.is_finite()) {
            self.moments.add(value);
            self.kept.add(value);
        }
    }
}

impl FromIterator<f64> for Pool {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut pool = Self::default();
        pool.extend(values);
        pool
    }
}

impl Pool {
    /// Takes in what was pooled elsewhere.
    pub(super) fn merge(&mut self, other: Self) {
        self.moments.merge(&other.moments);
        match other.kept {
            Kept::Each(values) => values.into_iter().for_each(|value| self.kept.add(value)),
            Kept::Counted(counts) => {
                // Of the same digits and with room to grow, neither lacks a place for the other's values.
                let _ = self.kept.counts().map(|own| own.add(counts));
            }
        }
    }

    /// Describes them.
    pub(super) fn distribution(&self) -> Distribution {
        let counts = match &self.kept {
            Kept::Each(values) => return statistics::distribution(values),
            Kept::Counted(counts) => counts,
        };
        let Moments { n, mean, .. } = self.moments;
        let (min, max) = (self.moments.min, self.moments.max);
        let steps = Steps::of(counts, min, max);
        let of_order = statistics::ranks(&steps);
        Distribution {
            n,
            min: Some(min),
            max: Some(max),
            mean: finite(mean.clamp(min, max)),
            standard_deviation: self.moments.standard_deviation(),
            median_absolute_deviation: of_order
                .median
                .and_then(|centre| statistics::median(&steps.distances(centre))),
            resolution: Some(RESOLUTION),
            ..of_order
        }
    }
}

impl Kept {
    fn add(&mut self, value: f64) {
        match self {
            Self::Each(values) if values.len() < MOST_EXACT => values.push(value),
            Self::Each(_) | Self::Counted(_) => {
                if let Some(counts) = self.counts() {
                    count(counts, value);
                }
            }
        }
    }

    /// The histogram; made from what was kept where there was none yet.
    fn counts(&mut self) -> Option<&mut Histogram<u64>> {
        if let Self::Each(values) = self {
            // It refuses only more than five digits.
            let mut counts = Histogram::new(DIGITS).ok()?;
            for value in values {
                count(&mut counts, *value);
            }
            *self = Self::Counted(counts);
        }
        match self {
            Self::Counted(counts) => Some(counts),
            Self::Each(_) => None,
        }
    }
}

fn count(counts: &mut Histogram<u64>, seconds: f64) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bounds just given"
    )]
    let nanoseconds = (seconds * NANOSECONDS).round().clamp(0.0, LONGEST) as u64;
    // It grows as it must; only beyond any memory it would refuse.
    let _ = counts.record(nanoseconds);
}

/// Number, ends, mean and spread, exactly and without keeping the values (Welford 1962; merged as by
/// Chan, Golub and `LeVeque` 1979).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) n: u64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    /// Squared distances from the mean, added up.
    pub(super) squares: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            n: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
        }
    }
}

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.n += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let distance = value - self.mean;
        self.mean += distance / self.n as f64;
        self.squares += distance * (value - self.mean);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let n = self.n + other.n;
        let distance = other.mean - self.mean;
        let share = other.n as f64 / n as f64;
        self.squares += other.squares + distance * distance * self.n as f64 * share;
        self.mean += distance * share;
        self.n = n;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Of the sample (n − 1).
    pub(super) fn standard_deviation(&self) -> Option<f64> {
        (self.n >= 2)
            .then(|| (self.squares / (self.n - 1) as f64).sqrt())
            .and_then(finite)
    }
}

/// Values that occur more than once, in order: each with the number of values up to it.
pub(super) struct Steps(Vec<(f64, usize)>);

impl Steps {
    /// A bin's value is its middle, but never beyond the ends.
    fn of(counts: &Histogram<u64>, min: f64, max: f64) -> Self {
        let bins = counts.iter_recorded().map(|bin| {
            let middle = counts.median_equivalent(bin.value_iterated_to()) as f64 / NANOSECONDS;
            (middle.clamp(min, max), bin.count_at_value())
        });
        Self::counted(bins)
    }

    /// How far each value is from a point.
    fn distances(&self, centre: f64) -> Self {
        let mut before = 0;
        let mut bins: Vec<(f64, u64)> = self
            .0
            .iter()
            .map(|(value, until)| {
                let count = (until - before) as u64;
                before = *until;
                ((value - centre).abs(), count)
            })
            .collect();
        bins.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self::counted(bins)
    }

    pub(super) fn counted(bins: impl IntoIterator<Item = (f64, u64)>) -> Self {
        let mut until = 0_usize;
        let steps = bins.into_iter().map(|(value, count)| {
            until = until.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
            (value, until)
        });
        Self(steps.collect())
    }
}

impl Ordered for Steps {
    fn count(&self) -> usize {
        self.0.last().map_or(0, |(_, until)| *until)
    }

    fn at(&self, place: usize) -> f64 {
        let bin = self.0.partition_point(|(_, until)| *until <= place);
        let bin = self.0.get(bin).or(self.0.last());
        bin.map_or(f64::NAN, |(value, _)| *value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::random::Random;

    /// Gaps as they come: most near 10 ms, some in bursts, a few stalls of seconds.
    fn gaps(n: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        (0..n)
            .map(|_| match random.uniform() {
                kind if kind < 0.9 => 0.01 * (0.5 + random.uniform()),
                kind if kind < 0.99 => 20e-6 * random.uniform(),
                _ => -random.uniform().ln(),
            })
            .collect()
    }

    #[track_caller]
    fn near(found: Option<f64>, expected: Option<f64>, share: f64) {
        let (found, expected) = (found.unwrap(), expected.unwrap());
        assert!(
            (found - expected).abs() <= share * expected.abs() + 1e-9,
            "{found} is not {expected}"
        );
    }

    fn check(values: &[f64], pool: &Pool) {
        let exact = statistics::distribution(values);
        let found = pool.distribution();
        assert_eq!(
            (found.n, found.min, found.max),
            (exact.n, exact.min, exact.max)
        );
        assert_eq!(found.percentile_reason, exact.percentile_reason);
        near(found.mean, exact.mean, 1e-9);
        near(found.standard_deviation, exact.standard_deviation, 1e-6);
        for (found, exact) in [
            (found.median, exact.median),
            (found.p90, exact.p90),
            (found.p95, exact.p95),
            (found.p99, exact.p99),
            (found.median_low, exact.median_low),
            (found.median_high, exact.median_high),
        ] {
            near(found, exact, RESOLUTION);
        }
        // A difference of two of them.
        let deviation = found.median_absolute_deviation.unwrap();
        let error = (deviation - exact.median_absolute_deviation.unwrap()).abs();
        assert!(error <= 2.0 * RESOLUTION * exact.median.unwrap(), "{error}");
    }

    #[test]
    fn few_are_exact_and_many_as_near_as_is_said() {
        let many = gaps(40_000, 1);
        let few: Pool = many[..MOST_EXACT].iter().copied().collect();
        assert_eq!(
            few.distribution(),
            statistics::distribution(&many[..MOST_EXACT])
        );
        assert_eq!(few.distribution().resolution, None);
        let pool: Pool = many.iter().copied().collect();
        assert_eq!(pool.distribution().resolution, Some(RESOLUTION));
        check(&many, &pool);
    }

    #[test]
    fn parts_that_are_merged_are_the_whole() {
        let all = gaps(60_000, 2);
        let (mut merged, mut rest) = (Pool::default(), all.as_slice());
        for size in [100, 30_000, 5, 9_000, 20_000, 895] {
            let (part, others) = rest.split_at(size);
            rest = others;
            merged.merge(part.iter().copied().collect());
        }
        check(&all, &merged);
        let whole: Pool = all.iter().copied().collect();
        let (merged, whole) = (merged.distribution(), whole.distribution());
        assert_eq!((merged.median, merged.p99), (whole.median, whole.p99));
    }

    #[test]
    fn the_longest_and_the_shortest_are_kept() {
        let mut values = vec![0.0, 1e12, 1e-12];
        values.extend(gaps(20_000, 3));
        let found = values.into_iter().collect::<Pool>().distribution();
        assert_eq!(
            (found.min, found.max, found.n),
            (Some(0.0), Some(1e12), 20_003)
        );
    }

    /// Gaps of a steady server differ by microseconds.
    #[test]
    fn a_small_spread_is_still_seen() {
        let mut random = Random::new(4);
        let values: Vec<f64> = (0..40_000)
            .map(|_| 0.01 + 4e-6 * random.uniform())
            .collect();
        let pool: Pool = values.iter().copied().collect();
        let deviation = pool.distribution().median_absolute_deviation.unwrap();
        assert!((0.5e-6..2e-6).contains(&deviation), "{deviation}");
        check(&values, &pool);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_durations_are_as_near_as_is_said(
            exponents in proptest::collection::vec(-5.0..4.0_f64, 700..900), cut in 0..700_usize,
        ) {
            let base: Vec<f64> = exponents.iter().map(|it| 10_f64.powf(*it)).collect();
            // Enough for the histogram, from values of every size.
            let all: Vec<f64> = base.iter().cycle().take(MOST_EXACT + 500).copied().collect();
            let (left, right) = all.split_at(cut);
            let mut pool: Pool = left.iter().copied().collect();
            pool.merge(right.iter().copied().collect());
            check(&all, &pool);
            let found = pool.distribution();
            let order = [found.min, found.median_low, found.median, found.median_high, found.p90, found.p95, found.p99, found.max];
            let order: Vec<f64> = order.into_iter().flatten().collect();
            prop_assert!(order.len() == 8 && order.is_sorted(), "{:?}", order);
        }
    }
}
