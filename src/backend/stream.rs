//! From arrivals to a timeline: frames are cut and decoded, late enough to disturb no stamp.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Uri;
use tokio_util::sync::CancellationToken;

use super::framing::{Framer, Framing, LineTooLong};
use super::transport::{Arrival, Arrivals, Deadlines, Transport, TransportError};
use crate::config::Secret;
use crate::measure::timeline::{Chunk, ChunkKind, Outcome, ServerReport, Timeline};
use crate::record::{Clock, ErrorCode, ErrorInfo};

/// Of an error body this much is read; nobody reads more.
const ERROR_BODY_BYTES: usize = 64 << 10;
/// Of an error body this much is told.
const EXCERPT_CHARS: usize = 300;

/// An HTTP POST that makes a model write.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where to, whole.
    pub url: Uri,
    /// Token for it.
    pub token: Secret,
    /// JSON body.
    pub body: Bytes,
    /// When to send it, once the connection stands; at once where there is none.
    pub due: Option<Instant>,
}

impl Call {
    /// Host and port, as in the `Host` header.
    pub fn address(&self) -> String {
        self.url.authority().map_or_else(String::new, |authority| {
            authority
                .as_str()
                .rsplit_once('@')
                .map_or(authority.as_str(), |(_, host)| host)
                .to_owned()
        })
    }
}

/// Reads the frames of one answer.
pub trait Decoder: Send {
    /// How the answer is cut.
    fn framing(&self) -> Framing;
    /// Reads one frame.
    fn frame(&mut self, frame: &[u8]) -> Result<Step, DecodeError>;
    /// What the server told, when the stream is over.
    fn finish(&mut self) -> Finish;
}

/// What one frame brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Text of the answer.
    pub text: String,
    /// Thinking.
    pub thinking: String,
    /// The stream is over.
    pub done: bool,
}

/// What the server told in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finish {
    /// It said that it was done.
    pub complete: bool,
    /// Why it stopped, in its words.
    pub reason: Option<String>,
    /// Its counts and durations.
    pub report: ServerReport,
}

/// Why a frame could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It is an error message of the server.
    Server(String),
    /// It is not the protocol.
    Protocol(String),
}

/// Bounds of one answer.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Times to give up after.
    pub deadlines: Deadlines,
    /// Longest line.
    pub max_line_bytes: usize,
    /// Most text and thinking.
    pub max_response_bytes: usize,
}

/// News of an answer that is coming in.
#[derive(Debug)]
pub struct News<'a> {
    /// When it came, since the send.
    pub at: Duration,
    /// Text of the answer.
    pub text: &'a str,
    /// Thinking.
    pub thinking: &'a str,
}

