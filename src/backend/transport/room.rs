//! How much of one answer may wait for its reader: a server that floods must not fill the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of one answer that may wait.
const MOST: usize = 32 << 20;
/// What a piece costs beside its bytes.
const PIECE: usize = 128;
/// Where they do, so often it is looked whether there is room again.
const LOOK: Duration = Duration::from_millis(1);

/// The bytes of one answer that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// Bytes that wait, until this is dropped.
#[derive(Debug)]
pub struct Held {
    room: Room,
    bytes: usize,
}

impl Room {
    /// Waits until less than the limit waits, then holds a piece of so many bytes more. Looking now
    /// and then spares the reader to wake whoever waits for each piece that it takes.
    pub(super) async fn hold(&self, bytes: usize) -> Held {
        let bytes = bytes + PIECE;
        while self.0.load(Ordering::Relaxed) >= MOST {
            tokio::time::sleep(LOOK).await;
        }
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held {
            room: self.clone(),
            bytes,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_blocks_more_until_it_is_dropped() {
        let room = Room::default();
        let held = room.hold(MOST - PIECE - 1).await;
        let more = room.hold(10).await;
        let blocked = tokio::time::timeout(20 * LOOK, room.hold(1)).await;
        assert!(blocked.is_err());
        drop((held, more));
        room.hold(1).await;
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
