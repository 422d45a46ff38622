//! A connection whose reads and writes are stamped, below TLS and HTTP.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::Uri;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::clock::Carrier;
use super::kernel;
use crate::record::Clock;

/// What TLS trusts: the certificates of the machine, read once.
static TLS: LazyLock<Result<Arc<rustls::ClientConfig>, rustls::Error>> =
    LazyLock::new(|| rustls::ClientConfig::with_platform_verifier().map(Arc::new));

/// What HTTP is spoken over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

fn is_secure(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// Reads what connecting will need. On the timed thread that would hold up the stamps of others.
pub(super) fn prepare(url: &Uri) {
    if is_secure(url) {
        LazyLock::force(&TLS);
    }
}

/// Connects, with TLS where the address says so.
pub(super) async fn connect(url: &Uri) -> io::Result<(Box<dyn Socket>, Arc<Stamps>)> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, reason.to_owned());
    let host = url
        .host()
        .ok_or_else(|| invalid("the address names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secure = is_secure(url);
    let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    kernel::begin(&tcp);
    let stamps = Arc::new(Stamps::new());
    let stamped = Stamped {
        socket: tcp,
        carrier: Carrier::new(),
        stamps: Arc::clone(&stamps),
    };
    if !secure {
        return Ok((Box::new(stamped), stamps));
    }
    let config = TLS.clone().map_err(io::Error::other)?;
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|_| invalid("the host name cannot be used with TLS"))?;
    let tls = tokio_rustls::TlsConnector::from(config)
        .connect(name, stamped)
        .await?;
    Ok((Box::new(tls), stamps))
}

/// When a socket last read and wrote, in nanoseconds since `base`; 0 is never.
pub(super) struct Stamps {
    base: Instant,
    read: AtomicU64,
    by_kernel: AtomicBool,
    written: AtomicU64,
}

impl Stamps {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            read: AtomicU64::new(0),
            by_kernel: AtomicBool::new(false),
            written: AtomicU64::new(0),
        }
    }

    fn since_base(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.base).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }

    fn instant(&self, stamp: &AtomicU64) -> Option<Instant> {
        let nanoseconds = stamp.load(Ordering::Relaxed);
        (nanoseconds > 0).then(|| self.base + Duration::from_nanos(nanoseconds))
    }

    /// A read returned: its packet came at `stamp`, where the kernel said so.
    fn note_read(&self, stamp: Option<Instant>) {
        let at = self.since_base(stamp.unwrap_or_else(Instant::now));
        // Packets come one after another: what says otherwise is an error of a clock.
        self.read.fetch_max(at, Ordering::Relaxed);
        self.by_kernel.store(stamp.is_some(), Ordering::Relaxed);
    }

    fn note_write(&self, begun: Instant) {
        self.written
            .store(self.since_base(begun), Ordering::Relaxed);
    }

    /// When what was read last came, and by which clock.
    pub(super) fn read(&self) -> (Instant, Clock) {
        let clock = if self.by_kernel.load(Ordering::Relaxed) {
            Clock::Kernel
        } else {
            Clock::User
        };
        let at = self.instant(&self.read).unwrap_or_else(Instant::now);
        (at, clock)
    }

    /// When the last write began; `None` where there was none.
    pub(super) fn written(&self) -> Option<Instant> {
        self.instant(&self.written)
    }
}

/// A socket that stamps each read and write, below TLS and HTTP: a read with the arrival of its
/// last packet, where the kernel tells, else right after it returned; a write right before it began,
/// since whoever it is for can have it, and be at work, before it has returned.
/// HTTP reads only when it has handed on all it had, so the newest stamp is that of the read
/// which completed the piece in hand.
struct Stamped {
    socket: TcpStream,
    carrier: Carrier,
    stamps: Arc<Stamps>,
}

impl AsyncRead for Stamped {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            socket,
            carrier,
            stamps,
        } = self.get_mut();
        let before = buffer.filled().len();
        let stamp = ready!(kernel::poll_receive(socket, carrier, context, buffer))?;
        if buffer.filled().len() > before {
            stamps.note_read(stamp);
        }
        Poll::Ready(Ok(()))
    }
}

impl Stamped {
    /// Lets the socket write, and notes when that began if it took something.
    fn write(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let begun = Instant::now();
        let outcome = write(Pin::new(&mut self.socket));
        if matches!(outcome, Poll::Ready(Ok(written)) if written > 0) {
            self.stamps.note_write(begun);
        }
        outcome
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(|socket| socket.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|socket| socket.poll_write_vectored(context, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// The reader often has the bytes before the write has returned, so a later stamp would fail here.
    #[tokio::test]
    async fn nobody_has_what_was_written_before_the_stamp_of_its_write() {
        const WRITES: usize = 500;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (seen, mut reads) = tokio::sync::mpsc::unbounded_channel();
        let reader = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut byte = [0];
            while socket.read(&mut byte).unwrap() == 1 {
                seen.send(Instant::now()).unwrap();
            }
        });
        let (mut socket, stamps) = connect(&url.parse().unwrap()).await.unwrap();
        assert_eq!(stamps.written(), None);
        for _ in 0..WRITES {
            socket.write_all(b"x").await.unwrap();
            let (written, read) = (stamps.written().unwrap(), reads.recv().await.unwrap());
            assert!(written <= read, "{:?} too late", written - read);
        }
        drop(socket);
        reader.join().unwrap();
    }
}
