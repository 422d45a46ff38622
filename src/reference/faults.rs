//! Models that break something on the wire, one a case: what a client must survive.
//!
//! A fault is asked for by its name, `fault-NAME`, on any route that makes a model write; those
//! that begin with `sse-` exist on OpenAI's routes only. Where nothing else is said, it writes
//! [`TEXTS`] in three frames, 5 ms apart, and a proper end. Times of a fault can be chosen:
//! `fault-late-headers:ms=300`. [`names`] lists all of them; `fault-status-N` answers any status
//! from 400 to 599.
//!
//! `stream` is ignored: a fault is about bytes, and breaks them either way.

use std::time::Duration;

use super::dialect::{Dialect, Ending, Metrics};
use super::http::{Reply, chunked_head, head};
use super::question::Refusal;
use super::tape::{LAST_CHUNK, Step, Tape, chunk};
use super::words::Piece;

mod bytes;
mod objects;
mod opening;
mod sse;

/// The text of the three frames. The last holds a character of four bytes.
pub const TEXTS: [&str; 3] = ["Hello", ", wörld", " 🙂!"];

/// Text that must never be shown as it is: markup, terminal control, NUL, overridden direction.
pub const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\
    \u{1b}[31mred\u{1b}]0;title\u{7}\u{0}\u{202e}txt.exe\r\ndata: forged\n\n'\"&amp;{{7*7}}";

/// Between two frames.
const GAP: Duration = Duration::from_millis(5);

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    name: String,
    /// Chosen time.
    time: Option<Duration>,
}

type Make = fn(&Scene<'_>) -> Tape;

impl Fault {
    /// Reads what follows `fault-`; `None` where there is no such case.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, setting) = text.split_once(':').unwrap_or((text, ""));
        let time = match setting.strip_prefix("ms=") {
            Some(value) => Some(Duration::from_millis(value.parse::<u32>().ok()?.into())),
            None if setting.is_empty() => None,
            None => return None,
        };
        let known = status(name).is_some() || cases().any(|(case, _)| case == name);
        known.then(|| Self {
            name: name.to_owned(),
            time,
        })
    }
}

/// The names of all cases, without `fault-`; `status-N` besides.
pub fn names() -> Vec<&'static str> {
    cases().map(|(name, _)| name).collect()
}

/// Whether a loaded model makes `/api/ps` hang.
pub fn hangs_the_list(model: &str) -> bool {
    model == "fault-ps-hang"
}

fn cases() -> impl Iterator<Item = (&'static str, Make)> {
    [bytes::CASES, opening::CASES, objects::CASES, sse::CASES]
        .into_iter()
        .flatten()
        .copied()
}

fn status(name: &str) -> Option<u16> {
    let status: u16 = name.strip_prefix("status-")?.parse().ok()?;
    (400..600).contains(&status).then_some(status)
}

/// The answer of a fault. `earlier` is how many requests asked for the same model before.
pub fn tape(fault: &Fault, dialect: &Dialect, earlier: usize) -> Tape {
    let scene = Scene {
        dialect,
        time: fault.time,
        earlier,
    };
    if let Some(status) = status(&fault.name) {
        return scene.refuse(status, "made to fail");
    }
    if fault.name.starts_with("sse-") && !dialect.route.is_openai() {
        return scene.refuse(400, "this fault exists on /v1 only");
    }
    let case = cases().find(|(name, _)| *name == fault.name);
    // A fault is only made from a name that is among the cases.
    case.map_or_else(
        || scene.refuse(404, "no such fault"),
        |(_, make)| make(&scene),
    )
}

/// A frame, and whether it carries text.
type Frame = (Vec<u8>, bool);

/// What a case is made from.
struct Scene<'a> {
    dialect: &'a Dialect,
    time: Option<Duration>,
    earlier: usize,
}

