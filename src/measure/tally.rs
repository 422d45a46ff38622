//! What the figures of many requests add up to, in a form that can be kept and merged: the number of
//! runs and requests, and of each figure its number, ends, mean and spread exactly, its order to a
//! thousandth.
//!
//! The order is kept in bins whose ends grow by a constant factor, so that the middle of each is near all
//! of its values by share (`DDSketch`: Masson, Rim, Lee 2019). Only bins that hold something are written
//! down: a figure of a day takes some hundred bytes, one of three years a few thousand.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::pool::{Moments, Steps};
use super::statistics::{finite, percentiles, sorted};
use crate::record::{FigureStatistics, ModelStatistics, StoredFigures};

/// So many requests of one answer are kept each, and their order is exact.
pub const MOST_EXACT: usize = 10_000;

/// How far a bin's middle is from its values, as a share of them: three digits are shown.
const RESOLUTION: f64 = 0.001;

/// Values below a nanosecond share the lowest bin, as nothing.
const SMALLEST: f64 = 1e-9;
const LOWEST: i32 = i32::MIN;

/// First byte of what is packed; another one is of another version, which is made anew.
const VERSION: u8 = 1;

/// More requests than this were never counted; nothing that is added to them overflows.
const MOST_COUNTED: u64 = 1 << 53;

/// The figures of each request.
const FIGURES: usize = 6;

/// Some requests of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    runs: u64,
    succeeded: u64,
    failed: u64,
    figures: [Values; FIGURES],
    /// The run that the request before was of.
    last_run: Option<i64>,
}

/// Values of one figure.
#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    moments: Moments,
    kept: Kept,
}

#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Each(Vec<f64>),
    /// How many fall into each bin, in the order of the bins.
    Counted(Vec<(i32, u64)>),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Counted(Vec::new())
    }
}

/// Tallies of one answer, each with its key. Of few requests every value is kept.
#[derive(Debug)]
pub struct Tallies<K> {
    by_key: BTreeMap<K, Tally>,
    requests: usize,
}

impl<K> Default for Tallies<K> {
    fn default() -> Self {
        Self {
            by_key: BTreeMap::new(),
            requests: 0,
        }
    }
}

impl<K: Ord> Tallies<K> {
    /// Counts a request. Those of a run must come one after another for each key.
    pub fn add(&mut self, key: K, request: &StoredFigures) {
        self.requests += 1;
        if self.requests == MOST_EXACT + 1 {
            self.by_key.values_mut().for_each(Tally::count);
        }
        let is_exact = self.requests <= MOST_EXACT;
        let empty = || Tally::empty(is_exact);
        self.by_key.entry(key).or_insert_with(empty).add(request);
    }

    /// Takes in what was tallied elsewhere; all values are counted from then on.
    pub fn merge(&mut self, key: K, tally: Tally) {
        if self.requests <= MOST_EXACT {
            self.by_key.values_mut().for_each(Tally::count);
            self.requests = MOST_EXACT + 1;
        }
        self.by_key.entry(key).or_default().merge(tally);
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// All of them, in the order of their keys.
    pub fn into_all(self) -> impl Iterator<Item = (K, Tally)> {
        self.by_key.into_iter()
    }
}

impl Tally {
    fn empty(is_exact: bool) -> Self {
        let mut tally = Self::default();
        if is_exact {
            for values in &mut tally.figures {
                values.kept = Kept::Each(Vec::new());
            }
        }
        tally
    }

