//! A recorded turn done again: with its record in the place of models, or with models. Nothing is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::super::{App, AppError};
use super::ActiveTurn;
use crate::clock::time_of_day;
use crate::nova::budget::TokenRate;
use crate::nova::core::{Conversation, Message, NovaCore, Outcome, Setting};
use crate::nova::live::keep_nothing;
use crate::nova::tape::{self, Tape};
use crate::nova::turn::{Placed, Voice};
use crate::record::{
    MemoryDocument, ModelEnvironment, ModelName, NovaRequest, NovaRole, NovaSetting, NovaStatus,
    NovaTurn, Parameters, ReplayReport, RoleModel, RunId, TurnReplay, TurnReplayMode,
};
use crate::run::events::EventLog;
use crate::run::queue::Queue;

/// What a turn was carried out with.
pub(super) fn recorded_setting(
    models: &BTreeMap<NovaRole, Placed>,
    setting: Setting,
    conversation: &Conversation,
) -> NovaSetting {
    let role = |(role, placed): (&NovaRole, &Placed)| {
        let model = RoleModel {
            model: placed.name.to_string(),
            digest: placed.environment.digest.clone(),
            parameters: placed.parameters.clone(),
            context_size: placed.context_size,
            most_output: placed.most_output,
        };
        (role.as_str().to_owned(), model)
    };
    let (counted_characters, counted_tokens) = setting.rate.counted();
    NovaSetting {
        models: models.iter().map(role).collect(),
        plan_steps: setting.plan_steps,
        iterations: setting.iterations,
        counted_characters,
        counted_tokens,
        summary: conversation.summary.clone(),
    }
}

impl App {
    /// Does a turn again and tells in what it differs from the record. Stopped when whoever waits is `gone`.
    pub async fn replay_turn(
        &self,
        id: &RunId,
        wanted: TurnReplay,
        gone: impl Future<Output = ()>,
    ) -> Result<ReplayReport, AppError> {
        if wanted.mode == TurnReplayMode::Tape && wanted.model.is_some() {
            let message = "no model is asked by a `tape`; leave it out, or take `rerun`";
            return Err(AppError::invalid("/model", message.into()));
        }
        let turn = self.turn(id).await?;
        let (setting, conversation) = self.as_it_was(&turn).await?;
        let models = match wanted.mode {
            TurnReplayMode::Tape => on_tape(&setting)?,
            TurnReplayMode::Rerun => self.once_more(&turn, &setting, wanted.model).await?,
        };
        let outcome = self
            .do_again(&turn, &setting, conversation, models, wanted.mode, gone)
            .await?;
        Ok(report(&turn, wanted.mode, outcome))
    }

    /// What the turn followed from.
    async fn as_it_was(&self, turn: &NovaTurn) -> Result<(NovaSetting, Conversation), AppError> {
        let conflict = |message: &str| Err(AppError::Conflict(message.into()));
        match (&turn.response.status, &turn.setting) {
            (NovaStatus::Running, _) => conflict("the turn goes on; wait for its end, or stop it"),
            (NovaStatus::Interrupted, _) => {
                conflict("the turn was interrupted; what it was going to do is not in the record")
            }
            (_, None) => conflict("the record does not say what the turn was carried out with"),
            (_, Some(setting)) => {
                let summary = setting.summary.clone();
                let conversation = self.conversation(turn, summary).await?;
                Ok((setting.clone(), conversation))
            }
        }
    }

    /// Models as they are now, with the sizes that the recorded ones had.
    async fn once_more(
        &self,
        turn: &NovaTurn,
        setting: &NovaSetting,
        model: Option<String>,
    ) -> Result<BTreeMap<NovaRole, Placed>, AppError> {
        let mut request = turn.request.clone();
        let of = |role: NovaRole| setting.models.get(role.as_str());
        request.models = if model.is_some() {
            BTreeMap::new()
        } else {
            let all = setting.models.iter();
            all.map(|(role, it)| (role.clone(), it.model.clone()))
                .collect()
        };
        let usual = model.or_else(|| Some(of(NovaRole::Executor)?.model.clone()));
        let mut placed = self
            .place_roles(&request, usual, &mut HashMap::new())
            .await?;
        for (role, placed) in &mut placed {
            let Some(recorded) = of(*role) else { continue };
            placed.context_size = recorded.context_size;
            placed.most_output = recorded.most_output;
            let sizes = &recorded.parameters;
            // Where a server fixes it there is none.
            if placed.parameters.num_ctx.is_some() && sizes.num_ctx.is_some() {
                placed.parameters.num_ctx = sizes.num_ctx;
            }
            placed.parameters.num_predict = sizes.num_predict;
        }
        Ok(placed)
    }

