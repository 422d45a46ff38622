//! What one request to one model found.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::{ClockError, CooledDown, Energy, SessionStep};

/// One request to one model.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the documented record"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct BenchmarkResult {
    /// Model name as the backend knows it.
    pub model: String,
    /// The backend that served it.
    pub backend: String,
    /// Digest of the model's manifest.
    pub digest: Option<String>,
    /// Which repetition of this prompt and model, from 1; warm-up requests count for themselves.
    pub repetition: u32,
    /// Sent to warm up: kept, never averaged in.
    pub warmup: bool,
    /// Stage of a sweep that it belongs to; null where there was none.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// The step of a session that it stands for; absent where no session was replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<SessionStep>,
    /// Measured while other requests of the run were working.
    pub contended: bool,
    /// The model was unloaded before it, on purpose: loading is part of what was measured.
    #[serde(default)]
    pub cold_start: bool,
    /// Ended with a `done` chunk and an output that is not empty.
    pub success: bool,
    /// Why it failed; null where it did not.
    pub error: Option<ErrorInfo>,
    /// When the request was sent, UTC.
    pub timestamp: DateTime<Utc>,
    /// The text that was sent.
    pub prompt: String,
    /// What was put before it, or before the system prompt where there was one, so that the server
    /// could not take it from its cache; null where nothing was.
    #[serde(default)]
    pub prompt_prefix: Option<String>,
    /// The answer, as far as it came.
    pub response: String,
    /// What the model thought before answering, as far as it came; null where it did not think.
    pub thinking: Option<String>,
    /// Why the server stopped: `stop`, `length`, …
    pub done_reason: Option<String>,
    /// SHA-256 of the answer's UTF-8, hexadecimal.
    pub response_sha256: String,
    /// When things happened.
    pub timing: Timing,
    /// How much came, and how fast.
    pub throughput: Throughput,
    /// What it did to the machine.
    pub system_impact: SystemImpact,
    /// Energy that it took; null where nothing is known of it, and of requests that went on together.
    #[serde(default)]
    pub energy: Option<Energy>,
    /// The pause before it; null where there was none.
    #[serde(default)]
    pub cooled_down: Option<CooledDown>,
    /// Where the model lay after the request; null where the backend does not tell.
    pub placement: Option<Placement>,
    /// What was noticed, in words, such as `durations of the server do not add up`.
    pub notes: Vec<String>,
    /// Every chunk; null in lists.
    pub chunks: Option<Chunks>,
}

impl BenchmarkResult {
    /// It counts for the figures of its model: it did not warm up, and it does not belong to a stage
    /// of a sweep beyond the first. Those have figures of their own.
    pub fn is_measured(&self) -> bool {
        !self.warmup && self.stage.is_none_or(|stage| stage.number == 0)
    }

    /// Measured, and it failed. One that was stopped did not fail.
    pub fn has_failed(&self) -> bool {
        let error = self.error.as_ref();
        let was_stopped = error.is_some_and(|error| error.code == ErrorCode::Cancelled);
        self.is_measured() && !self.success && !was_stopped
    }
}

/// A stage of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Stage {
    /// Which one, from 0.
    pub number: u32,
    /// Requests a second that were meant to be sent; null in the first, which has one at a time.
    pub requests_per_second: Option<f64>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct ErrorInfo {
    /// The kind of failure.
    pub code: ErrorCode,
    /// What happened, and what to do.
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No connection to the server.
    Connect,
    /// The server answered with an error, before or within the stream.
    Server,
    /// The stream ended without saying that it was done.
    Truncated,
    /// What came was not the protocol.
    Protocol,
    /// No first byte in time.
    TimeoutFirstByte,
    /// The stream stalled.
    TimeoutIdle,
    /// The request took longer than allowed.
    TimeoutTotal,
    /// More came than is allowed: line length or size of the answer.
    Limit,
    /// Cancelled by a person or by the end of the program.
    Cancelled,
    /// Done, but without a word.
    EmptyOutput,
}

