//! Which requests waited for their model to be loaded beside others that did not. Cold and warm are never
//! averaged together.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::record::BenchmarkResult;

/// A result that waited for its model this long beside one that did not was cold. Ollama states
/// some 10 to 100 ms for a model that is loaded already; reading even a small model takes longer.
const LOAD_SECONDS: f64 = 0.2;

/// And this many times longer, so that a slow machine's warm ones do not count as cold.
const LOAD_FACTOR: f64 = 5.0;

/// Moments that offsets of one run count from are as close: a request of an open loop is begun before its send.
const SAME_RUN: TimeDelta = TimeDelta::seconds(1);

/// Tells cold from warm among the successes of one model.
pub(super) struct Cold {
    /// Whoever waited so long for the model may be cold, s.
    limit: f64,
    /// When each run had not had its model yet.
    loading: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Cold {
    /// `None` where all are alike.
    pub(super) fn among(successes: &[&BenchmarkResult]) -> Option<Self> {
        let loads = || successes.iter().map(|result| load_seconds(result));
        let least = loads().min_by(f64::total_cmp)?;
        let limit = LOAD_SECONDS.max(LOAD_FACTOR * least);
        let mut cold = Self {
            limit,
            loading: Vec::new(),
        };
        if loads().any(|load| load >= limit) && successes.iter().any(|it| may_wait(it)) {
            cold.loading = first_loads(successes, limit);
        }
        let count = successes.iter().filter(|it| cold.is(it)).count();
        (count > 0 && count < successes.len()).then_some(cold)
    }

    /// Whether this one was cold. What a server calls loading has the time in its queue too: where requests go on at
    /// once, one that waited counts as cold only while nothing of its run had been answered, or else a server that
    /// keeps requests waiting would hide it.
    pub(super) fn is(&self, result: &BenchmarkResult) -> bool {
        let is_first = || {
            let mut loads = self.loading.iter();
            loads.any(|(from, to)| (*from..=*to).contains(&result.timestamp))
        };
        result.cold_start
            || (load_seconds(result) >= self.limit && (!may_wait(result) || is_first()))
    }
}

/// Others may have kept it waiting in the server's queue.
fn may_wait(result: &BenchmarkResult) -> bool {
    result.contended || result.timing.schedule_delay.is_some()
}

/// From the begin of each run to when its first request had its model, where that had to be loaded. Offsets tell runs
/// apart: in one, all are taken from the same moment.
fn first_loads(successes: &[&BenchmarkResult], limit: f64) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let zero = |it: &BenchmarkResult| {
        let offset = it.timing.send_offset.unwrap_or(0.0);
        earlier(it.timestamp, offset)
    };
    let mut in_order: Vec<(DateTime<Utc>, &BenchmarkResult)> =
        successes.iter().map(|it| (zero(it), *it)).collect();
    in_order.sort_by_key(|(zero, _)| *zero);
    let runs = in_order.chunk_by(|(one, _), (next, _)| *next - *one <= SAME_RUN);
    let first = |run: &[(DateTime<Utc>, &BenchmarkResult)]| {
        let begin = run.iter().map(|(_, it)| it.timestamp).min()?;
        let ready = |it: &BenchmarkResult| later(it.timestamp, load_seconds(it));
        let (_, first) = run.iter().min_by_key(|(_, it)| ready(it))?;
        (load_seconds(first) >= limit).then(|| (begin, ready(first)))
    };
    runs.filter_map(first).collect()
}

