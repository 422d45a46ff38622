//! The built-in model server: real sockets, real protocols, scripted text and known timing.
//!
//! It is what tests, calibration and a first look without any model server run against. It speaks
//! Ollama's protocol (`/api/…`) and OpenAI's (`/v1/…`) on a thread and a runtime of its own, so
//! that its timing does not depend on who starts it, and it writes down when it really sent what
//! ([`Server::requests`], `GET /reference/requests`). It runs no language model and knows nothing
//! of the rest of the program.
//!
//! | model | cold load | first token | output |
//! |---|---|---|---|
//! | `steady` | – | 50 ms | 64 tokens, one every 10 ms |
//! | `bursty` | – | 80 ms | 64 tokens, 8 together every 80 ms |
//! | `slow-start` | 400 ms | 300 ms | 64 tokens, one every 5 ms |
//! | `thinking` | – | 50 ms | 24 tokens of thinking, then 40 of answer, one every 10 ms |
//! | `embedding` | – | – | vectors of 64 numbers, at once, on `/api/embed` and `/v1/embeddings`: see [`embeddings`] |
//! | `script:KEY=VALUE,…` | `load` | `ttft` | `tokens`, `thinking`, `gap`, `burst`, `chunk`, …: see [`catalogue`] |
//! | `fault-…` | – | – | what can go wrong on the wire, one model a case: see [`faults`] |
//!
//! The first five are listed by `/api/tags` and `/v1/models`; the others are found by their name.
//! Times count from the arrival of the whole request, and from the end of loading where a model
//! has to load. Tokio's timer wakes up to a millisecond late: the stamps tell the truth, the table
//! the intention.

pub mod catalogue;
mod connection;
mod dialect;
pub mod embeddings;
pub mod faults;
mod generation;
mod http;
mod journal;
mod ollama;
mod openai;
mod question;
mod residents;
mod routes;
mod structured;
mod tape;
mod words;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use journal::{SeenRequest, SendInterval};

use journal::Journal;
use residents::Residents;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Most connections at once; further ones wait.
const MAX_CONNECTIONS: usize = 4096;
/// Rest after a failed accept, which is most often a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running reference server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    journal: Arc<Journal>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What all connections share.
struct State {
    journal: Arc<Journal>,
    residents: Residents,
    /// Only this machine can reach the server, so foreign host names and origins are refused.
    loopback: bool,
}

impl Server {
    /// Starts a server; port 0 takes a free one. It is reachable when this returns. Its thread runs
    /// where the calling one may.
    pub fn start(addr: SocketAddr) -> io::Result<Self> {
        let journal = Arc::new(Journal::default());
        let stop = CancellationToken::new();
        let (report, started) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("reference-server".into())
            .spawn({
                let (journal, stop) = (Arc::clone(&journal), stop.clone());
                move || run(addr, journal, &stop, &report)
            })?;
        let addr = started
            .recv()
            .map_err(|_| io::Error::other("the reference server ended while it started"))??;
        Ok(Self {
            addr,
            journal,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The last requests that asked for a model, oldest first, with the instants of every send.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.journal.requests()
    }

    /// Closes every connection and waits until the thread has ended.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It ends at its next wake-up; a panic in it has already been printed.
            let _ = thread.join();
        }
    }
}

/// The server's thread: reports where it listens, then serves until it is stopped.
fn run(
    addr: SocketAddr,
    journal: Arc<Journal>,
    stop: &CancellationToken,
    report: &mpsc::SyncSender<io::Result<SocketAddr>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let listener = listen(addr)?;
            let addr = listener.local_addr()?;
            let _ = report.send(Ok(addr));
            let state = State {
                journal,
                residents: Residents::default(),
                loopback: addr.ip().is_loopback(),
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = accept(&listener, Arc::new(state)) => {}
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        let _ = report.send(Err(error));
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: &TcpListener, state: Arc<State>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    connection::serve(stream, &state).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "the reference server cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
