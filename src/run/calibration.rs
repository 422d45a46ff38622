//! Finds the instrument's own error: times the reference server, which runs in a process of its own
//! and writes down when it really sent what, over the same path as any model server.

use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backend::stream::{Bounds, follow};
use crate::backend::transport::Transport;
use crate::backend::{Backend, BackendError, Ollama, SentAnswer, Words, sent_answers};
use crate::clock::Pair;
use crate::machine;
use crate::measure::timeline::{Outcome, Timeline};
use crate::measure::{CalibratedStream, clock_error};
use crate::record::{BenchmarkRequest, CalibrationLevel};

/// Chunks a second of each stream: as fast as a small model on a good card.
const CHUNKS_PER_SECOND: u32 = 100;
/// So long the first chunk waits, and so much longer for each stream: all of them shall be
/// connected before the first one writes.
const FIRST_CHUNK: Duration = Duration::from_millis(200);
const FIRST_CHUNK_EACH: Duration = Duration::from_millis(2);
/// The clocks of both processes are told by the wall clock. It may not move by more meanwhile.
const STEP: Duration = Duration::from_micros(20);
/// A clock pair fails where the thread is held up each time; so often it is tried.
const PAIRS: usize = 100;

/// One part of a calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Streams at once.
    pub streams: u32,
    /// How long they write.
    pub duration: Duration,
}

impl Level {
    fn chunks(&self) -> u32 {
        let chunks = self.duration.as_secs_f64() * f64::from(CHUNKS_PER_SECOND);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds times a hundred, bounded by the reference server's own limit"
        )]
        let chunks = chunks.min(20_000.0) as u32;
        chunks.max(2)
    }

    fn first_chunk(&self) -> Duration {
        FIRST_CHUNK + FIRST_CHUNK_EACH * self.streams
    }

    fn model(&self) -> String {
        format!(
            "script:tokens={},ttft={},gap={}",
            self.chunks(),
            self.first_chunk().as_millis(),
            1000 / CHUNKS_PER_SECOND
        )
    }

    /// How long it takes in all.
    pub fn expected(&self) -> Duration {
        self.first_chunk() + self.duration
    }
}

/// Why there is no calibration.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The reference server did not start.
    #[error("the reference server does not start: {0}")]
    Server(#[source] io::Error),
    /// It does not answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A stream broke.
    #[error("of {streams} streams, {failed} broke off, the first with: {reason}")]
    Streams {
        /// Streams in all.
        streams: u32,
        /// Streams that broke.
        failed: usize,
        /// Why.
        reason: String,
    },
    /// The clocks cannot be compared.
    #[error("the wall clock was set meanwhile, or cannot be read; calibrate again")]
    Clock,
    /// Something else came first.
    #[error("cancelled")]
    Cancelled,
}

/// Times the reference server.
pub struct Calibrator {
    /// The timed sockets.
    pub transport: Transport,
    /// Bounds of a request.
    pub bounds: Bounds,
}

impl Calibrator {
    /// Starts a reference server (`program` is this one's own file) and takes one level after
    /// another; tells `done` of each.
    pub async fn calibrate(
        &self,
        program: PathBuf,
        levels: &[Level],
        cancel: &CancellationToken,
        mut done: impl FnMut(&CalibrationLevel),
    ) -> Result<Vec<CalibrationLevel>, CalibrationError> {
        let server = tokio::task::spawn_blocking(move || Server::start(&program))
            .await
            .map_err(|error| CalibrationError::Server(io::Error::other(error)))?
            .map_err(CalibrationError::Server)?;
        let mut found = Vec::new();
        for level in levels {
            let level = self.level(&server.url, *level, cancel).await?;
            done(&level);
            found.push(level);
        }
        Ok(found)
    }

