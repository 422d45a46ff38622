//! How the values of a figure lie: quartiles, the interval of the median, and the distribution that was
//! seen. It describes sets side by side; whether they differ is for [`super::comparison`].

use super::selection::{Metric, is_success};
use super::statistics::{distribution, quantile, significant, sorted};
use crate::record::{BenchmarkResult, ComparisonRow, Spread};

/// So many values describe a distribution: of more, the percentiles do.
const MOST_VALUES: usize = 101;

/// How the figures of a comparison's rows lie in each set that has them, figure by figure.
pub(super) fn compared_spreads(
    rows: &[ComparisonRow],
    sets: &[(String, Vec<&BenchmarkResult>)],
) -> Vec<Spread> {
    let mut metrics: Vec<&str> = rows.iter().map(|row| row.metric.as_str()).collect();
    metrics.dedup();
    let metrics = metrics.into_iter();
    metrics.flat_map(|metric| spreads(metric, sets)).collect()
}

/// How one figure lies in each set that has it: nothing for a name that is no figure of a request.
/// Failed and warm-up requests are left out.
pub fn spreads(metric: &str, sets: &[(String, Vec<&BenchmarkResult>)]) -> Vec<Spread> {
    let metric = Metric::named(metric);
    metric.map_or_else(Vec::new, |metric| of_sets(metric, sets).collect())
}

fn of_sets(
    metric: Metric,
    sets: &[(String, Vec<&BenchmarkResult>)],
) -> impl Iterator<Item = Spread> {
    sets.iter().filter_map(move |(label, results)| {
        let successes: Vec<_> = results.iter().copied().filter(|r| is_success(r)).collect();
        spread(metric, label, &metric.values(&successes))
    })
}

fn spread(metric: Metric, label: &str, values: &[f64]) -> Option<Spread> {
    let described = distribution(values);
    let in_order = sorted(values);
    let round = |figure: Option<f64>| figure.map(significant);
    let of_percent = |percent: u32| significant(quantile(&in_order, f64::from(percent) / 100.0));
    Some(Spread {
        metric: metric.name().to_owned(),
        label: label.to_owned(),
        n: described.n,
        // Where there is a value there is a smallest, and the rest can be told.
        min: round(described.min)?,
        low_quartile: of_percent(25),
        median: round(described.median)?,
        high_quartile: of_percent(75),
        max: round(described.max)?,
        median_low: round(described.median_low),
        median_high: round(described.median_high),
        percentiles: if in_order.len() > MOST_VALUES {
            (0..=100).map(of_percent).collect()
        } else {
            in_order.iter().copied().map(significant).collect()
        },
    })
}

/// The value below which that share of a spread lies, 0 to 1.
pub fn value_at(spread: &Spread, share: f64) -> Option<f64> {
    let known = !spread.percentiles.is_empty();
    known.then(|| quantile(&spread.percentiles, share.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, failed, result};

    fn set<'a>(label: &str, results: &'a [BenchmarkResult]) -> (String, Vec<&'a BenchmarkResult>) {
        (label.to_owned(), results.iter().collect())
    }

    fn of_firsts(firsts: impl Iterator<Item = f64>) -> Spread {
        let results: Vec<_> = firsts.map(|first| result("a", first, 0.1)).collect();
        let mut found = spreads("time_to_first_chunk", &[set("a", &results)]);
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    /// Expected values as `numpy.percentile` gives them.
    #[test]
    fn few_values_are_all_told_with_their_quartiles() {
        let found = of_firsts([0.9, 0.1, 0.4, 0.2, 0.7, 0.3].into_iter());
        assert_eq!(found.percentiles, [0.1, 0.2, 0.3, 0.4, 0.7, 0.9]);
        assert_eq!((found.min, found.max, found.n), (0.1, 0.9, 6));
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(close(found.low_quartile, 0.225), "{found:?}");
        assert!(close(found.median, 0.35), "{found:?}");
        assert!(close(found.high_quartile, 0.625), "{found:?}");
        assert!(close(value_at(&found, 0.9).unwrap(), 0.8), "{found:?}");
        let (low, high) = (found.median_low.unwrap(), found.median_high.unwrap());
        assert!(low < found.median && found.median < high);
    }

    #[test]
    fn many_values_are_told_by_their_percentiles() {
        let found = of_firsts((0..=1000).map(|n| f64::from(n) * 0.001 + 1.0));
        assert_eq!((found.n, found.percentiles.len()), (1001, 101));
        for (percent, value) in (0..).zip(&found.percentiles) {
            assert!((value - 1.0 - 0.01 * f64::from(percent)).abs() < 1e-9);
        }
        assert_eq!(value_at(&found, 0.25), Some(found.low_quartile));
        assert_eq!(value_at(&found, 2.0), Some(found.max));
    }

    #[test]
    fn what_failed_or_is_not_known_is_in_no_spread() {
        let mut results = at_rates("a", &[10.0, 20.0]);
        results.push(failed("a"));
        let mut warm = result("a", 9.0, 9.0);
        warm.warmup = true;
        results.push(warm);
        let nothing = [failed("b")];
        let sets = [set("a", &results), set("b", &nothing)];
        let found = spreads("time_per_output_token", &sets);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].n, found[0].max), (2, 0.1));
        assert_eq!(found[0].median_low, None);
        assert_eq!(spreads("load_time", &sets), []);
        assert_eq!(spreads("nonsense", &sets), []);
    }

    #[test]
    fn every_figure_that_is_compared_has_its_spreads() {
        let (slow, quick) = (at_rates("a", &[10.0; 3]), at_rates("b", &[20.0; 3]));
        let sets = [set("a", &slow), set("b", &quick)];
        let rows = super::super::compare(&sets);
        let found = compared_spreads(&rows, &sets);
        let figures: Vec<&str> = rows.iter().map(|row| row.metric.as_str()).collect();
        let of = |label: &str| -> Vec<&str> {
            let own = found.iter().filter(|it| it.label == label);
            own.map(|it| it.metric.as_str()).collect()
        };
        assert_eq!((of("a"), of("b")), (figures.clone(), figures));
    }
}
