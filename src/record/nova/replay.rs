//! A recorded turn done again, and what came of that.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::{NovaRole, NovaStage, NovaStatus, NovaStep};
use crate::record::{ErrorInfo, RunId, TextDifference};

/// How a turn is done again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "an object that names a mode"
)]
#[oai(default)]
pub struct TurnReplay {
    /// Who answers the agents.
    pub mode: TurnReplayMode,
    /// `rerun`: the model of all roles, `NAME` or `NAME@BACKEND`; those of the record where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(
        max_length = 256,
        pattern = r"^[^\s@\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s@\x00-\x1f\x7f-\x9f])?$"
    ))]
    pub model: Option<String>,
}

/// Who answers the agents when a turn is done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum TurnReplayMode {
    /// The record; no model is asked. The agents really work, and whatever else than the models made the
    /// answer is seen: prompts of one's own that changed, or another version of this program.
    #[default]
    Tape,
    /// Models. Whether one writes the same twice is up to its server; nobody promises it.
    Rerun,
}

/// What came of a turn that was done again. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct ReplayReport {
    /// The session.
    pub session_id: RunId,
    /// The recorded turn.
    pub turn_id: RunId,
    /// Which turn of its session, from 1.
    pub number: u32,
    /// Who answered the agents.
    pub mode: TurnReplayMode,
    /// Every step was told and wrote the same as in the record, to the byte, and so is the answer.
    pub identical: bool,
    /// How it ended this time.
    pub status: NovaStatus,
    /// The answer of this time.
    pub text: String,
    /// SHA-256 of the recorded answer, hexadecimal.
    pub recorded_text_sha256: String,
    /// SHA-256 of the answer of this time, hexadecimal.
    pub text_sha256: String,
    /// The first step that differs; null where none does.
    pub first_difference: Option<StepDifference>,
    /// The steps of this time, in the order in which they began.
    pub steps: Vec<ReplayedStep>,
    /// Why it failed; null where it did not.
    pub error: Option<ErrorInfo>,
}

/// A step that was done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct ReplayedStep {
    /// Which one of the turn, from 0, in the order in which they began.
    pub number: u32,
    /// What the agent is called.
    pub agent_name: String,
    /// What it is there for.
    pub role: NovaRole,
    /// The part of the turn.
    pub stage: NovaStage,
    /// The round of experts, or the step of the plan, from 1; null elsewhere.
    pub iteration: Option<u32>,
    /// Model that was asked, `NAME@BACKEND`; null where none was.
    pub model: Option<String>,
    /// What it was told and what it wrote.
    pub hashes: StepHashes,
    /// It was told and wrote the same as the recorded one.
    pub identical: bool,
}

/// What a step was told and what it wrote, as SHA-256 of their UTF-8, hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct StepHashes {
    /// Of what it was told.
    pub prompt_sha256: String,
    /// Of what it wrote.
    pub output_sha256: String,
}

/// In what a step differs from the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Another agent had its turn, or in another part of the work.
    Agent,
    /// It was told something else.
    Prompt,
    /// It was told the same and wrote something else.
    Output,
    /// The record has it; this time there was none.
    Missing,
    /// There was none in the record.
    Additional,
    /// Every step is the same, and the answer is not.
    Answer,
}

/// The first step that differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct StepDifference {
    /// Which step of the turn, from 0; null where it is the answer.
    pub step: Option<u32>,
    /// What the agent is called, in the record where that has one.
    pub agent_name: String,
    /// In what it differs.
    pub kind: DifferenceKind,
    /// Of the recorded step; null where there is none.
    pub recorded: Option<StepHashes>,
    /// Of the step of this time; null where there is none.
    pub replayed: Option<StepHashes>,
    /// Where the texts part: those that were told, else those that were written. `baseline` is the record.
    pub text: Option<TextDifference>,
}

impl NovaStep {
    /// The model that was asked, `NAME@BACKEND`; `None` where no model was asked.
    pub fn asked_model(&self) -> Option<String> {
        let (model, backend) = (self.model.as_ref()?, self.backend.as_ref()?);
        Some(format!("{model}@{backend}"))
    }
}
