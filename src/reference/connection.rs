//! One client's connection: reads requests, plays answers, watches whether the client is still
//! there, and stamps every send.

use std::io;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::State;
use super::generation::Answer;
use super::http::{self, Malformed, Progress, Request};
use super::journal::{Journal, SendInterval};
use super::routes::{self, Arrival};
use super::tape::{Step, Tape};

/// Longest time that a client may take for its next request.
const IDLE: Duration = Duration::from_mins(5);
/// How long a client that was refused may take to read why, before the connection is closed.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const READ_SIZE: usize = 16 << 10;
/// Bytes of further requests that a client may send while it is being answered.
const MAX_AHEAD: usize = 1 << 20;

/// How playing a tape ended.
enum Played {
    /// To its end.
    Whole,
    /// With a reset of the connection.
    Reset,
    /// The client left.
    Left,
}

/// How reading a request ended.
enum Read {
    Request(Box<Request>, Arrival),
    Refused(Malformed),
    Left,
}

/// Serves a connection until either side ends it.
pub async fn serve(mut stream: TcpStream, state: &State) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut inbox = Vec::new();
    let mut newest = None;
    loop {
        let (mut reader, mut writer) = stream.split();
        let (request, arrival) = match read(&mut reader, &mut writer, &mut inbox).await {
            Read::Request(request, arrival) => (request, arrival),
            Read::Refused(malformed) => {
                refuse(&mut reader, &mut writer, malformed).await;
                return;
            }
            Read::Left => {
                if let Some(id) = newest {
                    state.journal.closed(id, Instant::now());
                }
                return;
            }
        };
        let (answer, id) = routes::answer(state, &request, arrival);
        newest = id.or(newest);
        let (tape, _stay) = match answer {
            Answer::Later(tape, stay) => (tape, stay),
            Answer::Now(reply) => {
                let bytes = reply.to_bytes(request.method != "HEAD");
                let at = Duration::ZERO;
                (
                    Tape::complete([Step::Write {
                        at,
                        bytes,
                        content: false,
                    }]),
                    None,
                )
            }
        };
        let reusable = tape.reusable && request.keep_alive;
        let log = Log {
            journal: &state.journal,
            id,
            received: arrival.received,
        };
        let played = tokio::select! {
            biased;
            () = gone(&mut reader, &mut inbox) => Played::Left,
            played = play(&mut writer, tape, log) => played,
        };
        match played {
            Played::Left => {
                if let Some(id) = id {
                    state.journal.closed(id, Instant::now());
                }
                return;
            }
            Played::Reset => {
                // With no time to linger, closing sends a reset instead of an end.
                let _ = stream.set_zero_linger();
                return;
            }
            Played::Whole if reusable => log.finished(),
            Played::Whole => {
                log.finished();
                let _ = writer.shutdown().await;
                return;
            }
        }
    }
}

/// Reads the next request.
async fn read(reader: &mut ReadHalf<'_>, writer: &mut WriteHalf<'_>, inbox: &mut Vec<u8>) -> Read {
    let mut invited = false;
    let mut received = Instant::now();
    loop {
        match http::parse(inbox) {
            Err(malformed) => return Read::Refused(malformed),
            Ok(Progress::Whole(request, length)) => {
                inbox.drain(..length);
                return Read::Request(
                    request,
                    Arrival {
                        received,
                        received_at: Utc::now(),
                    },
                );
            }
            Ok(Progress::Partial { continue_wanted }) => {
                if continue_wanted && !invited {
                    invited = true;
                    if writer
                        .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                        .await
                        .is_err()
                    {
                        return Read::Left;
                    }
                }
            }
        }
        inbox.reserve(READ_SIZE);
        match tokio::time::timeout(IDLE, reader.read_buf(inbox)).await {
            Ok(Ok(1..)) => received = Instant::now(),
            Ok(Ok(0) | Err(_)) | Err(_) => return Read::Left,
        }
    }
}

/// Refuses what was sent, and takes in the rest of it: closing with bytes unread would reset the
/// connection and could take the refusal with it.
async fn refuse(reader: &mut ReadHalf<'_>, writer: &mut WriteHalf<'_>, malformed: Malformed) {
    let farewell = async {
        writer.write_all(&malformed.to_bytes()).await?;
        writer.shutdown().await?;
        let mut rest = vec![0; READ_SIZE];
        while reader.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Ends when the client has closed its side. What it sends meanwhile waits in the inbox.
async fn gone(reader: &mut ReadHalf<'_>, inbox: &mut Vec<u8>) {
    while inbox.len() < MAX_AHEAD {
        inbox.reserve(READ_SIZE);
        if matches!(reader.read_buf(inbox).await, Ok(0) | Err(_)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Where the sends of one answer are written down.
#[derive(Clone, Copy)]
struct Log<'a> {
    journal: &'a Journal,
    id: Option<u64>,
    received: Instant,
}

impl Log<'_> {
    /// Writes, and writes down when.
    async fn write(
        &self,
        writer: &mut WriteHalf<'_>,
        bytes: &[u8],
        content: bool,
    ) -> io::Result<()> {
        let began = Instant::now();
        writer.write_all(bytes).await?;
        let returned = Instant::now();
        if let Some(id) = self.id.filter(|_| content) {
            self.journal.sent(id, SendInterval { began, returned });
        }
        Ok(())
    }

    fn finished(&self) {
        if let Some(id) = self.id {
            self.journal.finished(id);
        }
    }

    async fn wait(&self, at: Duration) {
        let due = self.received + at;
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

async fn play(writer: &mut WriteHalf<'_>, tape: Tape, log: Log<'_>) -> Played {
    for step in tape.steps {
        match perform(writer, step, log).await {
            Ok(None) => {}
            Ok(Some(end)) => return end,
            Err(_) => return Played::Left,
        }
    }
    Played::Whole
}

async fn perform(
    writer: &mut WriteHalf<'_>,
    step: Step,
    log: Log<'_>,
) -> io::Result<Option<Played>> {
    match step {
        Step::Write { at, bytes, content } => {
            log.wait(at).await;
            log.write(writer, &bytes, content).await?;
        }
        Step::Bytewise {
            bytes,
            gap,
            content,
        } => {
            let last = bytes.len().saturating_sub(1);
            for (place, byte) in bytes.chunks(1).enumerate() {
                log.write(writer, byte, content && place == last).await?;
                rest(gap).await;
            }
        }
        Step::Endless {
            bytes,
            gap,
            content,
        } => loop {
            log.write(writer, &bytes, content).await?;
            rest(gap).await;
        },
        Step::Stall => std::future::pending().await,
        Step::Reset { at } => {
            log.wait(at).await;
            return Ok(Some(Played::Reset));
        }
    }
    Ok(None)
}

/// Sleeps; a timer of no time at all would still take a millisecond.
async fn rest(gap: Duration) {
    if gap.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(gap).await;
    }
}