    /// How many requests it is of.
    pub fn requests(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// Counts a request. Those of a run must come one after another.
    pub fn add(&mut self, request: &StoredFigures) {
        if self.last_run != Some(request.run) {
            self.last_run = Some(request.run);
            self.runs += 1;
        }
        if request.is_failed {
            self.failed += 1;
            return;
        }
        self.succeeded += 1;
        for (values, value) in self.figures.iter_mut().zip(request.figures) {
            if let Some(value) = value.filter(|it| it.is_finite()) {
                values.add(value);
            }
        }
    }

    /// Takes in the requests of other runs.
    pub fn merge(&mut self, mut other: Self) {
        self.count();
        other.count();
        self.runs += other.runs;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.last_run = None;
        for (values, more) in self.figures.iter_mut().zip(&other.figures) {
            values.merge(more);
        }
    }

    /// Gives up the single values.
    fn count(&mut self) {
        for values in &mut self.figures {
            if let Kept::Each(each) = &values.kept {
                let mut bins = BTreeMap::new();
                for value in each {
                    *bins.entry(bin(*value)).or_default() += 1;
                }
                values.kept = Kept::Counted(bins.into_iter().collect());
            }
        }
    }

    /// What it says of a model, all days together or of one.
    pub fn statistics(
        &self,
        model: String,
        backend: String,
        day: Option<NaiveDate>,
    ) -> ModelStatistics {
        let [first, per_token, latency, total, rate, bytes] = &self.figures;
        ModelStatistics {
            model,
            backend,
            day,
            runs: self.runs,
            succeeded: self.succeeded,
            failed: self.failed,
            time_to_first_chunk: first.statistics(),
            time_per_output_token: per_token.statistics(),
            request_latency: latency.statistics(),
            total_time: total.statistics(),
            output_tokens_per_second: rate.statistics(),
            bytes_per_second: bytes.statistics(),
        }
    }

    /// As bytes: the counts, then each figure's number, moments, and bins by their distance from the one
    /// before. Whole numbers are LEB128 varints.
    pub fn pack(mut self) -> Vec<u8> {
        self.count();
        let mut bytes = vec![VERSION];
        for count in [self.runs, self.succeeded, self.failed] {
            put(&mut bytes, count);
        }
        for values in &self.figures {
            let Moments {
                n,
                min,
                max,
                mean,
                squares,
            } = values.moments;
            put(&mut bytes, n);
            let Kept::Counted(bins) = &values.kept else {
                continue;
            };
            if n == 0 {
                continue;
            }
            for moment in [min, max, mean, squares] {
                bytes.extend_from_slice(&moment.to_le_bytes());
            }
            put(&mut bytes, bins.len() as u64);
            let mut before = i64::from(LOWEST);
            for (bin, count) in bins {
                // Bins are in order: never negative.
                put(&mut bytes, (i64::from(*bin) - before).unsigned_abs());
                put(&mut bytes, *count);
                before = i64::from(*bin);
            }
        }
        bytes
    }

    /// Reads what [`Tally::pack`] wrote; `None` where the bytes are something else.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut tally = Self {
            runs: take(&mut rest)?,
            succeeded: take(&mut rest)?,
            failed: take(&mut rest)?,
            ..Self::default()
        };
        if [tally.runs, tally.succeeded, tally.failed]
            .iter()
            .any(|count| *count > MOST_COUNTED)
        {
            return None;
        }
        for values in &mut tally.figures {
            *values = Values::unpack(&mut rest)?;
            if values.moments.n > tally.succeeded {
                return None;
            }
        }
        rest.is_empty().then_some(tally)
    }
}

impl Values {
    fn add(&mut self, value: f64) {
        self.moments.add(value);
        match &mut self.kept {
            Kept::Each(each) => each.push(value),
            Kept::Counted(bins) => {
                let bin = bin(value);
                match bins.binary_search_by_key(&bin, |(it, _)| *it) {
                    Ok(place) => bins[place].1 += 1,
                    Err(place) => bins.insert(place, (bin, 1)),
                }
            }
        }
    }

