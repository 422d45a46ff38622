//! What a load came to: how many requests a second were answered, how many went on at once, and
//! how late they were sent.

use super::participant::named_summaries;
use super::statistics::distribution;
use super::sweep::load_stages;
use super::wording::{self, significant};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Load, LoadPattern, LoadStage, LoadSummary,
    ModelSummaryStatistics, Objective,
};

/// The load of one model, from its results; `None` where no measured request was sent.
pub fn load_summary(
    load: &Load,
    objectives: &[Objective],
    results: &[&BenchmarkResult],
) -> Option<LoadSummary> {
    let measured: Vec<&BenchmarkResult> = results.iter().copied().filter(|r| !r.warmup).collect();
    let is_sweep = load.pattern == LoadPattern::Sweep;
    let stages = if is_sweep {
        load_stages(&measured, objectives)
    } else {
        Vec::new()
    };
    let (first, last) = span(&measured)?;
    let duration = last - first;
    let answered = measured.iter().filter(|r| r.success).count();
    let delays: Vec<f64> = measured
        .iter()
        .filter_map(|r| r.timing.schedule_delay)
        .collect();
    Some(LoadSummary {
        pattern: load.pattern,
        offered_requests_per_second: match load.pattern {
            LoadPattern::Closed | LoadPattern::Sweep => None,
            LoadPattern::Constant | LoadPattern::Poisson => load.rate,
        },
        sent: measured.len() as u64,
        answered: answered as u64,
        duration,
        // Different rates have no rate in common.
        requests_per_second: (duration > 0.0 && !is_sweep).then(|| answered as f64 / duration),
        peak_in_flight: peak(&lives(&measured)),
        schedule_delay: distribution(&delays),
        sustained_requests_per_second: rates(&stages, |it| !it.saturated).reduce(f64::max),
        saturated_requests_per_second: rates(&stages, |it| it.saturated).reduce(f64::min),
        rate_within_objectives: rate_within(&stages),
        stages,
    })
}

/// The highest rate at which every objective was met, as at every lower one.
fn rate_within(stages: &[LoadStage]) -> Option<f64> {
    let missed = rates(stages, |it| it.objectives_met == Some(false)).reduce(f64::min);
    rates(stages, |it| it.objectives_met == Some(true))
        .filter(|rate| missed.is_none_or(|missed| *rate < missed))
        .reduce(f64::max)
}

fn rates(stages: &[LoadStage], which: fn(&LoadStage) -> bool) -> impl Iterator<Item = f64> {
    let chosen = stages.iter().filter(move |stage| which(stage));
    chosen.filter_map(|stage| stage.offered_requests_per_second)
}

/// What the load of each model came to, in words; nothing where there was none.
pub fn load_sentences(run: &BenchmarkResponse) -> Vec<String> {
    named_summaries(run)
        .filter_map(|(name, one)| load_sentence(&name, one))
        .collect()
}

fn load_sentence(name: &str, summary: &ModelSummaryStatistics) -> Option<String> {
    let load = summary.load.as_ref()?;
    if load.pattern == LoadPattern::Sweep {
        return Some(sweep_sentence(name, load));
    }
    let (sent, answered) = (load.sent, load.answered);
    let offered = load.offered_requests_per_second.and_then(significant);
    let offered = offered.map(|offered| format!(" (offered: {offered})"));
    let parts = [
        Some(format!("{answered} of {sent} requests answered")),
        load.requests_per_second
            .and_then(significant)
            .map(|rate| format!("{rate} a second{}", offered.unwrap_or_default())),
        summary
            .system_output_tokens_per_second
            .map(|rate| format!("{} in all", wording::rate(rate, None))),
        Some(format!("at most {} at once", load.peak_in_flight)),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let delay = &load.schedule_delay;
    let late = delay
        .median
        .zip(delay.p99.or(delay.max))
        .map(|(median, most)| {
            let which = if delay.p99.is_some() {
                "99th percentile"
            } else {
                "at most"
            };
            let (median, most) = (wording::time(median, None), wording::time(most, None));
            format!("; sent {median} late (median; {which} {most})")
        });
    let late = late.unwrap_or_default();
    Some(format!("{name}: {}{late}.", parts.join(", ")))
}

fn sweep_sentence(name: &str, load: &LoadSummary) -> String {
    let say = |rate: Option<f64>| rate.and_then(significant);
    let stages = wording::count(load.stages.len(), "stage");
    let kept_up = match (
        say(load.sustained_requests_per_second),
        say(load.saturated_requests_per_second),
    ) {
        (Some(kept_up), Some(behind)) => {
            format!("kept up with {kept_up} requests a second and fell behind at {behind}")
        }
        (Some(kept_up), None) => {
            format!("kept up with {kept_up} requests a second, the highest rate that was tried")
        }
        (None, Some(behind)) => {
            format!("fell behind at {behind} requests a second, the lowest rate that was tried")
        }
        (None, None) => "no rate was tried".to_owned(),
    };
    let has_objectives = load.stages.iter().any(|it| it.objectives_met.is_some());
    let within = match say(load.rate_within_objectives) {
        Some(rate) => format!("; every objective was met up to {rate} a second"),
        None if has_objectives => "; every objective was met at no rate".to_owned(),
        None => String::new(),
    };
    format!("{name}: {kept_up}{within} (a sweep of {stages}).")
}

/// First send and last end of some requests, s since the run began.
pub(super) fn span(results: &[&BenchmarkResult]) -> Option<(f64, f64)> {
    let times = || results.iter().filter_map(|result| time(result));
    let first = times().map(|(begin, _)| begin).reduce(f64::min)?;
    let last = times().map(|(_, end)| end).reduce(f64::max)?;
    Some((first, last))
}

/// Sends and ends of some requests, s since the run began.
pub(super) fn lives(results: &[&BenchmarkResult]) -> Vec<(f64, f64)> {
    results.iter().filter_map(|result| time(result)).collect()
}

/// Stretches of time in their order, those that overlap as one.
pub(super) fn union(stretches: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = stretches.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut found: Vec<(f64, f64)> = Vec::new();
    for (from, to) in sorted {
        match found.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => found.push((from, to)),
        }
    }
    found
}