/// So many seconds after a moment; as late as there is a time where that is beyond all times.
fn later(moment: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
    span(seconds)
        .and_then(|span| moment.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn earlier(moment: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
    span(seconds)
        .and_then(|span| moment.checked_sub_signed(span))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn span(seconds: f64) -> Option<TimeDelta> {
    TimeDelta::from_std(Duration::try_from_secs_f64(seconds.max(0.0)).ok()?).ok()
}

/// Servers leave a zero out.
fn load_seconds(result: &BenchmarkResult) -> f64 {
    result.timing.load_time.unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::result;

    /// Sent so many seconds after the run began, and kept waiting for so long.
    fn sent(at: f64, load: f64, may_wait: bool) -> BenchmarkResult {
        let mut one = result("a", 0.1 + load, 0.01);
        one.timing.send_offset = Some(at);
        one.timing.load_time = Some(load);
        one.contended = may_wait;
        one.timestamp += TimeDelta::from_std(Duration::from_secs_f64(at)).unwrap();
        one
    }

    fn cold(results: &[BenchmarkResult]) -> Vec<bool> {
        let all: Vec<&BenchmarkResult> = results.iter().collect();
        let found = Cold::among(&all);
        let is = |it: &BenchmarkResult| found.as_ref().is_some_and(|cold| cold.is(it));
        results.iter().map(is).collect()
    }

    #[test]
    fn alone_a_long_load_is_a_load() {
        let all = [
            sent(0.0, 12.0, false),
            sent(20.0, 0.05, false),
            sent(30.0, 11.0, false),
        ];
        assert_eq!(cold(&all), [true, false, true]);
        assert_eq!(cold(&all[1..2]), [false]);
        // All of them loaded it: they are alike.
        assert_eq!(cold(&[all[0].clone(), all[2].clone()]), [false, false]);
    }

    #[test]
    fn time_in_a_busy_server_s_queue_is_no_load() {
        let all = [
            sent(0.0, 0.05, true),
            sent(0.1, 1.2, true),
            sent(0.2, 2.4, true),
        ];
        assert_eq!(cold(&all), [false; 3]);
        let mut open = all;
        for it in &mut open {
            it.contended = false;
            it.timing.schedule_delay = Some(0.0);
        }
        assert_eq!(cold(&open), [false; 3]);
        // Users begin together, and the server takes them in its own order.
        let together = [
            (0.0, 1.2),
            (0.001, 0.05),
            (0.002, 2.4),
            (0.003, 3.6),
            (1.3, 3.5),
        ];
        assert_eq!(
            cold(&together.map(|(at, load)| sent(at, load, true))),
            [false; 5]
        );
    }

    #[test]
    fn loads_beyond_all_times_are_loads() {
        let mut last = sent(0.0, 1e300, true);
        assert_eq!(cold(&[last.clone(), sent(1.0, 0.01, true)]), [false; 2]);
        last.timestamp = DateTime::<Utc>::MAX_UTC;
        last.timing.load_time = Some(2.0);
        assert_eq!(cold(&[last, sent(1.0, 0.01, true)]), [true, false]);
    }

    #[test]
    fn whoever_came_while_the_model_was_loaded_first_was_cold() {
        let run = [
            sent(0.0, 5.0, true),
            sent(4.0, 1.0, true),
            sent(6.0, 0.05, true),
            sent(7.0, 1.5, true),
        ];
        assert_eq!(cold(&run), [true, true, false, false]);
        // The same once more, an hour later, among the others.
        let mut both = run.to_vec();
        both.extend(run.map(|mut it| {
            it.timestamp += TimeDelta::hours(1);
            it
        }));
        let expected = [true, true, false, false].repeat(2);
        assert_eq!(cold(&both), expected);
        // Also where they are short.
        let mut short = vec![sent(0.0, 0.05, true), sent(0.001, 0.3, true)];
        let mut next = [sent(0.0, 4.0, true), sent(0.001, 4.1, true)];
        for it in &mut next {
            it.timestamp += TimeDelta::minutes(1);
        }
        short.extend(next);
        assert_eq!(cold(&short), [false, false, true, true]);
    }

    #[test]
    fn where_each_was_unloaded_before_on_purpose_all_are_alike() {
        let mut all = [0.25, 2.0, 0.25].map(|load| sent(0.0, load, false));
        assert_eq!(cold(&all), [false, true, false]);
        for it in &mut all {
            it.cold_start = true;
        }
        assert_eq!(cold(&all), [false; 3]);
        all[0].cold_start = false;
        all[0].timing.load_time = Some(0.01);
        assert_eq!(cold(&all), [false, true, true]);
    }
}