    /// Both are counted already.
    fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        let (Kept::Counted(own), Kept::Counted(more)) = (&mut self.kept, &other.kept) else {
            return;
        };
        let mut merged = Vec::with_capacity(own.len().max(more.len()));
        let (mut left, mut right) = (own.iter().peekable(), more.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some((one, n)), Some((other, m))) if one == other => {
                    let both = (*one, n + m);
                    left.next();
                    right.next();
                    Some(both)
                }
                (Some((one, _)), Some((other, _))) if other < one => right.next().copied(),
                (Some(_), _) => left.next().copied(),
                (None, _) => right.next().copied(),
            };
            let Some(next) = next else { break };
            merged.push(next);
        }
        *own = merged;
    }

    fn statistics(&self) -> FigureStatistics {
        let Moments {
            n, min, max, mean, ..
        } = self.moments;
        if n == 0 {
            return FigureStatistics::default();
        }
        let (of_order, resolution) = match &self.kept {
            Kept::Each(each) => (percentiles(&sorted(each)), None),
            Kept::Counted(bins) => {
                let middles = bins.iter();
                let middles = middles.map(|(bin, count)| (middle(*bin).clamp(min, max), *count));
                (percentiles(&Steps::counted(middles)), Some(RESOLUTION))
            }
        };
        FigureStatistics {
            n,
            min: Some(min),
            max: Some(max),
            mean: finite(mean.clamp(min, max)),
            median: of_order.median,
            p90: of_order.p90,
            p95: of_order.p95,
            p99: of_order.p99,
            percentile_reason: of_order.percentile_reason,
            standard_deviation: self.moments.standard_deviation(),
            resolution,
        }
    }

    fn unpack(rest: &mut &[u8]) -> Option<Self> {
        let n = take(rest)?;
        if n == 0 {
            return Some(Self::default());
        }
        let moments = Moments {
            n,
            min: take_float(rest)?,
            max: take_float(rest)?,
            mean: take_float(rest)?,
            squares: take_float(rest)?,
        };
        if moments.min > moments.max {
            return None;
        }
        let count = usize::try_from(take(rest)?).ok()?;
        // Each bin takes two bytes at least: a damaged count must not allocate the world.
        if count > rest.len() {
            return None;
        }
        let mut bins = Vec::with_capacity(count);
        let mut bin = i64::from(LOWEST);
        let mut sum = 0_u64;
        for _ in 0..count {
            bin = bin.checked_add_unsigned(take(rest)?)?;
            let count = take(rest)?;
            sum = sum.checked_add(count)?;
            bins.push((i32::try_from(bin).ok()?, count));
        }
        (sum == n).then_some(Self {
            moments,
            kept: Kept::Counted(bins),
        })
    }
}

/// By what each bin's end is larger than the one before it.
fn growth() -> f64 {
    (1.0 + RESOLUTION) / (1.0 - RESOLUTION)
}

/// The bin of a value: those up to `growth ^ bin`.
fn bin(value: f64) -> i32 {
    if value < SMALLEST {
        return LOWEST;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a double is below a thousand"
    )]
    let bin = (value.ln() / growth().ln()).ceil() as i32;
    bin
}

