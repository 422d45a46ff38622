//! What arrived when: the only input of every metric.

use std::time::Duration;

use crate::record::{Clock, ErrorInfo};

/// One request as it was seen from outside. All times are since the send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Setting up the connection, before the send; `None` where none came about.
    pub connect: Option<Duration>,
    /// Send − when it was meant to be; `None` where it was meant to be whenever it was.
    pub schedule_delay: Option<Duration>,
    /// The prompt began as no other did: nothing of it can have come from the server's cache but what
    /// the model's chat template puts before it.
    pub unique_prefix: bool,
    /// Content chunks in order of arrival.
    pub chunks: Vec<Chunk>,
    /// Last byte of the stream; `None` where not one came.
    pub last_byte: Option<Duration>,
    /// When nothing more was waited for, whatever end that was; `None` where nothing was sent.
    pub ended: Option<Duration>,
    /// The answer, as far as it came.
    pub text: String,
    /// The thinking, as far as it came.
    pub thinking: String,
    /// What the server told about itself.
    pub report: ServerReport,
    /// How it ended.
    pub outcome: Outcome,
    /// What was noticed on the way, in words.
    pub notes: Vec<String>,
}

/// A piece of output that carries text or thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Arrival of its last byte. Chunks that came in one read have the same.
    pub at: Duration,
    /// Who stamped it.
    pub clock: Clock,
    /// UTF-8 bytes of text and thinking.
    pub bytes: u32,
    /// What it carries; a chunk with both counts as answer.
    pub kind: ChunkKind,
}

/// What a chunk carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Text of the answer.
    Answer,
    /// Thinking before the answer.
    Thinking,
}

/// What the server told about itself; `None` where it told nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerReport {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the prompt that came from the cache.
    pub cached_prompt_tokens: Option<u64>,
    /// Tokens of the output, thinking included.
    pub output_tokens: Option<u64>,
    /// Entry of the request to its last output.
    pub total: Option<Duration>,
    /// Entry of the request to a ready model.
    pub load: Option<Duration>,
    /// Evaluating the uncached part of the prompt.
    pub prompt_eval: Option<Duration>,
    /// Writing the output, from about the first token.
    pub eval: Option<Duration>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The stream said that it was done.
    Done {
        /// Why the server stopped, in its words.
        reason: Option<String>,
    },
    /// It did not.
    Failed(ErrorInfo),
}

impl Default for Outcome {
    fn default() -> Self {
        Self::Done { reason: None }
    }
}
