//! Samples at a fixed interval on a thread of its own, bounded in count.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Eye, MachineError};
use crate::record::{Sample, Samples};

/// A thread that looks at the machine until it is stopped.
pub struct Sampler {
    stop: Sender<()>,
    thread: Option<JoinHandle<Samples>>,
}

impl Sampler {
    /// Starts looking, every `interval`. Offsets are seconds since `zero`, negative before it.
    /// No more than `max_samples` are kept: beyond it every second one is dropped and the
    /// interval doubles. `observer` sees every sample.
    pub fn start(
        zero: Instant,
        interval: Duration,
        max_samples: usize,
        mut observer: impl FnMut(&Sample) + Send + 'static,
    ) -> Result<Self, MachineError> {
        let (stop, stopped) = channel();
        let mut eye = Eye::new()?;
        let thread = std::thread::Builder::new()
            .name("sampler".into())
            .spawn(move || {
                let mut series = Series::new(interval, max_samples);
                let mut due = Instant::now();
                loop {
                    due += series.interval;
                    let wait = due.saturating_duration_since(Instant::now());
                    match stopped.recv_timeout(wait) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return series.finish(),
                    }
                    let now = Instant::now();
                    // After the machine slept, what was missed is not made up for.
                    if now.saturating_duration_since(due) > 4 * series.interval {
                        due = now;
                    }
                    let sample = eye.look(offset(now, zero));
                    observer(&sample);
                    series.push(sample);
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Stops looking and gives what was seen.
    pub fn stop(mut self) -> Samples {
        // A thread that has ended already cannot hear it.
        let _ = self.stop.send(());
        let thread = self.thread.take();
        thread
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

fn offset(at: Instant, zero: Instant) -> f64 {
    if at >= zero {
        at.duration_since(zero).as_secs_f64()
    } else {
        -zero.duration_since(at).as_secs_f64()
    }
}

/// Samples that never grow beyond a bound and never lose their end.
struct Series {
    interval: Duration,
    max: usize,
    items: Vec<Sample>,
}

impl Series {
    fn new(interval: Duration, max: usize) -> Self {
        Self {
            interval,
            max: max.max(2),
            items: Vec::new(),
        }
    }

    fn push(&mut self, sample: Sample) {
        self.items.push(sample);
        if self.items.len() > self.max {
            // The newest has an even distance from itself: it stays.
            let newest = self.items.len() - 1;
            let mut index = 0;
            self.items.retain(|_| {
                let keep = (newest - index).is_multiple_of(2);
                index += 1;
                keep
            });
            self.interval *= 2;
        }
    }

    fn finish(self) -> Samples {
        Samples {
            interval: self.interval.as_secs_f64(),
            items: self.items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_halves_its_resolution_and_keeps_its_end() {
        let mut eye = Eye::new().unwrap();
        let mut series = Series::new(Duration::from_millis(250), 8);
        for number in 0..100 {
            series.push(Sample {
                offset: f64::from(number),
                ..eye.look(0.0)
            });
            assert!(series.items.len() <= 8);
            assert_eq!(
                series.items.last().map(|sample| sample.offset),
                Some(f64::from(number))
            );
        }
        let samples = series.finish();
        assert!(samples.interval > 0.25);
        assert!(
            samples
                .items
                .windows(2)
                .all(|pair| pair[0].offset < pair[1].offset)
        );
    }

    #[test]
    fn the_machine_is_seen_before_and_after_zero() {
        let zero = Instant::now() + Duration::from_millis(60);
        let (seen, news) = channel();
        let sampler = Sampler::start(zero, Duration::from_millis(20), 100, move |sample| {
            let _ = seen.send(sample.offset);
        })
        .unwrap();
        while news.recv().unwrap() < 0.0 {}
        let found = sampler.stop();
        assert!(
            found
                .items
                .first()
                .is_some_and(|sample| sample.memory_used_bytes > 0)
        );
        assert!(
            found
                .items
                .iter()
                .all(|sample| (0.0..=100.0).contains(&sample.cpu_percent))
        );
    }
}
