//! Conversations with the agents.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::request::check_model;
use super::{MemoryDocument, NovaPipeline, NovaTurn};
use crate::record::request::Check;
use crate::record::{FieldError, Parameters, RunId, only_object, only_object_or_null};

/// Longest title, characters.
const LONGEST_TITLE: usize = 120;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct NovaSession {
    /// Its id, 24 hexadecimal digits.
    pub id: RunId,
    /// A line to find it by: given, or the beginning of its first prompt.
    pub title: String,
    /// When it was begun, UTC.
    pub created_at: DateTime<Utc>,
    /// When something last happened in it, UTC.
    pub updated_at: DateTime<Utc>,
    /// Whether more can be asked in it.
    pub status: SessionStatus,
    /// How many turns it has.
    pub turns: u32,
    /// The turn that goes on now.
    pub active_turn: Option<RunId>,
    /// Where it was branched off; null where it was not.
    pub forked_from: Option<NovaFork>,
    /// The model of turns that name none.
    pub model: Option<String>,
    /// The pipeline of turns that name none.
    pub pipeline: Option<NovaPipeline>,
    /// Generation parameters of turns that do not set them otherwise.
    #[serde(default, deserialize_with = "only_object")]
    pub parameters: Parameters,
    /// What its oldest turns came to, where they do not fit into the context any more.
    #[serde(default)]
    pub summary: Option<SessionSummary>,
}

/// What the oldest turns of a session came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct SessionSummary {
    /// The summary.
    pub text: String,
    /// Number of the last turn that it tells of, from 1.
    pub through: u32,
}

/// Whether more can be asked in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum SessionStatus {
    /// More can be asked.
    #[default]
    Open,
    /// It can be read, branched and exported.
    Closed,
}

/// Where a session was branched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct NovaFork {
    /// From which session; null where it came from elsewhere and is not stored here.
    #[serde(default)]
    pub session_id: Option<RunId>,
    /// After which turn, from 1; 0 is before the first.
    pub turn: u32,
}

/// A session to begin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default, deny_unknown_fields)]
#[oai(default)]
pub struct NewSession {
    /// A line to find it by, at most 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(
        max_length = 120,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    ))]
    pub title: Option<String>,
    /// The model of turns that name none, `NAME` or `NAME@BACKEND`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(
        max_length = 256,
        pattern = r"^[^\s@\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s@\x00-\x1f\x7f-\x9f])?$"
    ))]
    pub model: Option<String>,
    /// The pipeline of turns that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<NovaPipeline>,
    /// Generation parameters of turns that do not set them otherwise.
    #[serde(deserialize_with = "only_object")]
    pub parameters: Parameters,
}

/// What to change of a session; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default, deny_unknown_fields)]
#[oai(default)]
pub struct SessionPatch {
    /// A line to find it by, at most 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(
        max_length = 120,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    ))]
    pub title: Option<String>,
    /// The model of turns that name none, `NAME` or `NAME@BACKEND`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(
        max_length = 256,
        pattern = r"^[^\s@\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s@\x00-\x1f\x7f-\x9f])?$"
    ))]
    pub model: Option<String>,
    /// The pipeline of turns that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<NovaPipeline>,
    /// Generation parameters of turns that do not set them otherwise, all of them.
    #[serde(
        deserialize_with = "only_object_or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub parameters: Option<Parameters>,
}

fn problems(
    title: Option<&str>,
    model: Option<&str>,
    parameters: Option<&Parameters>,
    default_backend: &str,
) -> Vec<FieldError> {
    let mut check = Check::default();
    if let Some(title) = title {
        check.line("/title", title, LONGEST_TITLE);
    }
    if let Some(model) = model {
        check_model("/model", model, default_backend, &mut check);
    }
    if let Some(parameters) = parameters {
        parameters.check(&mut check);
    }
    check.into_errors()
}

impl NewSession {
    /// Everything that is wrong with it; empty where it is fine.
    pub fn problems(&self, default_backend: &str) -> Vec<FieldError> {
        let (title, model) = (self.title.as_deref(), self.model.as_deref());
        problems(title, model, Some(&self.parameters), default_backend)
    }
}

