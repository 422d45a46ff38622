//! Prompts that a person saved for later.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{FieldError, Limits, RunId};

/// A prompt to save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct NewPrompt {
    /// A short name to find it by, 1 to 120 characters.
    #[oai(validator(
        max_length = 120,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    ))]
    pub name: String,
    /// The text that is sent to the model.
    #[oai(validator(pattern = r"\S"))]
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

impl NewPrompt {
    /// Everything that is wrong with it; empty where it is fine.
    pub fn problems(&self, limits: &Limits) -> Vec<FieldError> {
        let error = |pointer: &str, message: String| FieldError {
            pointer: pointer.to_owned(),
            message,
        };
        let mut errors = Vec::new();
        if self.name.trim().is_empty() || self.name.chars().count() > 120 {
            errors.push(error("/name", "must have 1 to 120 characters".into()));
        } else if self.name.contains(char::is_control) {
            errors.push(error("/name", "must not hold control characters".into()));
        }
        if self.text.trim().is_empty() {
            errors.push(error("/text", "must not be empty".into()));
        } else if self.text.len() > limits.max_prompt_bytes {
            errors.push(error(
                "/text",
                format!("at most {} bytes", limits.max_prompt_bytes),
            ));
        }
        errors
    }
}
