//! What goes on at the same time: requests in flight, and the samples they need.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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
    /// Requests that have begun and not ended, each under its number.
    alive: BTreeMap<u64, Alive>,
    begun: u64,
}

/// A request that has begun and not ended.
struct Alive {
    /// When it is sent: in an open loop its connection is set up before.
    from: Instant,
    /// Most requests that went on at one time since then, it too.
    streams: usize,
}

impl WatchedState {
    /// Requests that are sent by then.
    fn sent(&self, by: Instant) -> usize {
        self.alive.values().filter(|it| it.from <= by).count()
    }
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
    number: u64,
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
        self.lock().sent(Instant::now())
    }

    /// A request is about to be sent, at once or when it is `due`: samples before it are needed no more, but for
    /// the baseline and the newest.
    pub(super) fn begin(&self, due: Option<Instant>) -> Watch {
        let mut state = self.lock();
        if state.alive.is_empty() {
            for samples in state.samples.values_mut() {
                let last = samples.last().cloned();
                samples.retain(|sample| sample.offset < 0.0);
                samples.extend(last.filter(|sample| sample.offset >= 0.0));
            }
        }
        let now = Instant::now();
        // What is late already is sent at once.
        let from = due.map_or(now, |due| due.max(now));
        let others = state.sent(from);
        state.begun += 1;
        let number = state.begun;
        state.alive.insert(number, Alive { from, streams: 1 });
        Watch { number, others }
    }

    /// It ended at this moment; it began at this offset, on this backend. The samples of its time and of the
    /// baseline, and who was there.
    pub(super) fn end(
        &self,
        watch: &Watch,
        at: Instant,
        from: f64,
        backend: &str,
    ) -> (Looks, Company) {
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
        // Most go on at one time right before one of them ends.
        let at_once = state.sent(at);
        for it in state.alive.values_mut().filter(|it| it.from <= at) {
            it.streams = it.streams.max(at_once);
        }
        let own = state.alive.remove(&watch.number);
        let streams = own.map_or(1, |it| it.streams);
        let company = Company {
            overlapped: streams > 1,
            streams,
            is_last: state.alive.is_empty(),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_goes_on_from_its_send_and_not_from_its_connection() {
        let watched = Watched::new(10);
        // Long enough from now that no machine is too slow.
        let zero = Instant::now() + Duration::from_mins(1);
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let end = |watch: &Watch, ms: u64| watched.end(watch, at(ms), 0.0, "ollama").1;

        // The second one's connection stands before the first has ended; it is sent afterwards.
        let first = watched.begin(Some(at(100)));
        let second = watched.begin(Some(at(200)));
        let company = end(&first, 190);
        assert!(!company.overlapped && !company.is_last && company.streams == 1);
        let company = end(&second, 290);
        assert!(!company.overlapped && company.is_last && company.streams == 1);

        // Sent while the first goes on, and the third after the second has ended.
        let first = watched.begin(Some(at(300)));
        let second = watched.begin(Some(at(310)));
        assert_eq!(second.others, 1);
        let third = watched.begin(Some(at(330)));
        assert_eq!(end(&second, 320).streams, 2);
        let company = end(&first, 340);
        assert!(company.overlapped && company.streams == 2);
        let company = end(&third, 350);
        assert!(company.overlapped && company.streams == 2);
        // A late one goes on from now.
        let due = Instant::now();
        watched.begin(None);
        let late = watched.begin(Some(due));
        assert_eq!((late.others, watched.in_flight()), (1, 2));
    }
}