/// Sends a call and follows its answer to the end, whatever end that is. Beside the timeline it
/// gives the moment of the send that the timeline counts from; `None` where nothing was sent, or
/// the call was cancelled before anything came.
/// `watch` is told of every content chunk, after it was stamped and counted.
pub async fn follow(
    transport: &Transport,
    call: Call,
    decoder: Box<dyn Decoder>,
    bounds: &Bounds,
    cancel: CancellationToken,
    watch: &mut (dyn FnMut(News<'_>) + Send),
) -> (Timeline, Option<Instant>) {
    let mut arrivals = transport.send(call, bounds.deadlines, cancel);
    let mut reader = Reader::new(decoder, bounds);
    let outcome = reader.read(&mut arrivals, watch).await;
    let sent = reader.sent;
    (reader.close(outcome), sent)
}

struct Reader<'a> {
    decoder: Box<dyn Decoder>,
    framer: Framer,
    bounds: &'a Bounds,
    timeline: Timeline,
    sent: Option<Instant>,
    /// Arrival of the newest bytes since the send, and who stamped it.
    newest: (Duration, Clock),
}

/// Arrivals are kept to the microsecond: no stamp is right within less, and a series of them takes half
/// the room.
fn whole_microseconds(at: Duration) -> Duration {
    let nanoseconds = at.saturating_add(Duration::from_nanos(500));
    Duration::from_micros(u64::try_from(nanoseconds.as_micros()).unwrap_or(u64::MAX))
}

fn failure(code: ErrorCode, message: impl Into<String>) -> ErrorInfo {
    ErrorInfo {
        code,
        message: message.into(),
    }
}

impl<'a> Reader<'a> {
    fn new(decoder: Box<dyn Decoder>, bounds: &'a Bounds) -> Self {
        let framer = Framer::new(decoder.framing(), bounds.max_line_bytes);
        Self {
            decoder,
            framer,
            bounds,
            timeline: Timeline::default(),
            sent: None,
            newest: (Duration::ZERO, Clock::User),
        }
    }

    /// Reads until the stream is over; the error says why it was not a good end.
    async fn read(
        &mut self,
        arrivals: &mut Arrivals,
        watch: &mut (dyn FnMut(News<'_>) + Send),
    ) -> Result<(), ErrorInfo> {
        while let Some(arrival) = arrivals.next().await {
            match arrival {
                Arrival::Sent { connect, sent } => {
                    self.timeline.connect = Some(connect);
                    self.sent = Some(sent);
                }
                Arrival::Head {
                    connect,
                    sent,
                    status,
                    encoding,
                    location,
                } => {
                    self.timeline.connect = Some(connect);
                    self.sent = Some(sent);
                    if status != 200 {
                        return Err(refusal(status, location.as_deref(), arrivals).await);
                    }
                    if let Some(encoding) = encoding.filter(|encoding| encoding != "identity") {
                        let message =
                            format!("the answer is {encoding}-encoded, which was not asked for");
                        return Err(failure(ErrorCode::Protocol, message));
                    }
                }
                Arrival::Data {
                    at,
                    clock,
                    bytes,
                    _room,
                } => {
                    let at = self.sent.map(|sent| at.saturating_duration_since(sent));
                    let at = whole_microseconds(at.unwrap_or_default());
                    self.timeline.last_byte = Some(at);
                    self.newest = (at, clock);
                    self.framer.feed(&bytes);
                    if self.frames(watch)? {
                        return Ok(());
                    }
                }
                Arrival::End => return self.end(watch),
                Arrival::Failed(error) => return Err(Self::broken(&error)),
            }
        }
        Err(failure(ErrorCode::Truncated, "the connection was given up"))
    }

    /// Takes every whole frame; `true` when the stream said that it is over.
    fn frames(&mut self, watch: &mut (dyn FnMut(News<'_>) + Send)) -> Result<bool, ErrorInfo> {
        while let Some(frame) = self.framer.next().map_err(|error| self.too_long(&error))? {
            if self.frame(&frame, watch)? {
                let has_more = !matches!(self.framer.next(), Ok(None)) || self.framer.has_rest();
                if has_more {
                    self.timeline
                        .notes
                        .push("the server sent more after it was done".into());
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn frame(
        &mut self,
        frame: &[u8],
        watch: &mut (dyn FnMut(News<'_>) + Send),
    ) -> Result<bool, ErrorInfo> {
        let step = self.decoder.frame(frame).map_err(|error| match error {
            DecodeError::Server(message) => failure(ErrorCode::Server, excerpt(&message)),
            DecodeError::Protocol(message) => failure(ErrorCode::Protocol, message),
        })?;
        let bytes = step.text.len() + step.thinking.len();
        if bytes > 0 {
            let kind = if step.text.is_empty() {
                ChunkKind::Thinking
            } else {
                ChunkKind::Answer
            };
            let counted = u32::try_from(bytes).unwrap_or(u32::MAX);
            let (at, clock) = self.newest;
            self.timeline.chunks.push(Chunk {
                at,
                clock,
                bytes: counted,
                kind,
            });
            self.timeline.text.push_str(&step.text);
            self.timeline.thinking.push_str(&step.thinking);
            watch(News {
                at,
                text: &step.text,
                thinking: &step.thinking,
            });
        }
        let most = self.bounds.max_response_bytes;
        if self.timeline.text.len() + self.timeline.thinking.len() > most {
            return Err(failure(
                ErrorCode::Limit,
                format!("the answer has more than {most} bytes"),
            ));
        }
        Ok(step.done)
    }

    /// The body ended: a last line may still wait, and it may be the one that says done.
    fn end(&mut self, watch: &mut (dyn FnMut(News<'_>) + Send)) -> Result<(), ErrorInfo> {
        while let Some(frame) = self
            .framer
            .finish()
            .map_err(|error| self.too_long(&error))?
        {
            match self.frame(&frame, watch) {
                Ok(_) => {}
                Err(error)
                    if error.code == ErrorCode::Protocol && !self.timeline.chunks.is_empty() =>
                {
                    return Err(failure(
                        ErrorCode::Truncated,
                        "the stream ended in the middle of an object",
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        if self.decoder.finish().complete {
            return Ok(());
        }
        let message = if self.timeline.last_byte.is_none() {
            "the answer was empty"
        } else {
            "the stream ended without saying that it was done"
        };
        Err(failure(ErrorCode::Truncated, message))
    }

    fn too_long(&self, _: &LineTooLong) -> ErrorInfo {
        let most = self.bounds.max_line_bytes;
        failure(
            ErrorCode::Limit,
            format!("a line of the stream has more than {most} bytes"),
        )
    }

    fn broken(error: &TransportError) -> ErrorInfo {
        let code = match error {
            TransportError::Connect { .. } => ErrorCode::Connect,
            TransportError::Broken(_) => ErrorCode::Truncated,
            TransportError::NotHttp(_) => ErrorCode::Protocol,
            TransportError::FirstByte(_) => ErrorCode::TimeoutFirstByte,
            TransportError::Idle(_) => ErrorCode::TimeoutIdle,
            TransportError::Total(_) => ErrorCode::TimeoutTotal,
            TransportError::Cancelled => ErrorCode::Cancelled,
        };
        failure(code, error.to_string())
    }

    fn close(mut self, outcome: Result<(), ErrorInfo>) -> Timeline {
        let finish = self.decoder.finish();
        self.timeline.report = finish.report;
        self.timeline.ended = match &outcome {
            Ok(()) => self.timeline.last_byte,
            // Also the silence before it was given up was waited through.
            Err(_) => self.sent.map(|sent| whole_microseconds(sent.elapsed())),
        };
        self.timeline.outcome = match outcome {
            Ok(()) => Outcome::Done {
                reason: finish.reason,
            },
            Err(error) => Outcome::Failed(error),
        };
        self.timeline
    }
}

/// The error behind a status that is not 200.
async fn refusal(status: u16, location: Option<&str>, arrivals: &mut Arrivals) -> ErrorInfo {
    if let Some(location) = location.filter(|_| (300..400).contains(&status)) {
        let message = format!(
            "the server redirects to {}, which is not followed; configure the final address",
            excerpt(location)
        );
        return failure(ErrorCode::Server, message);
    }
    let mut body = Vec::new();
    while let Some(Arrival::Data { bytes, .. }) = arrivals.next().await {
        body.extend_from_slice(&bytes);
        if body.len() > ERROR_BODY_BYTES {
            break;
        }
    }
    failure(
        ErrorCode::Server,
        format!("{status}: {}", error_text(status, &body)),
    )
}

/// The readable part of an error body: the `error` of its JSON, else its beginning.
pub fn error_text(status: u16, body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let error = json.as_ref().and_then(|json| json.get("error"));
    let text = error
        .and_then(|error| error.as_str().or_else(|| error.get("message")?.as_str()))
        .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    match (text.trim(), status) {
        ("", 403) => "refused without a word; the server may not like the Host or Origin header \
                      (for Ollama see OLLAMA_ORIGINS)"
            .into(),
        ("", _) => "no explanation was given".into(),
        (text, _) => excerpt(text),
    }
}

fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(EXCERPT_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
