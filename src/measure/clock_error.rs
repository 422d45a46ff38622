//! The instrument's own error: what it saw against what is known to have been sent.
//!
//! A send is known as an interval: the sender read its clock just before and just after the write,
//! since it can be held up between them. On the loopback interface the packet arrives within the
//! write, so no transit is allowed for: a stamp in the interval is right, and the distance to its
//! nearer end is error.

use std::time::Duration;

use super::statistics::{FEWEST_FOR_P99, median, quantile};
use crate::record::{Calibration, CalibrationLevel, Clock, ClockError, ClockErrors};

/// One stream, as its sender and its receiver saw it. All times count from one origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CalibratedStream {
    /// The receiver says: its request went out.
    pub request_sent: Duration,
    /// The receiver says: chunks arrived then.
    pub arrivals: Vec<(Duration, Clock)>,
    /// The sender says: the whole request was there.
    pub request_received: Duration,
    /// The sender says: each chunk left between these.
    pub sends: Vec<(Duration, Duration)>,
}

/// The error over all streams. `chunks_per_second` is what each was to send, `cpu_time` what this
/// program used meanwhile.
pub fn clock_error(
    streams: &[CalibratedStream],
    chunks_per_second: f64,
    cpu_time: Option<Duration>,
) -> CalibrationLevel {
    let total = |count: fn(&CalibratedStream) -> usize| streams.iter().map(count).sum::<usize>();
    let chunks = total(|it| it.sends.len());
    let seen = total(|it| it.arrivals.len());
    let first = streams.iter().filter_map(|it| Some(it.sends.first()?.0));
    let last = streams.iter().filter_map(|it| Some(it.sends.last()?.1));
    let span = first
        .min()
        .zip(last.max())
        .map(|(first, last)| last.saturating_sub(first).as_secs_f64())
        .filter(|span| *span > 0.0);
    let by_kernel = seen > 0
        && streams
            .iter()
            .flat_map(|it| &it.arrivals)
            .all(|(_, clock)| *clock == Clock::Kernel);
    CalibrationLevel {
        streams: u32::try_from(streams.len()).unwrap_or(u32::MAX),
        chunks_per_second,
        sent_per_second: span.map(|span| chunks as f64 / span),
        chunks: chunks as u64,
        missed: total(|it| it.sends.len().saturating_sub(it.arrivals.len())) as u64,
        merged: total(merged) as u64,
        resolution: errors(streams.iter().flat_map(write_times)).median,
        clock: if by_kernel {
            Clock::Kernel
        } else {
            Clock::User
        },
        arrival: errors(streams.iter().flat_map(arrival_errors)),
        time_to_first_chunk: errors(streams.iter().filter_map(first_chunk_error)),
        inter_chunk_latency: errors(streams.iter().flat_map(gap_errors)),
        cpu_per_chunk: cpu_time
            .filter(|_| seen > 0)
            .map(|time| time.as_secs_f64() / seen as f64),
    }
}

fn write_times(stream: &CalibratedStream) -> impl Iterator<Item = Duration> + '_ {
    stream
        .sends
        .iter()
        .map(|(began, returned)| returned.saturating_sub(*began))
}

fn merged(stream: &CalibratedStream) -> usize {
    let pairs = stream.arrivals.windows(2);
    pairs.filter(|pair| pair[0].0 == pair[1].0).count()
}

/// From a value to the nearest of an interval.
fn distance(value: Duration, (from, to): (Duration, Duration)) -> Duration {
    from.saturating_sub(value).max(value.saturating_sub(to))
}

fn pairs(stream: &CalibratedStream) -> impl Iterator<Item = (Duration, (Duration, Duration))> + '_ {
    let arrivals = stream.arrivals.iter().map(|(at, _)| *at);
    arrivals.zip(stream.sends.iter().copied())
}

fn arrival_errors(stream: &CalibratedStream) -> impl Iterator<Item = Duration> + '_ {
    pairs(stream).map(|(at, send)| distance(at, send))
}

/// The error of the first stamp, and what the send stamp is provably late: the request cannot have
/// been there before it was sent.
fn first_chunk_error(stream: &CalibratedStream) -> Option<Duration> {
    let (at, send) = pairs(stream).next()?;
    let late = stream.request_sent.saturating_sub(stream.request_received);
    Some(distance(at, send) + late)
}

/// The true gap lies between the shortest and the longest that the two sends allow.
fn gap_errors(stream: &CalibratedStream) -> impl Iterator<Item = Duration> + '_ {
    pairs(stream).zip(pairs(stream).skip(1)).map(|(one, next)| {
        let ((at, (began, returned)), (next_at, (next_began, next_returned))) = (one, next);
        let gap = next_at.saturating_sub(at);
        let shortest = next_began.saturating_sub(returned);
        let longest = next_returned.saturating_sub(began);
        distance(gap, (shortest, longest))
    })
}

/// The error of arrival stamps with so many streams at once: that of the next larger number which
/// was looked at, else of the largest.
pub fn clock_error_at(calibration: &Calibration, streams: usize) -> Option<ClockError> {
    let enough = |level: &&CalibrationLevel| level.streams as usize >= streams;
    let level = calibration
        .levels
        .iter()
        .filter(enough)
        .min_by_key(|level| level.streams);
    let largest = || calibration.levels.iter().max_by_key(|level| level.streams);
    let level = level.or_else(largest)?;
    Some(ClockError {
        median: level.arrival.median?,
        p99: level.arrival.p99.or(level.arrival.max)?,
        resolution: level.resolution?,
        streams: level.streams,
        calibrated: calibration.timestamp,
    })
}

