//! What runs announce, kept while they go on.
//!
//! A run's log holds every event since its start, so that a client that comes late, or comes back,
//! reads the same events as one that was there from the first. The log goes when the run has
//! ended: then the stored record tells the rest.

mod forgetting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;

use crate::record::{EventId, NovaEvent, RunEvent, RunId};

/// Events whose text as it is sent is kept as well: readers that keep up are behind by fewer.
const RECENT: usize = 32;

/// An event with its place. Cheap to clone.
#[derive(Debug)]
pub struct Announcement<E> {
    pub id: EventId,
    pub event: Arc<E>,
    /// As it is sent, made by the first who sends it.
    sent: Option<Arc<OnceLock<Bytes>>>,
}

impl<E> Clone for Announcement<E> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            event: Arc::clone(&self.event),
            sent: self.sent.clone(),
        }
    }
}

impl<E> Announcement<E> {
    /// An event that one reader has for itself.
    pub fn new(id: EventId, event: E) -> Self {
        Self {
            id,
            event: Arc::new(event),
            sent: None,
        }
    }

    /// As it is sent: `make` is asked once for all readers that keep up with the log.
    pub fn as_sent(&self, make: impl FnOnce(EventId, &E) -> Bytes) -> Bytes {
        match &self.sent {
            Some(sent) => sent.get_or_init(|| make(self.id, &self.event)).clone(),
            None => make(self.id, &self.event),
        }
    }
}

/// What a log keeps: the events of runs, or of turns of agents.
pub trait Announced: Send + Sync + Clone + 'static {
    /// What it means for the log.
    fn weight(&self) -> Weight;

    /// The request, or the step, that it tells of; `None` where it tells of none, or of more.
    fn subject(&self) -> Option<u32>;

    /// Bytes of text in it that may be forgotten.
    fn passing_bytes(&self) -> usize;

    /// Comes to tell what a later one of the same subject and kind tells as well.
    fn absorb(&mut self, later: &Self);
}

/// What an event means for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It may be forgotten where there are very many: the record has what it tells.
    Passing,
    /// It is kept.
    Lasting,
    /// It is kept, and a part of the whole is stored.
    Stored,
    /// Nothing follows.
    Last,
}

impl Announced for RunEvent {
    fn weight(&self) -> Weight {
        match self {
            Self::TextArrived(_) | Self::SampleTaken(_) | Self::CoolingDown(_) => Weight::Passing,
            Self::Queued(_)
            | Self::RunStarted(_)
            | Self::StageStarted(_)
            | Self::RequestStarted(_) => Weight::Lasting,
            Self::RequestFinished(_) => Weight::Stored,
            Self::RunFinished(_) => Weight::Last,
        }
    }

    fn subject(&self) -> Option<u32> {
        match self {
            Self::TextArrived(event) => Some(event.request),
            Self::RequestFinished(event) => event.request,
            _ => None,
        }
    }

    fn passing_bytes(&self) -> usize {
        match self {
            Self::TextArrived(event) => event.text.len() + event.thinking.len(),
            _ => 0,
        }
    }

    fn absorb(&mut self, later: &Self) {
        if let (Self::TextArrived(event), Self::TextArrived(later)) = (self, later) {
            event.text.push_str(&later.text);
            event.thinking.push_str(&later.thinking);
            event.chunks = later.chunks;
            event.offset = later.offset;
            event.chunks_per_second = later.chunks_per_second;
        }
    }
}

impl Announced for NovaEvent {
    fn weight(&self) -> Weight {
        match self {
            Self::Token(_) | Self::Progress(_) => Weight::Passing,
            Self::StepFinished(_) => Weight::Stored,
            Self::TurnFinished(_) => Weight::Last,
            _ => Weight::Lasting,
        }
    }

    fn subject(&self) -> Option<u32> {
        match self {
            Self::Token(event) => Some(event.step),
            Self::Progress(event) => Some(event.step),
            Self::StepFinished(event) => Some(event.step.number),
            _ => None,
        }
    }

    fn passing_bytes(&self) -> usize {
        match self {
            Self::Token(event) => event.text.len() + event.thinking.len(),
            _ => 0,
        }
    }

    fn absorb(&mut self, later: &Self) {
        match (self, later) {
            (Self::Token(event), Self::Token(later)) => {
                event.text.push_str(&later.text);
                event.thinking.push_str(&later.thinking);
                event.chunks = later.chunks;
                event.offset = later.offset;
            }
            (Self::Progress(event), Self::Progress(later)) => *event = later.clone(),
            _ => {}
        }
    }
}

/// The logs of all runs, or turns, that wait or go on.
pub struct EventLogs<E = RunEvent> {
    logs: Arc<Mutex<HashMap<RunId, EventLog<E>>>>,
}

