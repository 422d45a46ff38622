//! Doubts about the machine: other work, too little memory, a battery, a clock that fell.

use super::Findings;
use crate::measure::statistics::{mean, median, sorted};
use crate::record::{BenchmarkResponse, Sample, Samples, SystemInfo};

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

/// Processor time that others take during a run from which the model misses it, percent.
const SHARED_PERCENT: f64 = 20.0;

/// Processor time that the host of a virtual machine, or a container's limit, may take, percent.
const TAKEN_PERCENT: f64 = 5.0;

/// Usage of a graphics processor before the run from which something else is at work, percent.
const GPU_BUSY_PERCENT: f64 = 10.0;

/// A graphics processor that is too hot in a larger share of the looks was slowed down, not just warm.
const HOT_SHARE: f64 = 0.05;

/// Looking at the machine may take this much of one core, percent.
const SAMPLER_PERCENT: f64 = 5.0;

/// Drivers of clocks under which `powersave` follows the load like any other governor
/// (the kernel's documentation of `intel_pstate` and `amd-pstate`, active mode).
const DYNAMIC_DRIVERS: [&str; 3] = ["intel_pstate", "amd-pstate-epp", "amd_pstate_epp"];

/// What speaks against the machines during a run.
pub(super) fn judge(run: &BenchmarkResponse, findings: &mut Findings) {
    judge_settings(&run.system_info, "", findings);
    if let Some(samples) = &run.samples {
        judge_samples(samples, "", findings);
    }
    for told in &run.remote_samples {
        let of = format!("on the machine of {}: ", told.backend);
        judge_settings(&told.system_info, &of, findings);
        judge_samples(&told.samples, &of, findings);
        if let Some(error) = &told.error {
            findings.fair(format!("{of}{error}"));
        }
    }
}

fn judge_settings(system: &SystemInfo, of: &str, findings: &mut Findings) {
    if system.on_battery == Some(true) {
        findings.fair(format!(
            "{of}the machine ran on its battery, which slows it down"
        ));
    }
    if system.power_profile.as_deref() == Some("low-power") {
        findings.fair(format!(
            "{of}the machine was set to save power (profile `low-power`)"
        ));
    }
    let driver = system.cpu.frequency_driver.as_deref().unwrap_or_default();
    if system.cpu.governor.as_deref() == Some("powersave") && !DYNAMIC_DRIVERS.contains(&driver) {
        findings.fair(format!(
            "{of}the governor `powersave` keeps the processor at its lowest clock"
        ));
    }
}

fn judge_samples(samples: &Samples, of: &str, findings: &mut Findings) {
    let items: Vec<&Sample> = samples.items.iter().collect();
    let (before, during): (Vec<&Sample>, Vec<&Sample>) =
        items.iter().partition(|sample| sample.offset < 0.0);
    busy_before(&before, of, findings);
    busy_meanwhile(&during, of, findings);
    short_of_memory(&items, of, findings);
    throttled(&items, of, findings);
    hot(&during, of, findings);
    let cost = samples.cost.and_then(|cost| cost.core_percent);
    if let Some(percent) = cost.filter(|percent| *percent > SAMPLER_PERCENT) {
        findings.fair(format!(
            "{of}looking at the machine took {percent:.0} % of one core; choose a longer `sampling.interval`"
        ));
    }
}

fn average(samples: &[&Sample], of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = samples.iter().filter_map(|it| of(it)).collect();
    mean(&values)
}

fn busy_before(before: &[&Sample], of: &str, findings: &mut Findings) {
    // The model server may have worked for somebody else: that counts too.
    let own = |it: &Sample| it.own_cpu_percent.unwrap_or_default();
    let busy = average(before, |it| Some(it.cpu_percent - own(it)));
    if let Some(busy) = busy.filter(|busy| *busy > BUSY_PERCENT) {
        findings.fair(format!(
            "{of}the machine was busy before the run: {busy:.0} % of its processor time"
        ));
    }
    for place in 0..devices(before) {
        let busy = average(before, |it| it.gpus.get(place)?.utilization_percent);
        if let Some(busy) = busy.filter(|busy| *busy > GPU_BUSY_PERCENT) {
            findings.fair(format!(
                "{of}GPU {place} was busy before the run: {busy:.0} %"
            ));
        }
    }
}

fn devices(samples: &[&Sample]) -> usize {
    samples.iter().map(|it| it.gpus.len()).max().unwrap_or(0)
}

fn busy_meanwhile(during: &[&Sample], of: &str, findings: &mut Findings) {
    let other = average(during, |it| it.other_cpu_percent);
    if let Some(other) = other.filter(|other| *other > SHARED_PERCENT) {
        findings.fair(format!(
            "{of}other programs took {other:.0} % of the processor during the run"
        ));
    }
    let stolen = average(during, |it| it.steal_percent);
    if let Some(stolen) = stolen.filter(|stolen| *stolen > TAKEN_PERCENT) {
        findings.fair(format!(
            "{of}the host of this virtual machine gave {stolen:.0} % of the processor to others"
        ));
    }
    let server = |it: &Sample| {
        it.servers
            .iter()
            .filter_map(|it| it.throttled_percent)
            .reduce(f64::max)
    };
    let held = average(during, server);
    if let Some(held) = held.filter(|held| *held > TAKEN_PERCENT) {
        findings.fair(format!(
            "{of}the limit of the model server's container held its work up in {held:.0} % of the time"
        ));
    }
    let held = average(during, |it| it.throttled_percent);
    if let Some(held) = held.filter(|held| *held > TAKEN_PERCENT) {
        findings.fair(format!(
            "{of}the container's limit of processor time held its work up in {held:.0} % of the time"
        ));
    }
}

