//! What the server saw and did, with the true times of every send: the instrument's yardstick.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::clock::Pair;

/// Requests that are remembered.
const REQUESTS: usize = 1000;
/// Bytes of a request body that are remembered.
const BODY_BYTES: usize = 64 << 10;
/// Sends that are remembered, of all requests together; 32 bytes each.
const SENDS: usize = 1 << 20;

/// A write, as an interval: the bytes left after the one and before the other moment. The sender
/// can be held up between them, so neither alone is the time of the send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendInterval {
    /// Just before the write.
    pub began: Instant,
    /// Just after it.
    pub returned: Instant,
}

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
    /// The write of each content chunk. The oldest are forgotten when there are too many in all,
    /// those of a request all together.
    pub sent: Vec<SendInterval>,
    /// When the client was seen to have gone; `None` while its connection is open.
    pub closed: Option<Instant>,
    /// The answer was written to its end.
    pub finished: bool,
}

impl SeenRequest {
    /// The form of `GET /reference/requests`: offsets in seconds since the request was received.
    /// `now` gives the wall clock at that moment, for readers in other processes.
    pub(super) fn to_json(&self, now: Option<Pair>) -> Value {
        let since = |at: Instant| seconds(at.saturating_duration_since(self.received));
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| Value::String(self.body.clone()));
        json!({
            "id": self.id,
            "path": self.path,
            "model": self.model,
            "body": body,
            "received_at": self.received_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "received_unix_nanoseconds": now
                .and_then(|now| now.wall_at(self.received))
                .and_then(|wall| u64::try_from(wall.as_nanos()).ok()),
            "sent": self.sent.iter().map(|send| since(send.returned)).collect::<Vec<_>>(),
            "send_began": self.sent.iter().map(|send| since(send.began)).collect::<Vec<_>>(),
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
    sends: usize,
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
        if entries.requests.len() == REQUESTS
            && let Some(oldest) = entries.requests.pop_front()
        {
            entries.sends -= oldest.sent.len();
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
    pub fn sent(&self, id: u64, send: SendInterval) {
        let mut entries = self.lock();
        let Some(request) = entries.request(id) else {
            return;
        };
        request.sent.push(send);
        entries.sends += 1;
        if entries.sends > SENDS {
            entries.forget(id);
        }
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
        if let Some(request) = self.lock().request(id) {
            change(request);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn request(&mut self, id: u64) -> Option<&mut SeenRequest> {
        let oldest = self.requests.front()?.id;
        let position = usize::try_from(id.checked_sub(oldest)?).ok()?;
        self.requests.get_mut(position)
    }

    /// Forgets the sends of the oldest request that has any; those of `current` only where it is
    /// the last one.
    fn forget(&mut self, current: u64) {
        let mut with_sends = self.requests.iter_mut().filter(|it| !it.sent.is_empty());
        let Some(mut oldest) = with_sends.next() else {
            return;
        };
        if oldest.id == current
            && let Some(next) = with_sends.next()
        {
            oldest = next;
        }
        self.sends -= oldest.sent.len();
        oldest.sent = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(at: Instant) -> SendInterval {
        SendInterval {
            began: at,
            returned: at,
        }
    }

    fn begin(journal: &Journal) -> u64 {
        let now = Instant::now();
        let (id, _) = journal.begin("/api/generate", Some("steady"), b"{}", now, Utc::now());
        id
    }

    #[test]
    fn only_the_newest_requests_are_kept_and_old_ids_are_ignored() {
        let journal = Journal::default();
        let now = Instant::now();
        for _ in 0..=REQUESTS {
            begin(&journal);
        }
        journal.sent(0, send(now));
        journal.sent(1, send(now));
        let requests = journal.requests();
        assert_eq!(requests.len(), REQUESTS);
        assert_eq!((requests[0].id, requests[0].sent.len()), (1, 1));
    }

    #[test]
    fn the_sends_of_the_oldest_request_are_forgotten_first() {
        let journal = Journal::default();
        let (old, new) = (begin(&journal), begin(&journal));
        let now = Instant::now();
        journal.sent(old, send(now));
        for _ in 0..SENDS {
            journal.sent(new, send(now));
        }
        let kept = |journal: &Journal| -> Vec<usize> {
            journal.requests().iter().map(|it| it.sent.len()).collect()
        };
        assert_eq!(kept(&journal), [0, SENDS]);
        journal.sent(new, send(now));
        assert_eq!(kept(&journal), [0, 0], "a request alone is forgotten too");
    }

    #[test]
    fn offsets_count_from_the_arrival_of_the_request() {
        let journal = Journal::default();
        let now = Instant::now();
        let (id, earlier) = journal.begin("/api/chat", None, b"not json", now, Utc::now());
        journal.sent(
            id,
            SendInterval {
                began: now + Duration::from_millis(125),
                returned: now + Duration::from_millis(250),
            },
        );
        journal.closed(id, now + Duration::from_millis(500));
        let pair = Pair {
            monotonic: now + Duration::from_secs(1),
            wall: Duration::from_secs(1_800_000_001),
        };
        let json = journal.requests()[0].to_json(Some(pair));
        assert_eq!(earlier, 0);
        assert_eq!(json["sent"], json!([0.25]));
        assert_eq!(json["send_began"], json!([0.125]));
        assert_eq!(
            json["received_unix_nanoseconds"],
            json!(1_800_000_000_000_000_000_u64)
        );
        assert_eq!(json["closed"], json!(0.5));
        assert_eq!(json["body"], json!("not json"));
        assert_eq!(json["finished"], json!(false));
    }
}
