//! What runs and turns announce: from their log while they go on here, else from their record, all at once
//! where they have ended, as it is stored where another process carries them out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;

use super::{App, AppError, Watched};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, EventId, NovaEvent, NovaStep, NovaTurn, RequestFinished,
    RunEvent, RunFinished, RunId, RunStarted, Status, TurnFinished, TurnStarted, TurnStep,
};
use crate::run::events::{Announced, Announcement, EventLogs};

/// Events with their ids, from where the caller asked until the run, or the turn, ends.
pub type EventStream<E> = Pin<Box<dyn Stream<Item = Announcement<E>> + Send>>;

/// How often the record of what another process does is read.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Behind all that came before the first result: who saw some of it sees this again rather than never.
const BEGIN: EventId = EventId {
    finished: 0,
    step: u32::MAX,
};

impl App {
    /// Events of a run after `after`, from the start where that is `None`; also of finished runs.
    pub async fn events(
        &self,
        id: &RunId,
        after: Option<EventId>,
    ) -> Result<EventStream<RunEvent>, AppError> {
        let place = self.watchers_place()?;
        let events = follow::<BenchmarkResponse>(self, &self.inner.logs, id, after).await?;
        Ok(holding((place, self.watching(Watched::Run)), events))
    }

    /// Events of a turn, in the same way.
    pub async fn turn_events(
        &self,
        id: &RunId,
        after: Option<EventId>,
    ) -> Result<EventStream<NovaEvent>, AppError> {
        let place = self.watchers_place()?;
        Ok(holding(place, self.own_turn_events(id, after).await?))
    }

    /// The same for who has just begun the turn: there is always a place, since turns are bounded themselves.
    pub async fn own_turn_events(
        &self,
        id: &RunId,
        after: Option<EventId>,
    ) -> Result<EventStream<NovaEvent>, AppError> {
        let events = follow::<NovaTurn>(self, &self.inner.agents.logs, id, after).await?;
        Ok(holding(self.watching(Watched::Turn), events))
    }

    /// A place among the clients that follow events; so many of them leave connections for others.
    fn watchers_place(&self) -> Result<OwnedSemaphorePermit, AppError> {
        let places = Arc::clone(&self.inner.watchers);
        let most = self.config.limits.max_watchers;
        places
            .try_acquire_owned()
            .map_err(|_| AppError::TooManyWatchers { most })
    }
}

/// The events, with something that is given back when nobody follows them any more: a place, and being counted.
fn holding<E: Send + 'static>(held: impl Send + 'static, events: EventStream<E>) -> EventStream<E> {
    Box::pin(events.map(move |event| {
        let _held = &held;
        event
    }))
}

async fn follow<R: Recorded>(
    app: &App,
    logs: &EventLogs<R::Event>,
    id: &RunId,
    after: Option<EventId>,
) -> Result<EventStream<R::Event>, AppError> {
    if let Some(log) = logs.get(id) {
        return Ok(Box::pin(log.follow(after)));
    }
    let record = R::read(app, id).await?;
    let mut reader = Reader::<R> {
        app: app.clone(),
        id: id.clone(),
        after,
        ready: VecDeque::new(),
        over: false,
    };
    reader.take(record);
    let events = futures_util::stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((event, reader))
    });
    Ok(Box::pin(events))
}

/// A record that tells which events there were.
trait Recorded: Sized + Send + 'static {
    type Event: Announced;

    /// As it is stored now.
    fn read(app: &App, id: &RunId) -> impl Future<Output = Result<Self, AppError>> + Send;

    /// Nothing more will happen.
    fn is_over(&self) -> bool;

    /// What has happened. The ids go on where those of the living log were, so that a client that saw half
    /// of it can ask for the rest.
    fn events(self) -> Vec<(EventId, Self::Event)>;
}

struct Reader<R: Recorded> {
    app: App,
    id: RunId,
    after: Option<EventId>,
    ready: VecDeque<Announcement<R::Event>>,
    over: bool,
}

impl<R: Recorded> Reader<R> {
    fn take(&mut self, record: R) {
        self.over = record.is_over();
        let mut events = record.events();
        // An id that it never gave before its end: nothing of it was seen.
        let last = events.last().map(|(id, _)| *id);
        if self.over && self.after > last {
            self.after = None;
        }
        events.retain(|(id, _)| Some(*id) > self.after);
        self.after = events.last().map(|(id, _)| *id).or(self.after);
        let ready = events.into_iter();
        self.ready
            .extend(ready.map(|(id, event)| Announcement::new(id, event)));
    }

    async fn next(&mut self) -> Option<Announcement<R::Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            match R::read(&self.app, &self.id).await {
                Ok(record) => self.take(record),
                // Deleted, or the database is away: whoever listens asks again.
                Err(_) => return None,
            }
        }
    }
}

impl Recorded for BenchmarkResponse {
    type Event = RunEvent;

    async fn read(app: &App, id: &RunId) -> Result<Self, AppError> {
        app.record(id).await
    }

    fn is_over(&self) -> bool {
        self.status.is_final()
    }

    fn events(self) -> Vec<(EventId, RunEvent)> {
        let total = self.total_requests;
        let mut events = Vec::new();
        if self.status != Status::Queued {
            let started = RunStarted {
                total_requests: total,
            };
            events.push((BEGIN, RunEvent::RunStarted(started)));
        }
        let mut finished = 0;
        for result in self.results {
            finished += 1;
            let mut models = self.environment.models.iter();
            let model =
                models.position(|it| it.model == result.model && it.backend == result.backend);
            let told = RequestFinished {
                request: None,
                model_index: model
                    .and_then(|it| u32::try_from(it).ok())
                    .unwrap_or_default(),
                finished,
                total,
                result: BenchmarkResult {
                    chunks: None,
                    ..result
                },
            };
            let id = EventId { finished, step: 0 };
            events.push((id, RunEvent::RequestFinished(told)));
        }
        if self.status.is_final() {
            let end = RunFinished {
                id: self.id,
                status: self.status,
                status_reason: self.status_reason,
                summary: self.summary,
            };
            events.push((end_after(finished), RunEvent::RunFinished(end)));
        }
        events
    }
}

impl Recorded for NovaTurn {
    type Event = NovaEvent;

    async fn read(app: &App, id: &RunId) -> Result<Self, AppError> {
        app.turn(id).await
    }

    fn is_over(&self) -> bool {
        self.response.status.is_final()
    }

    fn events(self) -> Vec<(EventId, NovaEvent)> {
        let is_over = self.is_over();
        let mut response = self.response;
        let started = TurnStarted {
            session_id: response.session_id.clone(),
            turn_id: response.turn_id.clone(),
            number: self.number,
            pipeline: self.pipeline,
        };
        let mut events = vec![(BEGIN, NovaEvent::TurnStarted(started))];
        let mut finished = 0;
        for step in response.steps.iter().filter(|it| is_over || !it.partial) {
            finished += 1;
            let step = NovaStep {
                chunks: None,
                ..step.clone()
            };
            let id = EventId { finished, step: 0 };
            events.push((id, NovaEvent::StepFinished(TurnStep { step })));
        }
        if is_over {
            for step in &mut response.steps {
                step.chunks = None;
            }
            let end = TurnFinished { response };
            events.push((end_after(finished), NovaEvent::TurnFinished(end)));
        }
        events
    }
}

/// The last id of all, however many events there were since the last result.
fn end_after(finished: u32) -> EventId {
    EventId {
        finished,
        step: u32::MAX,
    }
}
