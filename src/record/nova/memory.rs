//! What the agents remember.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::request::check_text;
use crate::record::request::Check;
use crate::record::{FieldError, Limits, RunId};

/// Most words that a document is marked with.
const MOST_TAGS: usize = 20;

/// A text to remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct NewMemory {
    /// The text.
    #[oai(validator(pattern = r"\S"))]
    pub text: String,
    /// Words to group documents by, at most 20 of 64 characters.
    #[serde(default)]
    #[oai(
        default,
        validator(
            max_items = 20,
            max_length = 64,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )
    )]
    pub tags: Vec<String>,
    /// The only session that recalls it; every session where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<RunId>,
}

impl NewMemory {
    /// Everything that is wrong with it; empty where it is fine.
    pub fn problems(&self, limits: &Limits) -> Vec<FieldError> {
        let mut check = Check::default();
        check_text("/text", &self.text, limits, &mut check);
        if self.tags.len() > MOST_TAGS {
            check.push("/tags", &format!("at most {MOST_TAGS} tags"));
        }
        for (index, tag) in self.tags.iter().enumerate() {
            check.line(&format!("/tags/{index}"), tag, 64);
        }
        check.into_errors()
    }
}

/// A text that is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct MemoryDocument {
    /// Its id, 24 hexadecimal digits.
    pub id: RunId,
    /// The text.
    pub text: String,
    /// Words to group documents by.
    pub tags: Vec<String>,
    /// When it was kept, UTC.
    pub created_at: DateTime<Utc>,
    /// The only session that recalls it; null where every session does.
    pub session_id: Option<RunId>,
    /// The model that its embedding is from; null where it has none.
    pub embedding_model: Option<String>,
    /// How well it fits what was looked for, 0 to 1; null where nothing was.
    pub score: Option<f64>,
    /// How it was found; null where nothing was looked for.
    pub found_by: Option<RecallReason>,
    /// Why it was found, in words; null where nothing was looked for.
    pub reason: Option<String>,
}

/// A page of what is remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryPage {
    /// The documents, newest first.
    pub documents: Vec<MemoryDocument>,
    /// Cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

/// How a document was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum RecallReason {
    /// Its embedding lies near that of what was looked for.
    Embedding,
    /// It shares words with it.
    FullText,
}

/// Which documents are looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MemoryScope {
    /// All of them.
    #[default]
    All,
    /// Those that every session recalls.
    Shared,
    /// Those, and the ones of this session.
    Session(RunId),
}