fn errors(found: impl Iterator<Item = Duration>) -> ClockErrors {
    let mut seconds: Vec<f64> = found.map(|error| error.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    ClockErrors {
        n: seconds.len() as u64,
        median: median(&seconds),
        p99: (seconds.len() >= FEWEST_FOR_P99).then(|| quantile(&seconds, 0.99)),
        max: seconds.last().copied(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn us(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    /// Chunks that were sent within 20 µs each, every 10 ms, and stamped `late` after the write.
    fn stream(late: &[u64]) -> CalibratedStream {
        let began = |index: usize| us(50_000 + 10_000 * index as u64);
        CalibratedStream {
            request_sent: us(0),
            request_received: us(30),
            sends: (0..late.len())
                .map(|index| (began(index), began(index) + us(20)))
                .collect(),
            arrivals: late
                .iter()
                .enumerate()
                .map(|(index, late)| (began(index) + us(20 + late), Clock::Kernel))
                .collect(),
        }
    }

    fn close(found: Option<f64>, microseconds: f64) -> bool {
        found.is_some_and(|found| (found * 1e6 - microseconds).abs() < 1e-6)
    }

    #[test]
    fn a_stamp_within_the_write_has_no_error() {
        let mut within = stream(&[0; 700]);
        for (arrival, send) in within.arrivals.iter_mut().zip(&within.sends) {
            arrival.0 = send.0 + us(3);
        }
        let level = clock_error(&[within], 100.0, Some(us(7000)));
        assert_eq!((level.streams, level.chunks, level.missed), (1, 700, 0));
        assert_eq!((level.merged, level.clock), (0, Clock::Kernel));
        assert_eq!(level.arrival.max, Some(0.0));
        assert_eq!(level.arrival.p99, Some(0.0));
        assert_eq!(level.inter_chunk_latency.max, Some(0.0));
        assert!(close(level.cpu_per_chunk, 10.0));
        let rate = level.sent_per_second.unwrap();
        assert!((rate - 100.14).abs() < 0.01, "{rate}");
    }

    #[test]
    fn the_error_of_a_run_is_that_of_as_many_streams() {
        let with = |streams: u64| {
            let mut level = clock_error(&[stream(&[streams])], 100.0, None);
            level.streams = u32::try_from(streams).unwrap();
            level
        };
        let now = chrono::DateTime::UNIX_EPOCH;
        let mut calibration = Calibration {
            id: crate::record::RunId::new(now),
            timestamp: now,
            benchmarker_version: "1".into(),
            machine: "x".into(),
            levels: vec![with(16), with(1), with(64)],
        };
        for (streams, level) in [(1, 1), (2, 16), (16, 16), (64, 64), (900, 64)] {
            let found = clock_error_at(&calibration, streams).unwrap();
            assert_eq!(found.streams, level, "at {streams}");
            assert!(close(Some(found.p99), f64::from(level)));
            assert!(close(Some(found.resolution), 20.0));
        }
        calibration.levels.clear();
        assert_eq!(clock_error_at(&calibration, 1), None);
    }

    #[test]
    fn a_late_stamp_is_wrong_by_its_distance_and_spoils_the_gaps_beside_it() {
        let level = clock_error(&[stream(&[0, 400, 0])], 100.0, None);
        assert!(close(level.arrival.max, 400.0));
        assert_eq!(level.arrival.median, Some(0.0));
        assert_eq!(level.arrival.p99, None, "three cannot tell");
        // Each gap may be 20 µs shorter or longer than what was meant.
        assert!(close(level.inter_chunk_latency.max, 380.0));
        assert_eq!(level.inter_chunk_latency.n, 2);
        assert_eq!(level.time_to_first_chunk.max, Some(0.0));
    }

    #[test]
    fn a_request_that_came_before_it_was_sent_was_stamped_late() {
        let mut late = stream(&[5]);
        late.request_sent = us(42);
        let level = clock_error(&[late], 100.0, None);
        assert!(close(level.time_to_first_chunk.max, 17.0));
    }

    #[test]
    fn what_was_not_seen_and_what_came_together_is_counted() {
        let mut broken = stream(&[0, 0, 0, 0]);
        broken.arrivals.truncate(3);
        broken.arrivals[0].0 = broken.arrivals[1].0;
        broken.arrivals[2].1 = Clock::User;
        let level = clock_error(&[broken, CalibratedStream::default()], 100.0, None);
        assert_eq!((level.missed, level.merged), (1, 1));
        assert_eq!(level.clock, Clock::User);
        assert_eq!(clock_error(&[], 100.0, Some(us(1))).cpu_per_chunk, None);
    }

    proptest! {
        #[test]
        fn a_true_stamp_never_has_an_error(
            steps in proptest::collection::vec((0..50_000u64, 0..2000u64, 0.0..=1.0f64), 0..60)
        ) {
            let mut now = us(0);
            let mut stream = CalibratedStream::default();
            for (pause, width, place) in steps {
                now += us(pause);
                stream.sends.push((now, now + us(width)));
                stream.arrivals.push((now + us(width).mul_f64(place), Clock::Kernel));
                now += us(width);
            }
            let level = clock_error(&[stream], 100.0, None);
            prop_assert!(level.arrival.max.unwrap_or_default() < 1e-8);
            prop_assert!(level.inter_chunk_latency.max.unwrap_or_default() < 1e-8);
            prop_assert_eq!(level.missed, 0);
        }
    }
}
