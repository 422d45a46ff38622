//! What a request did to the machine: samples during it against samples before the run.

use super::statistics::{finite, mean, standard_deviation};
use crate::record::{Sample, SystemImpact};

/// Compares the machine from `from` to `to` (seconds since the run began) with the baseline window,
/// whose samples have negative offsets.
///
/// A sample tells the usage since the one before it. Where none was taken within the request (it
/// was shorter than the interval), or none before the run, the figure is missing, not 0.
pub fn impact(samples: &[Sample], backend: &str, from: f64, to: f64) -> SystemImpact {
    let baseline: Vec<&Sample> = samples.iter().filter(|s| s.offset < 0.0).collect();
    let during: Vec<&Sample> = samples
        .iter()
        .filter(|s| s.offset >= from && s.offset <= to)
        .collect();
    let average = |of: &dyn Fn(&Sample) -> Option<f64>| {
        let values: Vec<f64> = during.iter().filter_map(|it| of(it)).collect();
        mean(&values).and_then(finite)
    };
    let highest = |of: &dyn Fn(&Sample) -> Option<u64>| during.iter().filter_map(|it| of(it)).max();
    let usage = during.iter().map(|it| it.cpu_percent);
    SystemImpact {
        cpu_delta: cpu_delta(&baseline, &during),
        memory_delta: memory_delta(samples, from, to),
        cpu_mean_percent: average(&|it| Some(it.cpu_percent)),
        cpu_peak_percent: usage.reduce(f64::max).and_then(finite),
        frequency_fluctuation_percent: fluctuation(&during),
        memory_peak_bytes: highest(&|it| Some(it.memory_used_bytes)),
        swap_delta_bytes: swap_delta(&during),
        server_cpu_mean_percent: average(&|it| it.server(backend)?.cpu_percent),
        server_memory_peak_bytes: highest(&|it| it.server(backend)?.memory_bytes),
        gpu_mean_percent: average(&|it| {
            let usage = it.gpus.iter().filter_map(|gpu| gpu.utilization_percent);
            usage.reduce(f64::max)
        }),
        gpu_memory_peak_bytes: highest(&|it| {
            let used = it.gpus.iter().filter_map(|gpu| gpu.memory_used_bytes);
            used.reduce(|sum, one| sum + one)
        }),
    }
}

fn fluctuation(during: &[&Sample]) -> Option<f64> {
    let clocks: Vec<f64> = during
        .iter()
        .filter_map(|it| it.frequency_mean_mhz)
        .collect();
    finite(100.0 * standard_deviation(&clocks)? / mean(&clocks)?)
}

fn swap_delta(during: &[&Sample]) -> Option<i64> {
    let (first, last) = (during.first()?, during.last()?);
    let bytes = |sample: &Sample| i64::try_from(sample.swap_used_bytes).ok();
    bytes(last)?.checked_sub(bytes(first)?)
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
    use crate::record::{GpuSample, ServerSample};

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
        let found = impact(&samples, "ollama", 1.0, 2.0);
        assert_eq!(found.cpu_delta, [55.0, 58.0]);
        assert_eq!(found.memory_delta, Some(6.5));
    }

    #[test]
    fn peaks_and_means_are_of_the_looks_within() {
        let look = |offset: f64, cpu: f64, clock: f64, swap: u64, server: u64| Sample {
            cpu_percent: cpu,
            frequency_mean_mhz: Some(clock),
            memory_used_bytes: 10 * server,
            swap_used_bytes: swap,
            servers: vec![ServerSample {
                backend: "ollama".into(),
                cpu_percent: Some(cpu / 2.0),
                memory_bytes: Some(server),
                ..ServerSample::default()
            }],
            gpus: [80.0, 20.0]
                .map(|usage| GpuSample {
                    utilization_percent: Some(usage),
                    memory_used_bytes: Some(server),
                    ..GpuSample::default()
                })
                .to_vec(),
            ..sample(offset, &[cpu], 50.0)
        };
        let samples = [
            look(0.5, 99.0, 1.0, 7, 999),
            look(1.2, 40.0, 1900.0, 500, 30),
            look(1.8, 60.0, 2100.0, 200, 20),
        ];
        let found = impact(&samples, "ollama", 1.0, 2.0);
        assert_eq!(found.cpu_mean_percent, Some(50.0));
        assert_eq!(found.cpu_peak_percent, Some(60.0));
        let fluctuation = found.frequency_fluctuation_percent.unwrap();
        assert!((fluctuation - 7.071).abs() < 0.001, "{fluctuation}");
        assert_eq!(found.memory_peak_bytes, Some(300));
        assert_eq!(found.swap_delta_bytes, Some(-300));
        assert_eq!(found.server_cpu_mean_percent, Some(25.0));
        assert_eq!(found.server_memory_peak_bytes, Some(30));
        assert_eq!(found.gpu_mean_percent, Some(80.0));
        assert_eq!(found.gpu_memory_peak_bytes, Some(60));
        let other = impact(&samples, "other", 1.0, 2.0);
        assert_eq!(other.server_memory_peak_bytes, None);
    }

    #[test]
    fn without_samples_nothing_is_claimed() {
        assert_eq!(impact(&[], "ollama", 0.0, 1.0), SystemImpact::default());
        let before_only = [sample(-0.25, &[5.0], 40.0)];
        assert_eq!(
            impact(&before_only, "ollama", 0.0, 1.0),
            SystemImpact::default()
        );
        let during_only = [sample(0.25, &[5.0], 40.0)];
        let found = impact(&during_only, "ollama", 0.0, 1.0);
        assert_eq!((found.cpu_delta.len(), found.memory_delta), (0, None));
    }

    #[test]
    fn a_request_shorter_than_the_interval_has_no_impact_to_show() {
        let samples = [sample(-0.25, &[5.0], 40.0), sample(0.5, &[50.0], 41.0)];
        assert_eq!(
            impact(&samples, "ollama", 0.1, 0.2),
            SystemImpact::default()
        );
    }

    #[test]
    fn a_changed_number_of_cores_is_survived() {
        let samples = [sample(-0.25, &[5.0, 5.0], 40.0), sample(0.5, &[50.0], 41.0)];
        assert_eq!(impact(&samples, "ollama", 0.0, 1.0).cpu_delta, [45.0]);
    }

    #[test]
    fn no_figure_is_nan() {
        let samples = [
            sample(-0.25, &[f64::NAN], f64::NAN),
            sample(0.5, &[50.0], 41.0),
        ];
        let found = impact(&samples, "ollama", 0.0, 1.0);
        assert_eq!((found.cpu_delta.len(), found.memory_delta), (0, None));
    }
}
