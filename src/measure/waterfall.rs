//! What the time to the first chunk was spent on: the client's clock joined with the server's own
//! durations. Setting up the connection is no part of it: it ends before the send.

use std::time::Duration;

use super::timeline::{ServerReport, Timeline};
use crate::record::WaterfallPart;

/// The parts of the time to the first chunk in order, and what there is to say about them. They add
/// up to it; what cannot be told apart is one part that names all it may hold. Empty where no
/// chunk came.
pub(super) fn waterfall(timeline: &Timeline) -> (Vec<WaterfallPart>, Option<String>) {
    let (mut parts, remark) = since_send(timeline);
    if let Some(delay) = timeline.schedule_delay
        && !parts.is_empty()
    {
        parts.insert(0, part("late send", delay));
    }
    (parts, remark)
}

fn since_send(timeline: &Timeline) -> (Vec<WaterfallPart>, Option<String>) {
    let Some(first) = timeline.chunks.first().map(|chunk| chunk.at) else {
        return (Vec::new(), None);
    };
    let report = &timeline.report;
    let told = [
        ("model load", report.load),
        ("prompt evaluation", report.prompt_eval),
    ];
    let known = told
        .iter()
        .filter_map(|(_, duration)| *duration)
        .try_fold(Duration::ZERO, Duration::checked_add);
    let Some(rest) = known.and_then(|known| first.checked_sub(known)) else {
        let all = part(
            "queue, transport, model load, prompt evaluation and first decode",
            first,
        );
        let remark = "the server says that it took longer before the first token than the first chunk took to arrive";
        return (vec![all], Some(remark.to_owned()));
    };
    let mut parts = Vec::new();
    let mut untold = Vec::new();
    for (name, duration) in told {
        match duration {
            Some(duration) => parts.push(part(name, duration)),
            None => untold.push(name),
        }
    }
    match waiting(report, rest) {
        Some(waiting) => {
            parts.insert(0, part("queue and preparation", waiting));
            parts.push(part(
                "transport, first decode and return",
                rest.saturating_sub(waiting),
            ));
        }
        None if untold.is_empty() => parts.push(part("queue, transport and first decode", rest)),
        None => {
            let name = format!("queue, transport, {} and first decode", untold.join(", "));
            parts.push(part(&name, rest));
        }
    }
    (parts, None)
}

/// What the server neither loaded nor evaluated: waiting for a slot, filling in the template. Known
/// only where it told all its durations, and they leave room for it in the `rest`.
fn waiting(report: &ServerReport, rest: Duration) -> Option<Duration> {
    let worked = report
        .load?
        .checked_add(report.prompt_eval?)?
        .checked_add(report.eval?)?;
    report
        .total?
        .checked_sub(worked)
        .filter(|waiting| *waiting <= rest)
}

fn part(name: &str, duration: Duration) -> WaterfallPart {
    WaterfallPart {
        name: name.to_owned(),
        duration: duration.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::timeline::{Chunk, ChunkKind};
    use crate::record::Clock;

    /// The parts in milliseconds of a first chunk after 200 ms.
    fn parts(report: ServerReport) -> Vec<(String, f64)> {
        let timeline = Timeline {
            chunks: vec![Chunk {
                clock: Clock::User,
                at: Duration::from_millis(200),
                bytes: 1,
                kind: ChunkKind::Answer,
            }],
            report,
            ..Timeline::default()
        };
        waterfall(&timeline)
            .0
            .into_iter()
            .map(|part| (part.name, (part.duration * 1e3).round()))
            .collect()
    }

    #[track_caller]
    fn check(report: ServerReport, expected: &[(&str, f64)]) {
        let expected: Vec<(String, f64)> = expected
            .iter()
            .map(|(name, duration)| ((*name).to_owned(), *duration))
            .collect();
        assert_eq!(parts(report), expected);
    }

    fn report(times: [Option<u64>; 4]) -> ServerReport {
        let [total, load, prompt_eval, eval] = times.map(|time| time.map(Duration::from_millis));
        ServerReport {
            total,
            load,
            prompt_eval,
            eval,
            ..ServerReport::default()
        }
    }

    #[test]
    fn a_server_that_tells_all_gives_four_parts() {
        check(
            report([Some(400), Some(50), Some(100), Some(220)]),
            &[
                ("queue and preparation", 30.0),
                ("model load", 50.0),
                ("prompt evaluation", 100.0),
                ("transport, first decode and return", 20.0),
            ],
        );
    }

    #[test]
    fn what_cannot_be_told_apart_is_one_part() {
        check(
            report([None, Some(50), Some(100), None]),
            &[
                ("model load", 50.0),
                ("prompt evaluation", 100.0),
                ("queue, transport and first decode", 50.0),
            ],
        );
        check(
            report([None, None, Some(100), Some(220)]),
            &[
                ("prompt evaluation", 100.0),
                ("queue, transport, model load and first decode", 100.0),
            ],
        );
        check(
            report([None; 4]),
            &[(
                "queue, transport, model load, prompt evaluation and first decode",
                200.0,
            )],
        );
    }

    #[test]
    fn durations_that_leave_no_room_are_merged() {
        // More waiting than the first chunk leaves room for.
        check(
            report([Some(900), Some(50), Some(100), Some(220)]),
            &[
                ("model load", 50.0),
                ("prompt evaluation", 100.0),
                ("queue, transport and first decode", 50.0),
            ],
        );
        check(
            report([Some(900), Some(150), Some(100), Some(220)]),
            &[(
                "queue, transport, model load, prompt evaluation and first decode",
                200.0,
            )],
        );
    }

    #[test]
    fn without_a_chunk_there_is_no_waterfall() {
        assert_eq!(waterfall(&Timeline::default()), (Vec::new(), None));
    }
}