impl SessionPatch {
    /// Everything that is wrong with it; empty where it is fine.
    pub fn problems(&self, default_backend: &str) -> Vec<FieldError> {
        let (title, model) = (self.title.as_deref(), self.model.as_deref());
        problems(title, model, self.parameters.as_ref(), default_backend)
    }

    /// Changes a session.
    pub fn apply(self, session: &mut NovaSession) {
        if let Some(title) = self.title {
            session.title = title;
        }
        if let Some(parameters) = self.parameters {
            session.parameters = parameters;
        }
        session.model = self.model.or(session.model.take());
        session.pipeline = self.pipeline.or(session.pipeline);
    }
}

impl NovaSession {
    /// A new session for what was asked for.
    pub fn new(id: RunId, now: DateTime<Utc>, wanted: NewSession) -> Self {
        Self {
            id,
            title: wanted.title.unwrap_or_default(),
            created_at: now,
            updated_at: now,
            status: SessionStatus::Open,
            turns: 0,
            active_turn: None,
            forked_from: None,
            model: wanted.model,
            pipeline: wanted.pipeline,
            parameters: wanted.parameters,
            summary: None,
        }
    }

    /// Gives it a title from a prompt, where it has none.
    pub fn name_by(&mut self, prompt: &str) {
        if !self.title.is_empty() {
            return;
        }
        let words: Vec<&str> = prompt.split_whitespace().collect();
        let line: String = words.join(" ").replace(char::is_control, "");
        self.title = line.chars().take(LONGEST_TITLE).collect();
    }
}

/// A page of sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionPage {
    /// The sessions, the ones in which something happened last first.
    pub sessions: Vec<NovaSession>,
    /// Cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

/// A whole session, to begin one like it elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct NovaCheckpoint {
    /// Version of this form, 1.
    pub version: u32,
    /// The session.
    pub session: NovaSession,
    /// Its turns in their order, with their steps.
    pub turns: Vec<NovaTurn>,
    /// Documents that only this session recalls.
    pub memory: Vec<MemoryDocument>,
}

impl NovaCheckpoint {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// Everything that is wrong with it; empty where it is fine.
    pub fn problems(&self) -> Vec<FieldError> {
        let mut check = Check::default();
        check.range("/version", Some(self.version), Self::VERSION, Self::VERSION);
        for (index, (turn, number)) in self.turns.iter().zip(1..).enumerate() {
            if turn.number != number {
                let message = format!("is {}; turns are numbered from 1", turn.number);
                check.push(&format!("/turns/{index}/number"), &message);
            }
            if !turn.response.status.is_final() {
                check.push(&format!("/turns/{index}/response/status"), "has not ended");
            }
        }
        self.session.parameters.check(&mut check);
        check.into_errors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> NovaSession {
        let now = DateTime::UNIX_EPOCH;
        NovaSession::new(RunId::new(now), now, NewSession::default())
    }

    #[test]
    fn a_session_is_called_by_its_first_prompt() {
        let mut session = session();
        session.name_by(&format!("Why\n is\u{7} the {}", "sky ".repeat(99)));
        assert!(session.title.starts_with("Why is the sky sky"));
        assert_eq!(session.title.chars().count(), LONGEST_TITLE);
        let first = session.title.clone();
        session.name_by("Another");
        assert_eq!(session.title, first);
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let mut session = session();
        session.model = Some("a".into());
        let patch: SessionPatch = serde_json::from_str(r#"{"title":"x"}"#).unwrap();
        patch.apply(&mut session);
        assert_eq!(
            (session.title.as_str(), session.model.as_deref()),
            ("x", Some("a"))
        );
        let bad = SessionPatch {
            title: Some("\n".into()),
            model: Some("@".into()),
            ..SessionPatch::default()
        };
        let pointers: Vec<_> = bad
            .problems("ollama")
            .into_iter()
            .map(|it| it.pointer)
            .collect();
        assert_eq!(pointers, ["/title", "/model"]);
    }
}
