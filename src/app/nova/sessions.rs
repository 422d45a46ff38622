//! Sessions: begun, changed, branched off, carried elsewhere; and their turns.

use chrono::{DateTime, Utc};

use super::super::{App, AppError};
use crate::clock::time_of_day;
use crate::exchange;
use crate::record::{
    NewSession, NovaCheckpoint, NovaFork, NovaResponse, NovaSession, NovaTurn, RunId, SessionPage,
    SessionPatch, SessionStatus,
};
use crate::store::{Remembered, TurnDetail};

/// Most turns of a list.
const MOST_TURNS: u32 = 500;

fn unknown(what: &'static str, id: &RunId) -> AppError {
    AppError::UnknownId {
        what,
        id: id.to_string(),
    }
}

impl App {
    /// Begins a session.
    pub async fn begin_session(&self, wanted: NewSession) -> Result<NovaSession, AppError> {
        let problems = wanted.problems(&self.config.default_backend);
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        let now = time_of_day();
        let session = NovaSession::new(RunId::new(now), now, wanted);
        self.inner.store.create_session(&session).await?;
        Ok(session)
    }

    /// A page of sessions, the ones in which something happened last first.
    pub async fn nova_sessions(
        &self,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<SessionPage, AppError> {
        Ok(self.inner.store.sessions(limit, cursor).await?)
    }

    /// A session as it stands.
    pub async fn nova_session(&self, id: &RunId) -> Result<NovaSession, AppError> {
        let session = self.inner.store.session(id).await?;
        session.ok_or_else(|| unknown("session", id))
    }

    /// Changes a session.
    pub async fn change_session(
        &self,
        id: &RunId,
        patch: SessionPatch,
    ) -> Result<NovaSession, AppError> {
        let problems = patch.problems(&self.config.default_backend);
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        let change = |session: &mut NovaSession| patch.apply(session);
        let changed = self.inner.store.change_session(id, time_of_day(), change);
        changed.await?.ok_or_else(|| unknown("session", id))
    }

    /// Closes a session: it can be read, branched off and exported.
    pub async fn close_session(&self, id: &RunId) -> Result<NovaSession, AppError> {
        let close = |session: &mut NovaSession| session.status = SessionStatus::Closed;
        let closed = self.inner.store.change_session(id, time_of_day(), close);
        closed.await?.ok_or_else(|| unknown("session", id))
    }

    /// Deletes a session with its turns and what only it recalls.
    pub async fn delete_session(&self, id: &RunId) -> Result<(), AppError> {
        if self.inner.store.delete_session(id).await? {
            Ok(())
        } else {
            Err(unknown("session", id))
        }
    }

    /// Turns of a session behind the `after`th, without their steps.
    pub async fn turns(
        &self,
        id: &RunId,
        after: u32,
        limit: Option<u32>,
    ) -> Result<Vec<NovaTurn>, AppError> {
        self.nova_session(id).await?;
        let limit = limit.unwrap_or(MOST_TURNS).min(MOST_TURNS);
        let turns = self.inner.store.turns(id, after, limit, TurnDetail::Bare);
        Ok(turns.await?)
    }

    /// The same with their steps, without the chunks of those.
    pub async fn turns_with_steps(
        &self,
        id: &RunId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<NovaTurn>, AppError> {
        let (limit, detail) = (limit.min(MOST_TURNS), TurnDetail::Steps);
        Ok(self.inner.store.turns(id, after, limit, detail).await?)
    }

    /// A turn of a session, by its number or its id, with every step and chunk.
    pub async fn turn_of(&self, session: &RunId, turn: &str) -> Result<NovaTurn, AppError> {
        self.nova_session(session).await?;
        let store = &self.inner.store;
        let found = match (turn.parse::<u32>(), turn.parse::<RunId>()) {
            // 24 digits may be an id too; no number has so many.
            (Ok(0), _) => None,
            (Ok(number), _) => {
                let after = number - 1;
                let mut turns = store.turns(session, after, 1, TurnDetail::Whole).await?;
                turns.pop().filter(|it| it.number == number)
            }
            (_, Ok(id)) => {
                let found = store.turn(&id, TurnDetail::Whole).await?;
                found.filter(|it| it.response.session_id == *session)
            }
            _ => None,
        };
        found.map(with_thoughts).ok_or_else(|| AppError::UnknownId {
            what: "turn of this session",
            id: turn.chars().take(64).collect(),
        })
    }

    /// A turn with every step and chunk.
    pub async fn turn(&self, id: &RunId) -> Result<NovaTurn, AppError> {
        let found = self.inner.store.turn(id, TurnDetail::Whole).await?;
        found.map(with_thoughts).ok_or_else(|| unknown("turn", id))
    }

    /// Begins a session with the turns of another up to and including the `through`th.
    pub async fn fork_session(&self, id: &RunId, through: u32) -> Result<NovaSession, AppError> {
        let copied = self.inner.store.checkpoint(id, Some(through)).await?;
        let (source, turns, memory) = copied.ok_or_else(|| unknown("session", id))?;
        let last = turns.last().map_or(0, |turn| turn.number);
        if last != through {
            let message = format!("the session has {last} turns that have ended");
            return Err(AppError::invalid("/turn", message));
        }
        let fork = NovaFork {
            session_id: Some(id.clone()),
            turn: through,
        };
        self.keep_copy(source, turns, memory, fork).await
    }

    /// A whole session, to begin one like it elsewhere.
    pub async fn export_session(&self, id: &RunId) -> Result<NovaCheckpoint, AppError> {
        let copied = self.inner.store.checkpoint(id, None).await?;
        let (session, turns, memory) = copied.ok_or_else(|| unknown("session", id))?;
        Ok(NovaCheckpoint {
            version: NovaCheckpoint::VERSION,
            session,
            turns,
            memory: memory.into_iter().map(|it| it.document).collect(),
        })
    }

    /// A whole session as Markdown, to read.
    pub async fn session_text(&self, id: &RunId) -> Result<String, AppError> {
        Ok(exchange::session_text(&self.export_session(id).await?))
    }

    /// Begins a session with what is in a checkpoint.
    pub async fn import_session(
        &self,
        checkpoint: NovaCheckpoint,
    ) -> Result<NovaSession, AppError> {
        let problems = checkpoint.problems();
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        let NovaCheckpoint {
            session,
            turns,
            memory,
            ..
        } = checkpoint;
        let fork = NovaFork {
            session_id: None,
            turn: turns.last().map_or(0, |turn| turn.number),
        };
        let plain = |document| Remembered {
            document,
            embedding: None,
        };
        let memory = memory.into_iter().map(plain).collect();
        self.keep_copy(session, turns, memory, fork).await
    }

    /// Keeps a copy of a session under ids of its own.
    async fn keep_copy(
        &self,
        source: NovaSession,
        turns: Vec<NovaTurn>,
        memory: Vec<Remembered>,
        fork: NovaFork,
    ) -> Result<NovaSession, AppError> {
        let now = time_of_day();
        let id = RunId::new(now);
        // What a later turn said is not known where the branch begins.
        let ends = turns.last().and_then(|turn| turn.finished_at);
        let is_known = |made: DateTime<Utc>| ends.is_some_and(|end| made <= end);
        let told = |it: &u32| *it <= fork.turn;
        let session = NovaSession {
            id: id.clone(),
            created_at: now,
            updated_at: now,
            status: SessionStatus::Open,
            active_turn: None,
            turns: 0,
            summary: source.summary.filter(|it| told(&it.through)),
            forked_from: Some(fork),
            ..source
        };
        let memory: Vec<Remembered> = memory
            .into_iter()
            .filter(|it| is_known(it.document.created_at))
            .map(|mut it| {
                it.document.id = RunId::new(now);
                it.document.session_id = Some(id.clone());
                if it.embedding.is_none() {
                    it.document.embedding_model = None;
                }
                it
            })
            .collect();
        let own = |mut turn: NovaTurn| {
            turn.response.turn_id = RunId::new(now);
            turn.response.session_id = id.clone();
            turn.request.session_id = Some(id.clone());
            turn.response.chain_of_thought = Vec::new();
            turn
        };
        let checkpoint = NovaCheckpoint {
            version: NovaCheckpoint::VERSION,
            session,
            turns: turns.into_iter().map(own).collect(),
            memory: Vec::new(),
        };
        let store = &self.inner.store;
        store.keep_checkpoint(&checkpoint, &memory).await?;
        self.nova_session(&id).await
    }
}

/// What the agents wrote is stored once, in the steps.
fn with_thoughts(mut turn: NovaTurn) -> NovaTurn {
    let response = &mut turn.response;
    if turn.request.include_chain_of_thought && response.chain_of_thought.is_empty() {
        response.chain_of_thought = thoughts(response);
    }
    turn
}

/// What the agents wrote, a text a step.
pub(super) fn thoughts(response: &NovaResponse) -> Vec<String> {
    let texts = response.steps.iter().map(|step| step.output.clone());
    texts.collect()
}
