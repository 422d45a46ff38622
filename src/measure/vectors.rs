//! Our statistics against those of `SciPy` and `NumPy`: recorded values, whose recipe is
//! `tests/vectors/statistics.py`.

use serde::Deserialize;

use super::rank_test::rank_test;
use super::statistics::{distribution, quantile, ratio_interval, sorted};
use super::validity::spread::outliers;

#[derive(Deserialize)]
struct Vectors {
    sets: Vec<One>,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct One {
    name: String,
    values: Vec<f64>,
    mean: f64,
    median: f64,
    standard_deviation: f64,
    median_absolute_deviation: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    interval: Ends,
    outliers: usize,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    baseline: Vec<f64>,
    candidate: Vec<f64>,
    p_value: f64,
    effect_size: f64,
    interval: Ends,
}

/// Where the ends of a bootstrapped interval lie, whichever resamples were drawn.
#[derive(Deserialize)]
struct Ends {
    low: [f64; 2],
    high: [f64; 2],
}

impl Ends {
    #[track_caller]
    fn hold(&self, name: &str, low: Option<f64>, high: Option<f64>) {
        let within = |[least, most]: [f64; 2], found: Option<f64>| {
            let found = found.expect("an interval");
            let room = 1e-12 * found.abs();
            assert!(
                least - room <= found && found <= most + room,
                "{name}: {found} is not from {least} to {most}"
            );
        };
        within(self.low, low);
        within(self.high, high);
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/statistics.json")).unwrap()
}

#[track_caller]
fn close(name: &str, found: Option<f64>, expected: f64) {
    let found = found.expect("a figure");
    assert!(
        (found - expected).abs() <= 1e-11 * expected.abs(),
        "{name}: {found} is not {expected}"
    );
}

#[test]
fn distributions_agree_with_scipy() {
    for set in vectors().sets {
        let (name, found) = (&set.name, distribution(&set.values));
        close(name, found.mean, set.mean);
        close(name, found.median, set.median);
        close(name, found.standard_deviation, set.standard_deviation);
        close(
            name,
            found.median_absolute_deviation,
            set.median_absolute_deviation,
        );
        let ordered = sorted(&set.values);
        for (share, expected, shown) in [
            (0.90, set.p90, found.p90),
            (0.95, set.p95, found.p95),
            (0.99, set.p99, found.p99),
        ] {
            let of_all = quantile(&ordered, share);
            close(name, Some(of_all), expected);
            assert!(shown.is_none_or(|shown| (shown - of_all).abs() < 1e-12));
        }
        set.interval.hold(name, found.median_low, found.median_high);
        assert_eq!(outliers(&set.values), set.outliers, "{name}");
    }
}

#[test]
fn comparisons_agree_with_scipy() {
    for pair in vectors().pairs {
        let (name, baseline, candidate) =
            (&pair.name, sorted(&pair.baseline), sorted(&pair.candidate));
        let found = rank_test(&baseline, &candidate).unwrap();
        close(name, Some(found.p_value), pair.p_value);
        assert!(
            (found.effect_size - pair.effect_size).abs() < 1e-12,
            "{name}"
        );
        let interval = ratio_interval(&baseline, &candidate);
        pair.interval
            .hold(name, interval.map(|it| it.0), interval.map(|it| it.1));
    }
}
