//! A prompt and what came of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::{MemoryDocument, NovaPipeline, NovaRequest, NovaStage, NovaStep, SessionSummary};
use crate::record::{ErrorInfo, Parameters, RunId, only_object};

/// A turn of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct NovaTurn {
    /// Which turn of its session, from 1.
    pub number: u32,
    /// When it was asked for, UTC.
    pub timestamp: DateTime<Utc>,
    /// When it ended, UTC; null while it goes on.
    pub finished_at: Option<DateTime<Utc>>,
    /// The agents that work.
    pub pipeline: NovaPipeline,
    /// What was asked.
    pub request: NovaRequest,
    /// What came of it.
    pub response: NovaResponse,
    /// What else it followed from; null before it began to work.
    #[serde(default)]
    pub setting: Option<NovaSetting>,
}

/// What a turn followed from besides what was asked and said: enough to do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct NovaSetting {
    /// The model of each role.
    pub models: BTreeMap<String, RoleModel>,
    /// Most steps of a plan.
    pub plan_steps: u32,
    /// Most rounds of experts, where the request names no number.
    pub iterations: u32,
    /// Characters of prompts whose tokens servers had counted before: by them tokens are reckoned.
    pub counted_characters: u64,
    /// Tokens that these had.
    pub counted_tokens: u64,
    /// What the oldest turns of the session came to when it began.
    #[serde(default)]
    pub summary: Option<SessionSummary>,
}

/// The model of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct RoleModel {
    /// The model, `NAME@BACKEND`.
    pub model: String,
    /// Digest of its manifest, as the backend listed it.
    #[serde(default)]
    pub digest: Option<String>,
    /// Generation parameters as they were sent.
    #[serde(default, deserialize_with = "only_object")]
    pub parameters: Parameters,
    /// Size of its context, tokens.
    pub context_size: u64,
    /// Most tokens that it writes.
    pub most_output: u64,
}

/// Work that waits for the user's word, with everything that is needed to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
#[oai(default)]
pub struct PausedWork {
    /// What was asked.
    pub prompt: String,
    /// Documents that were recalled.
    pub documents: Vec<MemoryDocument>,
    /// `turn`: steps of the plan; empty before there is one.
    pub plan: Vec<String>,
    /// `nova_process`: what the discussion has come to.
    pub summary: String,
    /// What is to be reached.
    pub goals: Vec<String>,
    /// What the agents want to know from the user.
    pub questions: Vec<String>,
    /// Fields of the experts; empty before they are chosen.
    pub domains: Vec<String>,
    /// What each expert said last.
    pub contributions: Vec<Contributed>,
    /// What the critic said last.
    pub objections: Vec<String>,
}

/// What an expert said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct Contributed {
    /// The expert's field.
    pub name: String,
    /// What it said.
    pub text: String,
}

/// What came of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct NovaResponse {
    /// The answer, as far as it came.
    pub text: String,
    /// What the agents wrote in this turn, a text a step; empty where it was not wanted.
    #[serde(default)]
    pub chain_of_thought: Vec<String>,
    /// What it cost.
    pub metrics: NovaMetrics,
    /// The session.
    pub session_id: RunId,
    /// The turn.
    pub turn_id: RunId,
    /// How it stands.
    pub status: NovaStatus,
    /// Why it ended so, where that needs a word.
    pub status_reason: Option<String>,
    /// How the session stands.
    pub state: NovaState,
    /// What the agents did, in the order in which they began.
    #[serde(default)]
    pub steps: Vec<NovaStep>,
    /// What the agents want to know from the user.
    #[serde(default)]
    pub questions: Vec<String>,
    /// Why it failed; null where it did not.
    pub error: Option<ErrorInfo>,
}

impl NovaResponse {
    /// That of a turn that has just begun.
    pub fn begun(session_id: RunId, turn_id: RunId) -> Self {
        Self {
            text: String::new(),
            chain_of_thought: Vec::new(),
            metrics: NovaMetrics::default(),
            session_id,
            turn_id,
            status: NovaStatus::Running,
            status_reason: None,
            state: NovaState::default(),
            steps: Vec::new(),
            questions: Vec::new(),
            error: None,
        }
    }
}

/// How a turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum NovaStatus {
    /// Goes on now.
    Running,
    /// It has an answer.
    Completed,
    /// Stopped by a person; what was written until then stays.
    Cancelled,
    /// It has no answer.
    Failed,
    /// The program ended in the middle; what was written until then stays.
    Interrupted,
    /// It waits for the user's word.
    AwaitingUser,
}

impl NovaStatus {
    /// The name as it is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::AwaitingUser => "awaiting_user",
        }
    }

    /// Nothing will change any more.
    pub fn is_final(self) -> bool {
        self != Self::Running
    }
}

/// What a turn cost. Null where it did not happen or cannot be known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct NovaMetrics {
    /// From the turn's start to its end, s.
    pub wall_time: Option<f64>,
    /// From the turn's start to the first chunk of the answer, s.
    pub time_to_first_chunk: Option<f64>,
    /// Calls of models.
    pub model_calls: u32,
    /// Tokens that the models read, as their servers count.
    pub prompt_tokens: Option<u64>,
    /// Tokens that the models wrote, as their servers count.
    pub output_tokens: Option<u64>,
    /// Usage of all logical cores meanwhile, mean over the calls by their time, percent 0–100.
    pub cpu_mean_percent: Option<f64>,
    /// Most memory in use meanwhile, bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Usage of the busiest graphics processor meanwhile, mean over the calls by their time, percent.
    pub gpu_mean_percent: Option<f64>,
    /// Most memory in use on all graphics processors meanwhile, bytes.
    pub gpu_memory_peak_bytes: Option<u64>,
    /// Energy of all calls, J; null where it is not known of each.
    pub energy_joules: Option<f64>,
    /// From the wish to stop until the connections to the model servers were closed, ms; null where
    /// nobody stopped it.
    pub cancelled_after_ms: Option<f64>,
    /// Where the time went.
    pub accounting: Option<TurnAccounting>,
}

/// Where the time of a turn went, along its critical path, s. The parts add up to the wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
pub struct TurnAccounting {
    /// At least one model was at work.
    pub model: f64,
    /// Otherwise: work waited for its turn on a backend.
    pub queue: f64,
    /// Otherwise: memory was looked through or written, embeddings included.
    pub memory: f64,
    /// The rest: this program's own.
    pub overhead: f64,
}

/// How the session stands after a turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct NovaState {
    /// Turns of the session, this one included.
    pub turns: u32,
    /// Size of the context that was asked for, tokens.
    pub context_size: Option<u64>,
    /// Most of it that a call used, prompt and output, tokens as the server counts.
    pub context_used: Option<u64>,
    /// Turns of the session that were told to the models word for word.
    pub turns_told: u32,
    /// Turns of the session that were told as a summary.
    pub turns_summarised: u32,
    /// Documents of the memory that were used, and why.
    pub memory_documents: Vec<MemoryDocument>,
    /// Documents that were found and left out, since they did not fit into the context.
    pub memory_left_out: Vec<RunId>,
    /// The stage that the turn paused after.
    pub paused_after: Option<NovaStage>,
    /// The work that waits for the user's word; null where none does.
    pub paused: Option<PausedWork>,
    /// The turn of the session whose work this one went on with, from 1; null where it began anew.
    pub resumed_turn: Option<u32>,
    /// The stage that the work had paused after.
    pub resumed_after: Option<NovaStage>,
}
