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
    BenchmarkResponse, BenchmarkResult, EventId, RequestFinished, RunEvent, RunFinished, RunId,
    RunStarted, Status,
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

/// The logs of all runs that wait or go on.
#[derive(Clone, Default)]
pub struct EventLogs {
    logs: Arc<Mutex<HashMap<RunId, EventLog>>>,
}

impl EventLogs {
    /// A log for a run; it is found under its id until [`EventLogs::close`].
    pub fn open(&self, id: &RunId) -> EventLog {
        let log = EventLog::default();
        self.lock().insert(id.clone(), log.clone());
        log
    }

    /// The log of a run that has not ended.
    pub fn get(&self, id: &RunId) -> Option<EventLog> {
        self.lock().get(id).cloned()
    }

    /// Forgets a run. Whoever reads its log still reads it to the end.
    pub fn close(&self, id: &RunId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, EventLog>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that one run has announced.
#[derive(Clone, Default)]
pub struct EventLog {
    kept: Arc<Mutex<Kept>>,
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    events: Vec<(EventId, Arc<RunEvent>)>,
    last: EventId,
    passing: usize,
}

fn passes(event: &RunEvent) -> bool {
    matches!(
        event,
        RunEvent::TextArrived(_) | RunEvent::SampleTaken(_) | RunEvent::CoolingDown(_)
    )
}

impl EventLog {
    /// Announces an event. Never waits: whoever reads slowly reads later.
    pub fn announce(&self, event: RunEvent) {
        let mut kept = self.lock();
        let id = match event {
            RunEvent::RequestFinished(_) => EventId {
                finished: kept.last.finished + 1,
                step: 0,
            },
            // The last one, however many come before it: also where it is read from the record.
            RunEvent::RunFinished(_) => EventId {
                finished: kept.last.finished,
                step: u32::MAX,
            },
            _ => EventId {
                finished: kept.last.finished,
                step: kept.last.step + 1,
            },
        };
        kept.last = id;
        kept.passing += usize::from(passes(&event));
        kept.events.push((id, Arc::new(event)));
        if kept.passing > MAX_PASSING_EVENTS {
            let mut excess = kept.passing / 2;
            kept.passing -= excess;
            kept.events.retain(|(_, event)| {
                let drop = excess > 0 && passes(event);
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
    ) -> impl Stream<Item = (EventId, Arc<RunEvent>)> + Send + use<> {
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

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    log: EventLog,
    news: watch::Receiver<u64>,
    after: Option<EventId>,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<(EventId, Arc<RunEvent>)> {
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
                self.over = matches!(*event, RunEvent::RunFinished(_));
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
