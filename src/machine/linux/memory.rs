//! Main memory, swap, and the time that work waits for resources.

use std::time::{Duration, Instant};

use procfs::{CpuPressure, Current, IoPressure, Meminfo, MemoryPressure};

use super::window::Window;
use crate::record::Pressure;

/// Memory in use and at hand, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// All of it.
    pub total: u64,
    /// What a new program could take.
    pub available: u64,
    /// Swap in use.
    pub swap_used: u64,
}

impl Amounts {
    /// As the kernel tells now.
    pub fn read() -> Option<Self> {
        let now = Meminfo::current().ok()?;
        Some(Self {
            total: now.mem_total,
            // Kernels before 3.14 have no estimate; what is free is the least.
            available: now.mem_available.unwrap_or(now.mem_free),
            swap_used: now.swap_total.saturating_sub(now.swap_free),
        })
    }
}

/// Looks at what counts on: pages to and from swap, and waits.
pub struct WaitEye {
    stalled: Window<Stalled>,
    swapped: Swapped,
}

/// What happened since the look before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// Read back from swap, bytes.
    pub swapped_in: Option<u64>,
    /// Written to swap, bytes.
    pub swapped_out: Option<u64>,
    /// Shares of the time.
    pub pressure: Option<Pressure>,
}

/// Bytes that went to and from swap since the machine was started.
#[derive(Clone, Copy, Debug, Default)]
struct Swapped {
    to_memory: Option<u64>,
    to_storage: Option<u64>,
}

/// Time in which something waited for a processor, memory, storage.
type Stalled = [Option<Duration>; 3];

impl Swapped {
    fn read() -> Self {
        let counters = procfs::vmstat().unwrap_or_default();
        let bytes = |name: &str| {
            let pages = counters.get(name).copied()?;
            Some(
                u64::try_from(pages)
                    .ok()?
                    .saturating_mul(procfs::page_size()),
            )
        };
        Self {
            to_memory: bytes("pswpin"),
            to_storage: bytes("pswpout"),
        }
    }
}

fn stalled() -> Stalled {
    let some = |total: u64| Duration::from_micros(total);
    [
        CpuPressure::current().ok().map(|it| some(it.some.total)),
        MemoryPressure::current().ok().map(|it| some(it.some.total)),
        IoPressure::current().ok().map(|it| some(it.some.total)),
    ]
}

/// Shares of the time; `None` where the kernel does not account for it.
fn pressure(before: &Stalled, after: &Stalled, time: Duration) -> Option<Pressure> {
    let share = |place: usize| {
        let (old, new) = (before[place]?, after[place]?);
        let share = 100.0 * new.saturating_sub(old).as_secs_f64() / time.as_secs_f64();
        Some(super::rounded(share.min(100.0), 0.1))
    };
    let pressure = Pressure {
        cpu_percent: share(0),
        memory_percent: share(1),
        io_percent: share(2),
    };
    (pressure != Pressure::default()).then_some(pressure)
}

impl WaitEye {
    pub fn new(at: Instant) -> Self {
        Self {
            stalled: Window::new(at, stalled()),
            swapped: Swapped::read(),
        }
    }

    /// What happened since the look before.
    pub fn look(&mut self, at: Instant) -> Waits {
        let grown = |old: Option<u64>, new: Option<u64>| Some(new?.saturating_sub(old?));
        let before = std::mem::replace(&mut self.swapped, Swapped::read());
        Waits {
            // Not over a window: it is added up, and each page counts once.
            swapped_in: grown(before.to_memory, self.swapped.to_memory),
            swapped_out: grown(before.to_storage, self.swapped.to_storage),
            pressure: self.stalled.advance(at, stalled(), pressure).flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_shares_of_the_time() {
        let told = |milliseconds: u64| [None, Some(Duration::from_millis(milliseconds)), None];
        let second = Duration::from_secs(1);
        let found = pressure(&told(0), &told(250), second).unwrap();
        assert_eq!(
            (found.cpu_percent, found.memory_percent),
            (None, Some(25.0))
        );
        // A kernel without this accounting says nothing.
        assert_eq!(pressure(&[None; 3], &[None; 3], second), None);
    }

    #[test]
    fn this_machine_has_memory() {
        let found = Amounts::read().unwrap();
        assert!(found.total > found.available && found.available > 0);
    }
}
