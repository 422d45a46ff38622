//! What looking at the machine costs, at several intervals: processor time of the sampler's thread as a
//! share of one core, and the longest look. It looks for this process as for a model server, so that a
//! process tree is watched as well.
//!
//! `cargo bench --bench sampler`

#![expect(clippy::unwrap_used, reason = "a bench ends where it cannot go on")]

use std::sync::Arc;
use std::time::Duration;

use ollama_benchmarker::machine::{Lookup, Machine, Sampler, Sampling, Target};

/// So long at each interval.
const TIME: Duration = Duration::from_secs(6);

fn main() {
    let machine = Arc::new(Machine::new(None));
    println!("| interval | looks | of one core | a look | longest look | longest delay |");
    println!("|---|---|---|---|---|---|");
    for milliseconds in [1000, 250, 100, 50, 20] {
        let own = i32::try_from(std::process::id()).unwrap();
        let sampling = Sampling {
            baseline: Duration::ZERO,
            interval: Duration::from_millis(milliseconds),
            max_samples: 4096,
            targets: vec![Target {
                backend: "ollama".into(),
                lookup: Lookup::Pid(own),
            }],
        };
        let sampler = Sampler::start(&machine, sampling, |_| ()).unwrap();
        std::thread::sleep(TIME);
        let cost = sampler.stop().cost.unwrap();
        let each = cost.cpu_seconds.unwrap_or_default() / cost.looks as f64;
        println!(
            "| {milliseconds} ms | {} | {:.2} % | {:.2} ms | {:.1} ms | {:.1} ms |",
            cost.looks,
            cost.core_percent.unwrap_or_default(),
            each * 1000.0,
            cost.longest_look * 1000.0,
            cost.longest_delay * 1000.0,
        );
    }
}