impl ErrorCode {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Connect,
        Self::Server,
        Self::Truncated,
        Self::Protocol,
        Self::TimeoutFirstByte,
        Self::TimeoutIdle,
        Self::TimeoutTotal,
        Self::Limit,
        Self::Cancelled,
        Self::EmptyOutput,
    ];

    /// The name as it is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Server => "server",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
            Self::TimeoutFirstByte => "timeout_first_byte",
            Self::TimeoutIdle => "timeout_idle",
            Self::TimeoutTotal => "timeout_total",
            Self::Limit => "limit",
            Self::Cancelled => "cancelled",
            Self::EmptyOutput => "empty_output",
        }
    }
}

/// Which clock stamped the arrivals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Clock {
    /// Monotonic clock of this program, read right after each socket read.
    #[default]
    User,
    /// Receive stamp of the kernel: when the packet came that completed the chunk.
    Kernel,
}

/// When things happened; seconds, null where it did not happen or cannot be known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Timing {
    /// From sending the request to the first chunk of text or thinking, s. Also called TTFT. Less is better.
    pub time_to_first_chunk: Option<f64>,
    /// From sending the request to the first chunk of the answer itself, thinking left out, s. Also called
    /// TTFO. Less is better.
    pub time_to_first_output: Option<f64>,
    /// From the first chunk to the second, s. Also called TTST. Less is better.
    pub time_to_second_chunk: Option<f64>,
    /// From the first chunk of thinking to the first chunk of the answer, or to the last chunk where there
    /// was no answer, s; null where the model did not think.
    pub thinking_time: Option<f64>,
    /// From sending the request to the last byte of the stream, s. Answers of unequal length are unequal
    /// work.
    pub total_time: Option<f64>,
    /// From sending the request to its end, whatever end that was, s: the last byte of the stream, the end of a
    /// refusal, the timeout, the stop. So long the request went on: what a load came to, its energy and what the
    /// machine did meanwhile are taken over it.
    pub in_flight_time: Option<f64>,
    /// From sending the request to the last chunk of text or thinking, s. Also called E2E. Answers of unequal
    /// length are unequal work.
    pub request_latency: Option<f64>,
    /// Longest gap between two chunks of text or thinking, s.
    pub longest_gap: Option<f64>,
    /// From the first chunk to the last, divided by the number of output tokens after the first, s. Also
    /// called TPOT. Less is better.
    pub time_per_output_token: Option<f64>,
    /// Setting up the connection before the send, s; not part of any other figure.
    pub connect_time: Option<f64>,
    /// Send, in seconds since the run began: the place on the time axis of the samples.
    pub send_offset: Option<f64>,
    /// How much later the request was sent than intended, s, in an open loop; null otherwise. There the times
    /// to the first chunk, to the last one and to the last byte count from the intended send (no coordinated
    /// omission), so this is in them; offsets of chunks and the server's own durations count from the send.
    pub schedule_delay: Option<f64>,
    /// Loading the model, as the model server tells, s. Less is better.
    pub load_time: Option<f64>,
    /// The server's own durations.
    pub server: Option<ServerTiming>,
    /// What the time to the first chunk was spent on, in order. The parts add up to it; what cannot be told
    /// apart is one part.
    pub waterfall: Vec<WaterfallPart>,
    /// Which clock stamped the arrivals; `kernel` only where it stamped every chunk.
    pub clock: Clock,
    /// How far stamps may be wrong on this machine; null where that was not found out.
    pub clock_error: Option<ClockError>,
    /// Chunks that share their stamp with a later one: they came in one read, and when each of
    /// them came is not known.
    pub merged_chunks: u64,
}

impl Timing {
    /// How long the request went on since its send, s. Older records tell it of requests of which something came.
    pub fn flight(&self) -> Option<f64> {
        let of_stream =
            || Some((self.total_time? - self.schedule_delay.unwrap_or_default()).max(0.0));
        self.in_flight_time.or_else(of_stream)
    }
}

/// The server's own durations, s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct ServerTiming {
    /// Entry of the request to its last output, s.
    pub total_duration: Option<f64>,
    /// Entry of the request to a ready model, s.
    pub load_duration: Option<f64>,
    /// Evaluating the uncached part of the prompt, s.
    pub prompt_eval_duration: Option<f64>,
    /// Writing the output, from about the first token, s.
    pub eval_duration: Option<f64>,
}

