//! Names and properties of the language models that can be measured.

use std::fmt;
use std::str::FromStr;

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// A model of a backend, written `NAME@BACKEND`; `NAME` alone is one of the default backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName {
    /// The name as the backend knows it, such as `llama3.2:1b`.
    pub name: String,
    /// The backend's name in the configuration.
    pub backend: String,
}

/// The backend of the models that are made by this program; no other can be called so.
pub const REFERENCE: &str = "reference";

/// What stands behind a model's name where a person reads it: models that are made by this program are no language
/// models.
pub fn synthetic_mark(is_synthetic: bool) -> &'static str {
    if is_synthetic { " (synthetic)" } else { "" }
}

/// A text that names no model.
#[derive(Debug, thiserror::Error)]
pub enum InvalidModelName {
    /// Nothing before the `@`, or nothing at all.
    #[error("a model name must not be empty")]
    Empty,
    /// A line break or another control character.
    #[error("a model name must not hold control characters")]
    ControlCharacter,
    /// Longer than any server accepts.
    #[error("a model name has at most 256 characters")]
    TooLong,
}

impl ModelName {
    /// Reads `NAME` or `NAME@BACKEND`. The last `@` parts the two, since model names may hold one.
    pub fn parse(text: &str, default_backend: &str) -> Result<Self, InvalidModelName> {
        let text = text.trim();
        if text.chars().count() > 256 {
            return Err(InvalidModelName::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidModelName::ControlCharacter);
        }
        let (name, backend) = text.rsplit_once('@').unwrap_or((text, default_backend));
        if name.is_empty() || backend.is_empty() {
            return Err(InvalidModelName::Empty);
        }
        Ok(Self {
            name: name.to_owned(),
            backend: backend.to_owned(),
        })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.backend)
    }
}

impl FromStr for ModelName {
    type Err = InvalidModelName;

    /// As [`ModelName::parse`] with the default backend `ollama`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, "ollama")
    }
}

/// What a list of models tells about one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct ModelSummary {
    /// Name as the backend knows it.
    pub name: String,
    /// The backend that serves it.
    pub backend: String,
    /// Made by this program with scripted timing; not a language model.
    pub synthetic: bool,
    /// Size of the weights, bytes.
    pub size_bytes: Option<u64>,
    /// Parameter count as the backend words it, such as `1.2B`.
    pub parameter_size: Option<String>,
    /// Quantisation of the weights, such as `Q4_K_M`.
    pub quantization: Option<String>,
    /// Longest context that the model was made for, tokens.
    pub context_length: Option<u64>,
    /// Model family, such as `llama`.
    pub family: Option<String>,
    /// In memory now, as far as the backend tells.
    pub loaded: Option<bool>,
    /// Digest of the model's manifest.
    pub digest: Option<String>,
    /// What the model can do, such as `completion` or `thinking`; empty where unknown.
    pub capabilities: Vec<String>,
}

impl ModelSummary {
    /// Whether the model can do this, such as `completion`, `thinking` or `embedding`; `None` where its
    /// server does not tell what it can do.
    pub fn can(&self, capability: &str) -> Option<bool> {
        let known = !self.capabilities.is_empty();
        known.then(|| self.capabilities.iter().any(|it| it == capability))
    }

    /// Whether it writes text, as far as is known: one that only makes vectors does not.
    pub fn may_write(&self) -> bool {
        self.can("completion") != Some(false)
    }
}

/// Everything known about one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct ModelDetails {
    /// What the list of models tells about it.
    pub summary: ModelSummary,
    /// The model's default parameters, as the backend words them.
    pub parameters: Option<String>,
    /// The prompt template.
    pub template: Option<String>,
    /// The backend's own description of the architecture, keys as it gives them.
    pub model_info: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_at_sign_parts_name_and_backend() {
        let name = ModelName::parse("user@org/model:1b@gpu-box", "ollama").ok();
        assert_eq!(
            name,
            Some(ModelName {
                name: "user@org/model:1b".into(),
                backend: "gpu-box".into()
            })
        );
        assert_eq!(
            "llama3.2".parse::<ModelName>().ok().map(|n| n.backend),
            Some("ollama".into())
        );
    }

    #[test]
    fn empty_and_controlled_names_are_refused() {
        for text in ["", "  ", "@x", "x@", "a\nb"] {
            assert!(ModelName::parse(text, "ollama").is_err(), "{text:?}");
        }
    }
}
