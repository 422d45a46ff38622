//! Samples at a fixed interval on a thread of its own, bounded in count.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::target::Target;
use super::{Eye, Machine, MachineError, platform};
use crate::record::{Sample, SamplerCost, Samples};

/// The last look of the baseline is this part of an interval before its end.
const MARGIN: u32 = 10;

/// How to look at the machine.
#[derive(Clone, Debug)]
pub struct Sampling {
    /// So long before the run begins.
    pub baseline: Duration,
    /// Time between two looks.
    pub interval: Duration,
    /// No more samples are kept: beyond it only every second one is, then every fourth, and so on.
    pub max_samples: usize,
    /// Model servers to look for.
    pub targets: Vec<Target>,
}

/// A thread that looks at the machine until it is stopped.
pub struct Sampler {
    zero: Instant,
    stop: Sender<()>,
    thread: Option<JoinHandle<Samples>>,
}

impl Sampler {
    /// Starts looking. Offsets are seconds since `zero`, which is the baseline after now and a little,
    /// so that the last look of the baseline lies before it. `observer` sees every sample. Opening
    /// drivers and searching for servers takes a while: the caller must not be in a hurry.
    pub fn start(
        machine: &Arc<Machine>,
        sampling: Sampling,
        observer: impl FnMut(&Sample) + Send + 'static,
    ) -> Result<Self, MachineError> {
        let (stop, stopped) = channel();
        let Sampling {
            baseline,
            interval,
            max_samples,
            targets,
        } = sampling;
        let eye = machine.eye(targets)?;
        let begun = Instant::now();
        let zero = begun + baseline + interval / MARGIN;
        let watcher = Watcher {
            eye,
            zero,
            series: Series::new(interval, max_samples),
            cost: SamplerCost::default(),
        };
        let thread = std::thread::Builder::new()
            .name("sampler".into())
            .spawn(move || watcher.watch(begun, interval, &stopped, observer))?;
        Ok(Self {
            zero,
            stop,
            thread: Some(thread),
        })
    }

    /// What offsets count from: the end of the baseline.
    pub fn zero(&self) -> Instant {
        self.zero
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

/// The thread's own.
struct Watcher {
    eye: Eye,
    zero: Instant,
    series: Series,
    cost: SamplerCost,
}

impl Watcher {
    fn watch(
        mut self,
        begun: Instant,
        interval: Duration,
        stopped: &Receiver<()>,
        mut observer: impl FnMut(&Sample),
    ) -> Samples {
        let used = platform::thread_cpu_time();
        let mut due = begun;
        loop {
            due += interval;
            let wait = due.saturating_duration_since(Instant::now());
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            let delay = now.saturating_duration_since(due);
            // After the machine slept, what was missed is not made up for.
            if delay > 4 * interval {
                self.cost.missed_looks += missed(delay, interval);
                due = now;
            }
            let sample = self.eye.look(now, offset(now, self.zero));
            observer(&sample);
            self.series.push(sample);
            self.cost.looks += 1;
            let longest = &mut self.cost.longest_look;
            *longest = longest.max(now.elapsed().as_secs_f64());
            self.cost.longest_delay = self.cost.longest_delay.max(delay.as_secs_f64());
        }
        let used = platform::thread_cpu_time().zip(used);
        let seconds = used.map(|(now, before)| now.saturating_sub(before).as_secs_f64());
        self.cost.cpu_seconds = seconds;
        self.cost.core_percent =
            seconds.map(|seconds| 100.0 * seconds / begun.elapsed().as_secs_f64());
        let mut samples = self.series.finish();
        samples.remarks = self.eye.remarks.into_list();
        samples.cost = Some(self.cost);
        samples
    }
}

/// Whole intervals that went by without a look.
fn missed(delay: Duration, interval: Duration) -> u64 {
    let whole = delay.as_nanos() / interval.as_nanos().max(1);
    u64::try_from(whole).unwrap_or(u64::MAX)
}

fn offset(at: Instant, zero: Instant) -> f64 {
    if at >= zero {
        at.duration_since(zero).as_secs_f64()
    } else {
        -zero.duration_since(at).as_secs_f64()
    }
}

/// Samples that never grow beyond a bound and never lose their end.
pub struct Series {
    interval: Duration,
    max: usize,
    items: Vec<Sample>,
    /// Every so many-th look is kept.
    stride: usize,
    /// Looks since the last one that was kept.
    since: usize,
    /// The newest look, where it was not kept.
    newest: Option<Sample>,
}

/// What went on since the look before one that is left out went on before the next one too.
fn carry(left_out: &Sample, next: &mut Sample) {
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    };
    next.swapped_in_bytes = sum(left_out.swapped_in_bytes, next.swapped_in_bytes);
    next.swapped_out_bytes = sum(left_out.swapped_out_bytes, next.swapped_out_bytes);
}

impl Series {
    /// Samples that come every `interval`, no more than `max` of them.
    pub fn new(interval: Duration, max: usize) -> Self {
        Self {
            interval,
            max: max.max(2),
            items: Vec::new(),
            stride: 1,
            since: 0,
            newest: None,
        }
    }

