//! What goes on at the same time: requests in flight, and the samples they need.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::record::Sample;

/// The samples that requests in flight still need, and how many there are of these.
pub(super) struct Watched {
    max_samples: usize,
    state: Mutex<WatchedState>,
}

#[derive(Default)]
struct WatchedState {
    /// Of this machine under no name, of others under that of the backend.
    samples: BTreeMap<Option<String>, Vec<Sample>>,
    in_flight: usize,
    begun: u64,
}

/// What was seen while a request went on, after the baseline.
#[derive(Default)]
pub(super) struct Looks {
    /// Of this machine.
    pub(super) here: Vec<Sample>,
    /// Of the machine of the model server, where an agent looks at it.
    pub(super) elsewhere: Option<Vec<Sample>>,
}

/// One request in flight.
pub(super) struct Watch {
    begun: u64,
    /// Requests that were there already.
    pub(super) others: usize,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, WatchedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps so many samples of a machine while requests go on, and fewer of longer ago.
    pub(super) fn new(max_samples: usize) -> Self {
        Self {
            max_samples,
            state: Mutex::default(),
        }
    }

    /// A machine was looked at: this one, or that of a backend.
    pub(super) fn keep(&self, backend: Option<&str>, sample: Sample) {
        let mut state = self.lock();
        let samples = state.samples.entry(backend.map(str::to_owned)).or_default();
        samples.push(sample);
        if samples.len() > 2 * self.max_samples {
            let mut place = 0;
            samples.retain(|sample| {
                place += 1;
                sample.offset < 0.0 || place % 2 == 0
            });
        }
    }

    /// The newest look at the machine that serves a backend, else at this one.
    pub(super) fn newest(&self, backend: &str) -> Option<Sample> {
        let state = self.lock();
        let of = |name: Option<&str>| state.samples.get(&name.map(str::to_owned))?.last();
        of(Some(backend)).or_else(|| of(None)).cloned()
    }

    /// Requests that go on now.
    pub(super) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// A request is about to be sent: samples before it are needed no more, but for the baseline
    /// and the newest.
    pub(super) fn begin(&self) -> Watch {
        let mut state = self.lock();
        if state.in_flight == 0 {
            for samples in state.samples.values_mut() {
                let last = samples.last().cloned();
                samples.retain(|sample| sample.offset < 0.0);
                samples.extend(last.filter(|sample| sample.offset >= 0.0));
            }
        }
        let others = state.in_flight;
        state.in_flight += 1;
        state.begun += 1;
        Watch {
            begun: state.begun,
            others,
        }
    }

    /// It has ended; it began at this offset, on this backend. The samples of its time and of the
    /// baseline, and who was there.
    pub(super) fn end(&self, watch: &Watch, from: f64, backend: &str) -> (Looks, Company) {
        let mut state = self.lock();
        let needed = |name: Option<&str>| {
            let samples = state.samples.get(&name.map(str::to_owned))?;
            let before = samples.iter().rfind(|sample| sample.offset <= from);
            let from = before.map_or(from, |sample| sample.offset);
            let is_needed = |sample: &&Sample| sample.offset < 0.0 || sample.offset >= from;
            Some(
                samples
                    .iter()
                    .filter(is_needed)
                    .cloned()
                    .collect::<Vec<_>>(),
            )
        };
        let here = needed(None).unwrap_or_default();
        let looks = Looks {
            here,
            elsewhere: needed(Some(backend)),
        };
        state.in_flight -= 1;
        let company = Company {
            overlapped: watch.others > 0 || state.begun != watch.begun,
            streams: watch.others.max(state.in_flight) + 1,
            is_last: state.in_flight == 0,
        };
        (looks, company)
    }
}

/// What other requests went on beside one.
#[derive(Clone, Copy)]
pub(super) struct Company {
    /// Another one did at some time.
    pub(super) overlapped: bool,
    /// Requests at once, this one too.
    pub(super) streams: usize,
    /// No other one does any more.
    pub(super) is_last: bool,
}
