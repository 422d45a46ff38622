//! Many clients of one stream, as cheap as they can be: all on one thread, and what one gets is compared with
//! what the first of them got.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ollama_benchmarker::machine::own_cpu_time;
use ollama_benchmarker::record::EventId;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What all of them saw.
pub struct Seen {
    /// Clients that got every byte that any of them got.
    pub whole: usize,
    pub events: usize,
    /// Of one client.
    pub bytes: usize,
    /// Processor time of this process by second of run.
    pub cores: f64,
    /// What was wrong with the events themselves.
    pub wrong: Option<String>,
}

/// What came, as the first got it.
#[derive(Default)]
struct Stream(Vec<u8>);

impl Stream {
    /// Whether these bytes are those that came at this place; where nobody was so far, they are.
    fn agrees(&mut self, place: usize, bytes: &[u8]) -> bool {
        let known = &self.0[place.min(self.0.len())..];
        let both = known.len().min(bytes.len());
        let agrees = known[..both] == bytes[..both];
        self.0.extend_from_slice(&bytes[both..]);
        agrees
    }
}

/// Watches a run to its end.
pub async fn watch(address: String, id: String, clients: usize) -> Seen {
    let (begun, before) = (Instant::now(), own_cpu_time().unwrap());
    let stream = Arc::new(Mutex::new(Stream::default()));
    let mut watching = Vec::new();
    for _ in 0..clients {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        // Without chunks of the transport: what comes is what was sent.
        let head = format!("GET /api/benchmarks/{id}/events HTTP/1.0\r\nHost: localhost\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        watching.push(tokio::spawn(read(connection, Arc::clone(&stream))));
    }
    let mut places = Vec::new();
    for client in watching {
        places.push(client.await.unwrap());
    }
    let used = own_cpu_time().unwrap().saturating_sub(before);
    let all = std::mem::take(&mut stream.lock().unwrap().0);
    let checked = check(&all);
    Seen {
        whole: places.iter().filter(|it| **it == Some(all.len())).count(),
        events: *checked.as_ref().unwrap_or(&0),
        bytes: all.len(),
        cores: used.as_secs_f64() / begun.elapsed().as_secs_f64(),
        wrong: checked.err(),
    }
}

/// How many bytes a client got; `None` where they are not those of the others.
async fn read(connection: TcpStream, stream: Arc<Mutex<Stream>>) -> Option<usize> {
    let mut buffer = [0; 4096];
    let mut head = Vec::new();
    let mut place = None;
    loop {
        connection.readable().await.unwrap();
        let bytes = match connection.try_read(&mut buffer) {
            Ok(0) => return place,
            Ok(length) => &buffer[..length],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return None,
        };
        let body = if place.is_some() {
            bytes
        } else {
            head.extend_from_slice(bytes);
            let Some(end) = head.windows(4).position(|it| it == b"\r\n\r\n") else {
                continue;
            };
            place = Some(0);
            &head[end + 4..]
        };
        let at = place.unwrap_or_default();
        if !stream.lock().unwrap().agrees(at, body) {
            return None;
        }
        place = Some(at + body.len());
    }
}

/// How many events they are; ids only grow, and the texts are those of the results.
fn check(bytes: &[u8]) -> Result<usize, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let (mut events, mut last, mut kind) = (0, None, "");
    let mut texts = HashMap::<u64, String>::new();
    for line in text.lines() {
        if let Some(id) = line.strip_prefix("id: ") {
            let id: EventId = id.parse().map_err(|_| format!("`{id}` is no id"))?;
            if last >= Some(id) {
                return Err(format!("{id} comes after {last:?}"));
            }
            last = Some(id);
        } else if let Some(name) = line.strip_prefix("event: ") {
            kind = name;
        } else if let Some(data) = line.strip_prefix("data: ") {
            events += 1;
            let data: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
            let request = data["request"].as_u64().unwrap_or_default();
            if kind == "text_arrived" {
                let text = texts.entry(request).or_default();
                text.push_str(data["text"].as_str().unwrap_or_default());
            } else if kind == "request_finished"
                && texts
                    .get(&request)
                    .is_none_or(|it| data["result"]["response"] != *it)
            {
                return Err(format!(
                    "the text of request {request} is not that of its result"
                ));
            }
        }
    }
    if kind == "run_finished" {
        Ok(events)
    } else {
        Err(format!("the last event is {kind}"))
    }
}
