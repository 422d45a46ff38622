//! How far the figures of a run can be trusted, and what speaks against them. It flags; it removes
//! nothing.

mod cache;
mod machine;
pub(super) mod spread;
mod stamps;

use std::collections::{BTreeMap, BTreeSet};

use super::participant::{Participant, labels, participants};
use super::selection::cold_among_warm;
use super::statistics::{FEWEST_FOR_INTERVAL, sorted};
use super::sustained;
use super::wording::count;
use crate::record::{BenchmarkResponse, BenchmarkResult, Grade, Status, Validity};

/// From this share of failures on a run is poor: requests that time out are the slowest ones, and a
/// tenth of them missing is all that p90 speaks of.
const MANY_FAILURES: f64 = 0.1;

/// A model whose share on the CPU moves by more than this was placed anew, percentage points.
const PLACEMENT_TOLERANCE: f64 = 1.0;

/// Judges a run as it stands.
pub fn validity(run: &BenchmarkResponse) -> Validity {
    let all = participants(run);
    let successes: usize = all.iter().map(|it| it.successes().len()).sum();
    if successes == 0 {
        return without_success(run);
    }
    let mut findings = Findings::default();
    judge_run(run, &mut findings);
    judge_failures(&all, &mut findings);
    for (it, label) in all.iter().zip(labels(&all)) {
        let successes = it.successes();
        if successes.is_empty() {
            findings.poor(format!("{label}: no request succeeded"));
            continue;
        }
        judge_model(it, &label, &successes, &mut findings);
        stamps::judge(&label, &successes, &mut findings);
        cache::judge(&label, &it.results, &mut findings);
        judge_outputs(it, &label, &successes, &mut findings);
        let summary = run.summary.iter();
        let mut summary = summary.filter(|one| one.model == it.model && one.backend == it.backend);
        if let Some(change) = summary.next().and_then(|one| one.rate_change.as_ref()) {
            findings.fair(sustained::words(&label, change));
        }
        let groups = by_prompt(&successes);
        for (metric, name) in spread::WATCHED {
            spread::judge_spread(&groups, metric, &format!("{label}: {name}"), &mut findings);
        }
    }
    findings.into_validity()
}

fn without_success(run: &BenchmarkResponse) -> Validity {
    if !run.status.is_final() {
        return Validity::default();
    }
    Validity {
        grade: Grade::Poor,
        reasons: vec!["no request succeeded".to_owned()],
    }
}

/// What was found, and how bad the worst of it is.
#[derive(Default)]
struct Findings {
    poor: bool,
    reasons: Vec<String>,
}

impl Findings {
    fn fair(&mut self, reason: String) {
        self.reasons.push(reason);
    }

    fn poor(&mut self, reason: String) {
        self.poor = true;
        self.reasons.push(reason);
    }

    fn into_validity(self) -> Validity {
        let grade = match (self.poor, self.reasons.is_empty()) {
            (true, _) => Grade::Poor,
            (false, false) => Grade::Fair,
            (false, true) => Grade::Good,
        };
        Validity {
            grade,
            reasons: self.reasons,
        }
    }
}

fn judge_run(run: &BenchmarkResponse, findings: &mut Findings) {
    let finished = run.results.len();
    let total = count(run.total_requests as usize, "request");
    match run.status {
        Status::Cancelled => {
            findings.fair(format!("the run was stopped after {finished} of {total}"));
        }
        Status::Interrupted => {
            findings.fair(format!("the program ended after {finished} of {total}"));
        }
        _ => {}
    }
    // Under a load that is what is measured.
    if run.request.load.is_none() && run.results.iter().any(|r| r.contended && !r.warmup) {
        findings.fair(
            "models were measured while others were working: the figures are those of a shared machine"
                .to_owned(),
        );
    }
    machine::judge(run, findings);
}

fn judge_failures(all: &[Participant], findings: &mut Findings) {
    let failed: usize = all.iter().map(Participant::failed).sum();
    let succeeded: usize = all.iter().map(|it| it.successes().len()).sum();
    if failed == 0 {
        return;
    }
    let measured = failed + succeeded;
    let reason = format!("{failed} of {} failed", count(measured, "request"));
    if failed as f64 > MANY_FAILURES * measured as f64 {
        findings.poor(reason);
    } else {
        findings.fair(reason);
    }
}

