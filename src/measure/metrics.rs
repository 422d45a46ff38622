//! From one timeline to the figures of one request. It compares nothing and judges no run.
//!
//! A figure is `None` where its parts are missing or where the quotient would mean nothing: one
//! token has no gap, one chunk no duration.

use std::time::Duration;

use super::throughput::{throughput, time_per_output_token};
use super::timeline::{Chunk, ChunkKind, Outcome, ServerReport, Timeline};
use super::waterfall::waterfall;
use crate::record::{
    Chunks, Clock, ErrorCode, ErrorInfo, ServerTiming, Throughput, Timing, WaterfallPart,
};

/// The server reads its clock for each duration apart; so much they may contradict each other.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(1);

/// What one request found.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// It ended with `done` and an output that is not empty.
    pub success: bool,
    /// Why it failed; `None` where it did not.
    pub error: Option<ErrorInfo>,
    /// Why the server stopped, in its words.
    pub done_reason: Option<String>,
    /// When things happened, s. `send_offset` and `clock_error` are `None`: only who
    /// sent it knows.
    pub timing: Timing,
    /// How much came, and how fast.
    pub throughput: Throughput,
    /// What was noticed, in words.
    pub notes: Vec<String>,
    /// Every content chunk.
    pub chunks: Chunks,
}

