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
    counters: Window<Counters>,
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

#[derive(Debug, Default)]
struct Counters {
    swapped_in: Option<u64>,
    swapped_out: Option<u64>,
    /// Time in which something waited for a processor, memory, storage.
    stalled: [Option<Duration>; 3],
}

impl Counters {
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
        let some = |total: u64| Duration::from_micros(total);
        Self {
            swapped_in: bytes("pswpin"),
            swapped_out: bytes("pswpout"),
            stalled: [
                CpuPressure::current().ok().map(|it| some(it.some.total)),
                MemoryPressure::current().ok().map(|it| some(it.some.total)),
                IoPressure::current().ok().map(|it| some(it.some.total)),
            ],
        }
    }

    fn waits(before: &Self, after: &Self, time: Duration) -> Waits {
        let grown = |old: Option<u64>, new: Option<u64>| Some(new?.saturating_sub(old?));
        let share = |place: usize| {
            let (old, new) = (before.stalled[place]?, after.stalled[place]?);
            let share = 100.0 * new.saturating_sub(old).as_secs_f64() / time.as_secs_f64();
            Some(super::rounded(share.min(100.0), 0.1))
        };
        let pressure = Pressure {
            cpu_percent: share(0),
            memory_percent: share(1),
            io_percent: share(2),
        };
        Waits {
            swapped_in: grown(before.swapped_in, after.swapped_in),
            swapped_out: grown(before.swapped_out, after.swapped_out),
            pressure: (pressure != Pressure::default()).then_some(pressure),
        }
    }
}

impl WaitEye {
    pub fn new(at: Instant) -> Self {
        Self {
            counters: Window::new(at, Counters::read()),
        }
    }

    /// What happened since the look before.
    pub fn look(&mut self, at: Instant) -> Waits {
        self.counters
            .advance(at, Counters::read(), Counters::waits)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_shares_of_the_time() {
        let counters = |swapped: u64, stalled: Option<u64>| Counters {
            swapped_in: Some(swapped),
            swapped_out: None,
            stalled: [None, stalled.map(Duration::from_micros), None],
        };
        let second = Duration::from_secs(1);
        let found = Counters::waits(&counters(10, Some(0)), &counters(30, Some(250_000)), second);
        assert_eq!((found.swapped_in, found.swapped_out), (Some(20), None));
        assert_eq!(
            found.pressure.map(|it| (it.cpu_percent, it.memory_percent)),
            Some((None, Some(25.0)))
        );
        // A kernel without this accounting says nothing.
        let found = Counters::waits(&counters(10, None), &counters(10, None), second);
        assert_eq!(found.pressure, None);
    }

    #[test]
    fn this_machine_has_memory() {
        let found = Amounts::read().unwrap();
        assert!(found.total > found.available && found.available > 0);
    }
}
