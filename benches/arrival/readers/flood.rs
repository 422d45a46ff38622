//! A server that writes chunks as fast as they are taken.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::stay_on;

/// Chunks of an answer.
pub const CHUNKS: usize = 1_000_000;
pub struct Flood {
    pub url: String,
}

impl Flood {
    /// A server that puts so many chunks into one write.
    pub fn start(together: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a place to listen");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            stay_on(1);
            for socket in listener.incoming().flatten() {
                let _ = write(socket, together);
            }
        });
        Self { url }
    }
}

fn write(mut socket: TcpStream, together: usize) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut request = [0; 4096];
    let _ = socket.read(&mut request)?;
    socket.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let line = "{\"model\":\"flood\",\"created_at\":\"2026-11-23T12:00:00.000000Z\",\"response\":\" word\",\"done\":false}\n";
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    let block = chunk.repeat(together);
    for _ in 0..CHUNKS / together {
        socket.write_all(block.as_bytes())?;
    }
    let last = "{\"model\":\"flood\",\"response\":\"\",\"done\":true,\"done_reason\":\"stop\"}\n";
    socket.write_all(format!("{:x}\r\n{last}\r\n0\r\n\r\n", last.len()).as_bytes())
}