/// Turns what arrived into figures.
pub fn measure(timeline: &Timeline) -> Measured {
    let (error, done_reason) = judge(timeline);
    let mut notes = timeline.notes.clone();
    let (waterfall, remark) = waterfall(timeline);
    notes.extend(remark);
    let timing = timing(timeline, waterfall);
    let throughput = throughput(timeline, &timing, &mut notes);
    remark_server_durations(timeline, &mut notes);
    remark_stamps(&timeline.chunks, &mut notes);
    if error.is_none() && timing.time_to_first_output.is_none() {
        notes.push("only thinking came; the answer is empty".to_owned());
    }
    Measured {
        success: error.is_none(),
        error,
        done_reason,
        timing,
        throughput,
        notes,
        chunks: Chunks {
            offsets: timeline.chunks.iter().map(|c| seconds(c.at)).collect(),
            sizes: timeline.chunks.iter().map(|c| c.bytes).collect(),
        },
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Whether the request failed, and why the server stopped.
fn judge(timeline: &Timeline) -> (Option<ErrorInfo>, Option<String>) {
    let reason = match &timeline.outcome {
        Outcome::Failed(error) => return (Some(error.clone()), None),
        Outcome::Done { reason } => reason,
    };
    let message = match reason.as_deref() {
        Some(word @ ("load" | "unload")) => format!(
            "the server answered `{word}`: it only loaded or unloaded the model; give a prompt that is not empty"
        ),
        _ if timeline.chunks.is_empty() => {
            "the server was done without writing anything; try another prompt or a larger num_predict"
                .to_owned()
        }
        _ => return (None, reason.clone()),
    };
    let error = ErrorInfo {
        code: ErrorCode::EmptyOutput,
        message,
    };
    (Some(error), reason.clone())
}

fn timing(timeline: &Timeline, waterfall: Vec<WaterfallPart>) -> Timing {
    let chunks = &timeline.chunks;
    let report = &timeline.report;
    let answer = chunks.iter().find(|c| c.kind == ChunkKind::Answer);
    // In an open loop latencies count from when the request was meant to be sent: a client or server
    // that stalls would hide what it kept others waiting.
    let delay = timeline.schedule_delay.unwrap_or_default();
    let latency = |at: Duration| seconds(at.saturating_add(delay));
    let span = match chunks.as_slice() {
        [first, .., last] => Some(last.at.saturating_sub(first.at)),
        _ => None,
    };
    Timing {
        time_to_first_chunk: chunks.first().map(|c| latency(c.at)),
        time_to_first_output: answer.map(|c| latency(c.at)),
        time_to_second_chunk: match chunks.as_slice() {
            [first, second, ..] => Some(seconds(second.at.saturating_sub(first.at))),
            _ => None,
        },
        thinking_time: thinking_time(chunks),
        total_time: timeline.last_byte.map(latency),
        in_flight_time: timeline.ended.map(seconds),
        request_latency: chunks.last().map(|c| latency(c.at)),
        longest_gap: longest_gap(chunks),
        time_per_output_token: time_per_output_token(span, report.output_tokens),
        connect_time: timeline.connect.map(seconds),
        send_offset: None,
        schedule_delay: timeline.schedule_delay.map(seconds),
        load_time: report.load.map(seconds),
        server: server_timing(report),
        waterfall,
        clock: clock(chunks),
        clock_error: None,
        merged_chunks: merged(chunks),
    }
}

fn longest_gap(chunks: &[Chunk]) -> Option<f64> {
    let gaps = chunks
        .windows(2)
        .map(|pair| pair[1].at.saturating_sub(pair[0].at));
    gaps.max().map(seconds)
}

/// From the first thinking to the answer, or to the end where none came.
fn thinking_time(chunks: &[Chunk]) -> Option<f64> {
    let first = chunks.iter().find(|c| c.kind == ChunkKind::Thinking)?;
    let answer = chunks.iter().find(|c| c.kind == ChunkKind::Answer);
    let end = answer.or(chunks.last())?;
    Some(seconds(end.at.saturating_sub(first.at)))
}

/// The kernel's only where it stamped every chunk.
fn clock(chunks: &[Chunk]) -> Clock {
    let all = !chunks.is_empty() && chunks.iter().all(|c| c.clock == Clock::Kernel);
    if all { Clock::Kernel } else { Clock::User }
}

/// Chunks that share their stamp with a later one: they came in one read, and when each of them
/// came is not known. Two packets never have the same stamp to the nanosecond.
fn merged(chunks: &[Chunk]) -> u64 {
    chunks
        .windows(2)
        .filter(|pair| pair[0].at == pair[1].at)
        .count() as u64
}

/// Says where the kernel stamped some chunks and not others.
fn remark_stamps(chunks: &[Chunk], notes: &mut Vec<String>) {
    let without = chunks.iter().filter(|c| c.clock == Clock::User).count();
    if without > 0 && without < chunks.len() {
        notes.push(format!(
            "{without} of {} chunks had no stamp of the kernel: the time of the read stands for it",
            chunks.len()
        ));
    }
}

fn server_timing(report: &ServerReport) -> Option<ServerTiming> {
    let timing = ServerTiming {
        total_duration: report.total.map(seconds),
        load_duration: report.load.map(seconds),
        prompt_eval_duration: report.prompt_eval.map(seconds),
        eval_duration: report.eval.map(seconds),
    };
    (timing != ServerTiming::default()).then_some(timing)
}

/// Says where the server's durations contradict each other or the client's clock.
fn remark_server_durations(timeline: &Timeline, notes: &mut Vec<String>) {
    let report = &timeline.report;
    let Some(total) = report.total else {
        return;
    };
    let parts = [report.load, report.prompt_eval, report.eval]
        .into_iter()
        .flatten()
        .fold(Duration::ZERO, Duration::saturating_add);
    if parts > total.saturating_add(CLOCK_TOLERANCE) {
        notes.push(
            "durations of the server do not add up: the total is less than its parts".to_owned(),
        );
    }
    if let Some(last) = timeline.last_byte
        && total > last.saturating_add(CLOCK_TOLERANCE)
    {
        notes.push(
            "the server's total duration is longer than the request was seen to take".to_owned(),
        );
    }
}

/// Gaps between content chunks, s.
pub(super) fn gaps(chunks: &Chunks) -> impl Iterator<Item = f64> + '_ {
    chunks.offsets.windows(2).map(|pair| pair[1] - pair[0])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn milliseconds(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn chunk(at: u64, bytes: u32, kind: ChunkKind) -> Chunk {
        Chunk {
            at: milliseconds(at),
            clock: Clock::User,
            bytes,
            kind,
        }
    }

    /// Eleven chunks from 200 ms on, one each 10 ms, four bytes each; the first is thinking.
    fn timeline() -> Timeline {
        let mut chunks = vec![chunk(200, 4, ChunkKind::Thinking)];
        chunks.extend((1..=10).map(|i| chunk(200 + 10 * i, 4, ChunkKind::Answer)));
        Timeline {
            connect: Some(milliseconds(3)),
            schedule_delay: None,
            unique_prefix: false,
            chunks,
            last_byte: Some(milliseconds(320)),
            ended: Some(milliseconds(320)),
            text: "x".repeat(40),
            thinking: "hmm ".to_owned(),
            report: ServerReport {
                prompt_tokens: Some(30),
                cached_prompt_tokens: Some(10),
                output_tokens: Some(11),
                total: Some(milliseconds(310)),
                load: Some(milliseconds(50)),
                prompt_eval: Some(milliseconds(100)),
                eval: Some(milliseconds(110)),
            },
            outcome: Outcome::Done {
                reason: Some("stop".to_owned()),
            },
            notes: Vec::new(),
        }
    }

    fn changed(change: impl FnOnce(&mut Timeline)) -> Measured {
        let mut timeline = timeline();
        change(&mut timeline);
        measure(&timeline)
    }

    #[track_caller]
    fn close(found: Option<f64>, expected: f64) {
        assert!(
            found.is_some_and(|found| (found - expected).abs() < 1e-9),
            "{found:?} is not {expected}"
        );
    }

    #[test]
    fn times_are_those_of_their_definitions() {
        let found = measure(&timeline());
        assert!(found.success);
        assert_eq!(found.notes, Vec::<String>::new());
        let timing = &found.timing;
        close(timing.time_to_first_chunk, 0.200);
        close(timing.time_to_first_output, 0.210);
        close(timing.thinking_time, 0.010);
        close(timing.longest_gap, 0.010);
        close(timing.time_to_second_chunk, 0.010);
        close(timing.request_latency, 0.300);
        close(timing.total_time, 0.320);
        close(timing.in_flight_time, 0.320);
        close(timing.time_per_output_token, 0.010);
        close(timing.connect_time, 0.003);
        close(timing.load_time, 0.050);
        assert_eq!(timing.send_offset, None);
        let server = timing.server.as_ref().unwrap();
        close(server.total_duration, 0.310);
        close(server.eval_duration, 0.110);
        close(found.chunks.offsets.last().copied(), 0.300);
        assert_eq!(found.chunks.sizes, [4; 11]);
    }

    #[test]
    fn rates_are_those_of_their_definitions() {
        let found = measure(&timeline()).throughput;
        assert_eq!((found.total_chunks, found.total_bytes), (11, 44));
        close(found.thinking_percent, 100.0 / 11.0);
        close(found.average_chunk_size, 4.0);
        close(found.bytes_per_second, 44.0 / 0.320);
        close(found.output_tokens_per_second, 100.0);
        close(found.server_output_tokens_per_second, 100.0);
        close(found.client_prompt_tokens_per_second, 150.0);
        close(found.prompt_tokens_per_second, 200.0);
        assert_eq!(found.prompt_rate_reason, None);
    }

    #[test]
    fn a_prefill_rate_is_given_only_where_the_cache_is_known() {
        let reason = |change: fn(&mut ServerReport)| {
            let found = changed(|timeline| change(&mut timeline.report)).throughput;
            assert_eq!(found.prompt_tokens_per_second, None);
            found.prompt_rate_reason.unwrap()
        };
        assert_eq!(
            reason(|r| r.cached_prompt_tokens = None),
            "the server does not say how many prompt tokens came from its cache"
        );
        assert_eq!(
            reason(|r| r.cached_prompt_tokens = Some(30)),
            "the whole prompt came from the server's cache"
        );
        assert_eq!(
            reason(|r| r.cached_prompt_tokens = Some(31)),
            "the server says that more prompt tokens were cached than there are"
        );
        assert_eq!(
            reason(|r| r.prompt_tokens = None),
            "the server does not say how many tokens the prompt has"
        );
        assert_eq!(
            reason(|r| r.prompt_eval = Some(Duration::ZERO)),
            "the server does not say how long it evaluated the prompt"
        );
        assert_eq!(
            reason(|r| r.prompt_eval = Some(Duration::from_micros(1))),
            "not plausible: 20 tokens in 0.000001 s"
        );
    }

    #[test]
    fn a_prompt_that_begins_like_no_other_was_not_cached() {
        let rate = |prompt_tokens: u64, unique_prefix: bool| {
            let found = changed(|timeline| {
                timeline.unique_prefix = unique_prefix;
                timeline.report.cached_prompt_tokens = None;
                timeline.report.prompt_tokens = Some(prompt_tokens);
            });
            found.throughput.prompt_tokens_per_second
        };
        close(rate(256, true), 2560.0);
        assert_eq!(rate(256, false), None);
        // Of few tokens the template's are too large a part.
        assert_eq!(rate(255, true), None);
    }

    #[test]
    fn no_duration_or_one_token_has_no_rate() {
        let found = changed(|t| t.report.eval = Some(Duration::ZERO)).throughput;
        assert_eq!(found.server_output_tokens_per_second, None);
        close(found.output_tokens_per_second, 100.0);
        let found = changed(|t| t.report.output_tokens = Some(1));
        assert_eq!(found.throughput.server_output_tokens_per_second, None);
        assert_eq!(found.throughput.output_tokens_per_second, None);
        assert_eq!(found.timing.time_per_output_token, None);
    }

    #[test]
    fn output_that_came_at_once_has_no_decode_rate() {
        let found = changed(|t| t.chunks.truncate(1));
        assert_eq!(found.throughput.output_tokens_per_second, None);
        assert_eq!(
            found.notes[0],
            "the output came all at once: the decode rate by the client's clock is unknown"
        );
        let found = changed(|t| t.chunks.iter_mut().for_each(|c| c.at = milliseconds(200)));
        assert_eq!(found.timing.time_per_output_token, None);
    }

    #[test]
    fn bundles_of_tokens_are_named() {
        let found = changed(|t| {
            t.chunks.truncate(4);
            t.report.output_tokens = Some(40);
        });
        assert_eq!(
            found.notes,
            [
                "40 tokens came in 4 chunks: the decode rate by the client's clock is too high, by about one part in 4"
            ]
        );
    }

    #[test]
    fn implausible_rates_are_left_out() {
        let found = changed(|t| t.report.eval = Some(Duration::from_nanos(5)));
        assert_eq!(found.throughput.server_output_tokens_per_second, None);
        assert_eq!(
            found.notes,
            ["the server's decode rate is left out: 2200000000 tokens/s is not plausible"]
        );
    }

    #[test]
    fn durations_that_contradict_each_other_are_named() {
        let found = changed(|t| t.report.total = Some(milliseconds(200)));
        assert_eq!(
            found.notes,
            ["durations of the server do not add up: the total is less than its parts"]
        );
        let found = changed(|t| t.report.total = Some(milliseconds(400)));
        assert_eq!(
            found.notes,
            ["the server's total duration is longer than the request was seen to take"]
        );
    }

    #[test]
    fn success_needs_done_and_an_output() {
        let code = |found: &Measured| found.error.as_ref().map(|error| error.code);
        let empty = changed(|t| {
            t.chunks.clear();
            t.text.clear();
            t.thinking.clear();
        });
        assert_eq!(code(&empty), Some(ErrorCode::EmptyOutput));
        assert_eq!(empty.done_reason.as_deref(), Some("stop"));
        assert_eq!(empty.throughput.average_chunk_size, None);
        let loaded = changed(|t| {
            t.outcome = Outcome::Done {
                reason: Some("load".to_owned()),
            };
        });
        assert!(!loaded.success);
        assert_eq!(code(&loaded), Some(ErrorCode::EmptyOutput));
        let cut = changed(|t| {
            t.outcome = Outcome::Failed(ErrorInfo {
                code: ErrorCode::Truncated,
                message: "cut".to_owned(),
            });
        });
        assert!(!cut.success);
        assert_eq!(code(&cut), Some(ErrorCode::Truncated));
        close(cut.timing.time_to_first_chunk, 0.200);
    }

    #[test]
    fn thinking_alone_is_an_output_and_named() {
        let found = changed(|t| {
            t.chunks
                .iter_mut()
                .for_each(|c| c.kind = ChunkKind::Thinking);
            t.text.clear();
        });
        assert!(found.success);
        assert_eq!(found.timing.time_to_first_output, None);
        assert_eq!(found.notes, ["only thinking came; the answer is empty"]);
    }

    #[test]
    fn nothing_at_all_has_no_figures() {
        let found = measure(&Timeline::default());
        assert!(!found.success);
        assert_eq!(found.timing, Timing::default());
        assert_eq!(found.throughput.bytes_per_second, None);
        assert_eq!(found.throughput.output_tokens, None);
    }

    #[test]
    fn notes_from_the_way_come_first() {
        let found = changed(|t| {
            t.notes.push("data after done".to_owned());
            t.report.total = Some(milliseconds(200));
        });
        assert_eq!(found.notes.len(), 2);
        assert_eq!(found.notes[0], "data after done");
    }

    fn any_duration() -> impl Strategy<Value = Duration> {
        prop_oneof![
            4 => (0..200_u64, 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s, n)),
            1 => Just(Duration::ZERO),
            1 => Just(Duration::MAX),
        ]
    }

    prop_compose! {
        fn any_report()(
            counts in proptest::array::uniform3(proptest::option::of(prop_oneof![
                0..500_u64,
                Just(u64::MAX)
            ])),
            times in proptest::array::uniform4(proptest::option::of(any_duration())),
        ) -> ServerReport {
            ServerReport {
                prompt_tokens: counts[0],
                cached_prompt_tokens: counts[1],
                output_tokens: counts[2],
                total: times[0],
                load: times[1],
                prompt_eval: times[2],
                eval: times[3],
            }
        }
    }

    prop_compose! {
        fn any_timeline()(
            mut stamps in proptest::collection::vec(any_duration(), 0..20),
            bytes in any::<u32>(),
            last_byte in proptest::option::of(any_duration()),
            report in any_report(),
            thinking in any::<bool>(),
        ) -> Timeline {
            stamps.sort();
            let kind = if thinking { ChunkKind::Thinking } else { ChunkKind::Answer };
            Timeline {
                chunks: stamps.into_iter().map(|at| Chunk { at, clock: Clock::User, bytes, kind }).collect(),
                last_byte,
                ended: last_byte,
                report,
                ..Timeline::default()
            }
        }
    }

    /// JSON has no NaN and no infinity: they would come back as null.
    fn survives_json<T>(value: &T) -> bool
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq,
    {
        serde_json::to_value(value)
            .and_then(serde_json::from_value::<T>)
            .is_ok_and(|back| back == *value)
    }

    proptest! {
        #[test]
        fn no_timeline_makes_nan_or_infinity(timeline in any_timeline()) {
            let found = measure(&timeline);
            prop_assert!(survives_json(&found.throughput), "{:?}", found.throughput);
            prop_assert!(survives_json(&found.timing), "{:?}", found.timing);
            prop_assert_eq!(found.success, found.error.is_none());
        }

        #[test]
        fn the_waterfall_adds_up_to_the_first_chunk(timeline in any_timeline()) {
            let found = measure(&timeline).timing;
            let sum: f64 = found.waterfall.iter().map(|part| part.duration).sum();
            let first = found.time_to_first_chunk.unwrap_or(0.0);
            prop_assert!((sum - first).abs() <= 1e-9 * first.max(1.0), "{sum} is not {first}");
            prop_assert!(found.waterfall.iter().all(|part| part.duration >= 0.0));
        }
    }
}
