//! The four ways to say the same: objects of a stream, of a whole answer and of an error on each
//! of the routes that make a model write.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::http::{Reply, go_json};
use super::question::{Question, Refusal};
use super::words::Piece;
use super::{ollama, openai};

/// A route that makes a model write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/api/generate`.
    Generate,
    /// `/api/chat`.
    Chat,
    /// `/v1/chat/completions`.
    OpenaiChat,
    /// `/v1/completions`.
    OpenaiCompletions,
}

impl Route {
    /// The route of a path.
    pub fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/api/generate" => Self::Generate,
            "/api/chat" => Self::Chat,
            "/v1/chat/completions" => Self::OpenaiChat,
            "/v1/completions" => Self::OpenaiCompletions,
            _ => return None,
        })
    }

    /// Whether it is one of OpenAI's.
    pub fn is_openai(self) -> bool {
        matches!(self, Self::OpenaiChat | Self::OpenaiCompletions)
    }

    /// What it does, as Ollama words it where a model cannot do it.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Generate | Self::OpenaiCompletions => "generate",
            Self::Chat | Self::OpenaiChat => "chat",
        }
    }

    /// Reads its request.
    pub fn question(self, object: &Map<String, Value>) -> Result<Question, Refusal> {
        match self {
            Self::Generate => ollama::generate(object),
            Self::Chat => ollama::chat(object),
            Self::OpenaiChat => openai::chat(object),
            Self::OpenaiCompletions => openai::completions(object),
        }
    }

    /// Words a refusal.
    pub fn refuse(self, refusal: &Refusal) -> Reply {
        if self.is_openai() {
            let mut reply = Reply::json(
                refusal.status,
                &openai::error(refusal.status, &refusal.message),
            );
            reply.content_type = "application/json";
            return reply;
        }
        Reply::json(refusal.status, &json!({"error": refusal.message}))
    }

    /// `Content-Type` of its stream.
    pub fn stream_type(self) -> &'static str {
        if self.is_openai() {
            "text/event-stream"
        } else {
            "application/x-ndjson"
        }
    }
}

/// What a server tells about an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Arrival of the request to the end of the output.
    pub total: Duration,
    /// Arrival of the request to a ready model.
    pub load: Duration,
    /// Reading the prompt.
    pub prompt_eval: Duration,
    /// Writing the output.
    pub eval: Duration,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the output, thinking included.
    pub output_tokens: u64,
}

/// The end of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Why it ends.
    pub reason: &'static str,
    /// What the server tells.
    pub metrics: Metrics,
    /// The conversation as tokens, for `/api/generate`.
    pub context: Vec<u32>,
}

/// One answer's way to speak.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// The route.
    pub route: Route,
    /// The model's name, as the request gave it.
    pub model: String,
    /// Number of the request.
    pub id: u64,
    /// Arrival of the request by the wall clock.
    pub received_at: DateTime<Utc>,
    /// Token counts at the end of an OpenAI stream.
    pub include_usage: bool,
}

impl Dialect {
    /// A frame with text, sent `at` after the arrival of the request.
    pub fn piece(&self, at: Duration, piece: &Piece) -> Vec<u8> {
        if self.route.is_openai() {
            return event(&self.openai().piece(piece));
        }
        self.ollama(at, |voice| line(&voice.piece(piece)))
    }

    /// The frames that end the stream; `text` is the last of the answer.
    pub fn end(&self, at: Duration, text: &str, ending: &Ending) -> Vec<Vec<u8>> {
        if !self.route.is_openai() {
            return vec![self.ollama(at, |voice| line(&voice.end(text, None, ending)))];
        }
        let voice = self.openai();
        let mut frames = vec![event(&voice.finish(text, ending.reason))];
        if self.include_usage {
            frames.push(event(&voice.usage(&ending.metrics)));
        }
        frames.push(b"data: [DONE]\n\n".to_vec());
        frames
    }

    /// The whole answer at once.
    pub fn whole(
        &self,
        at: Duration,
        text: &str,
        thinking: Option<&str>,
        ending: &Ending,
    ) -> Reply {
        if self.route.is_openai() {
            let body = self
                .openai()
                .whole(text, thinking, ending.reason, &ending.metrics);
            let mut reply = Reply::json(200, &body);
            reply.content_type = "application/json";
            return reply;
        }
        Reply {
            status: 200,
            content_type: "application/json; charset=utf-8",
            body: self.ollama(at, |voice| voice.end(text, thinking, ending).into_bytes()),
        }
    }

    /// An error inside the stream.
    pub fn error(&self, message: &str) -> Vec<u8> {
        if self.route.is_openai() {
            return event(&openai::error(500, message));
        }
        line(&go_json(&json!({"error": message})))
    }

    fn openai(&self) -> openai::Voice<'_> {
        openai::Voice {
            model: &self.model,
            id: self.id,
            created: self.received_at.timestamp(),
            chat: self.route == Route::OpenaiChat,
        }
    }

    fn ollama<T>(&self, at: Duration, speak: impl FnOnce(ollama::Voice<'_>) -> T) -> T {
        let now = TimeDelta::from_std(at)
            .ok()
            .and_then(|at| self.received_at.checked_add_signed(at))
            .unwrap_or(self.received_at);
        speak(ollama::Voice {
            model: &self.model,
            created_at: &now.to_rfc3339_opts(SecondsFormat::Nanos, true),
            chat: self.route == Route::Chat,
        })
    }
}

fn line(object: &str) -> Vec<u8> {
    format!("{object}\n").into_bytes()
}

fn event(object: &Value) -> Vec<u8> {
    format!("data: {}\n\n", go_json(object)).into_bytes()
}