    async fn do_again(
        &self,
        turn: &NovaTurn,
        setting: &NovaSetting,
        conversation: Conversation,
        models: BTreeMap<NovaRole, Placed>,
        mode: TurnReplayMode,
        gone: impl Future<Output = ()>,
    ) -> Result<Outcome, AppError> {
        let agents = &self.inner.agents;
        let (voice, queue) = match mode {
            TurnReplayMode::Tape => (Voice::Tape(Tape::of(&turn.response.steps)), Queue::new(0)),
            TurnReplayMode::Rerun => {
                let backends: BTreeSet<String> =
                    models.values().map(|it| it.name.backend.clone()).collect();
                let lent = agents.core.instruments.lend(&backends).await;
                let lent = lent.map_err(|error| AppError::Storage(error.to_string()))?;
                (Voice::Models(lent), self.inner.queue.clone())
            }
        };
        let cancel = self.inner.stopping.child_token();
        let (errands, inbox) = mpsc::channel(1);
        let message = Message {
            pipeline: turn.pipeline,
            request: NovaRequest {
                stream: false,
                ..turn.request.clone()
            },
            conversation,
            models,
            embedding: None,
            queue,
            log: EventLog::default(),
            cancel: cancel.clone(),
            voice,
            errands,
            setting: Setting {
                plan_steps: setting.plan_steps,
                iterations: setting.iterations,
                rate: TokenRate::from_counted(setting.counted_characters, setting.counted_tokens),
            },
        };
        // It counts as a turn that goes on, though nobody finds it.
        let (_ended, watcher) = watch::channel(false);
        let own = RunId::new(time_of_day());
        let active = ActiveTurn {
            cancel: cancel.clone(),
            ended: watcher,
        };
        let place = self.turns_place()?;
        agents.active().insert(own.clone(), active);
        let documents = recalled(turn);
        let core: Arc<NovaCore> = Arc::clone(&agents.core);
        let app = self.clone();
        let task = self.inner.runs.spawn(async move {
            let both = tokio::join!(
                core.process_message(message),
                keep_nothing(inbox, &documents)
            );
            app.inner.agents.active().remove(&own);
            drop(place);
            both.0
        });
        tokio::pin!(task);
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = gone => {
                cancel.cancel();
                task.await
            }
        };
        ended.map_err(|error| AppError::Storage(error.to_string()))
    }
}

/// What the memory gave when the turn was recorded.
fn recalled(turn: &NovaTurn) -> Vec<MemoryDocument> {
    let mut steps = turn.response.steps.iter();
    let search = steps.find(|it| it.role == NovaRole::Memory && it.model.is_none());
    search.map(|it| it.documents.clone()).unwrap_or_default()
}

/// The recorded models, which are not asked.
fn on_tape(setting: &NovaSetting) -> Result<BTreeMap<NovaRole, Placed>, AppError> {
    let roles = NovaRole::ALL.into_iter().map(|role| {
        let missing =
            || AppError::Conflict(format!("the record names no model of {}", role.as_str()));
        let recorded = setting.models.get(role.as_str()).ok_or_else(missing)?;
        let name = ModelName::parse(&recorded.model, "");
        let name = name.map_err(|error| AppError::Conflict(error.to_string()))?;
        let placed = Placed {
            environment: ModelEnvironment {
                model: name.name.clone(),
                backend: name.backend.clone(),
                digest: recorded.digest.clone(),
                ..ModelEnvironment::default()
            },
            name,
            parameters: Parameters::clone(&recorded.parameters),
            context_size: recorded.context_size,
            most_output: recorded.most_output,
            at_once: usize::MAX,
            is_loaded: true,
        };
        Ok((role, placed))
    });
    roles.collect()
}

fn report(turn: &NovaTurn, mode: TurnReplayMode, outcome: Outcome) -> ReplayReport {
    let (recorded, replayed) = (&turn.response, outcome.response);
    let first_difference = tape::first_difference(recorded, &replayed);
    ReplayReport {
        session_id: recorded.session_id.clone(),
        turn_id: recorded.turn_id.clone(),
        number: turn.number,
        mode,
        identical: first_difference.is_none(),
        status: replayed.status,
        recorded_text_sha256: tape::sha256(&recorded.text),
        text_sha256: tape::sha256(&replayed.text),
        first_difference,
        steps: tape::replayed_steps(&recorded.steps, &replayed.steps),
        text: replayed.text,
        error: replayed.error,
    }
}
