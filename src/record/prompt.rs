//! Prompts that a person saved for later.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::RunId;

/// A prompt to save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct NewPrompt {
    /// A short name to find it by, 1 to 120 characters.
    pub name: String,
    /// The text that is sent to the model.
    pub text: String,
}

/// A prompt that was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct SavedPrompt {
    /// Its id, 24 hexadecimal digits.
    pub id: RunId,
    /// A short name to find it by.
    pub name: String,
    /// The text that is sent to the model.
    pub text: String,
    /// When it was saved, UTC.
    pub created_at: DateTime<Utc>,
}
