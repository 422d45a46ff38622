//! What a request did to the machine: samples during it against samples before the run.

use super::statistics::{finite, mean};
use crate::record::{Sample, SystemImpact};

/// Compares the machine from `from` to `to` (seconds since the run began) with the baseline window,
/// whose samples have negative offsets.
///
/// A sample tells the usage since the one before it. Where none was taken within the request (it
/// was shorter than the interval), or none before the run, the figure is missing, not 0.
pub fn impact(samples: &[Sample], from: f64, to: f64) -> SystemImpact {
    let baseline: Vec<&Sample> = samples.iter().filter(|s| s.offset < 0.0).collect();
    let during: Vec<&Sample> = samples
        .iter()
        .filter(|s| s.offset >= from && s.offset <= to)
        .collect();
    SystemImpact {
        cpu_delta: cpu_delta(&baseline, &during),
        memory_delta: memory_delta(samples, from, to),
    }
}

fn cpu_delta(baseline: &[&Sample], during: &[&Sample]) -> Vec<f64> {
    if baseline.is_empty() || during.is_empty() {
        return Vec::new();
    }
    // Cores can be taken away from a virtual machine; those that were always there are compared.
    let cores = baseline
        .iter()
        .chain(during)
        .map(|sample| sample.core_percent.len())
        .min()
        .unwrap_or(0);
    let usage = |samples: &[&Sample], core: usize| {
        let values: Vec<f64> = samples.iter().map(|s| s.core_percent[core]).collect();
        mean(&values)
    };
    // All or none: a core left out would move the others to wrong places.
    (0..cores)
        .map(|core| finite(usage(during, core)? - usage(baseline, core)?))
        .collect::<Option<Vec<f64>>>()
        .unwrap_or_default()
}

/// From the last sample before the request, or the first within it, to the last within it.
fn memory_delta(samples: &[Sample], from: f64, to: f64) -> Option<f64> {
    let by_time = |a: &&Sample, b: &&Sample| a.offset.total_cmp(&b.offset);
    let end = samples
        .iter()
        .filter(|s| s.offset > from && s.offset <= to)
        .max_by(by_time)?;
    let start = samples
        .iter()
        .filter(|s| s.offset <= from)
        .max_by(by_time)
        .or_else(|| {
            samples
                .iter()
                .filter(|s| s.offset > from && s.offset < end.offset)
                .min_by(by_time)
        })?;
    finite(end.memory_percent - start.memory_percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::sample;

    #[test]
    fn usage_is_compared_core_by_core_with_the_baseline() {
        let samples = [
            sample(-0.5, &[10.0, 0.0], 40.0),
            sample(-0.25, &[20.0, 4.0], 40.0),
            sample(0.5, &[99.0, 99.0], 41.0),
            sample(1.25, &[60.0, 50.0], 45.0),
            sample(1.5, &[80.0, 70.0], 47.5),
            sample(2.5, &[0.0, 0.0], 44.0),
        ];
        let found = impact(&samples, 1.0, 2.0);
        assert_eq!(found.cpu_delta, [55.0, 58.0]);
        assert_eq!(found.memory_delta, Some(6.5));
    }

    #[test]
    fn without_samples_nothing_is_claimed() {
        assert_eq!(impact(&[], 0.0, 1.0), SystemImpact::default());
        let before_only = [sample(-0.25, &[5.0], 40.0)];
        assert_eq!(impact(&before_only, 0.0, 1.0), SystemImpact::default());
        let during_only = [sample(0.25, &[5.0], 40.0)];
        assert_eq!(impact(&during_only, 0.0, 1.0), SystemImpact::default());
    }

    #[test]
    fn a_request_shorter_than_the_interval_has_no_impact_to_show() {
        let samples = [sample(-0.25, &[5.0], 40.0), sample(0.5, &[50.0], 41.0)];
        assert_eq!(impact(&samples, 0.1, 0.2), SystemImpact::default());
    }

    #[test]
    fn a_changed_number_of_cores_is_survived() {
        let samples = [sample(-0.25, &[5.0, 5.0], 40.0), sample(0.5, &[50.0], 41.0)];
        assert_eq!(impact(&samples, 0.0, 1.0).cpu_delta, [45.0]);
    }

    #[test]
    fn no_figure_is_nan() {
        let samples = [
            sample(-0.25, &[f64::NAN], f64::NAN),
            sample(0.5, &[50.0], 41.0),
        ];
        assert_eq!(impact(&samples, 0.0, 1.0), SystemImpact::default());
    }
}
