//! Whether enough has been measured to tell which model is fastest.

use super::comparison::assess;
use super::selection::{Metric, is_success};
use super::statistics::{median, sorted};
use crate::record::{BenchmarkResult, Verdict};

/// Who looks at every few values and stops at the first sign sees a difference where there is none far
/// more often than once in twenty times. Tests at this level, at looks that lie ever further apart,
/// keep all looks together below that (the idea of Pocock 1977; held against simulated equals below).
const LEVEL_OF_A_LOOK: f64 = 0.01;

/// Whether the fastest of some models is told apart from all others, or cannot be, because fewer than
/// two of them answer. By decode rate where it is known of all, else by total time.
pub fn is_decided(models: &[Vec<&BenchmarkResult>]) -> bool {
    let models: Vec<Vec<&BenchmarkResult>> = models
        .iter()
        .map(|results| {
            results
                .iter()
                .copied()
                .filter(|it| is_success(it))
                .collect()
        })
        .filter(|successes: &Vec<_>| !successes.is_empty())
        .collect();
    let rate = Metric::OutputTokensPerSecond;
    let has_rate = |successes: &Vec<&BenchmarkResult>| !rate.values(successes).is_empty();
    let metric = if models.iter().all(has_rate) {
        rate
    } else {
        Metric::TotalTime
    };
    // Of a rate the most is best, of a time the least.
    let standing = |successes: &[&BenchmarkResult]| {
        let value = median(&sorted(&metric.values(successes))).unwrap_or_default();
        if metric.is_rate() { -value } else { value }
    };
    let places = || models.iter().enumerate();
    let best = places().min_by(|(_, a), (_, b)| standing(a).total_cmp(&standing(b)));
    let Some((winner, best)) = best else {
        return true;
    };
    places()
        .filter(|(place, _)| *place != winner)
        .all(|(_, other)| {
            let found = assess(metric, other, best);
            found.verdict != Verdict::CannotTell && found.p_value() < LEVEL_OF_A_LOOK
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, failed};
    use crate::measure::random::Random;

    fn decided(sets: &[Vec<BenchmarkResult>]) -> bool {
        is_decided(
            &sets
                .iter()
                .map(|set| set.iter().collect())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_clear_difference_is_decided_and_none_is_not() {
        let slow = at_rates("a", &[10.0, 10.1, 9.9, 10.2, 9.8, 10.05]);
        let quick = at_rates("b", &[12.0, 12.1, 11.9, 12.2, 11.8, 12.05]);
        assert!(decided(&[slow.clone(), quick.clone()]));
        assert!(!decided(&[slow.clone(), slow.clone()]));
        assert!(!decided(&[slow[..3].to_vec(), quick[..3].to_vec()]));
        // The winner must be told apart from every other.
        assert!(!decided(&[slow.clone(), quick.clone(), quick.clone()]));
        assert!(decided(&[slow.clone(), slow, quick]));
    }

    #[test]
    fn where_fewer_than_two_answer_there_is_nothing_to_decide() {
        let good = at_rates("a", &[10.0]);
        assert!(decided(&[good, vec![failed("b")]]));
        assert!(decided(&[]));
    }

    /// Of equal models, looked at as often as a run with a budget of 100 does, fewer than one in
    /// twenty is called different.
    #[test]
    fn looking_again_and_again_does_not_find_what_is_not_there() {
        let mut random = Random::new(17);
        let mut draw = || -> Vec<BenchmarkResult> {
            let rates: Vec<f64> = (0..100)
                .map(|_| 10.0 + (0..6).map(|_| random.uniform()).sum::<f64>())
                .collect();
            at_rates("a", &rates)
        };
        let wrong = (0..200)
            .filter(|_| {
                let (a, b) = (draw(), draw());
                [5, 7, 10, 14, 20, 28, 40, 56, 80, 100]
                    .into_iter()
                    .any(|n| decided(&[a[..n].to_vec(), b[..n].to_vec()]))
            })
            .count();
        assert!(wrong <= 10, "{wrong} of 200");
    }
}
