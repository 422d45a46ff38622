//! Doubts about the instrument itself: stamps that are missing, merged or too coarse for what they
//! should tell, and requests that it sent late.

use super::Findings;
use crate::measure::statistics::{median, sorted};
use crate::measure::wording::{count, time};
use crate::record::{BenchmarkResult, Clock};

/// From this share of merged chunks on, the gaps between them are those of the reads.
const MANY_MERGED: f64 = 0.1;

/// Requests that are this late, and later than this share of the time to the first chunk, were held up
/// by this program: a timer and a thread that wakes take a tenth of it.
const LATE: f64 = 1e-3;
const LATE_SHARE: f64 = 0.1;

/// What speaks against the stamps of one model's successes.
pub(super) fn judge(label: &str, successes: &[&BenchmarkResult], findings: &mut Findings) {
    missing(label, successes, findings);
    merged(label, successes, findings);
    coarse(label, successes, findings);
    late(label, successes, findings);
}

/// Where the kernel stamps at all, it should stamp everything.
fn missing(label: &str, successes: &[&BenchmarkResult], findings: &mut Findings) {
    let by_program = |it: &&&BenchmarkResult| it.timing.clock == Clock::User;
    let without = successes.iter().filter(by_program).count();
    if without > 0 && without < successes.len() {
        findings.fair(format!(
            "{label}: {without} of {} lack stamps of the kernel, so their chunks may seem later than they came",
            count(successes.len(), "request")
        ));
    }
}

fn merged(label: &str, successes: &[&BenchmarkResult], findings: &mut Findings) {
    let merged: u64 = successes.iter().map(|it| it.timing.merged_chunks).sum();
    let chunks: u64 = successes.iter().map(|it| it.throughput.total_chunks).sum();
    if merged as f64 > MANY_MERGED * chunks as f64 {
        let percent = merged as f64 / chunks as f64 * 100.0;
        findings.fair(format!(
            "{label}: {percent:.0} % of its chunks came together with a later one, so the gaps between them are not known"
        ));
    }
}

/// A gap that is smaller than the error of the two stamps it lies between says nothing.
fn coarse(label: &str, successes: &[&BenchmarkResult], findings: &mut Findings) {
    let errors = successes
        .iter()
        .filter_map(|it| it.timing.clock_error.as_ref());
    let error = errors.map(|it| it.p99 + it.resolution).reduce(f64::max);
    let per_token: Vec<f64> = successes
        .iter()
        .filter_map(|it| it.timing.time_per_output_token)
        .collect();
    let typical = median(&sorted(&per_token));
    if let (Some(error), Some(typical)) = (error, typical)
        && typical < error
    {
        findings.fair(format!(
            "{label}: its chunks came about {} apart, and stamps may be wrong by {}: single gaps say nothing",
            time(typical, None),
            time(error, None)
        ));
    }
}

/// An open loop that is late loads the server less evenly than it says.
fn late(label: &str, successes: &[&BenchmarkResult], findings: &mut Findings) {
    let of = |figure: fn(&BenchmarkResult) -> Option<f64>| {
        let values: Vec<f64> = successes.iter().filter_map(|it| figure(it)).collect();
        median(&sorted(&values))
    };
    let delay = of(|it| it.timing.schedule_delay);
    let first = of(|it| it.timing.time_to_first_chunk);
    if let (Some(delay), Some(first)) = (delay, first)
        && delay > LATE
        && delay > LATE_SHARE * first
    {
        findings.poor(format!(
            "{label}: requests were sent {} late (median): this program could not keep up with the rate",
            time(delay, None)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::result;
    use crate::record::{ClockError, Grade};

    fn judged(change: impl Fn(usize, &mut BenchmarkResult)) -> (Grade, Vec<String>) {
        let mut results = vec![result("a", 0.1, 0.01); 4];
        for (place, result) in results.iter_mut().enumerate() {
            result.timing.clock = Clock::Kernel;
            change(place, result);
        }
        let mut findings = Findings::default();
        judge("a", &results.iter().collect::<Vec<_>>(), &mut findings);
        let found = findings.into_validity();
        (found.grade, found.reasons)
    }

    #[test]
    fn sound_stamps_are_not_named() {
        assert_eq!(judged(|_, _| {}), (Grade::Good, vec![]));
        // Of a platform without them, none is missing.
        assert_eq!(judged(|_, it| it.timing.clock = Clock::User).1, [""; 0]);
    }

    #[test]
    fn missing_and_merged_stamps_are_named() {
        let found = judged(|place, it| {
            if place == 0 {
                it.timing.clock = Clock::User;
            }
            it.timing.merged_chunks = 30;
        });
        insta::assert_debug_snapshot!(found, @r#"
        (
            Fair,
            [
                "a: 1 of 4 requests lack stamps of the kernel, so their chunks may seem later than they came",
                "a: 30 % of its chunks came together with a later one, so the gaps between them are not known",
            ],
        )
        "#);
    }

    #[test]
    fn gaps_below_the_clocks_error_are_named() {
        let with_error = |p99: f64| {
            judged(move |_, it| {
                it.timing.clock_error = Some(ClockError {
                    median: 0.0,
                    p99,
                    resolution: 1e-6,
                    streams: 1,
                    calibrated: chrono::DateTime::UNIX_EPOCH,
                });
            })
        };
        assert_eq!(with_error(1e-4).0, Grade::Good);
        insta::assert_snapshot!(
            with_error(0.02).1[0],
            @"a: its chunks came about 10 ms apart, and stamps may be wrong by 20 ms: single gaps say nothing"
        );
    }

    #[test]
    fn a_load_that_is_sent_late_is_not_to_be_quoted() {
        assert_eq!(
            judged(|_, it| it.timing.schedule_delay = Some(2e-4)).0,
            Grade::Good
        );
        let (grade, reasons) = judged(|_, it| it.timing.schedule_delay = Some(0.04));
        assert_eq!(grade, Grade::Poor);
        insta::assert_snapshot!(reasons[0], @"a: requests were sent 40 ms late (median): this program could not keep up with the rate");
    }
}
