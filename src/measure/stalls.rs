//! Stalls: gaps between chunks that a reader notices, and what moved on the machine meanwhile. It names
//! what was sampled at the same time; that is a hint at a cause, not a proof.

mod causes;
mod movements;
mod scene;

use self::causes::{causes, without_cause};
use self::movements::movements;
use self::scene::{Scene, Times};
use super::load::{lives, union};
use super::participant::{labels, participants};
use super::statistics::{median, sorted};
use super::surroundings::{is_elsewhere, samples_of};
use super::wording::significant;
use crate::record::{BenchmarkResponse, BenchmarkResult};

/// Shorter gaps nobody notices, s.
const SHORTEST: f64 = 0.1;

/// And a stall is so many times the request's usual gap.
const FACTOR: f64 = 5.0;

/// So many are told, the longest ones.
const MOST: usize = 20;

/// A stall.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// The model's label.
    pub label: String,
    /// Which model of the run, from 0.
    pub index: usize,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// It was a warm-up.
    pub warmup: bool,
    /// Last chunk before it, s since the run began.
    pub from: f64,
    /// First chunk after it, or the end of the request, s since the run began.
    pub to: f64,
    /// The request's usual gap, s.
    pub usual: f64,
    /// No chunk came after it.
    pub is_end: bool,
    /// What probably caused it, the likeliest first, each a sentence.
    pub causes: Vec<String>,
    /// Figures of the machine that were not as usual.
    pub movements: Vec<Movement>,
}

/// A figure of the machine during a stall.
#[derive(Clone, Debug, PartialEq)]
pub struct Movement {
    /// Which one.
    pub name: String,
    /// Its median while there was no stall.
    pub usual: f64,
    /// Its value then.
    pub then: f64,
    /// Its unit.
    pub unit: &'static str,
}

/// The longest stalls of a run in the order of time.
pub fn stalls(run: &BenchmarkResponse) -> Vec<Stall> {
    let all = participants(run);
    let mut found: Vec<(Stall, &str)> = Vec::new();
    for (index, (it, label)) in all.iter().zip(labels(&all)).enumerate() {
        for result in &it.results {
            let mut own = of_request(result);
            for stall in &mut own {
                stall.label.clone_from(&label);
                stall.index = index;
            }
            found.extend(own.into_iter().map(|stall| (stall, it.backend)));
        }
    }
    found.sort_by(|a, b| (b.0.to - b.0.from).total_cmp(&(a.0.to - a.0.from)));
    found.truncate(MOST);
    found.sort_by(|a, b| a.0.from.total_cmp(&b.0.from));
    let stretches: Vec<(f64, f64)> = found.iter().map(|(it, _)| (it.from, it.to)).collect();
    let explained = found.into_iter().map(|(mut stall, backend)| {
        let own: Vec<&BenchmarkResult> = run
            .results
            .iter()
            .filter(|it| it.backend == backend)
            .collect();
        let times = Times {
            stalls: &stretches,
            requests: &union(&lives(&own)),
        };
        explain(run, backend, &times, &mut stall);
        stall
    });
    explained.collect()
}

/// The longest stall of a run in a sentence.
pub fn stall_sentence(run: &BenchmarkResponse) -> Option<String> {
    let all = stalls(run);
    let longest = all
        .iter()
        .max_by(|a, b| (a.to - a.from).total_cmp(&(b.to - b.from)))?;
    let more = match all.len() - 1 {
        0 => String::new(),
        more => format!(" ({more} more)"),
    };
    let seconds = |value: f64| significant(value).unwrap_or_default();
    Some(format!(
        "Longest stall: {} s without a chunk of {}, after {} s of the run{more}: {}.",
        seconds(longest.to - longest.from),
        longest.label,
        seconds(longest.from),
        longest.causes.join("; "),
    ))
}

fn of_request(result: &BenchmarkResult) -> Vec<Stall> {
    let Some((send, chunks)) = result.timing.send_offset.zip(result.chunks.as_ref()) else {
        return Vec::new();
    };
    let gaps: Vec<f64> = chunks.offsets.windows(2).map(|it| it[1] - it[0]).collect();
    let usual = median(&sorted(&gaps)).unwrap_or_default();
    let is_stall = |gap: f64| gap >= SHORTEST && gap >= FACTOR * usual;
    let stall = |from: f64, to: f64, is_end: bool| Stall {
        label: String::new(),
        index: 0,
        repetition: result.repetition,
        warmup: result.warmup,
        from: send + from,
        to: send + to,
        usual,
        is_end,
        causes: Vec::new(),
        movements: Vec::new(),
    };
    let pairs = chunks.offsets.windows(2);
    let mut found: Vec<Stall> = pairs
        .filter(|pair| is_stall(pair[1] - pair[0]))
        .map(|pair| stall(pair[0], pair[1], false))
        .collect();
    // A stream that ended in silence.
    let end = result.timing.flight().zip(chunks.offsets.last());
    if let Some((end, last)) = end.filter(|(end, last)| !result.success && is_stall(end - *last)) {
        found.push(stall(*last, end, true));
    }
    found
}

