//! Why something could not be done; `api` and `cli` have one mapping each from here.

use std::io;
use std::path::PathBuf;

use crate::backend::BackendError;
use crate::nova::prompts::PromptError;
use crate::record::FieldError;
use crate::run::queue::QueueFull;
use crate::store::StoreError;
use crate::telemetry::TracingError;

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
    /// The program could not be set up.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// Prompts of agents that the settings name cannot be used.
    #[error("cannot start: {0}")]
    Prompts(#[source] PromptError),
    /// Traces cannot be exported as the environment says.
    #[error(transparent)]
    Tracing(#[from] TracingError),
    /// Too many runs wait.
    #[error("{waiting} runs wait already; try again later")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// Too many clients follow events.
    #[error("{most} clients watch already; try again later")]
    TooManyWatchers {
        /// How many may.
        most: usize,
    },
    /// Not possible as things stand.
    #[error("{0}")]
    Conflict(String),
    /// Something in the program itself broke.
    #[error("{0}")]
    Broken(String),
    /// There is no calibration to show.
    #[error(
        "how well this machine can measure has not been found out yet by this version: that is done when nothing else goes on, or by `ollama-benchmarker calibrate`"
    )]
    NotCalibrated,
    /// The instrument's own error could not be found.
    #[error("cannot calibrate: {0}")]
    Calibration(String),
    /// The database does not work.
    #[error("the database does not work: {0}")]
    Storage(String),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The program is about to end.
    #[error("the program is stopping")]
    Stopping,
}

impl AppError {
    /// One field breaks the rules.
    pub(super) fn invalid(pointer: &str, message: String) -> Self {
        Self::Invalid(vec![FieldError {
            pointer: pointer.to_owned(),
            message,
        }])
    }
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadCursor => Self::Invalid(vec![FieldError {
                pointer: "/cursor".into(),
                message: "is no cursor of this view; leave it out to begin again".into(),
            }]),
            StoreError::NotWritten { path, source } => Self::NotWritten { path, source },
            StoreError::OfItsServer { .. }
            | StoreError::TurnActive { .. }
            | StoreError::SessionClosed { .. } => Self::Conflict(error.to_string()),
            other => Self::Storage(other.to_string()),
        }
    }
}

impl From<QueueFull> for AppError {
    fn from(full: QueueFull) -> Self {
        Self::QueueFull { waiting: full.held }
    }
}
