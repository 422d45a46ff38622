//! What a turn announces while it goes on.

use poem_openapi::{Enum, Object, Union};
use serde::{Deserialize, Serialize};

use super::{MemoryDocument, NovaPipeline, NovaResponse, NovaRole, NovaStage, NovaStep};
use crate::record::{ErrorInfo, RunId};

/// Something that happened in a turn.
#[expect(
    clippy::large_enum_variant,
    reason = "events are kept behind an `Arc`, one at a time"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Union)]
#[serde(tag = "type", rename_all = "snake_case")]
#[oai(discriminator_name = "type")]
pub enum NovaEvent {
    /// It goes on now.
    #[oai(mapping = "turn_started")]
    TurnStarted(TurnStarted),
    /// A part of it began.
    #[oai(mapping = "stage")]
    Stage(TurnStage),
    /// An agent began.
    #[oai(mapping = "step_started")]
    StepStarted(StepStarted),
    /// An agent came further.
    #[oai(mapping = "progress")]
    Progress(StepProgress),
    /// Text came.
    #[oai(mapping = "token")]
    Token(TokensArrived),
    /// Documents were recalled.
    #[oai(mapping = "memory")]
    Memory(MemoryRecalled),
    /// An agent ended, and its step is stored.
    #[oai(mapping = "step_finished")]
    StepFinished(TurnStep),
    /// A round of experts ended.
    #[oai(mapping = "iteration")]
    Iteration(TurnIteration),
    /// It waits for the user's word.
    #[oai(mapping = "awaiting_user")]
    AwaitingUser(TurnAwaitsUser),
    /// Somebody stopped it.
    #[oai(mapping = "cancelled")]
    Cancelled(TurnCancelled),
    /// It has no answer.
    #[oai(mapping = "error")]
    Error(TurnFailed),
    /// It ended; nothing follows.
    #[oai(mapping = "turn_finished")]
    TurnFinished(TurnFinished),
}

impl NovaEvent {
    /// The event's name, as in its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TurnStarted(_) => "turn_started",
            Self::Stage(_) => "stage",
            Self::StepStarted(_) => "step_started",
            Self::Progress(_) => "progress",
            Self::Token(_) => "token",
            Self::Memory(_) => "memory",
            Self::StepFinished(_) => "step_finished",
            Self::Iteration(_) => "iteration",
            Self::AwaitingUser(_) => "awaiting_user",
            Self::Cancelled(_) => "cancelled",
            Self::Error(_) => "error",
            Self::TurnFinished(_) => "turn_finished",
        }
    }
}

/// The turn began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct TurnStarted {
    /// The session.
    pub session_id: RunId,
    /// The turn.
    pub turn_id: RunId,
    /// Which turn of its session, from 1.
    pub number: u32,
    /// The agents that work.
    pub pipeline: NovaPipeline,
}

/// A part of the turn began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct TurnStage {
    /// Which part.
    pub stage: NovaStage,
}

/// An agent began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct StepStarted {
    /// Number of the step in its turn, from 0.
    pub step: u32,
    /// What the agent is called.
    pub agent_name: String,
    /// What it is there for.
    pub role: NovaRole,
    /// The part of the turn.
    pub stage: NovaStage,
    /// The round of experts, or the step of the plan, from 1; null elsewhere.
    pub iteration: Option<u32>,
    /// The model, `NAME@BACKEND`; null where none is asked.
    pub model: Option<String>,
    /// What it writes is the answer.
    pub answers: bool,
    /// Since the turn began, s.
    pub offset: f64,
}

/// An agent came further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct StepProgress {
    /// Number of the step in its turn, from 0.
    pub step: u32,
    /// What goes on now.
    pub phase: StepPhase,
    /// How many others go before it, while it waits.
    pub position: Option<u32>,
    /// Since the turn began, s.
    pub offset: f64,
}

/// What a call of a model is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum StepPhase {
    /// Other work of the backend goes first.
    Queued,
    /// The model is not in memory, as far as is known: the server loads it.
    Loading,
    /// The model reads what it is told.
    PromptEval,
    /// The model writes.
    Generating,
}

/// Text came. Chunks that came close together are told in one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct TokensArrived {
    /// Number of the step in its turn, from 0.
    pub step: u32,
    /// Text since the last event.
    pub text: String,
    /// Thinking since the last event.
    pub thinking: String,
    /// It belongs to the answer.
    pub answers: bool,
    /// Chunks of the step until now.
    pub chunks: u32,
    /// Since the turn began, s.
    pub offset: f64,
}

/// Documents were recalled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct MemoryRecalled {
    /// Number of the step in its turn, from 0.
    pub step: u32,
    /// The documents, and why each.
    pub documents: Vec<MemoryDocument>,
}

/// An agent ended, and its step is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct TurnStep {
    /// What it did, without its chunks.
    pub step: NovaStep,
}

/// A round of experts ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct TurnIteration {
    /// Which one, from 1.
    pub iteration: u32,
    /// Most rounds there can be.
    pub at_most: u32,
    /// The critic has nothing left to say.
    pub converged: bool,
    /// Why, or why not.
    pub reasons: Vec<String>,
}

/// The turn waits for the user's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct TurnAwaitsUser {
    /// The stage that it paused after.
    pub stage: NovaStage,
    /// What the agents want to know.
    pub questions: Vec<String>,
}

/// Somebody stopped the turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct TurnCancelled {
    /// From the wish until the connections to the model servers were closed, ms.
    pub after_ms: f64,
}

/// The turn has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct TurnFailed {
    /// Why.
    pub error: ErrorInfo,
}

/// The turn ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct TurnFinished {
    /// What came of it, without the chunks of its steps.
    pub response: NovaResponse,
}