/// From the send to the end, whatever end that was, s since the run began. Where an older record does not tell
/// when a request was given up, it counts as a moment.
fn time(result: &BenchmarkResult) -> Option<(f64, f64)> {
    let sent = result.timing.send_offset?;
    Some((sent, sent + result.timing.flight().unwrap_or_default()))
}

/// Most requests at one time.
pub(super) fn peak(times: &[(f64, f64)]) -> u64 {
    let mut changes: Vec<(f64, i64)> = times
        .iter()
        .flat_map(|(begin, end)| [(*begin, 1), (*end, -1)])
        .collect();
    // What ends when another begins makes room for it.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut now = 0_i64;
    let mut most = 0_i64;
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    u64::try_from(most).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{failed, result};

    fn sent(at: f64, took: f64, delay: f64) -> BenchmarkResult {
        let mut one = result("a", 0.1, 0.01);
        one.timing.send_offset = Some(at);
        one.timing.total_time = Some(took + delay);
        one.timing.schedule_delay = Some(delay);
        one
    }

    #[test]
    fn rate_and_overlap_come_from_when_requests_went_on() {
        let load = Load {
            pattern: LoadPattern::Constant,
            rate: Some(2.0),
            ..Load::default()
        };
        let mut warmup = sent(0.0, 9.0, 0.0);
        warmup.warmup = true;
        let mut broken = failed("a");
        broken.timing.send_offset = Some(11.5);
        let all = [
            warmup,
            sent(10.0, 1.0, 0.0),
            sent(10.5, 1.0, 0.25),
            sent(11.0, 1.0, 0.5),
            broken,
        ];
        let found = load_summary(&load, &[], &all.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(
            (found.sent, found.answered, found.peak_in_flight),
            (4, 3, 2)
        );
        assert!((found.duration - 2.0).abs() < 1e-9);
        assert!((found.requests_per_second.unwrap() - 1.5).abs() < 1e-9);
        assert_eq!(found.offered_requests_per_second, Some(2.0));
        assert_eq!(found.schedule_delay.max, Some(0.5));
        assert_eq!(load_summary(&load, &[], &[]), None);
        // What was waited for until its timeout went on until then.
        let mut hung = all.clone();
        hung[4].timing.in_flight_time = Some(4.5);
        let with = load_summary(&load, &[], &hung.iter().collect::<Vec<_>>()).unwrap();
        assert!((with.duration - 6.0).abs() < 1e-9 && with.peak_in_flight == 2);

        let mut summary =
            crate::measure::summarize(&[("a".into(), "local".into())], &all).remove(0);
        assert_eq!(load_sentence("a", &summary), None);
        summary.load = Some(found);
        insta::assert_snapshot!(load_sentence("a", &summary).unwrap(), @"a: 3 of 4 requests answered, 1.50 a second (offered: 2.00), at most 2 at once; sent 250 ms late (median; at most 500 ms).");
    }
}