impl<E> Clone for EventLogs<E> {
    fn clone(&self) -> Self {
        Self {
            logs: Arc::clone(&self.logs),
        }
    }
}

impl<E> Default for EventLogs<E> {
    fn default() -> Self {
        Self {
            logs: Arc::default(),
        }
    }
}

impl<E: Announced> EventLogs<E> {
    /// A log for a run; it is found under its id until [`EventLogs::close`].
    pub fn open(&self, id: &RunId) -> EventLog<E> {
        let log = EventLog::default();
        self.lock().insert(id.clone(), log.clone());
        log
    }

    /// The log of a run that has not ended.
    pub fn get(&self, id: &RunId) -> Option<EventLog<E>> {
        self.lock().get(id).cloned()
    }

    /// Forgets a run. Whoever reads its log still reads it to the end.
    pub fn close(&self, id: &RunId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, EventLog<E>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that one run, or turn, has announced.
pub struct EventLog<E = RunEvent> {
    kept: Arc<Mutex<Kept<E>>>,
    news: watch::Sender<u64>,
}

struct Kept<E> {
    events: Vec<Announcement<E>>,
    last: EventId,
    /// Events that may be forgotten, and bytes of text that came in them since some were.
    passing: usize,
    bytes: usize,
    /// The last event that is not kept as it was announced.
    forgotten: EventId,
    /// How often some were forgotten.
    times: u32,
}

impl<E> Clone for EventLog<E> {
    fn clone(&self) -> Self {
        Self {
            kept: Arc::clone(&self.kept),
            news: self.news.clone(),
        }
    }
}

impl<E> Default for EventLog<E> {
    fn default() -> Self {
        let kept = Kept {
            events: Vec::new(),
            last: EventId::default(),
            passing: 0,
            bytes: 0,
            forgotten: EventId::default(),
            times: 0,
        };
        Self {
            kept: Arc::new(Mutex::new(kept)),
            news: watch::Sender::default(),
        }
    }
}

impl<E: Announced> EventLog<E> {
    /// Announces an event. Never waits: whoever reads slowly reads later.
    pub fn announce(&self, event: E) {
        let mut kept = self.lock();
        let weight = event.weight();
        let EventId { finished, step } = kept.last;
        let id = match weight {
            Weight::Stored => EventId {
                finished: finished + 1,
                step: 0,
            },
            // The last one, however many come before it: also where it is read from the record.
            Weight::Last => EventId {
                finished,
                step: u32::MAX,
            },
            Weight::Passing | Weight::Lasting => EventId {
                finished,
                step: step + 1,
            },
        };
        kept.last = id;
        kept.passing += usize::from(weight == Weight::Passing);
        kept.bytes += event.passing_bytes();
        kept.events.push(Announcement {
            sent: Some(Arc::default()),
            ..Announcement::new(id, event)
        });
        if let Some(older) = kept.events.len().checked_sub(RECENT + 1) {
            kept.events[older].sent = None;
        }
        kept.forget_some();
        drop(kept);
        self.news.send_modify(|count| *count += 1);
    }

    /// Every event after `after`, then those to come, until the run has ended. Where those after it are not
    /// kept one by one any more, all come from the start again: also for a reader that falls so far behind.
    pub fn follow(
        &self,
        after: Option<EventId>,
    ) -> impl Stream<Item = Announcement<E>> + Send + use<E> {
        let kept = self.lock();
        // An id that was never given is of another life of the run: nothing of this one was seen.
        let is_known = |after: &EventId| (kept.forgotten..=kept.last).contains(after);
        let reader = Reader {
            log: self.clone(),
            news: self.news.subscribe(),
            after: after.filter(is_known),
            times: kept.times,
            over: false,
        };
        futures_util::stream::unfold(reader, |mut reader| async move {
            let event = reader.next().await?;
            Some((event, reader))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept<E>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader<E> {
    log: EventLog<E>,
    news: watch::Receiver<u64>,
    after: Option<EventId>,
    /// How often the log had forgotten some when `after` was known to it.
    times: u32,
    over: bool,
}

impl<E: Announced> Reader<E> {
    async fn next(&mut self) -> Option<Announcement<E>> {
        while !self.over {
            self.news.mark_unchanged();
            if let Some(found) = self.look() {
                self.after = Some(found.id);
                self.over = found.event.weight() == Weight::Last;
                return Some(found);
            }
            self.news.changed().await.ok()?;
        }
        None
    }

    fn look(&mut self) -> Option<Announcement<E>> {
        let kept = self.log.lock();
        if self.times != kept.times {
            self.times = kept.times;
            self.after = self.after.filter(|after| *after >= kept.forgotten);
        }
        let from = kept
            .events
            .partition_point(|kept| Some(kept.id) <= self.after);
        kept.events.get(from).cloned()
    }
}

#[cfg(test)]
mod tests;
