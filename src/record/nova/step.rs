//! What one agent did: a benchmark result with a role.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::{MemoryDocument, NovaRole, NovaStage};
use crate::record::{
    Chunks, Energy, ErrorInfo, Parameters, SystemImpact, Throughput, Timing, only_object,
};

/// One call of an agent.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the answer that stands for itself"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct NovaStep {
    /// Which one of the turn, from 0, in the order in which they began.
    pub number: u32,
    /// What the agent is called, such as `planner` or `expert: statistics`.
    pub agent_name: String,
    /// What it is there for.
    pub role: NovaRole,
    /// The part of the turn.
    pub stage: NovaStage,
    /// The round of experts, or the step of the plan, from 1; null elsewhere.
    pub iteration: Option<u32>,
    /// What the model was told; what was looked for, where no model was asked.
    pub input: String,
    /// What came of it, as far as it came.
    pub output: String,
    /// What the model thought before; null where it did not think.
    pub thinking: Option<String>,
    /// When it began, UTC.
    pub timestamp: DateTime<Utc>,
    /// How long it took, waiting included, ms.
    pub elapsed_time_ms: f64,
    /// Since the turn began, s.
    pub offset: f64,
    /// Of it waiting for other work of the backend to end, s.
    pub queue_time: f64,
    /// Model name as the backend knows it; null where no model was asked.
    pub model: Option<String>,
    /// The backend that served it.
    pub backend: Option<String>,
    /// Version that the backend states.
    pub backend_version: Option<String>,
    /// Digest of the model's manifest.
    pub digest: Option<String>,
    /// Generation parameters as they were sent, `num_ctx` and `seed` among them.
    #[serde(default, deserialize_with = "only_object")]
    pub parameters: Parameters,
    /// JSON schema that the output was asked to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<serde_json::Value>,
    /// How the structured output was got; null where text was asked for.
    pub json: Option<JsonOutcome>,
    /// SHA-256 of what the model was told, hexadecimal.
    pub prompt_sha256: Option<String>,
    /// SHA-256 of the output's UTF-8, hexadecimal.
    pub output_sha256: String,
    /// What the model was told filled its context: part of it may have been cut off unseen.
    pub prompt_truncated: bool,
    /// The output is the beginning of one that was stopped.
    pub partial: bool,
    /// It did what it should.
    pub success: bool,
    /// Why it did not; null where it did.
    pub error: Option<ErrorInfo>,
    /// Why the model stopped: `stop`, `length`, …
    pub done_reason: Option<String>,
    /// Other requests went on at the same time.
    pub contended: bool,
    /// When things happened.
    #[serde(default)]
    pub timing: Timing,
    /// How much came, and how fast.
    #[serde(default)]
    pub throughput: Throughput,
    /// What it did to the machine.
    #[serde(default)]
    pub system_impact: SystemImpact,
    /// Energy that it took; null where nothing is known of it.
    #[serde(default)]
    pub energy: Option<Energy>,
    /// Documents of the memory that it used.
    #[serde(default)]
    pub documents: Vec<MemoryDocument>,
    /// What was noticed, in words.
    pub notes: Vec<String>,
    /// Every chunk; null in lists.
    #[serde(default)]
    pub chunks: Option<Chunks>,
}

/// How a structured output was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum JsonOutcome {
    /// The model wrote it as asked.
    Asked,
    /// The model wrote it when it was told what was wrong.
    Repaired,
    /// It could not be read, and this is asked of the model once more.
    Unreadable,
    /// It could not be read either time; what stands for it follows from the prompt by a rule.
    FellBack,
}
