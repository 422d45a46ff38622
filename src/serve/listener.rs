//! Accepts connections: so many and no more, without the kernel holding small writes back, and
//! none for a client that keeps a place without asking for anything.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use poem::Addr;
use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::Problem;

/// After a failed accept: out of file handles, trying again at once only burns a core.
const PAUSE: Duration = Duration::from_millis(100);

/// How long connections wait for others to end, before they are refused.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// When who was refused may come back, s.
const COME_BACK_AFTER: u32 = 5;
/// How long a client may take to read that.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of its request that are read meanwhile.
const MOST_IGNORED: u64 = 64 << 10;

/// The connections that there are.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<HashMap<SocketAddr, Arc<Client>>>>);

/// Who is at the other end of a connection.
#[derive(Default)]
struct Client {
    /// Requests that are being answered.
    requests: AtomicUsize,
    /// Cancelled when it has closed the connection. The framework lets an answer be made all the same.
    gone: CancellationToken,
}

impl Connections {
    /// Marks a client as one whose request is being answered, as long as the result lives: it may
    /// be silent meanwhile.
    pub fn answering(&self, client: &RemoteAddr) -> Option<Answering> {
        let Addr::SocketAddr(address) = client.0 else {
            return None;
        };
        let client = self.lock().get(&address).cloned()?;
        client.requests.fetch_add(1, Ordering::Relaxed);
        Some(Answering(client))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Client>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub struct Answering(Arc<Client>);

impl Answering {
    /// Cancelled when whoever asked has gone away.
    pub fn gone(&self) -> CancellationToken {
        self.0.gone.clone()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A listener with a bound. Connections beyond it wait in the kernel until others end, and are told to come back
/// where none does.
pub struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
    connections: Connections,
}

impl BoundedListener {
    /// At most `most` connections at once. One is given up that for `patience` neither brings a
    /// whole request nor takes what it is sent.
    pub fn new(listener: TcpListener, most: usize, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            listener,
            places,
            patience,
            connections: Connections::default(),
        }
    }

    /// The connections that it has accepted.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// A place for one more connection. As long as there is none, those that wait in the kernel are told so.
    async fn place(&mut self) -> io::Result<OwnedSemaphorePermit> {
        loop {
            let places = Arc::clone(&self.places);
            match timeout(LONGEST_WAIT, places.acquire_owned()).await {
                Ok(place) => return place.map_err(io::Error::other),
                Err(_) => self.refuse_all(),
            }
        }
    }

    /// Refuses every connection that waits.
    fn refuse_all(&mut self) {
        let mut refused = 0;
        while let Some(Ok((stream, _))) = self.listener.accept().now_or_never() {
            tokio::spawn(refuse(stream));
            refused += 1;
        }
        if refused > 0 {
            tracing::warn!(refused, "there are too many connections");
        }
    }
}

/// Tells a client to come back, and waits until it has read that: a connection that is closed with bytes of the
/// request unread takes the answer with it.
async fn refuse(mut stream: TcpStream) {
    let problem = Problem {
        retry_after: Some(COME_BACK_AFTER),
        ..Problem::new(503, "there are too many connections; try again later")
    };
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: {COME_BACK_AFTER}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MOST_IGNORED), &mut tokio::io::sink()).await
    };
    let _ = timeout(LAST_WORDS, told).await;
}

impl Acceptor for BoundedListener {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.listener
            .local_addr()
            .map(|address| LocalAddr(address.into()))
            .into_iter()
            .collect()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let place = self.place().await?;
        match self.listener.accept().await {
            Ok((stream, remote)) => {
                // An event is smaller than a packet: without this it waits for the packet before
                // it to be acknowledged, which takes 40 ms.
                stream.set_nodelay(true)?;
                let local = LocalAddr(stream.local_addr()?.into());
                let client = Arc::default();
                self.connections.lock().insert(remote, Arc::clone(&client));
                let connection = Connection {
                    stream,
                    remote,
                    client,
                    wrote: false,
                    patience: self.patience,
                    wait: Box::pin(sleep(self.patience)),
                    connections: self.connections(),
                    _place: place,
                };
                Ok((connection, local, RemoteAddr(remote.into()), Scheme::HTTP))
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                Err(error)
            }
        }
    }
}

/// A connection that gives its place back when it ends.
pub struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    client: Arc<Client>,
    /// Something was sent since the wait began.
    wrote: bool,
    patience: Duration,
    wait: Pin<Box<Sleep>>,
    connections: Connections,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Whether the client has had its time. Bytes that come do not count, or a header could take
    /// for ever; an answer in the making or on its way does.
    fn is_given_up(&mut self, context: &mut Context<'_>) -> bool {
        while self.wait.as_mut().poll(context).is_ready() {
            if self.client.requests.load(Ordering::Relaxed) == 0 && !self.wrote {
                return true;
            }
            self.wrote = false;
            self.wait.set(sleep(self.patience));
        }
        false
    }

    fn written(
        &mut self,
        bytes: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if bytes.is_ready() {
            self.wrote = true;
        } else if self.is_given_up(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        bytes
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.client.gone.cancel();
        self.connections.lock().remove(&self.remote);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let is_over = match &read {
            Poll::Ready(Ok(())) => room > 0 && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.client.gone.cancel();
        }
        // Nothing more is read: that is how a connection ends.
        if read.is_pending() && self.is_given_up(context) {
            return Poll::Ready(Ok(()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
