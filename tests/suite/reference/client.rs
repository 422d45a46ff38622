//! A plain HTTP client that shows the bytes as they came.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ollama_benchmarker::reference::Server;
use serde_json::Value;

pub struct Client {
    stream: TcpStream,
}

/// How the bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection was closed, or the whole body was there.
    Clean,
    /// The connection was reset.
    Reset,
}

/// An answer as it came.
pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The bytes after the head, framing included.
    pub wire: Vec<u8>,
    /// The body without chunk framing, as far as that holds.
    pub body: Vec<u8>,
    /// The body ended as HTTP says it should.
    pub complete: bool,
    pub end: End,
    /// From send to the first byte.
    pub first_byte: Duration,
}

impl Client {
    pub fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self { stream }
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    /// One request, after which the connection is closed.
    pub fn request(mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.send(
            method,
            path,
            &format!("Connection: close\r\n{headers}"),
            body,
        );
        self.answer(|_| false)
    }

    pub fn post(self, path: &str, body: &str) -> Answer {
        self.request("POST", path, "", body)
    }

    pub fn post_keeping(&mut self, path: &str, body: &str) -> Answer {
        self.send("POST", path, "", body);
        self.answer(is_whole)
    }

    pub fn request_keeping(&mut self, method: &str, path: &str) -> Answer {
        self.send(method, path, "", "");
        self.answer(is_whole)
    }

    /// What comes until the server closes, or `bytes` of it.
    pub fn read_some(&mut self, bytes: usize) -> Vec<u8> {
        let mut got = vec![0; bytes];
        self.stream.read_exact(&mut got).unwrap();
        got
    }

    /// Nothing comes, and the connection stays open, for so long.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let outcome = self.stream.read(&mut [0]);
        matches!(outcome, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        let _ = self.stream.read_to_end(&mut got);
        got
    }

    fn answer(&mut self, enough: impl Fn(&[u8]) -> bool) -> Answer {
        let sent = Instant::now();
        let mut first_byte = None;
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let end = loop {
            if enough(&bytes) {
                break End::Clean;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => break End::Clean,
                Ok(count) => {
                    first_byte.get_or_insert_with(|| sent.elapsed());
                    bytes.extend_from_slice(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
            }
        };
        Answer::parse(&bytes, end, first_byte.unwrap_or_default())
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    find(bytes, b"\r\n\r\n").is_some() && Answer::parse(bytes, End::Clean, Duration::ZERO).complete
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

impl Answer {
    fn parse(bytes: &[u8], end: End, first_byte: Duration) -> Self {
        let begin = find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..begin]).into_owned();
        let wire = bytes[begin..].to_vec();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        let mut answer = Self {
            status,
            head,
            body: wire.clone(),
            complete: true,
            wire,
            end,
            first_byte,
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            (answer.body, answer.complete) = unchunk(&answer.wire);
        } else if let Some(length) = answer.header("content-length") {
            answer.complete = length.parse() == Ok(answer.wire.len());
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap()
    }

    /// The objects of NDJSON.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        let lines = self.text().lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The objects of simple server-sent events, without `[DONE]`.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let data = self
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

/// The content of a chunked body as far as its framing holds, and whether it ends properly.
fn unchunk(mut wire: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = find(wire, b"\r\n") {
        let size = std::str::from_utf8(&wire[..at])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let (Some(size), rest) = (size, &wire[at + 2..]) else {
            return (body, false);
        };
        if size == 0 {
            return (body, rest == b"\r\n");
        }
        let Some(chunk) = rest.get(..size + 2) else {
            return (body, false);
        };
        body.extend_from_slice(&chunk[..size]);
        wire = &rest[size + 2..];
    }
    (body, false)
}
