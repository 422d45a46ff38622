//! Pure: which rate a sweep tries next, from what came of those before.

use crate::record::{HIGHEST_RATE, Load, LoadStage, MOST_STAGES};

/// The first rate, as a share of what one request at a time comes to: a server that works on one at a
/// time keeps up with it.
const FIRST: f64 = 0.75;

/// Where not even that is kept up with, rates below this share tell nothing more.
const LOWEST: f64 = 0.2;

/// Until the server falls behind, each rate is so many times the one before.
const STEP: f64 = 2.0;

/// Between the highest rate that was kept up with and the lowest that was not, nothing is tried where
/// they lie as near as this.
const NEAR: f64 = 1.15;

/// Fewest requests of a stage: thirds of four tell whether latencies grow.
const FEWEST_REQUESTS: u32 = 12;

/// Fewest of the first stage: a median of five has an interval.
const FEWEST_ALONE: u32 = 5;

/// The next rate, requests a second; `None` where the sweep is over. The first stage, one request at a
/// time, comes before all rates.
pub fn next_rate(stages: &[LoadStage]) -> Option<f64> {
    let (first, rates) = stages.split_first()?;
    let alone = first.requests_per_second.filter(|rate| *rate > 0.0)?;
    if stages.len() >= MOST_STAGES as usize {
        return None;
    }
    let tried = |saturated: bool| {
        rates
            .iter()
            .filter(move |stage| stage.saturated == saturated)
            .filter_map(|stage| stage.offered_requests_per_second)
    };
    let kept_up = tried(false).reduce(f64::max);
    let fell_behind = tried(true).reduce(f64::min);
    let next = match (kept_up, fell_behind) {
        (None, None) => alone * FIRST,
        (Some(highest), None) => highest * STEP,
        (None, Some(lowest)) => Some(lowest / STEP).filter(|rate| *rate >= alone * LOWEST)?,
        (Some(highest), Some(lowest)) => {
            Some((highest * lowest).sqrt()).filter(|_| lowest > highest * NEAR)?
        }
    };
    (next <= HIGHEST_RATE).then_some(next)
}

/// How many requests a stage has.
pub fn requests(load: &Load, rate: Option<f64>) -> u32 {
    let Some(rate) = rate else {
        return load.stage_requests();
    };
    let in_time = (rate * load.stage_duration()).clamp(0.0, f64::from(u32::MAX));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded just above"
    )]
    let in_time = in_time.round() as u32;
    in_time.max(FEWEST_REQUESTS).min(load.stage_requests())
}

/// How many the first stage has sent at least before its time ends it.
pub fn fewest_alone(load: &Load) -> usize {
    FEWEST_ALONE.min(load.stage_requests()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Distribution, LoadPattern};

    fn stage(rate: Option<f64>, capacity: f64) -> LoadStage {
        LoadStage {
            stage: 0,
            offered_requests_per_second: rate,
            sent: 1,
            answered: 1,
            duration: 1.0,
            requests_per_second: Some(rate.unwrap_or(1.0)),
            output_tokens_per_second: None,
            peak_in_flight: 1,
            time_to_first_chunk: Distribution::default(),
            time_per_output_token: Distribution::default(),
            request_latency: Distribution::default(),
            saturated: rate.is_some_and(|rate| rate > capacity),
            objectives_met: None,
            goodput: None,
        }
    }

    /// The rates that are tried on a server that answers one a second alone, and at most so many.
    fn tried(capacity: f64) -> Vec<f64> {
        let mut stages = vec![stage(None, capacity)];
        while let Some(rate) = next_rate(&stages) {
            stages.push(stage(Some(rate), capacity));
        }
        let rates = stages
            .iter()
            .filter_map(|it| it.offered_requests_per_second);
        rates.map(|rate| (rate * 100.0).round() / 100.0).collect()
    }

    #[test]
    fn rates_rise_until_the_server_falls_behind_and_close_in_on_it() {
        assert_eq!(tried(1.0), [0.75, 1.5, 1.06, 0.89, 0.97]);
        assert_eq!(tried(9.0), [0.75, 1.5, 3.0, 6.0, 12.0, 8.49, 10.09, 9.25]);
        assert_eq!(tried(0.5), [0.75, 0.38, 0.53, 0.45, 0.49]);
    }

    #[test]
    fn a_sweep_always_ends() {
        assert_eq!(tried(0.1), [0.75, 0.38]);
        assert_eq!(tried(f64::INFINITY).len(), MOST_STAGES as usize - 1);
        assert_eq!(next_rate(&[]), None);
        let mut silent = stage(None, 1.0);
        silent.requests_per_second = None;
        assert_eq!(next_rate(&[silent]), None);
        let mut quick = stage(None, 1.0);
        quick.requests_per_second = Some(1e5);
        assert_eq!(next_rate(&[quick]), None);
    }

    #[test]
    fn stages_last_their_time_and_have_enough_requests() {
        let load = Load {
            pattern: LoadPattern::Sweep,
            duration: Some(10.0),
            ..Load::default()
        };
        assert_eq!(requests(&load, Some(5.0)), 50);
        assert_eq!(requests(&load, Some(0.1)), 12);
        assert_eq!(requests(&load, Some(5000.0)), 200);
        assert_eq!(requests(&load, None), 200);
        let few = Load {
            max_requests: Some(3),
            ..load
        };
        assert_eq!((requests(&few, Some(5.0)), fewest_alone(&few)), (3, 3));
    }
}
