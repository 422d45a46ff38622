//! Events as they are sent: each with its id, those of a moment together, and none kept for a reader that
//! does not read. The framework gives only the schema.

use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{EventStream as Documented, Payload};
use poem_openapi::registry::{MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::app::{Announcement, App, EventStream};
use crate::record::EventId;

/// Proxies close a silent connection after about half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a run may take to end, and tell so, once the program is stopping.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Nobody sees more than 20 changes a second, and every write costs.
const PACE: Duration = Duration::from_millis(50);
/// Bytes that are sent at once, unless one event is larger: all that waits here for a slow reader.
const MOST_AT_ONCE: usize = 64 << 10;

/// The schema of an answer of events, as the framework has it.
type Schema<E> = Documented<BoxStream<'static, E>>;

/// How often a silent stream of events says that it is still there: often enough that neither this
/// server nor a proxy takes it for dead.
pub fn keep_alive(app: &App) -> Duration {
    KEEP_ALIVE.min(Duration::from_secs_f64(app.config.timeouts.client / 3.0))
}

/// The events of a run, or of a turn, as an answer.
pub struct Events<E> {
    bytes: BoxStream<'static, Bytes>,
    kind: PhantomData<fn() -> E>,
}

impl<E: Serialize + Send + Sync + 'static> Events<E> {
    /// `name` is the event's type.
    pub fn new(app: &App, events: EventStream<E>, name: fn(&E) -> &'static str) -> Self {
        let sender = Sender {
            events: events.take_until(given_up(app.stopping())).fuse().boxed(),
            name,
            keep_alive: keep_alive(app),
            phase: rand::random_range(Duration::ZERO..PACE),
            is_paced: false,
        };
        let bytes = futures_util::stream::unfold(sender, |mut sender| async move {
            let bytes = sender.next().await?;
            Some((bytes, sender))
        });
        Self {
            bytes: bytes.boxed(),
            kind: PhantomData,
        }
    }
}

/// Once the program is stopping a run ends soon, and its last event shall still be heard.
async fn given_up(stopping: CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Puts together what comes in a moment. It takes an event only when the client takes what came before: a
/// slow one finds the rest in the log, or in the record.
struct Sender<E> {
    events: BoxStream<'static, Announcement<E>>,
    name: fn(&E) -> &'static str,
    keep_alive: Duration,
    /// After silence so long is waited: a thousand readers are not all served in the moment of an event, which
    /// is the moment that is measured.
    phase: Duration,
    /// Something was sent, and all that there was with it: the next comes after a pause.
    is_paced: bool,
}

impl<E: Serialize> Sender<E> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_paced {
            tokio::time::sleep(PACE).await;
        }
        let first = match self.events.next().now_or_never() {
            Some(first) => first?,
            None => match tokio::time::timeout(self.keep_alive, self.events.next()).await {
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
                Ok(first) => {
                    let first = first?;
                    tokio::time::sleep(self.phase).await;
                    first
                }
            },
        };
        let first = self.as_sent(&first);
        let mut all = BytesMut::new();
        self.is_paced = false;
        while all.len() <= MOST_AT_ONCE {
            match self.events.next().now_or_never() {
                Some(Some(event)) => {
                    if all.is_empty() {
                        all.extend_from_slice(&first);
                    }
                    all.extend_from_slice(&self.as_sent(&event));
                }
                Some(None) => break,
                None => {
                    self.is_paced = true;
                    break;
                }
            }
        }
        Some(if all.is_empty() { first } else { all.freeze() })
    }

    fn as_sent(&self, told: &Announcement<E>) -> Bytes {
        told.as_sent(|id, event| frame(id, event, (self.name)(event)))
    }
}

/// JSON has no line breaks, so no text can end its event.
fn frame<E: Serialize>(id: EventId, event: &E, name: &str) -> Bytes {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into()
}

impl<E: Type + ToJSON + 'static> Payload for Events<E> {
    const CONTENT_TYPE: &'static str = Schema::<E>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        Schema::<E>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        <Schema<E> as Payload>::register(registry);
    }
}

impl<E: Type + ToJSON + 'static> ApiResponse for Events<E> {
    fn meta() -> MetaResponses {
        Schema::<E>::meta()
    }

    fn register(registry: &mut Registry) {
        <Schema<E> as ApiResponse>::register(registry);
    }
}

impl<E: Send> IntoResponse for Events<E> {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("text/event-stream")
            .header("Cache-Control", "no-cache")
            // Proxies would wait for more to send.
            .header("X-Accel-Buffering", "no")
            .body(Body::from_bytes_stream(self.bytes.map(Ok::<_, io::Error>)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;

    use super::*;

    fn sender(events: BoxStream<'static, Announcement<String>>) -> Sender<String> {
        Sender {
            events,
            name: |_| "text",
            keep_alive: Duration::from_millis(1),
            phase: Duration::ZERO,
            is_paced: false,
        }
    }

    fn announced(step: usize, text: String) -> Announcement<String> {
        let step = u32::try_from(step).unwrap();
        Announcement::new(EventId { finished: 0, step }, text)
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_has_nothing_waiting_but_one_piece() {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let events = stream::iter(0..10_000).map(move |step| {
            count.fetch_add(1, Ordering::Relaxed);
            announced(step, "x".repeat(1000))
        });
        let mut sender = sender(events.fuse().boxed());
        let piece = sender.next().await.unwrap();
        assert!(piece.len() < MOST_AT_ONCE + 2000, "{} bytes", piece.len());
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken * 1000 <= piece.len(), "{taken} events were taken");
        // Read on, nothing is lost at the seams.
        let mut whole = piece.to_vec();
        while let Some(piece) = sender.next().await {
            whole.extend_from_slice(&piece);
        }
        let ids = String::from_utf8(whole).unwrap();
        let ids: Vec<&str> = ids
            .lines()
            .filter_map(|it| it.strip_prefix("id: "))
            .collect();
        let all: Vec<String> = (0..10_000).map(|step| format!("0.{step}")).collect();
        assert_eq!(ids, all);
    }

    #[tokio::test]
    async fn silence_is_told_apart_from_death() {
        let mut sender = sender(stream::pending().boxed());
        assert_eq!(sender.next().await.unwrap(), ":\n\n");
    }

    #[test]
    fn no_text_ends_its_event() {
        let event = frame(EventId::default(), &"a\r\n\nid: 9.9\u{2028}", "text");
        let event = String::from_utf8(event.to_vec()).unwrap();
        assert_eq!(event.lines().count(), 4);
        assert!(!event.contains('\r'));
    }
}