    /// The next look.
    pub fn push(&mut self, mut sample: Sample) {
        self.since += 1;
        if let Some(before) = self.newest.take() {
            carry(&before, &mut sample);
        }
        if self.since < self.stride {
            self.newest = Some(sample);
            return;
        }
        self.since = 0;
        self.items.push(sample);
        if self.items.len() > self.max {
            // The newest has an even distance from itself: it stays.
            let newest = self.items.len() - 1;
            let mut kept = Vec::with_capacity(self.items.len());
            let mut left_out = None;
            for (index, mut sample) in self.items.drain(..).enumerate() {
                if (newest - index).is_multiple_of(2) {
                    if let Some(before) = left_out.take() {
                        carry(&before, &mut sample);
                    }
                    kept.push(sample);
                } else {
                    left_out = Some(sample);
                }
            }
            self.items = kept;
            self.interval *= 2;
            self.stride *= 2;
        }
    }

    /// What was kept, its interval as it is now.
    pub fn finish(mut self) -> Samples {
        self.items.extend(self.newest);
        Samples {
            interval: self.interval.as_secs_f64(),
            items: self.items,
            ..Samples::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_halves_its_resolution_and_keeps_its_end() {
        let mut series = Series::new(Duration::from_millis(250), 8);
        for number in 0..100 {
            series.push(Sample {
                offset: f64::from(number),
                swapped_in_bytes: Some(1),
                ..Sample::default()
            });
            assert!(series.items.len() <= 8);
        }
        let samples = series.finish();
        assert_eq!(samples.items.last().map(|sample| sample.offset), Some(99.0));
        let swapped = samples.items.iter().filter_map(|it| it.swapped_in_bytes);
        assert_eq!(swapped.sum::<u64>(), 100);
        assert!((samples.interval - 0.25 * 16.0).abs() < 1e-9);
        let kept: Vec<f64> = samples.items.iter().map(|sample| sample.offset).collect();
        let even = kept.windows(2).take(kept.len() - 2);
        assert!(
            even.clone()
                .all(|pair| (pair[1] - pair[0] - 16.0).abs() < 1e-9),
            "{kept:?}"
        );
        assert!(
            samples
                .items
                .windows(2)
                .all(|pair| pair[0].offset < pair[1].offset)
        );
    }

    #[test]
    fn looks_that_were_slept_through_are_counted() {
        let interval = Duration::from_millis(250);
        assert_eq!(missed(Duration::from_millis(1300), interval), 5);
        assert_eq!(missed(Duration::from_millis(200), interval), 0);
        assert_eq!(
            missed(Duration::from_secs(1), Duration::ZERO),
            1_000_000_000
        );
    }

    #[test]
    fn the_machine_is_seen_before_and_after_zero() {
        let (seen, news) = channel();
        let machine = Arc::new(Machine::new(None));
        let sampling = Sampling {
            baseline: Duration::from_millis(60),
            interval: Duration::from_millis(20),
            max_samples: 100,
            targets: Vec::new(),
        };
        let sampler = Sampler::start(&machine, sampling, move |sample| {
            let _ = seen.send(sample.offset);
        })
        .unwrap();
        assert!(news.recv().unwrap() < 0.0);
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
        let cost = found.cost.unwrap();
        assert_eq!(cost.looks, found.items.len() as u64);
        assert!(cost.longest_look > 0.0);
    }
}
