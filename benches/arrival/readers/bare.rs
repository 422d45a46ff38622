//! The limit: epoll, recvmsg, and a search for line ends. No HTTP, no JSON, no text.

use std::collections::HashMap;
use std::io::{IoSliceMut, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use ollama_benchmarker::backend::{SentAnswer, sent_answers};
use ollama_benchmarker::clock::Pair;
use ollama_benchmarker::machine;
use ollama_benchmarker::measure::{CalibratedStream, clock_error};
use ollama_benchmarker::record::Clock;

use super::{Found, RATE, flood, stay_on};

/// The end of a line that holds an object.
const LINE_END: &[u8] = b"}\n";

struct Stream {
    socket: TcpStream,
    prompt: String,
    sent: Instant,
    by_kernel: Vec<Duration>,
    by_user: Vec<Instant>,
}

impl Stream {
    fn open(address: &str, model: &str, prompt: String) -> Self {
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_nodelay(true).expect("no delay");
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("stamps");
        let body = format!("{{\"model\":\"{model}\",\"prompt\":\"{prompt}\"}}");
        let request = format!(
            "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).expect("a request");
        socket.set_nonblocking(true).expect("no waiting");
        Self {
            socket,
            prompt,
            sent: Instant::now(),
            by_kernel: Vec::new(),
            by_user: Vec::new(),
        }
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes
        .windows(LINE_END.len())
        .filter(|it| *it == LINE_END)
        .count()
}

pub fn paced(url: &str, streams: u32, seconds: u32) -> Found {
    stay_on(0);
    machine::allow_many_files();
    let address = url.trim_start_matches("http://");
    let tokens = RATE * seconds;
    let first = 200 + 2 * streams;
    let model = format!("script:tokens={tokens},ttft={first},gap={}", 1000 / RATE);
    let mut streams: Vec<Stream> = (0..streams)
        .map(|stream| Stream::open(address, &model, format!("bare {stream}")))
        .collect();
    let cpu = machine::own_cpu_time().unwrap_or_default();
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    for (place, stream) in (0..).zip(&streams) {
        epoll
            .add(&stream.socket, EpollEvent::new(EpollFlags::EPOLLIN, place))
            .expect("a socket to wait for");
    }
    read(&epoll, &mut streams, tokens as usize);
    let cpu = machine::own_cpu_time()
        .unwrap_or_default()
        .saturating_sub(cpu);
    let now = Pair::read().expect("both clocks");
    let answers = answers(url);
    let level = |by: &dyn Fn(&Stream) -> Vec<(Duration, Clock)>| {
        let joined = streams.iter().filter_map(|stream| {
            let theirs = answers.get(stream.prompt.as_str())?;
            let mut arrivals = by(stream);
            arrivals.truncate(tokens as usize);
            Some(CalibratedStream {
                request_sent: now.wall_at(stream.sent)?,
                arrivals,
                request_received: theirs.received,
                sends: theirs.sends.clone(),
            })
        });
        clock_error(&joined.collect::<Vec<_>>(), f64::from(RATE), Some(cpu))
    };
    Found {
        kernel: level(&|it| it.by_kernel.iter().map(|at| (*at, Clock::Kernel)).collect()),
        user: Some(level(&|it| {
            let at = it.by_user.iter().filter_map(|at| now.wall_at(*at));
            at.map(|at| (at, Clock::User)).collect()
        })),
    }
}

/// Reads until each stream has had so many lines and the one that says that it is done.
fn read(epoll: &Epoll, streams: &mut [Stream], tokens: usize) {
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut control = cmsg_space!(TimeSpec);
    let mut bytes = vec![0; 16 << 10];
    let mut open = streams.len();
    while open > 0 {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).expect("events");
        for event in &events[..ready] {
            let stream = &mut streams[usize::try_from(event.data()).expect("a place")];
            let mut slices = [IoSliceMut::new(&mut bytes)];
            let Ok(message) = recvmsg::<()>(
                stream.socket.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::empty(),
            ) else {
                continue;
            };
            let now = Instant::now();
            let size = message.bytes;
            let stamp = message.cmsgs().ok().and_then(|mut it| {
                it.find_map(|one| match one {
                    ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
                    _ => None,
                })
            });
            for _ in 0..lines(&bytes[..size]) {
                stream.by_user.push(now);
                stream.by_kernel.extend(stamp);
            }
            // The last line says that it is done.
            if size == 0 || stream.by_user.len() > tokens {
                let _ = epoll.delete(&stream.socket);
                open -= 1;
            }
        }
    }
}

fn answers(url: &str) -> HashMap<String, SentAnswer> {
    // Nothing here speaks TLS, but the client asks for it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answers = runtime.expect("a runtime").block_on(sent_answers(url));
    let answers = answers.expect("the server's own journal");
    answers
        .into_iter()
        .map(|it| (it.prompt.clone(), it))
        .collect()
}

/// Chunks a second that are there as fast as they can be read.
pub fn unpaced(url: &str) -> f64 {
    stay_on(0);
    let stream = Stream::open(url.trim_start_matches("http://"), "flood", "x".to_owned());
    stream.socket.set_nonblocking(false).expect("waiting");
    let mut control = cmsg_space!(TimeSpec);
    let mut bytes = vec![0; 16 << 10];
    let mut seen = 0;
    while seen < flood::CHUNKS {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(
            stream.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        );
        match message.map(|it| it.bytes) {
            Ok(size @ 1..) => seen += lines(&bytes[..size]),
            _ => break,
        }
    }
    seen as f64 / stream.sent.elapsed().as_secs_f64()
}
