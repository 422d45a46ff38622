//! What figures are told apart by, and how many values that can have.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;

/// Stands for all values that have no figure of their own, as in OpenTelemetry's conventions.
pub const OTHER: &str = "_OTHER";
/// Models that have figures of their own; those that come later share one.
const MOST_MODELS: usize = 64;
/// A longer name has no figure of its own, bytes.
const LONGEST_NAME: usize = 128;

/// What serves the models of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// What it is: `ollama`, `openai` or `reference` (`gen_ai.provider.name`).
    pub provider: &'static str,
    /// What is asked of it: `text_completion` or `chat` (`gen_ai.operation.name`).
    pub operation: &'static str,
    /// Where it listens: a name or an address (`server.address`).
    pub address: String,
    /// Its port (`server.port`), where it is known.
    pub port: Option<u16>,
}

/// What serves the models of each backend, by the backend's name.
pub type Servers = BTreeMap<String, ServedBy>;

/// Which model was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ModelLabels {
    /// The backend's name in the configuration.
    backend: Arc<str>,
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    /// The model as the backend knows it.
    gen_ai_request_model: Arc<str>,
}

/// The labels of models. Anybody who may ask can make up names, as those of the built-in backend's scripts:
/// so the first [`MOST_MODELS`] are told apart, and no more.
pub struct Models {
    servers: Servers,
    known: Mutex<HashMap<(String, String), ModelLabels>>,
}

impl Models {
    /// No model yet.
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            known: Mutex::default(),
        }
    }

    /// The labels of a model.
    pub fn labels(&self, model: &str, backend: &str) -> ModelLabels {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (model.to_owned(), backend.to_owned());
        if let Some(labels) = known.get(&name) {
            return labels.clone();
        }
        if known.len() >= MOST_MODELS || model.len() > LONGEST_NAME {
            return self.made(OTHER, backend);
        }
        let labels = self.made(model, backend);
        known.insert(name, labels.clone());
        labels
    }

    fn made(&self, model: &str, backend: &str) -> ModelLabels {
        let server = self.servers.get(backend);
        ModelLabels {
            // A session may name a backend that is configured no more.
            backend: server.map_or(OTHER, |_| backend).into(),
            gen_ai_operation_name: server.map_or(OTHER, |it| it.operation),
            gen_ai_provider_name: server.map_or(OTHER, |it| it.provider),
            gen_ai_request_model: model.into(),
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabel {
    /// The error's code in the record; empty where there was none.
    pub error_type: &'static str,
}

/// Which tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenLabel {
    /// `input` or `output`.
    pub gen_ai_token_type: &'static str,
}

/// A request to this server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(
    clippy::struct_field_names,
    reason = "fields are the names of the labels, which conventions fix"
)]
pub struct HttpLabels {
    /// Its method.
    pub http_request_method: &'static str,
    /// The status of the answer.
    pub http_response_status_code: u16,
    /// The template of its route, never its path.
    pub http_route: Arc<str>,
}

/// The methods that have figures of their own.
pub fn method(name: &str) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    known.into_iter().find(|it| *it == name).unwrap_or(OTHER)
}

/// How something stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    /// Its name in the record.
    pub status: &'static str,
}

/// A turn of agents.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TurnLabels {
    /// The agents that work.
    pub pipeline: &'static str,
    /// How it ended.
    pub status: &'static str,
}

/// A step of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    /// What the agent is there for.
    pub role: &'static str,
    /// How it ended: `completed`, `failed` or `partial`.
    pub status: &'static str,
}

/// What kind of work it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// `run` or `call`; of streams `run`, `turn` or `system`.
    pub kind: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_make_no_figures_without_end() {
        let server = ServedBy {
            provider: "reference",
            operation: "text_completion",
            address: "127.0.0.1".into(),
            port: None,
        };
        let models = Models::new([("reference".to_owned(), server)].into());
        let first = models.labels("a", "reference");
        for number in 0..1000 {
            models.labels(&format!("script:tokens={number}"), "reference");
        }
        let known = models.known.lock().unwrap().len();
        assert_eq!(known, MOST_MODELS);
        assert_eq!(models.labels("a", "reference"), first);
        let other = models.labels("b", "reference");
        assert_eq!(&*other.gen_ai_request_model, OTHER);
        assert_eq!(&*other.backend, "reference");
    }

    #[test]
    fn neither_long_names_nor_unknown_backends_are_labels() {
        let models = Models::new(Servers::new());
        let found = models.labels(&"x".repeat(LONGEST_NAME + 1), "gone");
        assert_eq!(&*found.gen_ai_request_model, OTHER);
        assert_eq!(&*found.backend, OTHER);
        assert_eq!(method("BREW"), OTHER);
        assert_eq!(method("GET"), "GET");
    }
}
