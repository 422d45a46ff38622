//! The timed sockets.
//!
//! They live on one thread with a runtime of its own, so that parsing, storing and drawing cannot
//! delay a stamp. What this thread does for a chunk: read, stamp, hand on. It knows HTTP, but no
//! model server: what the bytes mean is decided elsewhere, later.

mod alarm;
mod clock;
mod kernel;
mod room;
mod socket;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::alarm::Alarm;
use self::room::{Held, Room};
use self::socket::{Stamps, connect};
use super::stream::Call;
use crate::record::Clock;

/// Where no more requests go on than this, each chunk is told at once.
const FEW_STREAMS: usize = 16;
/// Where there are more, each is looked after so often: often enough to watch it live.
const MANY_INTERVAL: Duration = Duration::from_millis(50);
/// What is there again so soon comes faster than it is worth waking up for,
const FAST: Duration = Duration::from_micros(500);
/// and is let gather for so long.
const FAST_INTERVAL: Duration = Duration::from_millis(5);
/// Pieces that are taken at once.
const BATCH: usize = 1024;

/// When to give up.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Connecting.
    pub connect: Duration,
    /// From send to the first byte.
    pub first_byte: Duration,
    /// Between two bytes.
    pub idle: Duration,
    /// From send to the last byte.
    pub total: Duration,
}

/// Something that a timed socket saw.
#[derive(Debug)]
pub enum Arrival {
    /// The request went out, and nothing came back; of an answer the head tells it.
    Sent {
        /// Setting up the connection, before the send.
        connect: Duration,
        /// When the kernel was given the last byte of the request: whoever answers cannot have it earlier.
        sent: Instant,
    },
    /// Status and headers came.
    Head {
        /// Setting up the connection, before the send.
        connect: Duration,
        /// When the kernel was given the last byte of the request: whoever answers cannot have it earlier.
        sent: Instant,
        /// HTTP status.
        status: u16,
        /// Value of `Content-Encoding`.
        encoding: Option<String>,
        /// Value of `Location`.
        location: Option<String>,
    },
    /// Bytes of the body came.
    Data {
        /// When the packet that completed them came, as well as `clock` can tell.
        at: Instant,
        /// Who stamped them.
        clock: Clock,
        /// The bytes.
        bytes: Bytes,
        /// Their part of what may wait; free again when this is dropped.
        _room: Held,
    },
    /// The body ended as HTTP says it should.
    End,
    /// It did not.
    Failed(TransportError),
}

/// Why an answer did not come whole.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// What came is not HTTP.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(String),
    /// No first byte in time.
    #[error("no first byte within {0:?}; the model may still be loading")]
    FirstByte(Duration),
    /// The stream stalled.
    #[error("no byte for {0:?}")]
    Idle(Duration),
    /// All in all too long.
    #[error("not finished within {0:?}")]
    Total(Duration),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

struct Job {
    call: Call,
    deadlines: Deadlines,
    cancel: CancellationToken,
    arrivals: mpsc::UnboundedSender<Arrival>,
    ended: Arc<Notify>,
    _open: Open,
}

/// The way to the timed thread. It ends when the last copy is dropped.
#[derive(Clone)]
pub struct Transport {
    jobs: mpsc::UnboundedSender<Job>,
    open: Arc<AtomicUsize>,
}

/// A request that goes on, counted.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What comes back for one request, in order.
pub struct Arrivals {
    receiver: mpsc::UnboundedReceiver<Arrival>,
    batch: VecDeque<Arrival>,
    ended: Arc<Notify>,
    open: Arc<AtomicUsize>,
    /// When something was waited for last; `None` before the first time.
    waited: Option<Instant>,
}

impl Arrivals {
    /// Waits for the next one; `None` after the last. Where many requests go on, or one comes very
    /// fast, what came is taken in batches: waking a reader for every chunk would take more time
    /// from the timed thread than the chunk itself. The end is told at once all the same.
    pub async fn next(&mut self) -> Option<Arrival> {
        if let Some(arrival) = self.batch.pop_front() {
            return Some(arrival);
        }
        if let Some(pause) = self.pause() {
            tokio::select! {
                () = self.ended.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.waited = Some(Instant::now());
        let first = self.receiver.recv().await?;
        while self.batch.len() < BATCH
            && let Ok(more) = self.receiver.try_recv()
        {
            self.batch.push_back(more);
        }
        Some(first)
    }

    /// How long to let arrivals gather before the next batch.
    fn pause(&self) -> Option<Duration> {
        let waited = self.waited?;
        if self.open.load(Ordering::Relaxed) > FEW_STREAMS {
            Some(MANY_INTERVAL)
        } else {
            (waited.elapsed() < FAST).then_some(FAST_INTERVAL)
        }
    }
}

impl Transport {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        std::thread::Builder::new()
            .name("timed-sockets".into())
            .spawn(move || {
                let _stamping = kernel::Keeper::new();
                kernel::hurry();
                runtime.block_on(async move {
                    while let Some(job) = queue.recv().await {
                        tokio::spawn(carry_out(job));
                    }
                });
            })?;
        Ok(Self {
            jobs,
            open: Arc::default(),
        })
    }

    /// Sends a request. The socket closes as soon as `cancel` is cancelled or what is returned is
    /// dropped.
    pub fn send(&self, call: Call, deadlines: Deadlines, cancel: CancellationToken) -> Arrivals {
        let (arrivals, receiver) = mpsc::unbounded_channel();
        let ended = Arc::new(Notify::new());
        socket::prepare(&call.url);
        // The thread outlives every sender; were it gone, the receiver would end at once and
        // the reader report a broken connection.
        let _ = self.jobs.send(Job {
            call,
            deadlines,
            cancel,
            arrivals,
            ended: Arc::clone(&ended),
            _open: Open::new(&self.open),
        });
        Arrivals {
            receiver,
            batch: VecDeque::new(),
            ended,
            open: Arc::clone(&self.open),
            waited: None,
        }
    }
}

async fn carry_out(job: Job) {
    let Job {
        call,
        deadlines,
        cancel,
        arrivals,
        ended,
        _open,
    } = job;
    // In a task of its own, so that a chunk wakes nothing but what reads it.
    let mut work = tokio::spawn(exchange(call, deadlines, arrivals.clone()));
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            end(work).await;
            Err(TransportError::Cancelled)
        }
        () = arrivals.closed() => return end(work).await,
        outcome = &mut work => outcome.unwrap_or_else(|error| {
            Err(TransportError::Broken(error.to_string()))
        }),
    };
    let last = outcome.map_or_else(Arrival::Failed, |()| Arrival::End);
    let _ = arrivals.send(last);
    ended.notify_one();
}

