//! How a run stands against the one before it that asked for the same: a sign for lists. The verdict is
//! the comparison's.

use super::baseline::is_same_work;
use crate::record::{BenchmarkResponse, Distribution, ModelSummaryStatistics};

/// Less than this is no step, however steady both are: the third digit.
const SMALLEST_STEP: f64 = 0.01;

/// Which way it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A model is faster and none slower.
    Faster,
    /// A model is slower and none faster.
    Slower,
    /// Some are faster and some slower.
    Both,
    /// What the two say overlaps.
    Level,
}

/// A run against the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Which way it went.
    pub direction: Direction,
    /// Speed by the speed before, of the model that changed most.
    pub ratio: f64,
}

/// What a run did since the one before it. `None` where that asked for other work or no figure is known
/// of both. The decode rate is looked at, or else the time to the last chunk; a model has changed where
/// the 95 % intervals of the medians, or of few requests all that was measured, do not overlap.
pub fn step(before: &BenchmarkResponse, now: &BenchmarkResponse) -> Option<Step> {
    if !is_same_work(&before.request, &now.request) {
        return None;
    }
    let ratios: Vec<(f64, bool)> = now
        .summary
        .iter()
        .filter_map(|it| {
            let same = |other: &&ModelSummaryStatistics| {
                other.model == it.model && other.backend == it.backend
            };
            let other = before.summary.iter().find(same)?;
            let rate = change(
                &other.output_tokens_per_second,
                &it.output_tokens_per_second,
            );
            let time = || {
                let (ratio, is_step) = change(&other.request_latency, &it.request_latency)?;
                Some((1.0 / ratio, is_step))
            };
            rate.or_else(time)
        })
        .collect();
    let size = |ratio: f64| ratio.ln().abs();
    let most = ratios
        .iter()
        .copied()
        .reduce(|one, other| match (one.1, other.1) {
            (true, false) => one,
            (false, true) => other,
            _ if size(one.0) >= size(other.0) => one,
            _ => other,
        })?;
    let is_any =
        |wanted: fn(f64) -> bool| ratios.iter().any(|(it, is_step)| *is_step && wanted(*it));
    let direction = match (is_any(|it| it > 1.0), is_any(|it| it < 1.0)) {
        (true, true) => Direction::Both,
        (true, false) => Direction::Faster,
        (false, true) => Direction::Slower,
        (false, false) => Direction::Level,
    };
    Some(Step {
        direction,
        ratio: most.0,
    })
}

/// The median by the one before, and whether that is more than both are unsure of.
fn change(before: &Distribution, now: &Distribution) -> Option<(f64, bool)> {
    let ratio = now.median? / before.median.filter(|it| *it > 0.0)?;
    if ratio <= 0.0 || !ratio.is_finite() {
        return None;
    }
    let low = |it: &Distribution| it.median_low.or(it.min);
    let high = |it: &Distribution| it.median_high.or(it.max);
    let is_above = low(now)? > high(before)?;
    let is_below = high(now)? < low(before)?;
    let is_step = (ratio - 1.0).abs() >= SMALLEST_STEP && (is_above || is_below);
    Some((ratio, is_step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, run};
    use crate::measure::summarize;

    fn of(rates: &[(&str, &[f64])]) -> BenchmarkResponse {
        let names: Vec<&str> = rates.iter().map(|(name, _)| *name).collect();
        let results = rates.iter().flat_map(|(name, rates)| at_rates(name, rates));
        let mut run = run(&names, results.collect());
        let models: Vec<(String, String)> = names
            .iter()
            .map(|name| ((*name).to_owned(), "ollama".to_owned()))
            .collect();
        run.summary = summarize(&models, &run.results);
        run
    }

    #[track_caller]
    fn check(before: &[(&str, &[f64])], now: &[(&str, &[f64])], expected: Direction) {
        let found = step(&of(before), &of(now)).unwrap();
        assert_eq!(found.direction, expected, "{found:?}");
    }

    const QUICK: [f64; 3] = [12.0, 12.1, 11.9];
    const SLOW: [f64; 3] = [10.0, 10.1, 9.9];
    const WILD: [f64; 3] = [8.0, 11.0, 14.0];

    #[test]
    fn only_what_does_not_overlap_is_a_step() {
        check(&[("a", &SLOW)], &[("a", &QUICK)], Direction::Faster);
        check(&[("a", &QUICK)], &[("a", &SLOW)], Direction::Slower);
        check(&[("a", &QUICK)], &[("a", &WILD)], Direction::Level);
        check(&[("a", &QUICK)], &[("a", &QUICK)], Direction::Level);
        let found = step(&of(&[("a", &SLOW)]), &of(&[("a", &QUICK)])).unwrap();
        assert!((found.ratio - 1.2).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn models_are_held_against_themselves() {
        let before: [(&str, &[f64]); 2] = [("a", &SLOW), ("b", &QUICK)];
        check(&before, &[("a", &QUICK), ("b", &QUICK)], Direction::Faster);
        check(&before, &[("a", &QUICK), ("b", &SLOW)], Direction::Both);
        check(&before, &[("b", &SLOW)], Direction::Slower);
        assert_eq!(step(&of(&before), &of(&[("c", &SLOW)])), None);
    }

    #[test]
    fn other_work_is_no_step() {
        let mut other = of(&[("a", &QUICK)]);
        other.request.parameters.num_ctx = Some(64);
        assert_eq!(step(&of(&[("a", &SLOW)]), &other), None);
        other.summary.clear();
        assert_eq!(step(&other.clone(), &other), None);
    }
}
