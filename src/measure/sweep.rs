//! One rate of a sweep: what came of it, and whether the server kept up.

use super::load::{lives, peak, span};
use super::objective::{goodput, objective_outcomes};
use super::statistics::{median, sorted};
use super::summary::summarize;
use crate::record::{BenchmarkResult, LoadStage, MOST_STREAMS, Objective, Stage};

/// From this share of failures on the server refuses what it is asked.
const MANY_FAILURES: f64 = 0.1;

/// Fewer answers than this share of the requests of the same time: the rest piles up. In short stages
/// one request more or less makes that much, which is why latencies must grow as well.
const KEPT_UP: f64 = 0.95;

/// And so many times longer took the last third of the requests than the first: a queue makes each
/// wait longer than the one before, an uneven answer does not.
const GROWTH: f64 = 1.25;

/// Fewest answers for such thirds.
const FEWEST_FOR_GROWTH: usize = 6;

/// So many times more requests at once than the rate and the latencies so far explain (Little 1961:
/// requests at once = rate · latency) are a queue that grows. Latencies rise with the rate while a
/// server still keeps up, seldom threefold at one step.
const PILED_UP: f64 = 3.0;

/// Fewer at once are no queue yet.
const FEWEST_PILED_UP: f64 = 8.0;

/// Describes a stage by its results, all of one model. `before` are the earlier stages.
pub fn load_stage(
    stage: Stage,
    mut results: Vec<BenchmarkResult>,
    objectives: &[Objective],
    before: &[LoadStage],
) -> LoadStage {
    // A stage is described as if it were all there was.
    for result in &mut results {
        result.stage = None;
    }
    let name = results
        .first()
        .map(|it| (it.model.clone(), it.backend.clone()));
    let mut summary = summarize(&[name.unwrap_or_default()], &results).remove(0);
    let all: Vec<&BenchmarkResult> = results.iter().collect();
    summary.objectives = objective_outcomes(objectives, &summary, &all);
    let times = lives(&all);
    let duration = span(&all).map_or(0.0, |(first, last)| last - first);
    let peak_in_flight = peak(&times);
    let rate = stage.requests_per_second;
    let limit = rate.map(|rate| most_in_flight(rate, before));
    let failures =
        summary.failed as f64 > MANY_FAILURES * (summary.failed + summary.succeeded) as f64;
    let piled_up = limit.is_some_and(|limit| peak_in_flight >= limit);
    LoadStage {
        stage: stage.number,
        offered_requests_per_second: rate,
        sent: results.len() as u64,
        answered: summary.succeeded,
        duration,
        requests_per_second: (duration > 0.0).then(|| summary.succeeded as f64 / duration),
        output_tokens_per_second: summary.system_output_tokens_per_second,
        peak_in_flight,
        saturated: rate.is_some() && (failures || piled_up || falls_behind(&all)),
        objectives_met: (!objectives.is_empty())
            .then(|| summary.objectives.iter().all(|outcome| outcome.met)),
        goodput: goodput(objectives, &all),
        time_to_first_chunk: summary.time_to_first_chunk,
        time_per_output_token: summary.time_per_output_token,
        request_latency: summary.request_latency,
    }
}

/// The stages of a sweep from its results, which are all of one model.
pub(super) fn load_stages(
    results: &[&BenchmarkResult],
    objectives: &[Objective],
) -> Vec<LoadStage> {
    let mut found: Vec<LoadStage> = Vec::new();
    let stages: Vec<Stage> = results.iter().filter_map(|result| result.stage).collect();
    let last = stages.iter().map(|stage| stage.number).max();
    for number in last.into_iter().flat_map(|last| 0..=last) {
        let Some(stage) = stages.iter().find(|stage| stage.number == number) else {
            continue;
        };
        let of_stage = results.iter().filter(|it| it.stage == Some(*stage));
        let own = of_stage.map(|it| (*it).clone()).collect();
        found.push(load_stage(*stage, own, objectives, &found));
    }
    found
}

/// So many requests at once mean that the server has fallen behind, whatever comes after.
pub fn most_in_flight(rate: f64, before: &[LoadStage]) -> u64 {
    let mut kept_up = before.iter().rev().filter(|stage| !stage.saturated);
    let latency = kept_up.find_map(|stage| stage.request_latency.median);
    let explained = rate * latency.unwrap_or_default();
    let limit = (PILED_UP * explained).clamp(FEWEST_PILED_UP, f64::from(MOST_STREAMS));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded just above"
    )]
    let limit = limit.ceil() as u64;
    limit
}