/// Closes the socket.
async fn end(work: JoinHandle<Result<(), TransportError>>) {
    work.abort();
    let _ = work.await;
}

async fn exchange(
    call: Call,
    deadlines: Deadlines,
    arrivals: mpsc::UnboundedSender<Arrival>,
) -> Result<(), TransportError> {
    let begun = Instant::now();
    let address = call.address();
    let refused = |reason: String| TransportError::Connect {
        address: address.clone(),
        reason,
    };
    let (io, stamps) = tokio::time::timeout(deadlines.connect, connect(&call.url))
        .await
        .map_err(|_| refused(format!("no connection within {:?}", deadlines.connect)))?
        .map_err(|error| refused(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
        .await
        .map_err(|error| TransportError::Broken(error.to_string()))?;
    let connect = begun.elapsed();
    let request = request(&call).map_err(|error| refused(error.to_string()))?;

    if let Some(due) = call.due {
        kernel::sleep_until(due).await;
    }
    let conversation = async {
        let send_begun = Instant::now();
        let answer = tokio::time::timeout(
            deadlines.first_byte.min(deadlines.total),
            sender.send_request(request),
        )
        .await
        .map_err(|_| too_late(deadlines))
        .and_then(|answer| answer.map_err(|error| classify(&error)));
        let sent = stamps.written().unwrap_or(send_begun);
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let _ = arrivals.send(Arrival::Sent { connect, sent });
                return Err(error);
            }
        };
        let _ = arrivals.send(head(&response, connect, sent));
        read_body(response.into_body(), &stamps, sent, deadlines, &arrivals).await
    };
    // The connection is driven in this task: dropping the task closes the socket at once.
    let mut connection = std::pin::pin!(connection);
    let mut conversation = std::pin::pin!(conversation);
    let mut connected = true;
    loop {
        tokio::select! {
            biased;
            _ = &mut connection, if connected => connected = false,
            outcome = &mut conversation => return outcome,
        }
    }
}

fn too_late(deadlines: Deadlines) -> TransportError {
    if deadlines.total < deadlines.first_byte {
        TransportError::Total(deadlines.total)
    } else {
        TransportError::FirstByte(deadlines.first_byte)
    }
}

async fn read_body(
    mut body: Incoming,
    stamps: &Stamps,
    sent: Instant,
    deadlines: Deadlines,
    arrivals: &mpsc::UnboundedSender<Arrival>,
) -> Result<(), TransportError> {
    let room = Room::default();
    let mut alarm = std::pin::pin!(Alarm::new(sent, deadlines));
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            error = &mut alarm => return Err(error),
        };
        match frame {
            None => return Ok(()),
            Some(Err(error)) => return Err(classify(&error)),
            Some(Ok(frame)) => {
                let (at, clock) = stamps.read();
                // Against a flood the alarm never has its turn.
                if at.saturating_duration_since(sent) > deadlines.total {
                    return Err(TransportError::Total(deadlines.total));
                }
                let Ok(bytes) = frame.into_data() else {
                    continue;
                };
                let held = room.hold(bytes.len()).await;
                let arrival = Arrival::Data {
                    at,
                    clock,
                    bytes,
                    _room: held,
                };
                if arrivals.send(arrival).is_err() {
                    return Ok(());
                }
                // Waiting for room is no silence of the server.
                alarm.as_mut().postpone(Instant::now());
            }
        }
    }
}

fn request(call: &Call) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut builder = Request::post(call.url.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, call.address())
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("ollama-benchmarker/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::ACCEPT, "*/*");
    if let Some(token) = call.token.reveal() {
        builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    builder.body(Full::new(call.body.clone()))
}

fn head(response: &Response<Incoming>, connect: Duration, sent: Instant) -> Arrival {
    let text = |name| {
        response
            .headers()
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
    };
    Arrival::Head {
        connect,
        sent,
        status: response.status().as_u16(),
        encoding: text(header::CONTENT_ENCODING),
        location: text(header::LOCATION),
    }
}

fn classify(error: &hyper::Error) -> TransportError {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    if error.is_parse() || error.is_parse_too_large() {
        TransportError::NotHttp(text)
    } else {
        TransportError::Broken(text)
    }
}
