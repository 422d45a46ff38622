//! An answer laid out in time before its first byte is written: what to send when.
//! Making a tape is pure; `connection` plays it.

use std::time::Duration;

/// One thing to do on the wire. Times count from the arrival of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One write.
    Write {
        /// When.
        at: Duration,
        /// What.
        bytes: Vec<u8>,
        /// It carries text or thinking, so its send is written down.
        content: bool,
    },
    /// Every byte a write of its own.
    Bytewise {
        /// What.
        bytes: Vec<u8>,
        /// Pause after each byte.
        gap: Duration,
        /// It carries text or thinking, so the send of its last byte is written down.
        content: bool,
    },
    /// The same write again and again until the client leaves.
    Endless {
        /// What.
        bytes: Vec<u8>,
        /// Pause after each write.
        gap: Duration,
        /// Each write is written down.
        content: bool,
    },
    /// Nothing more until the client leaves.
    Stall,
    /// The connection is reset at this time.
    Reset {
        /// When.
        at: Duration,
    },
}

/// A whole answer.
pub struct Tape {
    /// What to do, in order.
    pub steps: Box<dyn Iterator<Item = Step> + Send>,
    /// The connection can serve another request afterwards.
    pub reusable: bool,
}

impl Tape {
    /// A tape after which the connection goes on.
    pub fn complete(steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        Self {
            steps: Box::new(steps.into_iter()),
            reusable: true,
        }
    }

    /// A tape after which the connection is closed.
    pub fn closing(steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        Self {
            reusable: false,
            ..Self::complete(steps)
        }
    }
}

/// The end of a chunked body (RFC 9112, section 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One chunk of a chunked body.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