fn short_of_memory(samples: &[&Sample], of: &str, findings: &mut Findings) {
    let swap = || samples.iter().map(|sample| sample.swap_used_bytes);
    let back: u64 = samples.iter().filter_map(|it| it.swapped_in_bytes).sum();
    if let (Some(first), Some(most)) = (swap().next(), swap().max())
        && most.saturating_sub(first) > SWAPPED_BYTES
    {
        let megabytes = (most - first) as f64 / 1e6;
        findings.poor(format!(
            "{of}memory was short: {megabytes:.0} MB went to swap during the run"
        ));
    } else if back > SWAPPED_BYTES {
        let megabytes = back as f64 / 1e6;
        findings.poor(format!(
            "{of}memory was short: {megabytes:.0} MB came back from swap during the run"
        ));
    }
}

/// Heat that a graphics processor tells of itself. Its limit of power is what it is built for.
fn hot(during: &[&Sample], of: &str, findings: &mut Findings) {
    for place in 0..devices(during) {
        let told: Vec<bool> = during
            .iter()
            .filter_map(|it| it.gpus.get(place)?.throttle_reasons.as_ref())
            .map(|reasons| reasons.iter().any(|reason| HEAT.contains(&reason.as_str())))
            .collect();
        let hot = told.iter().filter(|is_hot| **is_hot).count();
        let share = hot as f64 / told.len().max(1) as f64;
        if share > HOT_SHARE {
            findings.fair(format!(
                "{of}GPU {place} was held down by heat in {:.0} % of the time",
                100.0 * share
            ));
        }
    }
}

/// Reasons for a low clock that tell of heat, or of a supply that fails.
const HEAT: [&str; 7] = [
    "hw_slowdown",
    "hw_thermal_slowdown",
    "sw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "thermal",
    "prochot",
    "ratl",
];

/// Heat and limits of power let the clock fall while there is work.
fn throttled(samples: &[&Sample], of: &str, findings: &mut Findings) {
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
            "{of}the processor's clock fell from {first:.0} to {last:.0} MHz during the run: it was slowed by heat or by a limit of power"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, run, sample};
    use crate::record::{Cpu, GpuSample, Grade, RemoteSamples, ServerSample};

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
            ..Samples::default()
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

    #[test]
    fn settings_that_save_power_are_named() {
        let reasons = |governor: &str, driver: &str, profile: &str| {
            let (_, reasons) = judged(|run| {
                run.system_info.cpu = Cpu {
                    governor: Some(governor.to_owned()),
                    frequency_driver: Some(driver.to_owned()),
                    ..Cpu::default()
                };
                run.system_info.power_profile = Some(profile.to_owned());
            });
            reasons.len()
        };
        assert_eq!(reasons("powersave", "intel_pstate", "balanced"), 0);
        assert_eq!(reasons("performance", "acpi-cpufreq", "performance"), 0);
        assert_eq!(reasons("powersave", "acpi-cpufreq", "low-power"), 2);
    }

    #[test]
    fn what_others_take_is_named() {
        let during = |change: fn(&mut Sample)| {
            let items = (-2..8).map(|place| {
                let mut sample = sample(f64::from(place), &[50.0], 50.0);
                sample.cpu_percent = if place < 0 { 3.0 } else { 50.0 };
                if place >= 0 {
                    change(&mut sample);
                }
                sample
            });
            let items = items.collect();
            judged(|run| run.samples = Some(samples(items)))
                .1
                .join("; ")
        };
        assert_eq!(during(|_| ()), "");
        insta::assert_snapshot!(during(|it| it.other_cpu_percent = Some(30.0)), @"other programs took 30 % of the processor during the run");
        insta::assert_snapshot!(during(|it| it.steal_percent = Some(12.0)), @"the host of this virtual machine gave 12 % of the processor to others");
        insta::assert_snapshot!(during(|it| it.throttled_percent = Some(40.0)), @"the container's limit of processor time held its work up in 40 % of the time");
        insta::assert_snapshot!(during(|it| it.servers = vec![ServerSample { throttled_percent: Some(30.0), ..ServerSample::default() }]), @"the limit of the model server's container held its work up in 30 % of the time");
        insta::assert_snapshot!(during(|it| it.swapped_in_bytes = Some(30 << 20)), @"memory was short: 252 MB came back from swap during the run");
        insta::assert_snapshot!(during(|it| it.gpus = vec![GpuSample { throttle_reasons: Some(vec!["sw_thermal_slowdown".into()]), ..GpuSample::default() }]), @"GPU 0 was held down by heat in 100 % of the time");
        assert_eq!(
            during(|it| it.gpus = vec![GpuSample {
                throttle_reasons: Some(vec!["sw_power_cap".into()]),
                ..GpuSample::default()
            }]),
            ""
        );
    }

    #[test]
    fn the_machine_of_the_models_is_judged_as_well() {
        let busy = Sample {
            gpus: vec![GpuSample {
                utilization_percent: Some(80.0),
                ..GpuSample::default()
            }],
            ..sample(-0.2, &[5.0], 50.0)
        };
        let (grade, reasons) = judged(|run| {
            run.remote_samples = vec![RemoteSamples {
                backend: "gpu-box".into(),
                samples: samples(vec![busy]),
                error: Some("the agent fell silent".into()),
                ..RemoteSamples::default()
            }];
        });
        assert_eq!(grade, Grade::Fair);
        assert_eq!(
            reasons,
            [
                "on the machine of gpu-box: GPU 0 was busy before the run: 80 %",
                "on the machine of gpu-box: the agent fell silent",
            ]
        );
    }
}
