//! Whose turn it is. Runs that share a backend go one after another, in the order they came, so
//! that they do not disturb each other; runs on different backends go side by side. Calls of agents take
//! their turn among them: none goes on beside a run of its backend, and of each other only so many at
//! once as the backend works on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// All runs that wait or go on.
#[derive(Clone)]
pub struct Queue {
    state: Arc<Mutex<Vec<Entry>>>,
    last: Arc<AtomicU64>,
    changed: watch::Sender<u64>,
    capacity: usize,
}

struct Entry {
    /// Which entry it is: the ids of calls are those of their turns.
    number: u64,
    backends: BTreeSet<String>,
    /// Of a call: how many of them its backend works on at once.
    beside: Option<usize>,
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
            last: Arc::default(),
            changed: watch::Sender::new(0),
            capacity,
        }
    }

    /// Whether there is room for a run at the moment: who is refused is refused before anything is done for it.
    pub fn check_room(&self) -> Result<(), QueueFull> {
        self.room(&self.lock())
    }

    /// Takes a run in. Its place is held until the ticket is dropped.
    pub fn enter(&self, backends: BTreeSet<String>) -> Result<Ticket, QueueFull> {
        let mut entries = self.lock();
        self.room(&entries)?;
        Ok(self.take_in(&mut entries, backends, None))
    }

    fn room(&self, entries: &[Entry]) -> Result<(), QueueFull> {
        let held = entries.iter().filter(|it| it.beside.is_none()).count();
        if held >= self.capacity {
            return Err(QueueFull { held });
        }
        Ok(())
    }

    /// Takes a call of an agent in, of which its backend works on `at_once` together. It takes no place
    /// of a run: how many turns go on is bounded elsewhere.
    pub fn enter_call(&self, backend: &str, at_once: usize) -> Ticket {
        let mut entries = self.lock();
        self.take_in(&mut entries, [backend.to_owned()].into(), Some(at_once))
    }

    fn take_in(
        &self,
        entries: &mut Vec<Entry>,
        backends: BTreeSet<String>,
        beside: Option<usize>,
    ) -> Ticket {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        entries.push(Entry {
            number,
            backends,
            beside,
            running: false,
        });
        Ticket {
            queue: self.clone(),
            changes: self.changed.subscribe(),
            number,
        }
    }

    /// How many runs, and calls of agents, go on and wait.
    pub fn load(&self) -> Load {
        let [runs, calls] = self.loads();
        Load {
            running: runs.running + calls.running,
            waiting: runs.waiting + calls.waiting,
        }
    }

    /// The same, runs and calls told apart.
    pub fn loads(&self) -> [Load; 2] {
        let entries = self.lock();
        [false, true].map(|is_call| {
            let own = entries.iter().filter(|it| it.beside.is_some() == is_call);
            let (running, waiting): (Vec<_>, Vec<_>) = own.partition(|it| it.running);
            Load {
                running: running.len(),
                waiting: waiting.len(),
            }
        })
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
    number: u64,
}

impl Ticket {
    /// The run's place: `None` as soon as it may start, else how many runs go before it. A run
    /// that may start holds its backends from then on.
    pub fn position(&self) -> Option<u32> {
        let mut entries = self.queue.lock();
        let own = entries.iter().position(|it| it.number == self.number)?;
        // Who must go before one that goes before this one goes before this one, too.
        let mut awaited = entries[own].backends.clone();
        let (mut before, mut beside) = (0_u32, 0_usize);
        let mut is_call = entries[own].beside.is_some();
        for entry in entries[..own].iter().rev() {
            if entry.backends.is_disjoint(&awaited) {
                continue;
            }
            if is_call && entry.beside.is_some() {
                beside += 1;
            } else {
                // Behind a run also calls wait for calls.
                is_call = false;
                before += 1;
                awaited.extend(entry.backends.iter().cloned());
            }
        }
        let at_once = entries[own].beside.unwrap_or(usize::MAX).max(1);
        let too_many = (beside + 1).saturating_sub(at_once);
        before = before.saturating_add(u32::try_from(too_many).unwrap_or(u32::MAX));
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
        let number = self.number;
        self.queue.lock().retain(|entry| entry.number != number);
        self.queue.changed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn runs_that_share_a_backend_wait_for_each_other() {
        let queue = Queue::new(4);
        let first = queue.enter(set(&["a"])).unwrap();
        let second = queue.enter(set(&["a", "b"])).unwrap();
        let third = queue.enter(set(&["b"])).unwrap();
        let fourth = queue.enter(set(&["c"])).unwrap();
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
        let ticket = queue.enter(set(&["a"])).unwrap();
        assert_eq!(queue.enter(set(&["b"])).err(), Some(QueueFull { held: 1 }));
        drop(ticket);
        assert!(queue.enter(set(&["b"])).is_ok());
    }

    #[test]
    fn calls_go_beside_each_other_and_never_beside_a_run() {
        let queue = Queue::new(1);
        let calls = [0, 1, 2].map(|_| queue.enter_call("a", 2));
        let positions = || calls.iter().map(Ticket::position).collect::<Vec<_>>();
        assert_eq!(positions(), [None, None, Some(1)]);
        let run = queue.enter(set(&["a", "b"])).unwrap();
        let (later, elsewhere) = (queue.enter_call("a", 2), queue.enter_call("c", 1));
        assert_eq!(run.position(), Some(3));
        assert_eq!(later.position(), Some(4), "it must not overtake the run");
        assert_eq!(elsewhere.position(), None);
        let [first, second, third] = calls;
        drop(first);
        assert_eq!(third.position(), None);
        drop((second, third));
        assert_eq!(run.position(), None);
        assert_eq!(later.position(), Some(1));
        let one = |running, waiting| Load { running, waiting };
        assert_eq!(queue.loads(), [one(1, 0), one(1, 1)]);
        drop(run);
        assert_eq!(later.position(), None);
    }

    #[tokio::test]
    async fn a_waiting_run_hears_of_the_change() {
        let queue = Queue::new(2);
        let first = queue.enter(set(&["a"])).unwrap();
        let mut second = queue.enter(set(&["a"])).unwrap();
        assert_eq!(second.position(), Some(1));
        drop(first);
        second.changed().await;
        assert_eq!(second.position(), None);
    }
}
