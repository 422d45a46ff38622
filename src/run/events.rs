//! What runs announce, kept while they go on.
//!
//! A run's log holds every event since its start, so that a client that comes late, or comes back,
//! reads the same events as one that was there from the first. The log goes when the run has
//! ended: then the stored record tells the rest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::Stream;
use tokio::sync::watch;

use crate::record::{
    BenchmarkResponse, BenchmarkResult, EventId, NovaEvent, RequestFinished, RunEvent, RunFinished,
    RunId, RunStarted, Status,
};

/// The events of a run as its record tells them. Their ids go on where those of the living log
/// were, so that a client that saw half of it can ask for the rest.
pub fn recorded(run: &BenchmarkResponse) -> Vec<(EventId, Arc<RunEvent>)> {
    let total = run.total_requests;
    let mut events = Vec::new();
    if run.status != Status::Queued {
        let started = RunEvent::RunStarted(RunStarted {
            total_requests: total,
        });
        events.push((
            // Behind all that came before the first result: who saw some of it sees this again
            // rather than never.
            EventId {
                finished: 0,
                step: u32::MAX,
            },
            started,
        ));
    }
    let mut finished = 0;
    for result in &run.results {
        finished += 1;
        let mut models = run.environment.models.iter();
        let model = models.position(|it| it.model == result.model && it.backend == result.backend);
        let event = RunEvent::RequestFinished(RequestFinished {
            request: None,
            model_index: model
                .and_then(|it| u32::try_from(it).ok())
                .unwrap_or_default(),
            finished,
            total,
            result: BenchmarkResult {
                chunks: None,
                ..result.clone()
            },
        });
        events.push((EventId { finished, step: 0 }, event));
    }
    if run.status.is_final() {
        let end = RunEvent::RunFinished(RunFinished {
            id: run.id.clone(),
            status: run.status,
            status_reason: run.status_reason.clone(),
            summary: run.summary.clone(),
        });
        events.push((
            EventId {
                finished,
                step: u32::MAX,
            },
            end,
        ));
    }
    events
        .into_iter()
        .map(|(id, event)| (id, Arc::new(event)))
        .collect()
}

/// Events of text, samples and pauses that a log keeps; the oldest go first, since the record has them.
const MAX_PASSING_EVENTS: usize = 20_000;

/// What a log keeps: the events of runs, or of turns of agents.
pub trait Announced: Send + Sync + 'static {
    /// What it means for the log.
    fn weight(&self) -> Weight;
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
    events: Vec<(EventId, Arc<E>)>,
    last: EventId,
    passing: usize,
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
        kept.events.push((id, Arc::new(event)));
        if kept.passing > MAX_PASSING_EVENTS {
            let mut excess = kept.passing / 2;
            kept.passing -= excess;
            kept.events.retain(|(_, event)| {
                let drop = excess > 0 && event.weight() == Weight::Passing;
                excess -= usize::from(drop);
                !drop
            });
        }
        drop(kept);
        self.news.send_modify(|count| *count += 1);
    }

    /// Every event after `after`, then those to come, until the run has ended.
    pub fn follow(
        &self,
        after: Option<EventId>,
    ) -> impl Stream<Item = (EventId, Arc<E>)> + Send + use<E> {
        // An id that was never given is of another life of the run: nothing of this one was seen.
        let last = self.lock().last;
        let reader = Reader {
            log: self.clone(),
            news: self.news.subscribe(),
            after: after.filter(|after| *after <= last),
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
    over: bool,
}

impl<E: Announced> Reader<E> {
    async fn next(&mut self) -> Option<(EventId, Arc<E>)> {
        while !self.over {
            self.news.mark_unchanged();
            let found = {
                let kept = self.log.lock();
                let from = kept
                    .events
                    .partition_point(|(id, _)| Some(*id) <= self.after);
                kept.events.get(from).cloned()
            };
            if let Some((id, event)) = found {
                self.after = Some(id);
                self.over = event.weight() == Weight::Last;
                return Some((id, event));
            }
            self.news.changed().await.ok()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::record::Queued;

    fn finished() -> RunEvent {
        RunEvent::RunFinished(RunFinished {
            id: RunId::new(chrono::DateTime::UNIX_EPOCH),
            status: Status::Completed,
            status_reason: None,
            summary: Vec::new(),
        })
    }

    #[tokio::test]
    async fn late_and_returning_readers_see_the_same_events() {
        let log = EventLog::default();
        log.announce(RunEvent::Queued(Queued { position: 1 }));
        let early = log.follow(None);
        log.announce(RunEvent::RunStarted(RunStarted { total_requests: 1 }));
        log.announce(finished());
        let early: Vec<_> = early.collect().await;
        let late: Vec<_> = log.follow(None).collect().await;
        assert_eq!(early, late);
        assert_eq!(early.len(), 3);
        let resumed: Vec<_> = log.follow(Some(early[0].0)).collect().await;
        assert_eq!(resumed, early[1..]);
        let unknown = EventId {
            finished: 999,
            step: 0,
        };
        let lost: Vec<_> = log.follow(Some(unknown)).collect().await;
        assert_eq!(lost, early);
    }
}
