//! Doubts about the machine: other work, too little memory, a battery, a clock that fell.

use super::Findings;
use crate::measure::statistics::{mean, median, sorted};
use crate::record::{BenchmarkResponse, Sample};

/// Usage of the machine before the run from which something else is at work, percent. A desktop at
/// rest uses a few percent; a fifth is work that the model will miss.
const BUSY_PERCENT: f64 = 20.0;

/// Growth of swap during a run from which memory was short: what the system tidies away at leisure is
/// less.
const SWAPPED_BYTES: u64 = 100 << 20;

/// The clock of a processor at rest says nothing: one busy core of many is this much, percent.
const WORKING_PERCENT: f64 = 5.0;

/// A fall of the fastest core's clock by more than this share is no jitter of its governor.
const FALLEN: f64 = 0.15;

/// Fewest samples of work for a first and a last quarter.
const FEWEST_SAMPLES: usize = 12;

/// What speaks against the machine during a run.
pub(super) fn judge(run: &BenchmarkResponse, findings: &mut Findings) {
    let samples: Vec<&Sample> = run.samples.iter().flat_map(|it| &it.items).collect();
    if run.system_info.on_battery == Some(true) {
        findings.fair("the machine ran on its battery, which slows it down".to_owned());
    }
    busy_before(&samples, findings);
    short_of_memory(&samples, findings);
    throttled(&samples, findings);
}

fn busy_before(samples: &[&Sample], findings: &mut Findings) {
    let before = samples.iter().filter(|sample| sample.offset < 0.0);
    let before: Vec<f64> = before.map(|sample| sample.cpu_percent).collect();
    if let Some(busy) = mean(&before).filter(|busy| *busy > BUSY_PERCENT) {
        findings.fair(format!(
            "the machine was busy before the run: {busy:.0} % of its processor time"
        ));
    }
}

fn short_of_memory(samples: &[&Sample], findings: &mut Findings) {
    let swap = || samples.iter().map(|sample| sample.swap_used_bytes);
    if let (Some(first), Some(most)) = (swap().next(), swap().max())
        && most.saturating_sub(first) > SWAPPED_BYTES
    {
        let megabytes = (most - first) as f64 / 1e6;
        findings.poor(format!(
            "memory was short: {megabytes:.0} MB went to swap during the run"
        ));
    }
}

/// Heat and limits of power let the clock fall while there is work.
fn throttled(samples: &[&Sample], findings: &mut Findings) {
    let clocks: Vec<f64> = samples
        .iter()
        .filter(|sample| sample.offset >= 0.0 && sample.cpu_percent >= WORKING_PERCENT)
        .filter_map(|sample| sample.frequency_max_mhz)
        .collect();
    if clocks.len() < FEWEST_SAMPLES {
        return;
    }
    let quarter = clocks.len() / 4;
    let typical = |part: &[f64]| median(&sorted(part)).unwrap_or_default();
    let (first, last) = (
        typical(&clocks[..quarter]),
        typical(&clocks[clocks.len() - quarter..]),
    );
    if last < first * (1.0 - FALLEN) {
        findings.fair(format!(
            "the processor's clock fell from {first:.0} to {last:.0} MHz during the run: it was slowed by heat or by a limit of power"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, run, sample};
    use crate::record::{Grade, Samples};

    fn judged(change: impl FnOnce(&mut BenchmarkResponse)) -> (Grade, Vec<String>) {
        let mut run = run(&["a"], at_rates("a", &[10.0; 6]));
        change(&mut run);
        let mut findings = Findings::default();
        judge(&run, &mut findings);
        let found = findings.into_validity();
        (found.grade, found.reasons)
    }

    fn samples(items: Vec<Sample>) -> Samples {
        Samples {
            interval: 0.25,
            items,
        }
    }

    #[test]
    fn memory_that_went_to_swap_is_named() {
        let swapped = |bytes: u64| {
            let items = [0, bytes].map(|swap| Sample {
                swap_used_bytes: swap,
                ..sample(1.0, &[5.0], 50.0)
            });
            judged(|run| run.samples = Some(samples(items.to_vec())))
        };
        assert_eq!(swapped(90 << 20).0, Grade::Good);
        let (grade, reasons) = swapped(2_000_000_000);
        assert_eq!(grade, Grade::Poor);
        assert_eq!(
            reasons,
            ["memory was short: 2000 MB went to swap during the run"]
        );
    }

    #[test]
    fn a_battery_is_named() {
        assert_eq!(judged(|_| {}).0, Grade::Good);
        assert_eq!(
            judged(|run| run.system_info.on_battery = Some(false)).0,
            Grade::Good
        );
        let (grade, reasons) = judged(|run| run.system_info.on_battery = Some(true));
        assert_eq!((grade, reasons.len()), (Grade::Fair, 1));
    }

    #[test]
    fn a_clock_that_falls_under_work_is_named() {
        let clocks = |last: f64, usage: f64| {
            let items = (0..16).map(|place| Sample {
                frequency_max_mhz: Some(if place < 8 { 4000.0 } else { last }),
                ..sample(f64::from(place), &[usage], 50.0)
            });
            let items = items.collect();
            judged(|run| run.samples = Some(samples(items)))
        };
        assert_eq!(clocks(3500.0, 60.0).0, Grade::Good);
        assert_eq!(clocks(800.0, 2.0).0, Grade::Good);
        let (grade, reasons) = clocks(2800.0, 60.0);
        assert_eq!(grade, Grade::Fair);
        insta::assert_snapshot!(reasons[0], @"the processor's clock fell from 4000 to 2800 MHz during the run: it was slowed by heat or by a limit of power");
    }
}