fn judge_model(
    it: &Participant,
    label: &str,
    successes: &[&BenchmarkResult],
    findings: &mut Findings,
) {
    let n = successes.len();
    if it.synthetic() {
        findings.fair(format!(
            "{label} is synthetic: its figures are of this program, not of a language model"
        ));
    }
    if n == 1 {
        findings.poor(format!("{label} was measured once: the spread is unknown"));
    } else if n < FEWEST_FOR_INTERVAL {
        findings.fair(format!(
            "{label} was measured {n} times: an interval of the median needs {FEWEST_FOR_INTERVAL}"
        ));
    }
    let cold = cold_among_warm(successes);
    if cold > 0 {
        findings.fair(format!(
            "{label}: {cold} of {} loaded the model first and {} left out of the figures that loading is part of; a warm-up avoids that",
            count(n, "request"),
            if cold == 1 { "is" } else { "are" }
        ));
    }
    let at_once = successes.iter().filter(|r| came_at_once(r)).count();
    if at_once > 0 {
        findings.fair(format!(
            "{label}: in {at_once} of {} the output came all at once, so nothing was seen of its decoding",
            count(n, "request")
        ));
    }
    let digests: BTreeSet<_> = successes.iter().filter_map(|r| r.digest.as_ref()).collect();
    if digests.len() > 1 {
        findings.poor(format!("{label}: the model was replaced during the run"));
    }
    let on_cpu: Vec<f64> = successes
        .iter()
        .filter_map(|r| r.placement.as_ref()?.cpu_percent)
        .collect();
    let on_cpu = sorted(&on_cpu);
    if let (Some(least), Some(most)) = (on_cpu.first(), on_cpu.last())
        && most - least > PLACEMENT_TOLERANCE
    {
        findings.fair(format!(
            "{label}: its share on the CPU moved from {least:.0} % to {most:.0} % between requests"
        ));
    }
}

fn came_at_once(result: &BenchmarkResult) -> bool {
    result
        .throughput
        .output_tokens
        .is_some_and(|tokens| tokens >= 2)
        && result.timing.time_per_output_token.is_none()
}

/// Successes of each prompt: the figures of different prompts differ by nature.
fn by_prompt<'a>(successes: &[&'a BenchmarkResult]) -> Vec<Vec<&'a BenchmarkResult>> {
    let mut groups: BTreeMap<&str, Vec<&BenchmarkResult>> = BTreeMap::new();
    for result in successes {
        groups.entry(&result.prompt).or_default().push(result);
    }
    groups.into_values().collect()
}

