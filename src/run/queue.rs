//! Whose turn it is. Runs that share a backend go one after another, in the order they came, so
//! that they do not disturb each other; runs on different backends go side by side.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::record::RunId;

/// All runs that wait or go on.
#[derive(Clone)]
pub struct Queue {
    state: Arc<Mutex<Vec<Entry>>>,
    changed: watch::Sender<u64>,
    capacity: usize,
}

struct Entry {
    id: RunId,
    backends: BTreeSet<String>,
    running: bool,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull {
    /// How many runs it holds.
    pub held: usize,
}

/// How many runs the queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Runs that go on.
    pub running: usize,
    /// Runs that wait.
    pub waiting: usize,
}

impl Queue {
    /// A queue for at most `capacity` runs, running ones included.
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Arc::default(),
            changed: watch::Sender::new(0),
            capacity,
        }
    }

    /// Takes a run in. Its place is held until the ticket is dropped.
    pub fn enter(&self, id: RunId, backends: BTreeSet<String>) -> Result<Ticket, QueueFull> {
        let mut entries = self.lock();
        if entries.len() >= self.capacity {
            return Err(QueueFull {
                held: entries.len(),
            });
        }
        entries.push(Entry {
            id: id.clone(),
            backends,
            running: false,
        });
        drop(entries);
        Ok(Ticket {
            queue: self.clone(),
            changes: self.changed.subscribe(),
            id,
        })
    }

    /// How many runs go on and wait.
    pub fn load(&self) -> Load {
        let entries = self.lock();
        let running = entries.iter().filter(|entry| entry.running).count();
        Load {
            running,
            waiting: entries.len() - running,
        }
    }

    /// Backends of the runs that go on.
    pub fn backends_in_use(&self) -> BTreeSet<String> {
        let entries = self.lock();
        let running = entries.iter().filter(|entry| entry.running);
        running.flat_map(|entry| entry.backends.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run's place in the queue.
pub struct Ticket {
    queue: Queue,
    changes: watch::Receiver<u64>,
    id: RunId,
}

impl Ticket {
    /// The run's place: `None` as soon as it may start, else how many runs go before it. A run
    /// that may start holds its backends from then on.
    pub fn position(&self) -> Option<u32> {
        let mut entries = self.queue.lock();
        let own = entries.iter().position(|entry| entry.id == self.id)?;
        // Who must go before one that goes before this one goes before this one, too.
        let mut awaited = entries[own].backends.clone();
        let mut before = 0_u32;
        for entry in entries[..own].iter().rev() {
            if !entry.backends.is_disjoint(&awaited) {
                before += 1;
                awaited.extend(entry.backends.iter().cloned());
            }
        }
        match before {
            0 => {
                entries[own].running = true;
                None
            }
            ahead => Some(ahead),
        }
    }

    /// Waits until any run has left the queue.
    pub async fn changed(&mut self) {
        // The sender lives in our own queue, so it cannot be gone.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.queue.lock().retain(|entry| entry.id != self.id);
        self.queue.changed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn id() -> RunId {
        RunId::new(chrono::DateTime::UNIX_EPOCH)
    }

    #[test]
    fn runs_that_share_a_backend_wait_for_each_other() {
        let queue = Queue::new(4);
        let first = queue.enter(id(), set(&["a"])).unwrap();
        let second = queue.enter(id(), set(&["a", "b"])).unwrap();
        let third = queue.enter(id(), set(&["b"])).unwrap();
        let fourth = queue.enter(id(), set(&["c"])).unwrap();
        assert_eq!(first.position(), None);
        assert_eq!(second.position(), Some(1));
        assert_eq!(
            third.position(),
            Some(2),
            "it must not overtake the one that needs both"
        );
        assert_eq!(fourth.position(), None);
        assert_eq!(queue.backends_in_use(), set(&["a", "c"]));
        assert_eq!(
            queue.load(),
            Load {
                running: 2,
                waiting: 2
            }
        );
        drop(first);
        assert_eq!(second.position(), None);
        drop(second);
        assert_eq!(third.position(), None);
    }

    #[test]
    fn a_full_queue_refuses() {
        let queue = Queue::new(1);
        let ticket = queue.enter(id(), set(&["a"])).unwrap();
        assert_eq!(
            queue.enter(id(), set(&["b"])).err(),
            Some(QueueFull { held: 1 })
        );
        drop(ticket);
        assert!(queue.enter(id(), set(&["b"])).is_ok());
    }

    #[tokio::test]
    async fn a_waiting_run_hears_of_the_change() {
        let queue = Queue::new(2);
        let first = queue.enter(id(), set(&["a"])).unwrap();
        let mut second = queue.enter(id(), set(&["a"])).unwrap();
        assert_eq!(second.position(), Some(1));
        drop(first);
        second.changed().await;
        assert_eq!(second.position(), None);
    }
}