/// A part of the time to the first chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct WaterfallPart {
    /// What happened, such as `model load`.
    pub name: String,
    /// How long, s.
    pub duration: f64,
}

/// How much came, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Throughput {
    /// Chunks that carry text or thinking. A chunk is what arrives at once, which may be several tokens.
    pub total_chunks: u64,
    /// UTF-8 bytes of text and thinking.
    pub total_bytes: u64,
    /// Share of thinking in `total_bytes`, percent; null where the model did not think.
    #[serde(default)]
    pub thinking_percent: Option<f64>,
    /// Bytes a chunk: `total_bytes` / `total_chunks`.
    pub average_chunk_size: Option<f64>,
    /// Bytes of text and thinking a second: bytes / total time. More is better.
    pub bytes_per_second: Option<f64>,
    /// Tokens of the prompt, as the server counts.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the prompt that came from the server's cache.
    pub cached_prompt_tokens: Option<u64>,
    /// Tokens of the output, thinking included, as the model server counts.
    pub output_tokens: Option<u64>,
    /// Output tokens a second after the first chunk, by the clock of this program: 1 / time per output token.
    /// More is better.
    pub output_tokens_per_second: Option<f64>,
    /// Output tokens a second, by the model server's own clock: output tokens / the time that it says it took
    /// to write them. More is better.
    pub server_output_tokens_per_second: Option<f64>,
    /// Prefill rate by the client's clock: prompt tokens / TTFT; transport and queue are in it.
    pub client_prompt_tokens_per_second: Option<f64>,
    /// Tokens of the prompt that were read a second, by the model server's own clock; what came from its
    /// cache is left out. Also called prefill rate. More is better.
    pub prompt_tokens_per_second: Option<f64>,
    /// Why the prefill rate by the server's clock is null.
    pub prompt_rate_reason: Option<String>,
}

/// What a request did to the machine that measured. Figures of looks during the request are null where
/// none fell into it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct SystemImpact {
    /// For each logical core: usage during the request − usage in the baseline window,
    /// percentage points; empty where there are no samples.
    pub cpu_delta: Vec<f64>,
    /// Memory in use at the end − at the start, percentage points of all memory.
    pub memory_delta: Option<f64>,
    /// Usage of all logical cores meanwhile, mean, percent 0–100.
    pub cpu_mean_percent: Option<f64>,
    /// The same, highest.
    pub cpu_peak_percent: Option<f64>,
    /// Standard deviation of the cores' mean clock meanwhile, percent of its mean; null where no clock is
    /// told.
    pub frequency_fluctuation_percent: Option<f64>,
    /// Most memory in use meanwhile, bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Swap in use at the end − at the start, bytes.
    pub swap_delta_bytes: Option<i64>,
    /// Processor time of the model server meanwhile, mean, percent of all cores of the machine.
    pub server_cpu_mean_percent: Option<f64>,
    /// Most resident memory of the model server meanwhile, bytes.
    pub server_memory_peak_bytes: Option<u64>,
    /// Usage of the busiest graphics processor meanwhile, mean, percent.
    pub gpu_mean_percent: Option<f64>,
    /// Most memory in use on all graphics processors meanwhile, bytes.
    pub gpu_memory_peak_bytes: Option<u64>,
}

/// Where a model lay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Placement {
    /// Memory of the loaded model, bytes.
    pub size_bytes: u64,
    /// Of it in the memory of GPUs, bytes.
    pub size_vram_bytes: u64,
    /// Share on the CPU, percent.
    pub cpu_percent: Option<f64>,
    /// Context that the model was loaded with, tokens.
    pub context_length: Option<u64>,
    /// Digest of the model that is loaded.
    #[serde(default)]
    pub digest: Option<String>,
    /// When the server unloads it if nobody asks for it, UTC.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Every content chunk of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
pub struct Chunks {
    /// Arrival, seconds from send, to the microsecond.
    pub offsets: Vec<f64>,
    /// UTF-8 bytes of text and thinking.
    pub sizes: Vec<u32>,
}
