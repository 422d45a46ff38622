//! A session as the work of a benchmark: what its models were told, or what its users asked, put to others.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::{App, AppError};
use crate::nova::live::Live;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, LiveTurn, NovaRequest, NovaTurn, PinnedCall, ReplayMode,
    RunId, SessionBenchmark, SessionReplay, SessionStep,
};
use crate::store::TurnDetail;

impl App {
    /// Measures models with a recorded session: an ordinary benchmark, stored as queued and set going.
    /// Answers at once.
    pub async fn benchmark_session(
        &self,
        id: &RunId,
        wanted: SessionBenchmark,
    ) -> Result<BenchmarkResponse, AppError> {
        let session = self.nova_session(id).await?;
        if session.active_turn.is_some() {
            let message = "a turn of this session goes on; wait for its end, or stop it";
            return Err(AppError::Conflict(message.into()));
        }
        let store = &self.inner.store;
        let turns = store.turns(id, 0, u32::MAX, TurnDetail::Steps).await?;
        let mut replay = SessionReplay {
            session_id: id.clone(),
            mode: wanted.mode,
            calls: Vec::new(),
            turns: Vec::new(),
        };
        let (prompts, calls) = calls(&turns);
        if prompts.is_empty() {
            let message = "no model was asked anything in this session; ask something first";
            return Err(AppError::Conflict(message.into()));
        }
        let prompts = match wanted.mode {
            ReplayMode::Pinned => {
                replay.calls = calls;
                prompts
            }
            ReplayMode::Live => {
                replay.turns = turns.iter().map(live).collect();
                let asked = turns.into_iter().map(|turn| turn.request.prompt);
                asked.collect()
            }
        };
        let request = wanted.request(prompts, replay, &session.title);
        self.start(request).await
    }

    /// The session that the agents carry out with each model of a request; `None` where they do not.
    pub(in crate::app) async fn live_session(
        &self,
        request: &BenchmarkRequest,
    ) -> Result<Option<Live>, AppError> {
        let Some(turns) = request.live_turns() else {
            return Ok(None);
        };
        let mut known = HashMap::new();
        let mut models = Vec::new();
        for name in &request.models {
            let mut placed = Vec::new();
            for turn in turns {
                let asked = NovaRequest {
                    parameters: turn.parameters.clone(),
                    ..NovaRequest::new(String::new())
                };
                let roles = self.place_roles(&asked, Some(name.clone()), &mut known);
                placed.push(roles.await?);
            }
            models.push(placed);
        }
        Ok(Some(Live {
            core: Arc::clone(&self.inner.agents.core),
            turns: turns.to_vec(),
            models,
            setting: self.nova_setting(),
        }))
    }
}

/// What models were told in a session, and the step that each was.
fn calls(turns: &[NovaTurn]) -> (Vec<String>, Vec<PinnedCall>) {
    let steps = turns
        .iter()
        .flat_map(|turn| turn.response.steps.iter().map(|step| (turn.number, step)));
    let calls = steps.filter(|(_, step)| step.model.is_some());
    calls
        .map(|(turn, step)| {
            let call = PinnedCall {
                step: SessionStep::of(turn, step),
                parameters: step.parameters.clone(),
                format: step.format.clone(),
            };
            (step.input.clone(), call)
        })
        .unzip()
}

fn live(turn: &NovaTurn) -> LiveTurn {
    let request = &turn.request;
    // What only the session remembers was said by its own model.
    let documents = turn.response.state.memory_documents.iter();
    let documents = documents.filter(|it| it.session_id.is_none());
    LiveTurn {
        turn: turn.number,
        pipeline: turn.pipeline,
        parameters: request.parameters.clone(),
        domains: request.domains.clone(),
        max_iterations: request.max_iterations,
        memory: request.memory,
        pause_after: request.pause_after,
        documents: documents.cloned().collect(),
    }
}
