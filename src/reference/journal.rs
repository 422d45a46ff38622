//! What the server saw and did, with the true times of every send: the instrument's yardstick.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// Requests that are remembered.
const REQUESTS: usize = 1000;
/// Bytes of a request body that are remembered.
const BODY_BYTES: usize = 64 << 10;
/// Sends of one request that are remembered.
const SENDS: usize = 64 << 10;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// Number of the request, from 0.
    pub id: u64,
    /// Path, such as `/api/generate`.
    pub path: String,
    /// The model it named; `None` where it named none.
    pub model: Option<String>,
    /// The body as it came, at most 64 KiB of it.
    pub body: String,
    /// When its last byte had been read.
    pub received: Instant,
    /// The same by the wall clock, UTC.
    pub received_at: DateTime<Utc>,
    /// When the write of each content chunk had returned, at most 65,536 of them.
    pub sent: Vec<Instant>,
    /// When the client was seen to have gone; `None` while its connection is open.
    pub closed: Option<Instant>,
    /// The answer was written to its end.
    pub finished: bool,
}

impl SeenRequest {
    /// The form of `GET /reference/requests`: offsets in seconds since the request was received.
    pub(super) fn to_json(&self) -> Value {
        let since = |at: Instant| seconds(at.saturating_duration_since(self.received));
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| Value::String(self.body.clone()));
        json!({
            "id": self.id,
            "path": self.path,
            "model": self.model,
            "body": body,
            "received_at": self.received_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "sent": self.sent.iter().copied().map(since).collect::<Vec<_>>(),
            "closed": self.closed.map(since),
            "finished": self.finished,
        })
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The last requests.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next_id: u64,
    requests: VecDeque<SeenRequest>,
}

impl Journal {
    /// Writes down a new request and numbers it. The second number tells how many earlier
    /// requests named the same model.
    pub fn begin(
        &self,
        path: &str,
        model: Option<&str>,
        body: &[u8],
        received: Instant,
        received_at: DateTime<Utc>,
    ) -> (u64, usize) {
        let mut entries = self.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        let earlier = entries
            .requests
            .iter()
            .filter(|request| request.model.as_deref() == model)
            .count();
        if entries.requests.len() == REQUESTS {
            entries.requests.pop_front();
        }
        let kept = &body[..body.len().min(BODY_BYTES)];
        entries.requests.push_back(SeenRequest {
            id,
            path: path.to_owned(),
            model: model.map(str::to_owned),
            body: String::from_utf8_lossy(kept).into_owned(),
            received,
            received_at,
            sent: Vec::new(),
            closed: None,
            finished: false,
        });
        (id, earlier)
    }

    /// A content chunk was written.
    pub fn sent(&self, id: u64, at: Instant) {
        self.change(id, |request| {
            if request.sent.len() < SENDS {
                request.sent.push(at);
            }
        });
    }

    /// The answer was written to its end.
    pub fn finished(&self, id: u64) {
        self.change(id, |request| request.finished = true);
    }

    /// The client has gone.
    pub fn closed(&self, id: u64, at: Instant) {
        self.change(id, |request| {
            request.closed.get_or_insert(at);
        });
    }

    /// Everything remembered, oldest first.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.lock().requests.iter().cloned().collect()
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut SeenRequest)) {
        let mut entries = self.lock();
        let Some(oldest) = entries.requests.front().map(|request| request.id) else {
            return;
        };
        let position = id
            .checked_sub(oldest)
            .and_then(|position| usize::try_from(position).ok());
        if let Some(request) = position.and_then(|position| entries.requests.get_mut(position)) {
            change(request);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_requests_are_kept_and_old_ids_are_ignored() {
        let journal = Journal::default();
        let now = Instant::now();
        for _ in 0..=REQUESTS {
            journal.begin("/api/generate", Some("steady"), b"{}", now, Utc::now());
        }
        journal.sent(0, now);
        journal.sent(1, now);
        let requests = journal.requests();
        assert_eq!(requests.len(), REQUESTS);
        assert_eq!((requests[0].id, requests[0].sent.len()), (1, 1));
    }

    #[test]
    fn offsets_count_from_the_arrival_of_the_request() {
        let journal = Journal::default();
        let now = Instant::now();
        let (id, earlier) = journal.begin("/api/chat", None, b"not json", now, Utc::now());
        journal.sent(id, now + Duration::from_millis(250));
        journal.closed(id, now + Duration::from_millis(500));
        let json = journal.requests()[0].to_json();
        assert_eq!(earlier, 0);
        assert_eq!(json["sent"], json!([0.25]));
        assert_eq!(json["closed"], json!(0.5));
        assert_eq!(json["body"], json!("not json"));
        assert_eq!(json["finished"], json!(false));
    }
}
