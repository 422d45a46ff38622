//! What a run says about its own instrument: who stamped the arrivals, and how far that may be wrong.

use super::selection::is_success;
use super::wording::{count, time};
use crate::record::{BenchmarkResponse, BenchmarkResult, Clock, ClockError};

/// Who stamped the chunks of a run, and the error bar of the stamps; `None` where nothing was
/// measured.
pub fn instrument(run: &BenchmarkResponse) -> Option<String> {
    let measured: Vec<&BenchmarkResult> = run.results.iter().filter(|r| is_success(r)).collect();
    if measured.is_empty() {
        return None;
    }
    let by_kernel = |result: &&BenchmarkResult| result.timing.clock == Clock::Kernel;
    let stamped = if measured.iter().all(by_kernel) {
        "by the kernel when their packets came"
    } else {
        "by this program after it had read them"
    };
    let worst = measured
        .iter()
        .filter_map(|r| r.timing.clock_error.as_ref());
    let worst = worst.max_by(|a, b| bar(a).total_cmp(&bar(b)));
    let error = worst.map_or_else(
        || "how far that may be wrong is not known on this machine (`calibrate` finds out)".into(),
        |error| {
            let streams = count(error.streams as usize, "stream");
            let bar = time(bar(error), None);
            format!("on this machine 99 of 100 are right within {bar} ({streams} at once)")
        },
    );
    Some(format!(
        "Chunks were stamped {stamped}; {error}.{}",
        merged(&measured)
    ))
}

/// Half the width of the error bar, s: the error that was found, and what could not be told.
fn bar(error: &ClockError) -> f64 {
    error.p99 + error.resolution
}

fn merged(measured: &[&BenchmarkResult]) -> String {
    let merged: u64 = measured.iter().map(|r| r.timing.merged_chunks).sum();
    let all: u64 = measured.iter().map(|r| r.throughput.total_chunks).sum();
    if merged == 0 {
        return String::new();
    }
    format!(
        " {merged} of {all} chunks came together with a later one: when each came is not known."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{result, run};

    fn said(change: impl Fn(&mut BenchmarkResult)) -> Option<String> {
        let mut results = vec![result("a", 0.1, 0.01), result("a", 0.1, 0.01)];
        results.iter_mut().for_each(change);
        instrument(&run(&["a"], results))
    }

    #[test]
    fn it_says_who_stamped_and_how_well() {
        let calibrated = said(|r| {
            r.timing.clock = Clock::Kernel;
            r.timing.clock_error = Some(ClockError {
                median: 0.0,
                p99: 0.000_004,
                resolution: 0.000_011,
                streams: 16,
                calibrated: chrono::DateTime::UNIX_EPOCH,
            });
        });
        insta::assert_snapshot!(
            calibrated.unwrap(),
            @"Chunks were stamped by the kernel when their packets came; on this machine 99 of 100 are right within 15 µs (16 streams at once)."
        );
        let plain = said(|r| {
            r.timing.clock = Clock::User;
            r.timing.merged_chunks = 2;
        });
        insta::assert_snapshot!(
            plain.unwrap(),
            @"Chunks were stamped by this program after it had read them; how far that may be wrong is not known on this machine (`calibrate` finds out). 4 of 202 chunks came together with a later one: when each came is not known."
        );
        assert_eq!(said(|r| r.success = false), None);
    }
}
