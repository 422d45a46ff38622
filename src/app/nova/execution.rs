//! One turn from its begin to its stored end. A step is committed before it is announced.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::super::App;
use super::super::execution::persist;
use super::recall;
use super::replay::recorded_setting;
use super::sessions::thoughts;
use crate::clock::time_of_day;
use crate::nova::budget::TokenRate;
use crate::nova::core::{Conversation, Message, Outcome, Setting};
use crate::nova::turn::{Embedded, Errand, Placed, Voice};
use crate::record::{
    ErrorCode, ErrorInfo, MemoryDocument, MemoryScope, ModelName, NovaEvent, NovaRole, NovaSession,
    NovaStatus, NovaStep, NovaTurn, RunId, SessionSummary, TurnFinished, TurnStarted, TurnStep,
};
use crate::run::events::EventLog;
use crate::store::{Embedding, Remembered, StoreError, TurnDetail};

/// Steps that may wait for the database before the next call is held up.
const MOST_WAITING: usize = 256;
/// Turns of a session that are read to be told to the models; what was before is in its summary, or too
/// long ago for any context.
const MOST_TURNS: u32 = 200;

/// A turn on its way.
pub struct TurnExecution {
    /// The program.
    pub app: App,
    /// Where events are announced.
    pub log: EventLog<NovaEvent>,
    /// The record as it stands.
    pub turn: NovaTurn,
    /// The session as it stands.
    pub session: NovaSession,
    /// The model of each role.
    pub models: BTreeMap<NovaRole, Placed>,
    /// The model for embeddings, where there is one.
    pub embedding: Option<ModelName>,
    /// Cancelled to stop the turn.
    pub cancel: CancellationToken,
}

impl TurnExecution {
    /// Carries the turn out.
    pub async fn carry_out(mut self) {
        self.app.interrupt_calibration().await;
        let response = &self.turn.response;
        self.log.announce(NovaEvent::TurnStarted(TurnStarted {
            session_id: response.session_id.clone(),
            turn_id: response.turn_id.clone(),
            number: self.turn.number,
            pipeline: self.turn.pipeline,
        }));
        let outcome = match self.work().await {
            Ok(outcome) => outcome,
            Err(reason) => Outcome::failed(ErrorInfo {
                code: ErrorCode::Server,
                message: reason,
            }),
        };
        self.finish(outcome).await;
    }

    /// Lets the agents work, and does what they want done meanwhile.
    async fn work(&mut self) -> Result<Outcome, String> {
        let agents = &self.app.inner.agents;
        let mut backends: BTreeSet<String> = self
            .models
            .values()
            .map(|it| it.name.backend.clone())
            .collect();
        backends.extend(self.embedding.iter().map(|it| it.backend.clone()));
        let lent = agents.core.instruments.lend(&backends).await;
        let lent = lent.map_err(|error| error.to_string())?;
        let summary = self.session.summary.clone();
        let conversation = self.app.conversation(&self.turn, summary).await;
        let conversation = conversation.map_err(|error| error.to_string())?;
        let executor = self.models.get(&NovaRole::Executor);
        let setting = Setting {
            rate: executor.map_or_else(TokenRate::default, |it| agents.core.rate(&it.name)),
            ..self.app.nova_setting()
        };
        self.turn.setting = Some(recorded_setting(&self.models, setting, &conversation));
        let (errands, mut inbox) = mpsc::channel(MOST_WAITING);
        let message = Message {
            pipeline: self.turn.pipeline,
            request: self.turn.request.clone(),
            conversation,
            models: self.models.clone(),
            embedding: self.embedding.clone(),
            queue: self.app.inner.queue.clone(),
            log: self.log.clone(),
            cancel: self.cancel.clone(),
            voice: Voice::Models(lent),
            errands,
            setting,
        };
        let core = std::sync::Arc::clone(&agents.core);
        let task =
            tokio::spawn(async move { core.process_message(message).await }.in_current_span());
        let mut trouble = None;
        while let Some(errand) = inbox.recv().await {
            if let Err(error) = self.run_errand(errand).await {
                tracing::error!(%error, "a step could not be stored");
                trouble = Some(format!("a step could not be stored: {error}"));
                self.cancel.cancel();
            }
        }
        let outcome = task
            .await
            .map_err(|error| format!("the turn broke off: {error}"))?;
        match trouble {
            None => Ok(outcome),
            Some(trouble) => Err(trouble),
        }
    }

