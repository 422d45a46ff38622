//! HTTP/1.1 as far as a model server needs it: reading a request, wording an answer. No sockets.
//!
//! Written by hand because the faults have to reach the bytes on the wire.

use std::fmt::Write;

use chrono::Utc;
use serde::Serialize;

/// Largest head of a request, bytes.
const MAX_HEAD: usize = 64 << 10;
/// Most headers of a request.
const MAX_HEADERS: usize = 100;
/// Largest body of a request, bytes.
pub const MAX_BODY: usize = 64 << 20;

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method, such as `POST`.
    pub method: String,
    /// Path without its query.
    pub path: String,
    /// `Host`, if there is one.
    pub host: Option<String>,
    /// `Origin`, if there is one.
    pub origin: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The client wants to use the connection again.
    pub keep_alive: bool,
}

/// A request that cannot be answered as asked: the status to refuse it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub u16);

/// How far a request has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed. `continue_wanted`: the client waits for leave to send its body.
    Partial {
        /// See there.
        continue_wanted: bool,
    },
    /// It is whole, and this many bytes long.
    Whole(Box<Request>, usize),
}

enum BodyLength {
    Known(usize),
    Chunked,
}

/// Reads the request at the beginning of the bytes.
pub fn parse(bytes: &[u8]) -> Result<Progress, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let begin = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD => return Err(Malformed(431)),
        Ok(httparse::Status::Partial) => {
            return Ok(Progress::Partial {
                continue_wanted: false,
            });
        }
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed(431)),
        Err(_) => return Err(Malformed(400)),
    };
    if head.version != Some(1) {
        return Err(Malformed(505));
    }
    let header = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    let body = match (header("transfer-encoding"), header("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => BodyLength::Chunked,
        (Some(_), _) => return Err(Malformed(501)),
        (None, Some(length)) => BodyLength::Known(length.parse().map_err(|_| Malformed(400))?),
        (None, None) => BodyLength::Known(0),
    };
    let Some((body, length)) = take_body(&bytes[begin..], &body)? else {
        let waits =
            header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        return Ok(Progress::Partial {
            continue_wanted: waits && bytes.len() == begin,
        });
    };
    let target = head.path.unwrap_or("/");
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: target.split('?').next().unwrap_or(target).to_owned(),
        host: header("host"),
        origin: header("origin"),
        body,
        keep_alive: !header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    };
    Ok(Progress::Whole(Box::new(request), begin + length))
}

/// The body and its length on the wire; `None` where it is not all there.
fn take_body(bytes: &[u8], length: &BodyLength) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    match *length {
        BodyLength::Known(length) if length > MAX_BODY => Err(Malformed(413)),
        BodyLength::Known(length) => Ok(bytes.get(..length).map(|body| (body.to_vec(), length))),
        BodyLength::Chunked => unchunk(bytes),
    }
}

/// Reads a chunked body without trailers (RFC 9112, section 7.1).
fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let mut body = Vec::new();
    let mut position = 0;
    loop {
        let size = httparse::parse_chunk_size(&bytes[position..]).map_err(|_| Malformed(400))?;
        let httparse::Status::Complete((line, size)) = size else {
            return Ok(None);
        };
        let size = usize::try_from(size).map_err(|_| Malformed(413))?;
        if size > MAX_BODY - body.len() {
            return Err(Malformed(413));
        }
        let begin = position + line;
        let Some(chunk) = bytes.get(begin..begin + size + 2) else {
            return Ok(None);
        };
        let Some(data) = chunk.strip_suffix(b"\r\n") else {
            return Err(Malformed(400));
        };
        body.extend_from_slice(data);
        position = begin + size + 2;
        if size == 0 {
            return Ok(Some((body, position)));
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`; none where it is empty.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// JSON, escaped as Go does it.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        Self {
            status,
            content_type: "application/json; charset=utf-8",
            body: go_json(body).into_bytes(),
        }
    }

    /// Plain text.
    pub fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain",
            body: body.as_bytes().to_vec(),
        }
    }

    /// The bytes on the wire; for a HEAD request without the body.
    pub fn to_bytes(&self, with_body: bool) -> Vec<u8> {
        let mut bytes = head(
            self.status,
            self.content_type,
            &format!("Content-Length: {}\r\n", self.body.len()),
        );
        if with_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// The head of an answer; `more` are further header lines, each with its end.
pub fn head(status: u16, content_type: &str, more: &str) -> Vec<u8> {
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let kind = if content_type.is_empty() {
        String::new()
    } else {
        format!("Content-Type: {content_type}\r\n")
    };
    format!(
        "HTTP/1.1 {status} {}\r\n{kind}Date: {date}\r\n{more}\r\n",
        reason(status)
    )
    .into_bytes()
}

/// The head of an answer that comes in chunks.
pub fn chunked_head(content_type: &str) -> Vec<u8> {
    head(200, content_type, "Transfer-Encoding: chunked\r\n")
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

/// JSON as Go's encoder writes it: `<`, `>`, `&` and the two line separators are escaped. They
/// occur nowhere but inside strings.
pub fn go_json(value: &impl Serialize) -> String {
    // Strings and numbers with string keys cannot fail to become JSON.
    let json = serde_json::to_string(value).unwrap_or_default();
    let special = |character| matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    if !json.contains(special) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if special(character) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

impl Malformed {
    /// The answer to it, after which the connection is closed.
    pub fn to_bytes(self) -> Vec<u8> {
        head(self.0, "", "Connection: close\r\nContent-Length: 0\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &[u8] =
        b"POST /api/generate?x=1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 4\r\n\r\nbodyGET";

    #[test]
    fn a_request_is_read_wherever_it_is_cut() {
        for cut in 0..POST.len() - 3 {
            let partial = Progress::Partial {
                continue_wanted: false,
            };
            assert_eq!(parse(&POST[..cut]), Ok(partial), "{cut}");
        }
        let Ok(Progress::Whole(request, length)) = parse(POST) else {
            panic!("not whole");
        };
        assert_eq!(length, POST.len() - 3, "what follows is another request");
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/api/generate")
        );
        assert_eq!(request.body, b"body");
        assert_eq!(request.host.as_deref(), Some("a:1"));
        assert!(request.keep_alive);
    }

    #[test]
    fn a_chunked_request_is_read() {
        let bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let Ok(Progress::Whole(request, length)) = parse(bytes) else {
            panic!("not whole");
        };
        assert_eq!(
            (request.body.as_slice(), length),
            (&b"abcde"[..], bytes.len())
        );
        assert_eq!(
            parse(&bytes[..bytes.len() - 4]),
            Ok(Progress::Partial {
                continue_wanted: false
            })
        );
    }

    #[test]
    fn a_client_that_waits_for_leave_is_recognised() {
        let bytes = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        assert_eq!(
            parse(bytes),
            Ok(Progress::Partial {
                continue_wanted: true
            })
        );
    }

    #[test]
    fn what_cannot_be_read_has_a_status() {
        for (bytes, status) in [
            (&b"\x16\x03\x01\x02\x00"[..], 400),
            (b"GET / HTTP/1.0\r\n\r\n", 505),
            (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
            (
                b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                413,
            ),
            (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ] {
            assert_eq!(parse(bytes), Err(Malformed(status)));
        }
        let flood = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; MAX_HEAD]].concat();
        assert_eq!(parse(&flood), Err(Malformed(431)));
    }

    #[test]
    fn json_is_escaped_as_go_does() {
        assert_eq!(go_json(&"<a&b>\u{2028}"), r#""\u003ca\u0026b\u003e\u2028""#);
    }
}
