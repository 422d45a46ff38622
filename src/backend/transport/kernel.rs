//! Reading from a socket together with the stamp that the kernel gave the packet.
//!
//! On Linux every packet gets its stamp when it comes, long before a thread wakes up to read it
//! (`SO_TIMESTAMPNS`, socket(7)); for TCP a read gives the stamp of the last packet that it took
//! from (`tcp_recvmsg` in the kernel's source). Elsewhere there is none.

#[cfg(target_os = "linux")]
pub(super) use linux::{Keeper, begin, hurry, poll_receive, sleep_until};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{Keeper, begin, hurry, poll_receive, sleep_until};

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::RefCell;
    use std::io::{self, IoSliceMut};
    use std::net::UdpSocket;
    use std::os::fd::{AsFd, AsRawFd};
    use std::task::{Context, Poll, ready};
    use std::time::{Duration, Instant};

    use nix::cmsg_space;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use rustix::process::setpriority_process;
    use tokio::io::unix::AsyncFd;
    use tokio::io::{Interest, ReadBuf};
    use tokio::net::TcpStream;

    use super::super::clock::Carrier;

    /// Bytes that are read at once: many chunks of a model, and little enough to copy.
    const READ_BYTES: usize = 16 << 10;

    /// Before everything ordinary; see sched(7).
    const PRIORITY: i32 = -10;

    /// What all sockets of a thread use in turn.
    struct Desk {
        bytes: Vec<u8>,
        control: Vec<u8>,
    }

    thread_local! {
        static DESK: RefCell<Desk> = RefCell::new(Desk {
            bytes: vec![0; READ_BYTES],
            control: cmsg_space!(TimeSpec),
        });
    }

    /// Keeps the kernel stamping. It begins to, a little late, when the first socket asks for it
    /// and ends with the last one: the first packets of a lone request would have no stamp.
    pub struct Keeper {
        _socket: Option<UdpSocket>,
    }

    impl Keeper {
        /// Asks for stamps from now on.
        pub fn new() -> Self {
            let socket = UdpSocket::bind(("127.0.0.1", 0))
                .ok()
                .filter(|socket| setsockopt(socket, sockopt::ReceiveTimestampns, &true).is_ok());
            Self { _socket: socket }
        }
    }

    /// Has this thread run before others, where the system grants that: what is read late may
    /// have come together with what came after it.
    pub fn hurry() {
        let _ = setpriority_process(None, PRIORITY);
    }

    /// Asks for stamps of what will come over this socket. Where the system refuses, there are
    /// none, and the time of the read has to do.
    pub fn begin(socket: &TcpStream) {
        let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &true);
    }

    /// Sleeps until then by a timer of the kernel's own (`timerfd_create(2)`): the runtime's timers
    /// go by whole milliseconds. Where there is none to be had, by those.
    pub async fn sleep_until(due: Instant) {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if precisely(left).await.is_err() {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    async fn precisely(left: Duration) -> io::Result<()> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let expiration = Expiration::OneShot(TimeSpec::from(left));
        timer.set(expiration, TimerSetTimeFlags::empty())?;
        let timer = timer.as_fd().try_clone_to_owned()?;
        #[expect(
            deprecated,
            reason = "the other way is unsafe code; an owned descriptor is neither replaced nor closed meanwhile"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        timer.readable().await?.retain_ready();
        Ok(())
    }

    /// Reads what is there; with the moment when its last packet came, where the kernel says so
    /// and the clocks can be told.
    pub fn poll_receive(
        socket: &mut TcpStream,
        carrier: &mut Carrier,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Instant>>> {
        loop {
            ready!(socket.poll_read_ready(context))?;
            let mut received = None;
            let tried = socket.try_io(Interest::READABLE, || {
                let (stamp, drained) = DESK.with_borrow_mut(|desk| desk.receive(socket, buffer))?;
                received = Some(stamp.and_then(|stamp| carrier.carry(stamp)));
                // A read that left room took everything: the next one would find nothing. Saying so
                // spares it; what comes meanwhile wakes this task again.
                if drained {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (received, tried) {
                (Some(stamp), _) => return Poll::Ready(Ok(stamp)),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }

    impl Desk {
        /// Reads once; the stamp of the last packet, and whether nothing is left.
        fn receive(
            &mut self,
            socket: &TcpStream,
            buffer: &mut ReadBuf<'_>,
        ) -> io::Result<(Option<Duration>, bool)> {
            let most = buffer.remaining().min(READ_BYTES);
            let mut slices = [IoSliceMut::new(&mut self.bytes[..most])];
            let message = recvmsg::<()>(
                socket.as_raw_fd(),
                &mut slices,
                Some(&mut self.control),
                MsgFlags::empty(),
            )?;
            let size = message.bytes;
            let stamp = message
                .cmsgs()
                .ok()
                .and_then(|mut messages| messages.find_map(|message| wall(&message)));
            buffer.put_slice(&self.bytes[..size]);
            Ok((stamp, size > 0 && size < most))
        }
    }

    fn wall(message: &ControlMessageOwned) -> Option<Duration> {
        let ControlMessageOwned::ScmTimestampns(stamp) = message else {
            return None;
        };
        let seconds = u64::try_from(stamp.tv_sec()).ok()?;
        let nanoseconds = u32::try_from(stamp.tv_nsec()).ok()?;
        Some(Duration::new(seconds, nanoseconds))
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::Instant;

    use tokio::io::{AsyncRead, ReadBuf};
    use tokio::net::TcpStream;

    use super::super::clock::Carrier;

    /// There is nothing to keep.
    pub struct Keeper;

    impl Keeper {
        /// Does nothing.
        pub fn new() -> Self {
            Self
        }
    }

    /// Does nothing.
    pub fn hurry() {}

    /// Sleeps until about then.
    pub async fn sleep_until(due: Instant) {
        tokio::time::sleep_until(due.into()).await;
    }

    /// Nothing to ask for.
    pub fn begin(_socket: &TcpStream) {}

    /// Reads what is there; no stamp comes with it.
    pub fn poll_receive(
        socket: &mut TcpStream,
        _carrier: &mut Carrier,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Instant>>> {
        ready!(Pin::new(socket).poll_read(context, buffer))?;
        Poll::Ready(Ok(None))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::time::{Duration, Instant};

    use tokio::io::ReadBuf;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::clock::Carrier;
    use super::{Keeper, begin, poll_receive};

    const LATE: Duration = Duration::from_millis(200);

    /// The kernel begins to stamp a little after it was asked to.
    async fn connection() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        begin(&socket);
        let peer = listener.accept().await.unwrap().0.into_std().unwrap();
        peer.set_nonblocking(false).unwrap();
        tokio::time::sleep(LATE).await;
        (socket, peer)
    }

    async fn receive(
        socket: &mut TcpStream,
        carrier: &mut Carrier,
        room: usize,
    ) -> (Vec<u8>, Option<Instant>) {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        let stamp = poll_fn(|context| poll_receive(socket, carrier, context, &mut buffer))
            .await
            .unwrap();
        (buffer.filled().to_vec(), stamp)
    }

    #[tokio::test]
    async fn a_reader_that_is_late_still_has_the_time_of_the_packet() {
        let _stamping = Keeper::new();
        let (mut socket, mut peer) = connection().await;
        let mut carrier = Carrier::new();
        for text in ["first", "second"] {
            let began = Instant::now();
            peer.write_all(text.as_bytes()).unwrap();
            let written = Instant::now();
            std::thread::sleep(LATE);
            let (bytes, stamp) = receive(&mut socket, &mut carrier, 100).await;
            assert_eq!(bytes, text.as_bytes());
            // Without a pair of readings there is none; a machine that never gives one is broken.
            let stamp = stamp.expect("the kernel stamps");
            assert!(
                stamp + Duration::from_millis(1) > began,
                "stamped before it was sent"
            );
            assert!(stamp < written + LATE / 2, "stamped when it was read");
        }
    }

    #[tokio::test]
    async fn small_reads_take_everything_and_the_end_is_seen() {
        let (mut socket, mut peer) = connection().await;
        let mut carrier = Carrier::new();
        peer.write_all(b"0123456789").unwrap();
        let mut got = Vec::new();
        while got.len() < 10 {
            got.extend(receive(&mut socket, &mut carrier, 3).await.0);
        }
        assert_eq!(got, b"0123456789");
        let later = tokio::task::spawn_blocking(move || {
            std::thread::sleep(LATE);
            peer.write_all(b"more").unwrap();
        });
        assert_eq!(receive(&mut socket, &mut carrier, 100).await.0, b"more");
        later.await.unwrap();
        assert_eq!(
            receive(&mut socket, &mut carrier, 100).await.0,
            b"",
            "closed"
        );
    }
}