    /// Times the reference server at `url` with so many streams.
    pub async fn level(
        &self,
        url: &str,
        level: Level,
        cancel: &CancellationToken,
    ) -> Result<CalibrationLevel, CalibrationError> {
        let before = pair()?;
        let cpu_before = machine::own_cpu_time();
        let seen = self.streams(url, level, cancel).await?;
        let cpu_after = machine::own_cpu_time();
        let after = pair()?;
        let moved = before.wall_at(after.monotonic).unwrap_or_default();
        if moved.abs_diff(after.wall) > STEP {
            return Err(CalibrationError::Clock);
        }
        let sent = sent_answers(url).await?;
        let streams: Vec<CalibratedStream> = seen
            .iter()
            .filter_map(|seen| join(seen, &sent, after))
            .collect();
        let cpu_time = cpu_before.zip(cpu_after);
        let cpu_time = cpu_time.map(|(before, after)| after.saturating_sub(before));
        Ok(clock_error(
            &streams,
            f64::from(CHUNKS_PER_SECOND),
            cpu_time,
        ))
    }

    async fn streams(
        &self,
        url: &str,
        level: Level,
        cancel: &CancellationToken,
    ) -> Result<Vec<Seen>, CalibrationError> {
        let backend = Arc::new(Ollama::reference(url)?);
        let model = level.model();
        let mut streams = JoinSet::new();
        for stream in 0..level.streams {
            let prompt = format!("stream {stream} of {}", level.streams);
            let request = BenchmarkRequest::new(&prompt, vec![model.clone()]);
            let call = backend.call(&request, &model, Words::alone(&prompt));
            let (backend, transport) = (Arc::clone(&backend), self.transport.clone());
            let (bounds, cancel) = (self.bounds, cancel.clone());
            streams.spawn(async move {
                let decoder = backend.decoder();
                let (timeline, sent) =
                    follow(&transport, call, decoder, &bounds, cancel, &mut |_| {}).await;
                Seen {
                    prompt,
                    timeline,
                    sent,
                }
            });
        }
        let seen = streams.join_all().await;
        if cancel.is_cancelled() {
            return Err(CalibrationError::Cancelled);
        }
        let broken: Vec<&str> = seen.iter().filter_map(Seen::failure).collect();
        match broken.first() {
            None => Ok(seen),
            Some(first) => Err(CalibrationError::Streams {
                streams: level.streams,
                failed: broken.len(),
                reason: (*first).to_owned(),
            }),
        }
    }
}

/// A stream as it was seen here.
struct Seen {
    prompt: String,
    timeline: Timeline,
    sent: Option<Instant>,
}

impl Seen {
    fn failure(&self) -> Option<&str> {
        match &self.timeline.outcome {
            Outcome::Done { .. } => None,
            Outcome::Failed(error) => Some(&error.message),
        }
    }
}

/// Puts together what both sides saw of a stream, by the wall clock.
fn join(seen: &Seen, sent: &[SentAnswer], now: Pair) -> Option<CalibratedStream> {
    let theirs = sent.iter().rev().find(|it| it.prompt == seen.prompt)?;
    let request_sent = now.wall_at(seen.sent?)?;
    let chunks = seen.timeline.chunks.iter();
    Some(CalibratedStream {
        request_sent,
        arrivals: chunks.map(|it| (request_sent + it.at, it.clock)).collect(),
        request_received: theirs.received,
        sends: theirs.sends.clone(),
    })
}

fn pair() -> Result<Pair, CalibrationError> {
    (0..PAIRS)
        .find_map(|_| Pair::read())
        .ok_or(CalibrationError::Clock)
}

/// A reference server in a process of its own. It ends with its standard input, so with this
/// process too, however that ends.
struct Server {
    url: String,
    child: Child,
    alive: Option<ChildStdin>,
}

impl Server {
    fn start(program: &std::path::Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["reference", "--port", "0", "--one-core", "--until-eof"])
            .args(["--log", "error"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let alive = child.stdin.take();
        let mut url = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut url)?;
        }
        let server = Self {
            url: url.trim().to_owned(),
            child,
            alive,
        };
        if server.url.is_empty() {
            return Err(io::Error::other("it ended before it listened"));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.alive.take();
        // It ends by itself; a process that is not waited for would stay as a zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_asks_for_as_many_chunks_as_it_lasts() {
        let level = Level {
            streams: 16,
            duration: Duration::from_secs(2),
        };
        assert_eq!(level.model(), "script:tokens=200,ttft=232,gap=10");
        assert_eq!(level.expected(), Duration::from_millis(2232));
        let endless = Level {
            duration: Duration::MAX,
            ..level
        };
        assert_eq!(endless.chunks(), 20_000);
    }
}