/// The value that is near all of a bin's.
fn middle(bin: i32) -> f64 {
    if bin == LOWEST {
        return 0.0;
    }
    2.0 * growth().powi(bin) / (growth() + 1.0)
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&first, others) = rest.split_first()?;
        *rest = others;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_float(rest: &mut &[u8]) -> Option<f64> {
    let (bytes, others) = rest.split_first_chunk()?;
    *rest = others;
    finite(f64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::statistics::distribution;

    fn request(run: i64, value: f64) -> StoredFigures {
        StoredFigures {
            run,
            position: 0,
            day: 0,
            model: 1,
            is_failed: false,
            figures: [
                Some(value),
                None,
                Some(value * 2.0),
                Some(value + 1.0),
                Some(1.0 / value),
                Some(1.0),
            ],
        }
    }

    fn counted(values: &[f64]) -> Tally {
        let mut tally = Tally::default();
        for (run, value) in (0..).zip(values) {
            tally.add(&request(run / 3, *value));
        }
        tally
    }

    #[track_caller]
    fn near(found: Option<f64>, exact: Option<f64>, share: f64) {
        match (found, exact) {
            (Some(found), Some(exact)) => assert!(
                (found - exact).abs() <= share * exact.abs() + 1e-12,
                "{found} is not {exact}"
            ),
            (found, exact) => assert_eq!(found, exact),
        }
    }

    /// What a tally says against all of its values.
    #[track_caller]
    fn check(tally: &Tally, values: &[f64]) {
        let found = tally.statistics("m".into(), "b".into(), None);
        let found = found.time_to_first_chunk;
        let exact = distribution(values);
        assert_eq!(
            (found.n, found.min, found.max),
            (exact.n, exact.min, exact.max)
        );
        assert_eq!(found.percentile_reason, exact.percentile_reason);
        near(found.mean, exact.mean, 1e-9);
        near(found.standard_deviation, exact.standard_deviation, 1e-6);
        // Rounding may put a value on a bin's edge into the next one.
        let share = RESOLUTION * (1.0 + 1e-9);
        for (found, exact) in [
            (found.median, exact.median),
            (found.p90, exact.p90),
            (found.p95, exact.p95),
            (found.p99, exact.p99),
        ] {
            near(found, exact, share);
        }
    }

    #[test]
    fn few_requests_are_exact_and_many_as_near_as_is_said() {
        let mut tallies = Tallies::default();
        let values: Vec<f64> = (1..=10_001).map(|it| f64::from(it) * 0.0137).collect();
        for (run, value) in (0..).zip(&values[..10_000]) {
            tallies.add(usize::from(run % 2 == 1), &request(run, *value));
        }
        let first = &tallies.by_key[&0].statistics("m".into(), "b".into(), None);
        let exact: Vec<f64> = values[..10_000].iter().step_by(2).copied().collect();
        let exact = distribution(&exact);
        assert_eq!(first.time_to_first_chunk.p95, exact.p95);
        assert_eq!(first.time_to_first_chunk.resolution, None);
        tallies.add(0, &request(10_000, values[10_000]));
        for (key, tally) in tallies.into_all() {
            let own: Vec<f64> = values.iter().skip(key).step_by(2).copied().collect();
            check(&tally, &own);
            let found = tally.statistics("m".into(), "b".into(), None);
            assert_eq!(found.time_to_first_chunk.resolution, Some(RESOLUTION));
        }
    }

    #[test]
    fn what_failed_is_counted_and_in_no_figure() {
        let mut tally = counted(&[1.0, 2.0, 3.0]);
        tally.add(&StoredFigures {
            is_failed: true,
            ..request(7, 100.0)
        });
        let found = tally.statistics("m".into(), "b".into(), None);
        assert_eq!((found.runs, found.succeeded, found.failed), (2, 3, 1));
        assert_eq!(found.time_to_first_chunk.max, Some(3.0));
        assert_eq!(found.time_per_output_token, FigureStatistics::default());
    }

    #[test]
    fn nothing_and_almost_nothing_have_a_place() {
        let empty = Tally::unpack(&Tally::default().pack()).unwrap();
        assert_eq!(empty, Tally::default());
        let found = counted(&[0.0, 0.0, 1e-12]).statistics("m".into(), "b".into(), None);
        assert_eq!(found.time_to_first_chunk.median, Some(0.0));
    }

    #[test]
    fn bytes_of_something_else_are_refused() {
        assert_eq!(Tally::unpack(&[]), None);
        assert_eq!(Tally::unpack(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        let mut packed = counted(&[1.0, 2.0]).pack();
        packed.push(0);
        assert_eq!(Tally::unpack(&packed), None);
        packed.truncate(packed.len() - 2);
        assert_eq!(Tally::unpack(&packed), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn parts_that_are_packed_and_merged_are_the_whole(
            exponents in proptest::collection::vec(-6.0..5.0_f64, 1..1500), cuts in proptest::collection::vec(0..1500_usize, 0..6),
        ) {
            let values: Vec<f64> = exponents.iter().map(|it| 10_f64.powf(*it)).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|it| it.min(values.len())).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut merged = Tally::default();
            for pair in cuts.windows(2) {
                let part = counted(&values[pair[0]..pair[1]]).pack();
                merged.merge(Tally::unpack(&part).unwrap());
            }
            check(&merged, &values);
            let whole = counted(&values);
            let bins = |tally: &Tally| tally.figures.clone().map(|it| it.kept);
            prop_assert_eq!(bins(&merged), bins(&whole));
        }

        #[test]
        fn any_bytes_are_read_without_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(tally) = Tally::unpack(&bytes) {
                let _ = tally.statistics("m".into(), "b".into(), None);
            }
            bytes.insert(0, VERSION);
            if let Some(tally) = Tally::unpack(&bytes) {
                let mut other = counted(&[1.0]);
                let _ = tally.statistics("m".into(), "b".into(), None);
                other.merge(tally);
            }
        }
    }
}
