//! What goes on at the same time: requests in flight, and the samples they need.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::record::Sample;

/// The samples that requests in flight still need, and how many there are of these.
#[derive(Default)]
pub(super) struct Watched {
    state: Mutex<WatchedState>,
}

#[derive(Default)]
struct WatchedState {
    samples: Vec<Sample>,
    in_flight: usize,
    begun: u64,
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

    /// The machine was looked at.
    pub(super) fn keep(&self, sample: Sample) {
        self.lock().samples.push(sample);
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
            let last = state.samples.last().cloned();
            state.samples.retain(|sample| sample.offset < 0.0);
            state
                .samples
                .extend(last.filter(|sample| sample.offset >= 0.0));
        }
        let others = state.in_flight;
        state.in_flight += 1;
        state.begun += 1;
        Watch {
            begun: state.begun,
            others,
        }
    }

    /// It has ended; it began at this offset. The samples of its time and of the baseline, and who
    /// was there.
    pub(super) fn end(&self, watch: &Watch, from: f64) -> (Vec<Sample>, Company) {
        let mut state = self.lock();
        let before = state.samples.iter().rfind(|sample| sample.offset <= from);
        let from = before.map_or(from, |sample| sample.offset);
        let is_needed = |sample: &&Sample| sample.offset < 0.0 || sample.offset >= from;
        let samples = state.samples.iter().filter(is_needed).cloned().collect();
        state.in_flight -= 1;
        let company = Company {
            overlapped: watch.others > 0 || state.begun != watch.begun,
            streams: watch.others.max(state.in_flight) + 1,
            is_last: state.in_flight == 0,
        };
        (samples, company)
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
