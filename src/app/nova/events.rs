//! What turns announce: from their log while they go on, else from their record.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;

use super::super::{App, AppError};
use crate::record::{
    EventId, NovaEvent, NovaStep, NovaTurn, RunId, TurnFinished, TurnStarted, TurnStep,
};

/// Events of a turn with their ids, from where the caller asked until the turn ends.
pub type NovaEventStream = Pin<Box<dyn Stream<Item = (EventId, Arc<NovaEvent>)> + Send>>;

/// How often the record of a turn in another process is read.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

impl App {
    /// Events of a turn after `after`, from the start where that is `None`; also of turns that have ended.
    pub async fn turn_events(
        &self,
        id: &RunId,
        after: Option<EventId>,
    ) -> Result<NovaEventStream, AppError> {
        if let Some(log) = self.inner.agents.logs.get(id) {
            return Ok(Box::pin(log.follow(after)));
        }
        let turn = self.turn(id).await?;
        let mut reader = Reader {
            app: self.clone(),
            id: id.clone(),
            after,
            ready: VecDeque::new(),
            over: false,
        };
        reader.take(turn);
        let events = futures_util::stream::unfold(reader, |mut reader| async move {
            let event = reader.next().await?;
            Some((event, reader))
        });
        Ok(Box::pin(events))
    }
}

/// Reads the events of a turn from its record: all at once where it has ended, as they are stored where
/// another process carries it out.
struct Reader {
    app: App,
    id: RunId,
    after: Option<EventId>,
    ready: VecDeque<(EventId, Arc<NovaEvent>)>,
    over: bool,
}

impl Reader {
    fn take(&mut self, turn: NovaTurn) {
        self.over = turn.response.status.is_final();
        let mut events = recorded(turn);
        // An id that the ended turn never gave: nothing of it was seen.
        let last = events.last().map(|(id, _)| *id);
        if self.over && self.after > last {
            self.after = None;
        }
        events.retain(|(id, _)| Some(*id) > self.after);
        self.after = events.last().map(|(id, _)| *id).or(self.after);
        let shared = events.into_iter().map(|(id, event)| (id, Arc::new(event)));
        self.ready.extend(shared);
    }

    async fn next(&mut self) -> Option<(EventId, Arc<NovaEvent>)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            match self.app.turn(&self.id).await {
                Ok(turn) => self.take(turn),
                // Deleted, or the database is away: whoever listens asks again.
                Err(_) => return None,
            }
        }
    }
}

/// The events of a turn as its record tells them. Their ids go on where those of the living log were.
fn recorded(turn: NovaTurn) -> Vec<(EventId, NovaEvent)> {
    let response = &turn.response;
    // Behind all that came before the first step: who saw some of it sees this again rather than never.
    let begin = EventId {
        finished: 0,
        step: u32::MAX,
    };
    let started = NovaEvent::TurnStarted(TurnStarted {
        session_id: response.session_id.clone(),
        turn_id: response.turn_id.clone(),
        number: turn.number,
        pipeline: turn.pipeline,
    });
    let mut events = vec![(begin, started)];
    let mut finished = 0;
    let is_over = response.status.is_final();
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
        let mut response = turn.response;
        for step in &mut response.steps {
            step.chunks = None;
        }
        let end = EventId {
            finished,
            step: u32::MAX,
        };
        events.push((end, NovaEvent::TurnFinished(TurnFinished { response })));
    }
    events
}
