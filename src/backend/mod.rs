//! Speaking to model servers.
//!
//! A [`Backend`] says *what* to send and how to read the answer; it never touches a timed socket.
//! Sending, stamping and giving up are the same for all of them and live in [`transport`] and
//! [`stream`]. Nothing here knows runs, storage or pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::{BackendKind, Config};
use crate::record::{BenchmarkRequest, FieldError, ModelDetails, ModelSummary, Placement};

mod embedding;
mod framing;
mod http;
mod ollama;
mod openai;
mod sent_answers;
pub mod stream;
pub mod transport;

pub use ollama::Ollama;
pub use openai::OpenAi;
pub use sent_answers::{SentAnswer, sent_answers};

/// A kind of model server.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;
    /// `ollama`, `openai` or `reference`.
    fn kind(&self) -> &'static str;
    /// Where it listens, such as `http://127.0.0.1:11434`, without credentials.
    fn url(&self) -> String;
    /// Version that it states, where it states one.
    async fn version(&self) -> Result<Option<String>, BackendError>;
    /// Every model that it serves.
    async fn models(&self) -> Result<Vec<ModelSummary>, BackendError>;
    /// Everything known about one model.
    async fn details(&self, model: &str) -> Result<ModelDetails, BackendError>;
    /// Where a loaded model lies; `None` where the server does not tell or not in time.
    async fn placement(&self, model: &str) -> Option<Placement>;
    /// Unloads a model and waits until it is gone.
    async fn unload(&self, model: &str) -> Result<(), BackendError>;
    /// A vector for each text, in their order and all of one size; none for no texts. A text that is
    /// longer than the model's context is read as far as it fits. Refused where the model cannot
    /// embed, of another protocol where the answer does not fit the texts.
    async fn embed(&self, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, BackendError>;
    /// Fields of a request that this kind of server has no way to honour; none by default.
    fn refusals(&self, _request: &BenchmarkRequest) -> Vec<FieldError> {
        Vec::new()
    }
    /// The HTTP request that makes a model write.
    fn call(&self, request: &BenchmarkRequest, model: &str, words: Words) -> stream::Call;
    /// A reader for the answer to [`Backend::call`].
    fn decoder(&self) -> Box<dyn stream::Decoder>;
}

/// What a model is told. The rest of a request is the same for all of a run.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The system prompt, where there is one.
    pub system: Option<&'a str>,
    /// The prompt.
    pub prompt: &'a str,
}

impl<'a> Words<'a> {
    /// A prompt without a system prompt.
    pub fn alone(prompt: &'a str) -> Self {
        Self {
            system: None,
            prompt,
        }
    }
}

/// Why a question to a model server was not answered.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection, or no answer in time.
    #[error("cannot reach {backend} at {url}: {reason}; {advice}")]
    Unreachable {
        /// The backend's name.
        backend: String,
        /// Where it should listen.
        url: String,
        /// What went wrong.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// It answered with an error.
    #[error("{backend} answered {status}: {message}")]
    Refused {
        /// The backend's name.
        backend: String,
        /// HTTP status.
        status: u16,
        /// Its words, shortened.
        message: String,
    },
    /// It answered something that is not the protocol.
    #[error("{backend} answered something unexpected: {reason}")]
    Protocol {
        /// The backend's name.
        backend: String,
        /// What was wrong.
        reason: String,
    },
    /// It cannot do that.
    #[error("{backend} cannot {what}")]
    Unsupported {
        /// The backend's name.
        backend: String,
        /// What was asked.
        what: String,
    },
}

/// Every backend of the configuration by its name, and `reference` at `reference_url`.
pub fn configured(config: &Config, reference_url: &str) -> Result<Backends, BackendError> {
    let mut backends = Backends::new();
    for (name, settings) in &config.backends {
        let backend: Arc<dyn Backend> = match settings.kind {
            BackendKind::Ollama => Arc::new(Ollama::new(name, settings)?),
            BackendKind::Openai => Arc::new(OpenAi::new(name, settings)?),
        };
        backends.insert(name.clone(), backend);
    }
    backends.insert(
        "reference".into(),
        Arc::new(Ollama::reference(reference_url)?),
    );
    Ok(backends)
}

/// Backends by their names.
pub type Backends = BTreeMap<String, Arc<dyn Backend>>;

/// Leaves out the size of the context where a server fixes that when it starts; what is said of it then.
pub fn leave_fixed_context(
    backend: &dyn Backend,
    request: &mut BenchmarkRequest,
) -> Option<String> {
    let size = request.parameters.num_ctx?;
    let refused = backend.refusals(request);
    if !refused.iter().any(|it| it.pointer == "/parameters/num_ctx") {
        return None;
    }
    request.parameters.num_ctx = None;
    Some(format!(
        "`num_ctx` {size} was not sent: this server fixes the size of its context when it starts"
    ))
}