/// With a fixed seed and without randomness the answer should repeat.
fn judge_outputs(
    it: &Participant,
    label: &str,
    successes: &[&BenchmarkResult],
    findings: &mut Findings,
) {
    let parameters = &it.run.request.parameters;
    let fixed = parameters.seed.is_some_and(|seed| seed >= 0)
        && parameters.temperature.is_some_and(|heat| heat <= 0.0);
    let differs = |group: &Vec<&BenchmarkResult>| {
        let hashes: BTreeSet<_> = group.iter().map(|r| &r.response_sha256).collect();
        hashes.len() > 1
    };
    let is_same = !it.run.request.defeats_cache();
    if fixed && is_same && by_prompt(successes).iter().any(differs) {
        findings.fair(format!(
            "{label}: answers differed although seed and temperature were fixed, so requests were not the same work"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, failed, result, run, sample};
    use crate::record::{Placement, Samples};

    const STEADY: [f64; 6] = [10.0, 10.1, 9.9, 10.2, 9.8, 10.0];

    #[track_caller]
    fn check(change: impl FnOnce(&mut BenchmarkResponse), grade: Grade, reasons: &[&str]) {
        let mut run = run(&["a"], at_rates("a", &STEADY));
        change(&mut run);
        let found = validity(&run);
        assert_eq!(found.reasons, reasons);
        assert_eq!(found.grade, grade);
    }

    #[test]
    fn a_steady_run_is_good() {
        check(|_| {}, Grade::Good, &[]);
    }

    #[test]
    fn few_repetitions_are_named() {
        check(
            |run| run.results.truncate(3),
            Grade::Fair,
            &["a was measured 3 times: an interval of the median needs 5"],
        );
        check(
            |run| run.results.truncate(1),
            Grade::Poor,
            &["a was measured once: the spread is unknown"],
        );
    }

    #[test]
    fn failures_are_named_and_many_are_poor() {
        check(
            |run| run.results.push(failed("a")),
            Grade::Poor,
            &["1 of 7 requests failed"],
        );
        check(
            |run| {
                run.results.extend(at_rates("a", &STEADY));
                run.results.push(failed("a"));
            },
            Grade::Fair,
            &["1 of 13 requests failed"],
        );
        check(
            |run| run.results = vec![failed("a")],
            Grade::Poor,
            &["no request succeeded"],
        );
        check(
            |run| run.results.push(failed("b")),
            Grade::Poor,
            &["1 of 7 requests failed", "b: no request succeeded"],
        );
    }

    #[test]
    fn a_run_that_measured_nothing_yet_has_no_grade() {
        check(
            |run| {
                run.results.clear();
                run.status = Status::Queued;
            },
            Grade::Unknown,
            &[],
        );
    }

    #[test]
    fn the_circumstances_of_a_run_are_named() {
        check(
            |run| {
                run.status = Status::Cancelled;
                run.total_requests = 9;
                run.results[0].contended = true;
                run.environment.models[0].synthetic = true;
                run.samples = Some(Samples {
                    interval: 0.25,
                    items: vec![
                        sample(-0.25, &[60.0, 40.0], 1.0),
                        sample(0.25, &[99.0], 1.0),
                    ],
                    ..Samples::default()
                });
            },
            Grade::Fair,
            &[
                "the run was stopped after 6 of 9 requests",
                "models were measured while others were working: the figures are those of a shared machine",
                "the machine was busy before the run: 50 % of its processor time",
                "a is synthetic: its figures are of this program, not of a language model",
            ],
        );
    }

    #[test]
    fn answers_that_should_repeat_and_do_not_are_named() {
        let differing = |run: &mut BenchmarkResponse, seed| {
            run.request.parameters.seed = seed;
            run.request.parameters.temperature = Some(0.0);
            run.results[2].response_sha256 = "1".repeat(64);
        };
        check(
            |run| differing(run, Some(7)),
            Grade::Fair,
            &[
                "a: answers differed although seed and temperature were fixed, so requests were not the same work",
            ],
        );
        check(|run| differing(run, None), Grade::Good, &[]);
        check(
            |run| {
                differing(run, Some(7));
                run.results[2].prompt = "another".into();
            },
            Grade::Good,
            &[],
        );
    }

    #[test]
    fn what_changed_about_a_model_is_named() {
        let placed = |percent| {
            Some(Placement {
                digest: None,
                expires_at: None,
                size_bytes: 100,
                size_vram_bytes: 50,
                cpu_percent: Some(percent),
                context_length: None,
            })
        };
        check(
            |run| {
                run.results[0].digest = Some("one".into());
                run.results[1].digest = Some("two".into());
                run.results[0].placement = placed(0.0);
                run.results[1].placement = placed(38.0);
                run.results[2].timing.load_time = Some(3.0);
                run.results[3].timing.time_per_output_token = None;
            },
            Grade::Poor,
            &[
                "a: 1 of 6 requests loaded the model first and is left out of the figures that loading is part of; a warm-up avoids that",
                "a: in 1 of 6 requests the output came all at once, so nothing was seen of its decoding",
                "a: the model was replaced during the run",
                "a: its share on the CPU moved from 0 % to 38 % between requests",
            ],
        );
    }

    #[test]
    fn spread_is_named_by_its_size() {
        check(
            |run| run.results = at_rates("a", &[10.0, 12.0, 14.0, 11.0, 13.0]),
            Grade::Fair,
            &["a: tokens a second varies by 13 % (coefficient of variation)"],
        );
        check(
            |run| run.results = at_rates("a", &[10.0, 20.0, 30.0, 15.0, 25.0]),
            Grade::Poor,
            &["a: tokens a second varies by 40 % (coefficient of variation)"],
        );
    }

    #[test]
    fn an_outlier_is_named_and_kept() {
        check(
            |run| run.results.extend(at_rates("a", &[10.0, 10.1, 9.9, 11.5])),
            Grade::Fair,
            &["a: tokens a second has 1 outlier among 10 values"],
        );
        assert_eq!(spread::outliers(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0]), 1);
        assert_eq!(spread::outliers(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.01]), 0);
        assert_eq!(spread::outliers(&[1.0; 5]), 0);
    }

    #[test]
    fn a_drift_is_named_with_its_direction() {
        check(
            |run| {
                run.results = (0..14)
                    .map(|i| {
                        let mut slower = result("a", 0.5, 0.100 + 0.002 * f64::from(i));
                        slower.timing.send_offset = Some(f64::from(i));
                        slower
                    })
                    .collect();
                run.results.reverse();
            },
            Grade::Fair,
            &["a: tokens a second drifted: 12 % lower in the second half than in the first"],
        );
    }
}