impl Scene<'_> {
    /// The chosen time, or this one, in milliseconds.
    fn time(&self, default: u64) -> Duration {
        self.time.unwrap_or(Duration::from_millis(default))
    }

    /// A frame with text.
    fn text(&self, text: &str) -> Frame {
        let piece = Piece::Answer(text.to_owned());
        (self.dialect.piece(Duration::ZERO, &piece), true)
    }

    /// A frame whose text is this JSON, valid or not.
    fn literal(&self, literal: &[u8]) -> Frame {
        const PLACE: &str = "~place~";
        let (frame, _) = self.text(PLACE);
        (
            replace(&frame, format!("\"{PLACE}\"").as_bytes(), literal),
            true,
        )
    }

    /// The three frames.
    fn texts(&self) -> Vec<Frame> {
        TEXTS.iter().map(|text| self.text(text)).collect()
    }

    /// The frames of a proper end.
    fn end(&self) -> Vec<Frame> {
        self.end_with("", &metrics())
    }

    /// The frames of an end with text and other figures.
    fn end_with(&self, text: &str, metrics: &Metrics) -> Vec<Frame> {
        let ending = Ending {
            reason: "stop",
            metrics: metrics.clone(),
            context: vec![1, 2, 3],
        };
        let frames = self.dialect.end(Duration::ZERO, text, &ending).into_iter();
        frames
            .enumerate()
            .map(|(index, frame)| (frame, index == 0 && !text.is_empty()))
            .collect()
    }

    /// The three frames and a proper end.
    fn whole(&self) -> Vec<Frame> {
        self.texts().into_iter().chain(self.end()).collect()
    }

    /// The same as one run of bytes.
    fn whole_bytes(&self) -> Vec<u8> {
        self.whole()
            .into_iter()
            .flat_map(|(bytes, _)| bytes)
            .collect()
    }

    fn error(&self, message: &str) -> Frame {
        (self.dialect.error(message), false)
    }

    fn head(&self) -> Vec<u8> {
        chunked_head(self.dialect.route.stream_type())
    }

    /// A well-framed stream.
    fn stream(&self, frames: Vec<Frame>) -> Tape {
        let mut steps = self.steps(frames);
        steps.push(write(after(&steps), LAST_CHUNK, false));
        Tape::complete(steps)
    }

    /// Head and frames, without the end of the body.
    fn steps(&self, frames: Vec<Frame>) -> Vec<Step> {
        let mut prefix = self.head();
        let mut at = Duration::ZERO;
        let mut steps = Vec::new();
        for (frame, content) in frames {
            let bytes = [std::mem::take(&mut prefix), chunk(&frame)].concat();
            steps.push(write(at, &bytes, content));
            at += GAP;
        }
        if steps.is_empty() {
            steps.push(write(at, &prefix, false));
        }
        steps
    }

    /// The three frames, then something else.
    fn texts_then(&self, last: Step) -> Tape {
        let mut steps = self.steps(self.texts());
        steps.push(last);
        Tape::closing(steps)
    }

    fn refuse(&self, status: u16, message: &str) -> Tape {
        let refusal = Refusal {
            status,
            message: message.to_owned(),
        };
        reply(&self.dialect.route.refuse(&refusal))
    }
}

/// When the step after these is due.
fn after(steps: &[Step]) -> Duration {
    GAP * u32::try_from(steps.len()).unwrap_or(u32::MAX)
}

fn reply(reply: &Reply) -> Tape {
    Tape::complete([write(Duration::ZERO, &reply.to_bytes(true), false)])
}

fn write(at: Duration, bytes: &[u8], content: bool) -> Step {
    Step::Write {
        at,
        bytes: bytes.to_vec(),
        content,
    }
}

/// Plausible figures for three tokens.
fn metrics() -> Metrics {
    Metrics {
        total: Duration::from_millis(16),
        load: Duration::from_millis(1),
        prompt_eval: Duration::from_millis(4),
        eval: Duration::from_millis(11),
        prompt_tokens: 5,
        output_tokens: 3,
    }
}

/// The bytes with the first occurrence of `from` replaced.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let found = bytes.windows(from.len()).position(|window| window == from);
    let Some(at) = found else {
        return bytes.to_vec();
    };
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// A head whose body ends with the connection.
fn closing_head(status: u16, content_type: &str, more: &str) -> Vec<u8> {
    head(
        status,
        content_type,
        &format!("Connection: close\r\n{more}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_case_once() {
        let mut names = names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in names {
            assert!(Fault::parse(name).is_some(), "{name}");
        }
        assert_eq!(
            Fault::parse("late-headers:ms=300").and_then(|fault| fault.time),
            Some(Duration::from_millis(300))
        );
        assert!(Fault::parse("status-503").is_some());
        for name in ["status-200", "status-x", "stall:s=1", "stall:ms=x", ""] {
            assert_eq!(Fault::parse(name), None, "{name}");
        }
    }

    #[test]
    fn replacing_touches_one_place() {
        assert_eq!(replace(b"a-b-c", b"-", b"++"), b"a++b-c");
        assert_eq!(replace(b"abc", b"x", b"y"), b"abc");
    }
}