    async fn run_errand(&self, errand: Errand) -> Result<(), StoreError> {
        let (store, id) = (&self.app.inner.store, &self.turn.response.turn_id);
        match errand {
            Errand::Keep(step) => {
                let hurry = &self.app.inner.stopping;
                self.app.metrics().step_ended(&step);
                persist(hurry, || store.save_step(id, &step)).await?;
                let step = NovaStep {
                    chunks: None,
                    ..*step
                };
                self.log
                    .announce(NovaEvent::StepFinished(TurnStep { step }));
            }
            Errand::Draft(step) => {
                if let Err(error) = store.save_step(id, &step).await {
                    tracing::warn!(%error, "what there is of a step could not be stored");
                }
            }
            Errand::Recall {
                text,
                embedded,
                limit,
                answer,
            } => {
                let scope = MemoryScope::Session(self.session.id.clone());
                let embedding = embedded.map(embedding);
                let found = recall(store, &scope, &text, embedding.as_ref(), limit).await;
                // Whoever asked may have been stopped.
                let _ = answer.send(found.map_err(|error| error.to_string()));
            }
            Errand::Remember {
                text,
                embedded,
                answer,
            } => {
                let remembered = self.exchange(text, embedded);
                let kept = store.remember(&remembered).await;
                let _ = answer.send(kept.map_err(|error| error.to_string()));
            }
        }
        Ok(())
    }

    /// A document that only this session recalls.
    fn exchange(&self, text: String, embedded: Option<Embedded>) -> Remembered {
        let now = time_of_day();
        Remembered {
            document: MemoryDocument {
                id: RunId::new(now),
                text,
                tags: vec![format!("turn {}", self.turn.number)],
                created_at: now,
                session_id: Some(self.session.id.clone()),
                embedding_model: embedded.as_ref().map(|it| it.model.clone()),
                score: None,
                found_by: None,
                reason: None,
            },
            embedding: embedded.map(embedding),
        }
    }

    /// Stores the end of the turn, then announces it.
    async fn finish(mut self, outcome: Outcome) {
        let is_stopping = self.app.inner.stopping.is_cancelled();
        let Outcome {
            mut response,
            summary,
        } = outcome;
        if is_stopping && response.status == NovaStatus::Cancelled {
            response.status = NovaStatus::Interrupted;
            response.status_reason = Some("the program was stopped".into());
        }
        let before = &self.turn.response;
        response.session_id = before.session_id.clone();
        response.turn_id = before.turn_id.clone();
        response.state.turns = self.turn.number;
        self.turn.finished_at = Some(time_of_day());
        self.turn.response = response.clone();
        self.app.told_turn_ended(&self.turn);
        self.turn.response.steps.clear();
        let now = time_of_day();
        let (store, turn) = (&self.app.inner.store, &self.turn);
        let hurry = &self.app.inner.stopping;
        let stored = persist(hurry, || async {
            let change = |session: &mut NovaSession| {
                if let Some(summary) = &summary {
                    session.summary = Some(summary.clone());
                }
            };
            store.finish_turn(turn, now, change).await.map(drop)
        });
        if let Err(error) = stored.await {
            tracing::error!(%error, "the end of the turn could not be stored");
        }
        tracing::info!(status = response.status.as_str(), "the turn ended");
        for step in &mut response.steps {
            step.chunks = None;
        }
        if self.turn.request.include_chain_of_thought {
            response.chain_of_thought = thoughts(&response);
        }
        self.log
            .announce(NovaEvent::TurnFinished(TurnFinished { response }));
    }
}

fn embedding(embedded: Embedded) -> Embedding {
    Embedding {
        model: embedded.model,
        vector: embedded.vector,
    }
}

impl App {
    /// What was said in the session before a turn, and what its oldest turns had come to.
    pub(super) async fn conversation(
        &self,
        turn: &NovaTurn,
        summary: Option<SessionSummary>,
    ) -> Result<Conversation, StoreError> {
        let number = turn.number;
        let after = number.saturating_sub(MOST_TURNS + 1);
        let session = &turn.response.session_id;
        let store = &self.inner.store;
        let turns = store
            .turns(session, after, MOST_TURNS, TurnDetail::Bare)
            .await?;
        let before = turns.into_iter().filter(|it| it.number < number);
        Ok(Conversation::new(summary, before.collect(), turn.pipeline))
    }

    /// Ends a turn whose task broke off, so that it does not seem to go on for ever.
    pub(super) async fn bury_turn(&self, id: &RunId, reason: &str) {
        let store = &self.inner.store;
        let Ok(Some(mut turn)) = store.turn(id, TurnDetail::Steps).await else {
            return;
        };
        let reason = format!("the program failed in the middle of it: {reason}");
        turn.response.status = NovaStatus::Failed;
        turn.response.error = Some(ErrorInfo {
            code: ErrorCode::Server,
            message: reason,
        });
        let now = time_of_day();
        turn.finished_at = Some(now);
        self.told_turn_ended(&turn);
        if let Err(error) = store.finish_turn(&turn, now, |_| ()).await {
            tracing::error!(%error, "the end of the turn could not be stored");
        }
        if let Some(log) = self.inner.agents.logs.get(id) {
            let response = turn.response;
            log.announce(NovaEvent::TurnFinished(TurnFinished { response }));
        }
    }
}