/// Fewer answers come than requests go, and each takes longer than the one before.
fn falls_behind(results: &[&BenchmarkResult]) -> bool {
    let mut answered: Vec<(f64, f64)> = results
        .iter()
        .filter(|it| it.success)
        .filter_map(|it| {
            let delay = it.timing.schedule_delay.unwrap_or_default();
            Some((it.timing.send_offset? - delay, it.timing.request_latency?))
        })
        .collect();
    answered.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = answered.len();
    let (Some((first, _)), Some((last, _))) = (answered.first(), answered.last()) else {
        return false;
    };
    if n < FEWEST_FOR_GROWTH {
        return false;
    }
    let middle = f64::midpoint(*first, *last);
    let sent = answered.iter().filter(|(due, _)| *due > middle).count();
    let ended = |(due, latency): &&(f64, f64)| (middle..=*last).contains(&(due + latency));
    let came = answered.iter().filter(ended).count();
    let typical = |part: &[(f64, f64)]| {
        let latencies: Vec<f64> = part.iter().map(|(_, latency)| *latency).collect();
        median(&sorted(&latencies)).unwrap_or_default()
    };
    let (early, late) = (typical(&answered[..n / 3]), typical(&answered[n - n / 3..]));
    (came as f64) < KEPT_UP * sent as f64 && late > GROWTH * early
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::fixture::{failed, result};

    /// What `servers` that each work on one request of `work` seconds at a time make of a rate.
    fn stage_of(rate: f64, requests: u32, servers: usize, work: impl Fn(u32) -> f64) -> LoadStage {
        let mut free = vec![0.0_f64; servers];
        let results = (0..requests)
            .map(|number| {
                let due = f64::from(number) / rate;
                let server = (0..servers)
                    .min_by(|a, b| free[*a].total_cmp(&free[*b]))
                    .unwrap();
                free[server] = free[server].max(due) + work(number);
                let mut one = result("a", 0.1, 0.01);
                one.timing.send_offset = Some(due);
                one.timing.schedule_delay = Some(0.0);
                one.timing.request_latency = Some(free[server] - due);
                one.timing.total_time = one.timing.request_latency;
                one
            })
            .collect();
        let stage = Stage {
            number: 1,
            requests_per_second: Some(rate),
        };
        load_stage(stage, results, &[], &[alone(work(0))])
    }

    fn alone(latency: f64) -> LoadStage {
        let mut one = result("a", 0.1, 0.01);
        one.timing.send_offset = Some(0.0);
        one.timing.request_latency = Some(latency);
        one.timing.total_time = Some(latency);
        let first = Stage {
            number: 0,
            requests_per_second: None,
        };
        load_stage(first, vec![one], &[], &[])
    }

    #[test]
    fn a_server_that_keeps_up_is_not_saturated() {
        for requests in [12, 40, 200] {
            assert!(
                !stage_of(0.75, requests, 1, |_| 1.0).saturated,
                "{requests}"
            );
            assert!(!stage_of(7.0, requests, 8, |_| 1.0).saturated, "{requests}");
            // Answers of uneven length.
            let uneven = |number: u32| f64::from(number * 7 % 5 + 1) / 3.0;
            assert!(!stage_of(0.7, requests, 1, uneven).saturated, "{requests}");
        }
    }

    #[test]
    fn a_server_that_falls_behind_is_saturated() {
        for requests in [12, 40, 200] {
            assert!(stage_of(1.5, requests, 1, |_| 1.0).saturated, "{requests}");
            assert!(
                stage_of(12.0, requests.max(24), 8, |_| 1.0).saturated,
                "{requests}"
            );
        }
        assert!(stage_of(1.1, 40, 1, |_| 1.0).saturated);
    }

    #[test]
    fn a_server_that_refuses_is_saturated() {
        let mut results = vec![result("a", 0.1, 0.01); 8];
        results.push(failed("a"));
        let stage = Stage {
            number: 2,
            requests_per_second: Some(1.0),
        };
        assert!(load_stage(stage, results.clone(), &[], &[]).saturated);
        results.pop();
        assert!(!load_stage(stage, results, &[], &[]).saturated);
    }

    #[test]
    fn the_limit_follows_from_rate_and_latency() {
        assert_eq!(most_in_flight(1.0, &[alone(1.0)]), 8);
        assert_eq!(most_in_flight(10.0, &[alone(1.0)]), 30);
        assert_eq!(most_in_flight(10.0, &[]), 8);
        assert_eq!(most_in_flight(1e6, &[alone(9.0)]), 1000);
    }

    #[test]
    fn stages_are_found_again_in_the_results() {
        let at = |number: u32, rate: Option<f64>| {
            let mut one = result("a", 0.1, 0.01);
            one.timing.send_offset = Some(f64::from(number));
            one.stage = Some(Stage {
                number,
                requests_per_second: rate,
            });
            one
        };
        let all = [at(1, Some(2.0)), at(0, None), at(1, Some(2.0))];
        let objectives = ["total_time<0.5".parse().unwrap()];
        let found = load_stages(&all.iter().collect::<Vec<_>>(), &objectives);
        let told: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.stage,
                    it.offered_requests_per_second,
                    it.sent,
                    it.answered,
                )
            })
            .collect();
        assert_eq!(told, [(0, None, 1, 1), (1, Some(2.0), 2, 2)]);
        assert_eq!(found[0].objectives_met, Some(false));
        assert_eq!(load_stages(&[], &[]), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Far from the edge the answer is never wrong, however many there are.
        #[test]
        fn far_from_the_edge_it_is_always_told(
            servers in 1_usize..10, work in 0.01..5.0_f64, factor in prop_oneof![0.2..0.7_f64, 1.6..4.0_f64],
            requests in 12_u32..150,
        ) {
            let capacity = servers as f64 / work;
            // Of fewer than that, not even a server's first requests have ended.
            let requests = requests.max(u32::try_from(servers * 6).unwrap());
            let stage = stage_of(capacity * factor, requests, servers, |_| work);
            prop_assert_eq!(stage.saturated, factor > 1.0);
        }
    }
}