fn explain(run: &BenchmarkResponse, backend: &str, times: &Times, stall: &mut Stall) {
    let Some(samples) = samples_of(run, backend).filter(|it| it.items.len() > 1) else {
        stall.causes.push(if is_elsewhere(run, backend) {
            "the model is served by another machine, and no agent tells what happened there"
                .to_owned()
        } else {
            "there are no samples of the machine".to_owned()
        });
        return;
    };
    let scene = Scene::of(&samples.items, backend, times, (stall.from, stall.to));
    stall.causes = causes(&scene);
    stall.movements = movements(&scene);
    if stall.causes.is_empty() {
        stall.causes.push(without_cause(&scene, samples.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{result, run};
    use crate::record::{
        Chunks, GpuSample, Location, Pressure, Sample, Samples, ServerSample, ServerState,
    };

    /// A chunk each 50 ms for 10 s, and none from 4.0 to 4.4 s; the machine is looked at each 250 ms.
    fn stalled(change: impl Fn(&mut Sample, bool)) -> Vec<Stall> {
        let mut stream = result("a", 0.1, 0.05);
        let offsets: Vec<f64> = (0..200)
            .map(|place| f64::from(place) * 0.05)
            .filter(|at| !(4.01..4.39).contains(at))
            .collect();
        stream.timing.send_offset = Some(0.0);
        stream.timing.total_time = Some(10.0);
        stream.chunks = Some(Chunks {
            sizes: vec![4; offsets.len()],
            offsets,
        });
        let mut run = run(&["a"], vec![stream]);
        run.environment.models[0].location = Location::Local;
        let items = (-2..=40).map(|quarter| {
            let offset = f64::from(quarter) / 4.0;
            let mut sample = Sample {
                offset,
                cpu_percent: 55.0,
                frequency_max_mhz: Some(4000.0),
                other_cpu_percent: Some(4.0),
                own_cpu_percent: Some(1.0),
                steal_percent: Some(0.0),
                pressure: Some(Pressure {
                    cpu_percent: Some(5.0),
                    memory_percent: Some(0.0),
                    io_percent: Some(0.0),
                }),
                servers: vec![ServerSample {
                    backend: "ollama".into(),
                    state: ServerState::Running,
                    cpu_percent: Some(50.0),
                    ..ServerSample::default()
                }],
                gpus: vec![GpuSample {
                    utilization_percent: Some(90.0),
                    clock_mhz: Some(2000.0),
                    throttle_reasons: Some(vec!["sw_power_cap".into()]),
                    ..GpuSample::default()
                }],
                ..Sample::default()
            };
            change(&mut sample, (4.2..4.3).contains(&offset));
            sample
        });
        run.samples = Some(Samples {
            interval: 0.25,
            items: items.collect(),
            ..Samples::default()
        });
        stalls(&run)
    }

    #[track_caller]
    fn caused(change: impl Fn(&mut Sample)) -> String {
        let found = stalled(|sample, is_then| {
            if is_then {
                change(sample);
            }
        });
        assert_eq!(found.len(), 1);
        assert!((found[0].from - 4.0).abs() < 0.06 && (found[0].to - 4.4).abs() < 0.06);
        found[0].causes.join("; ")
    }

    #[test]
    fn what_moved_is_named() {
        insta::assert_snapshot!(caused(|it| it.servers[0].state = ServerState::Stopped), @"the model server was stopped, by a signal or a debugger");
        insta::assert_snapshot!(caused(|it| it.servers[0].state = ServerState::Gone), @"the model server's process was gone");
        insta::assert_snapshot!(caused(|it| it.other_cpu_percent = Some(48.0)), @"other programs took 48 % of the processor (usually 4 %)");
        insta::assert_snapshot!(caused(|it| it.own_cpu_percent = Some(40.0)), @"this program itself took 40 % of the processor");
        insta::assert_snapshot!(caused(|it| it.steal_percent = Some(30.0)), @"the host of this virtual machine gave 30 % of the processor to others");
        insta::assert_snapshot!(caused(|it| it.throttled_percent = Some(60.0)), @"the container's limit of processor time held its work up in 60 % of the time");
        insta::assert_snapshot!(caused(|it| it.servers[0].throttled_percent = Some(40.0)), @"the limit of the model server's container held its work up in 40 % of the time");
        insta::assert_snapshot!(caused(|it| it.frequency_max_mhz = Some(1200.0)), @"the processor's clock fell from 4000 to 1200 MHz");
        insta::assert_snapshot!(caused(|it| it.gpus[0].clock_mhz = Some(500.0)), @"the clock of the GPU fell from 2000 to 500 MHz");
        insta::assert_snapshot!(caused(|it| it.gpus[0].throttle_reasons = Some(vec!["hw_thermal_slowdown".into()])), @"the GPU was held down by heat");
        insta::assert_snapshot!(caused(|it| {
            it.pressure = Some(Pressure { memory_percent: Some(35.0), io_percent: Some(40.0), cpu_percent: None });
            it.swapped_in_bytes = Some(40_000_000);
            it.swapped_out_bytes = Some(2_000_000);
            it.servers[0].major_faults = Some(9000);
        }), @"memory was short: work waited for it in 35 % of the time, 42 MB went to or from swap and the model server had to read 9000 pages back; work waited for storage in 40 % of the time");
    }

    #[test]
    fn where_nothing_moved_that_is_said() {
        insta::assert_snapshot!(caused(|_| ()), @"nothing that was sampled was unlike usual");
        insta::assert_snapshot!(caused(|it| it.servers[0].cpu_percent = Some(0.5)), @"the model server used 0 % of the processor instead of 50 %, and nothing that was sampled kept it from working: it waited for something else");
    }

    #[test]
    fn figures_that_moved_are_listed() {
        let found = stalled(|sample, is_then| {
            if is_then {
                sample.servers[0].cpu_percent = Some(1.0);
                sample.gpus[0].utilization_percent = Some(0.0);
            }
        });
        let names: Vec<(&str, f64, f64)> = found[0]
            .movements
            .iter()
            .map(|it| (it.name.as_str(), it.usual, it.then))
            .collect();
        assert_eq!(
            names,
            [("CPU of the model server", 50.0, 1.0), ("GPU", 90.0, 0.0)]
        );
    }

    #[test]
    fn a_steady_stream_has_no_stall_and_a_silent_end_is_one() {
        let mut stream = result("a", 0.1, 0.02);
        stream.timing.send_offset = Some(1.0);
        stream.timing.total_time = Some(8.0);
        stream.chunks = Some(Chunks {
            offsets: vec![0.1, 0.15, 0.2, 0.25],
            sizes: vec![4; 4],
        });
        let mut whole = run(&["a"], vec![stream.clone()]);
        assert_eq!(stalls(&whole), []);
        whole.results[0].success = false;
        // As the transport tells it: the last byte came with the last chunk, and it was waited on.
        whole.results[0].timing.total_time = Some(0.25);
        whole.results[0].timing.in_flight_time = Some(8.0);
        let found = stalls(&whole);
        assert_eq!((found.len(), found[0].is_end), (1, true));
        assert_eq!((found[0].from, found[0].to), (1.25, 9.0));
        // Chunks count from the send; that it was sent late is no silence of the server.
        let mut late = whole.clone();
        late.results[0].timing.schedule_delay = Some(2.0);
        late.results[0].timing.total_time = Some(2.25);
        late.results[0].timing.in_flight_time = None;
        assert_eq!(stalls(&late), []);
        assert_eq!(found[0].causes, ["there are no samples of the machine"]);
        whole.environment.models[0].location = Location::Remote;
        assert!(stalls(&whole)[0].causes[0].contains("another machine"));
    }

    #[test]
    fn the_longest_are_told() {
        let mut stream = result("a", 0.1, 0.02);
        let mut offsets = vec![0.0];
        for place in 1..2000_u32 {
            let gap = if place.is_multiple_of(20) {
                0.2 + f64::from(place) * 1e-4
            } else {
                0.01
            };
            offsets.push(offsets[offsets.len() - 1] + gap);
        }
        stream.timing.send_offset = Some(0.0);
        stream.chunks = Some(Chunks {
            sizes: vec![1; offsets.len()],
            offsets,
        });
        let found = stalls(&run(&["a"], vec![stream]));
        assert_eq!(found.len(), MOST);
        assert!(found.is_sorted_by(|a, b| a.from < b.from));
        assert!(found.iter().all(|it| it.to - it.from > 0.35));
    }
}
