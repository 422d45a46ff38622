//! The ways through the house as straight functions; what `api`, `web` and `cli` call.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;

use crate::backend::BackendError;
use crate::config::Config;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, Comparison, EventId, FieldError, HistoryPage,
    HistoryQuery, ModelDetails, ModelSummary, NewPrompt, RunEvent, RunId, SavedPrompt, SystemNow,
};

/// Events of a run with their ids, from where the caller asked until the run ends.
pub type EventStream = Pin<Box<dyn Stream<Item = (EventId, Arc<RunEvent>)> + Send>>;

/// What one backend answered when asked for its models.
pub struct BackendModels {
    /// The backend's name.
    pub backend: String,
    /// Its models, or why they cannot be listed.
    pub models: Result<Vec<ModelSummary>, BackendError>,
}

/// Why something could not be done. `api` and `web` turn each into a status and a text.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Fields of the request break the rules.
    #[error("the request is not valid")]
    Invalid(Vec<FieldError>),
    /// No such model.
    #[error(
        "there is no model `{model}` on backend `{backend}`{}",
        near_names(near)
    )]
    UnknownModel {
        /// The name as asked.
        model: String,
        /// The backend that was asked.
        backend: String,
        /// The nearest names that exist.
        near: Vec<String>,
    },
    /// No such backend.
    #[error("there is no backend `{backend}`; known are: {}", known.join(", "))]
    UnknownBackend {
        /// The name as asked.
        backend: String,
        /// Every backend.
        known: Vec<String>,
    },
    /// No such run, prompt, ….
    #[error("there is no {what} with the id {id}")]
    UnknownId {
        /// What was looked for, such as `benchmark`.
        what: &'static str,
        /// The id as asked.
        id: String,
    },
    /// A model server does not work.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Too many runs wait.
    #[error("{waiting} runs wait already; try again later")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// Not possible as things stand.
    #[error("{0}")]
    Conflict(String),
    /// The database does not work.
    #[error("the database does not work: {0}")]
    Storage(String),
    /// The program is about to end.
    #[error("the program is stopping")]
    Stopping,
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

/// The running program. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Every setting.
    pub config: Arc<Config>,
}

#[allow(clippy::unused_async, clippy::unimplemented, unused_variables)]
impl App {
    /// Opens the database, starts the reference server and marks what an earlier process left running as interrupted.
    pub async fn open(config: Config) -> Result<Self, AppError> {
        unimplemented!()
    }
    /// Checks a request, stores it as queued and sets it going. Answers at once.
    pub async fn start(&self, request: BenchmarkRequest) -> Result<BenchmarkResponse, AppError> {
        unimplemented!()
    }
    /// Waits for the end of a run and gives its whole record.
    pub async fn finished(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        unimplemented!()
    }
    /// One record with every chunk and sample, as it stands.
    pub async fn record(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        unimplemented!()
    }
    /// A page of history.
    pub async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, AppError> {
        unimplemented!()
    }
    /// Deletes a finished run; one that goes on is a conflict.
    pub async fn delete(&self, id: &RunId) -> Result<(), AppError> {
        unimplemented!()
    }
    /// Stops a run; what was measured stays. Answers with the record once it has stopped.
    pub async fn cancel(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        unimplemented!()
    }
    /// The same request again.
    pub async fn rerun(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        unimplemented!()
    }
    /// Events of a run after `after`, from the start where that is `None`; also of finished runs.
    pub async fn events(
        &self,
        id: &RunId,
        after: Option<EventId>,
    ) -> Result<EventStream, AppError> {
        unimplemented!()
    }
    /// Models of all backends.
    pub async fn models(&self) -> Vec<BackendModels> {
        unimplemented!()
    }
    /// Details of one model, `NAME` or `NAME@BACKEND`.
    pub async fn model(&self, name: &str) -> Result<ModelDetails, AppError> {
        unimplemented!()
    }
    /// Two or more runs compared; within one run, its models.
    pub async fn compare(&self, ids: &[RunId]) -> Result<Comparison, AppError> {
        unimplemented!()
    }
    /// Saved prompts, newest first.
    pub async fn prompts(&self) -> Result<Vec<SavedPrompt>, AppError> {
        unimplemented!()
    }
    /// Saves a prompt.
    pub async fn save_prompt(&self, prompt: NewPrompt) -> Result<SavedPrompt, AppError> {
        unimplemented!()
    }
    /// Deletes a saved prompt.
    pub async fn delete_prompt(&self, id: &RunId) -> Result<(), AppError> {
        unimplemented!()
    }
    /// This machine and the backends, now.
    pub async fn system(&self) -> SystemNow {
        unimplemented!()
    }
    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), AppError> {
        unimplemented!()
    }
    /// Cancels what runs, waits until it is stored, closes the database.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}
