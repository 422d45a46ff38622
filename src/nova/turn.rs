//! A turn on its way: what all its agents share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::accounting::{Activity, Span};
use super::instruments::Lent;
use super::tape::Tape;
use crate::record::{
    ErrorCode, ErrorInfo, MemoryDocument, ModelEnvironment, ModelName, NovaEvent, NovaRequest,
    NovaRole, NovaStage, NovaStep, Parameters, TurnStage,
};
use crate::run::engine::{Engine, Unit};
use crate::run::events::EventLog;
use crate::run::queue::Queue;

/// A text and where a model puts it.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// The model, `NAME@BACKEND`.
    pub model: String,
    /// Its numbers.
    pub vector: Vec<f32>,
}

/// What whoever keeps things is asked to do. It answers by itself; a turn whose keeper is gone fails.
pub enum Errand {
    /// Keep a step that has ended, then announce it.
    Keep(Box<NovaStep>),
    /// Keep what there is of a step that goes on.
    Draft(Box<NovaStep>),
    /// Look through the memory.
    Recall {
        /// What is looked for.
        text: String,
        /// The same as an embedding, where there is a model for that.
        embedded: Option<Embedded>,
        /// Most documents.
        limit: usize,
        /// What was found, or why nothing could be.
        answer: oneshot::Sender<Result<Vec<MemoryDocument>, String>>,
    },
    /// Keep an exchange, for later turns of the session.
    Remember {
        /// Its text.
        text: String,
        /// The same as an embedding, where there is a model for that.
        embedded: Option<Embedded>,
        /// Whether it is kept, or why not.
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// A model and what it runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The model.
    pub name: ModelName,
    /// What it runs on.
    pub environment: ModelEnvironment,
    /// Generation parameters for it: those of the request, with a size of the context and a bound of the
    /// output.
    pub parameters: Parameters,
    /// Size of its context, tokens.
    pub context_size: u64,
    /// Most tokens that it writes.
    pub most_output: u64,
    /// Calls that its backend works on at once.
    pub at_once: usize,
    /// The server is known to have it in memory.
    pub is_loaded: bool,
}

/// Who answers what the agents ask.
pub enum Voice {
    /// Models.
    Models(Lent),
    /// Models, in a run: each call is one of its requests.
    Run {
        /// The step of the run.
        unit: Arc<Unit>,
        /// Which turn of the session it is, from 1.
        turn: u32,
    },
    /// A record.
    Tape(Tape),
}

/// Why a turn has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody stopped it.
    Cancelled,
    /// It cannot go on.
    Failed(ErrorInfo),
}

impl Stop {
    /// It cannot go on, for a reason of this kind.
    pub fn failed(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Failed(ErrorInfo {
            code,
            message: message.into(),
        })
    }
}

/// A turn on its way.
pub struct Turn {
    /// The sockets, the servers and the bounds.
    pub engine: Arc<Engine>,
    /// Whose turn it is.
    pub queue: Queue,
    /// Who answers the agents.
    pub voice: Voice,
    /// Where events are announced.
    pub log: EventLog<NovaEvent>,
    /// Who keeps things.
    pub errands: mpsc::Sender<Errand>,
    /// Cancelled to stop the turn.
    pub cancel: CancellationToken,
    /// What was asked.
    pub request: NovaRequest,
    /// The model of each role.
    pub models: BTreeMap<NovaRole, Placed>,
    /// The model for embeddings, where there is one.
    pub embedding: Option<ModelName>,
    /// When it began.
    pub begun: Instant,
    /// What became of it so far: nothing at first.
    pub progress: Progress,
}

/// What became of a turn so far.
#[derive(Default)]
pub struct Progress {
    next: AtomicU32,
    spans: Mutex<Vec<Span>>,
    steps: Mutex<Vec<NovaStep>>,
    first_chunk: Mutex<Option<Duration>>,
}

impl Turn {
    /// The number of the next step.
    pub fn next_step(&self) -> u32 {
        self.progress.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes how time was spent.
    pub fn spend(&self, activity: Activity, from: Instant, to: Instant) {
        let since = |at: Instant| at.saturating_duration_since(self.begun);
        lock(&self.progress.spans).push(Span {
            activity,
            start: since(from),
            end: since(to),
        });
    }

    /// How time was spent until now.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.progress.spans).clone()
    }

    /// Tells that a part of the turn begins.
    pub fn enter(&self, stage: NovaStage) {
        self.log.announce(NovaEvent::Stage(TurnStage { stage }));
    }

    /// The first chunk of the answer came.
    pub fn hear_answer(&self) {
        let mut first = lock(&self.progress.first_chunk);
        first.get_or_insert_with(|| self.begun.elapsed());
    }

    /// From the turn's start to the first chunk of the answer.
    pub fn first_chunk(&self) -> Option<Duration> {
        *lock(&self.progress.first_chunk)
    }

    /// Keeps a step that has ended.
    pub async fn keep(&self, step: NovaStep) -> Result<(), Stop> {
        lock(&self.progress.steps).push(step.clone());
        let sent = self.errands.send(Errand::Keep(Box::new(step))).await;
        sent.map_err(|_| Stop::failed(ErrorCode::Server, "the steps cannot be stored"))
    }

    /// Every step that has ended, in the order in which they began.
    pub fn steps(&self) -> Vec<NovaStep> {
        let mut steps = lock(&self.progress.steps).clone();
        steps.sort_by_key(|step| step.number);
        steps
    }

    /// `Err` where somebody stopped it.
    pub fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            Err(Stop::Cancelled)
        } else {
            Ok(())
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
