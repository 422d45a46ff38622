//! What probably caused a stall, the likeliest first.

use super::scene::Scene;
use crate::measure::sustained::throttle_words;
use crate::measure::wording::list;
use crate::record::{Sample, ServerState};

pub(super) fn causes(scene: &Scene) -> Vec<String> {
    let mut found = Vec::new();
    if scene.state(ServerState::Stopped) {
        found.push("the model server was stopped, by a signal or a debugger".to_owned());
    }
    if scene.state(ServerState::Gone) {
        found.push("the model server's process was gone".to_owned());
    }
    found.extend(short_of_memory(scene));
    let io = scene.risen(|it| it.pressure?.io_percent);
    if let Some((more, waited)) = io
        && more > 15.0
    {
        found.push(format!(
            "work waited for storage in {waited:.0} % of the time"
        ));
    }
    if let Some((_, held)) = scene.risen(|it| it.throttled_percent)
        && held > 5.0
    {
        found.push(format!(
            "the container's limit of processor time held its work up in {held:.0} % of the time"
        ));
    }
    let server = scene.risen(|it| it.server(scene.backend)?.throttled_percent);
    if let Some((_, held)) = server.filter(|(_, held)| *held > 5.0) {
        found.push(format!(
            "the limit of the model server's container held its work up in {held:.0} % of the time"
        ));
    }
    if let Some((more, stolen)) = scene.risen(|it| it.steal_percent)
        && more > 10.0
    {
        found.push(format!(
            "the host of this virtual machine gave {stolen:.0} % of the processor to others"
        ));
    }
    found.extend(crowded(scene));
    found.extend(slowed(scene));
    found
}

fn short_of_memory(scene: &Scene) -> Option<String> {
    let waited = scene
        .risen(|it| it.pressure?.memory_percent)
        .filter(|(more, _)| *more > 5.0)
        .map(|(_, waited)| format!("work waited for it in {waited:.0} % of the time"));
    let swapped = scene
        .risen(|it| Some(it.swapped_in_bytes? as f64 + it.swapped_out_bytes? as f64))
        .filter(|(more, _)| *more > 1e6)
        .map(|(_, bytes)| format!("{:.0} MB went to or from swap", bytes / 1e6));
    let faults = scene
        .risen(|it| Some(it.server(scene.backend)?.major_faults? as f64))
        .filter(|(more, _)| *more > 100.0)
        .map(|(_, faults)| format!("the model server had to read {faults:.0} pages back"));
    let signs: Vec<String> = [waited, swapped, faults].into_iter().flatten().collect();
    (!signs.is_empty()).then(|| format!("memory was short: {}", list(&signs)))
}

/// Other work on the same processors.
fn crowded(scene: &Scene) -> Option<String> {
    let other = scene
        .risen(|it| it.other_cpu_percent)
        .filter(|(more, _)| *more > 15.0);
    if let Some((more, taken)) = other {
        let usual = taken - more;
        return Some(format!(
            "other programs took {taken:.0} % of the processor (usually {usual:.0} %)"
        ));
    }
    let own = scene
        .risen(|it| it.own_cpu_percent)
        .filter(|(more, _)| *more > 25.0);
    if let Some((_, taken)) = own {
        return Some(format!(
            "this program itself took {taken:.0} % of the processor"
        ));
    }
    let waited = scene
        .risen(|it| it.pressure?.cpu_percent)
        .filter(|(more, _)| *more > 20.0);
    waited.map(|(more, waited)| {
        let usual = waited - more;
        format!("work waited for a processor in {waited:.0} % of the time (usually {usual:.0} %)")
    })
}

/// Clocks that fell, and why.
fn slowed(scene: &Scene) -> Vec<String> {
    let mut found = Vec::new();
    let fell = |of: &dyn Fn(&Sample) -> Option<f64>| {
        let (usual, then) = scene.moved(of)?;
        (then < 0.85 * usual).then(|| format!("fell from {usual:.0} to {then:.0} MHz"))
    };
    if let Some(words) = fell(&|it| it.frequency_max_mhz) {
        found.push(format!("the processor's clock {words}"));
    }
    let gpus = scene
        .during
        .iter()
        .map(|it| it.gpus.len())
        .max()
        .unwrap_or(0);
    for place in 0..gpus {
        let name = gpu_name(place, gpus);
        let reasons = |looks: &[&Sample]| {
            let mut names: Vec<String> = looks
                .iter()
                .filter_map(|it| it.gpus.get(place)?.throttle_reasons.clone())
                .flatten()
                .collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let usual = reasons(&scene.usual);
        let new: Vec<String> = reasons(&scene.during)
            .into_iter()
            .filter(|reason| !usual.contains(reason) && reason != "gpu_idle")
            .map(|reason| throttle_words(&reason))
            .collect();
        if !new.is_empty() {
            found.push(format!("{name} was held down by {}", list(&new)));
        } else if let Some(words) = fell(&|it| it.gpus.get(place)?.clock_mhz) {
            found.push(format!("the clock of {name} {words}"));
        }
    }
    found
}

fn gpu_name(place: usize, of: usize) -> String {
    if of > 1 {
        format!("GPU {place}")
    } else {
        "the GPU".to_owned()
    }
}

pub(super) fn without_cause(scene: &Scene, interval: f64) -> String {
    if scene.during.is_empty() {
        return format!(
            "no look at the machine fell into it: it was looked at every {:.0} ms",
            interval * 1000.0
        );
    }
    match scene.server_cpu() {
        Some((usual, then)) if usual > 2.0 && then < 0.3 * usual => format!(
            "the model server used {then:.0} % of the processor instead of {usual:.0} %, and nothing that was sampled kept it from working: it waited for something else"
        ),
        _ => "nothing that was sampled was unlike usual".to_owned(),
    }
}
