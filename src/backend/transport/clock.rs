//! From the wall clock, by which the kernel stamps packets, to the monotonic clock, by which
//! everything is measured.

use std::time::{Duration, Instant};

use crate::clock::Pair;

/// The clocks may drift apart so much between two pairs before the wall clock counts as stepped.
/// Slewing moves both alike, so what is left is the error of the pairs themselves.
const STEP: Duration = Duration::from_micros(20);

/// Carries stamps of the wall clock over to the monotonic clock, and notices when the wall clock
/// is stepped: each socket has its own, so that a step is noticed for every stamp that came before.
#[derive(Debug)]
pub(super) struct Carrier {
    last: Option<Pair>,
}

impl Carrier {
    /// For stamps from now on.
    pub(super) fn new() -> Self {
        Self { last: Pair::read() }
    }

    /// The moment of a stamp that was given since the last call; `None` where that cannot be told.
    pub(super) fn carry(&mut self, stamp: Duration) -> Option<Instant> {
        self.carry_by(stamp, Pair::read())
    }

    /// The same by a pair that was read after the stamp was given; `None` where there is none, or
    /// where the wall clock was stepped since the last pair.
    fn carry_by(&mut self, stamp: Duration, now: Option<Pair>) -> Option<Instant> {
        let now = now?;
        let last = self.last.replace(now)?;
        let monotonic = now.monotonic.checked_duration_since(last.monotonic)?;
        let wall = now.wall.checked_sub(last.wall)?;
        if monotonic.abs_diff(wall) > STEP {
            return None;
        }
        let age = now.wall.checked_sub(stamp)?;
        now.monotonic.checked_sub(age)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const EPOCH: Duration = Duration::from_hours(500_000);

    /// Clocks that a test moves by hand.
    struct Clocks {
        pair: Pair,
        carrier: Carrier,
    }

    impl Clocks {
        fn new() -> Self {
            let pair = Pair {
                monotonic: Instant::now() + Duration::from_hours(1),
                wall: EPOCH,
            };
            Self {
                pair,
                carrier: Carrier { last: Some(pair) },
            }
        }

        fn pass(&mut self, time: Duration) {
            self.pair.monotonic += time;
            self.pair.wall += time;
        }

        /// A packet comes now and is read after `delay`.
        fn packet(&mut self, delay: Duration) -> Option<Duration> {
            let (stamp, came) = (self.pair.wall, self.pair.monotonic);
            self.pass(delay);
            let at = self.carrier.carry_by(stamp, Some(self.pair))?;
            Some(at.max(came) - at.min(came))
        }
    }

    #[test]
    fn a_stamp_is_as_old_as_the_wall_clock_says() {
        let mut clocks = Clocks::new();
        for delay in [Duration::ZERO, MS, 700 * MS] {
            clocks.pass(10 * MS);
            assert_eq!(clocks.packet(delay), Some(Duration::ZERO));
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_spoils_no_stamp() {
        for back in [true, false] {
            let mut clocks = Clocks::new();
            clocks.pass(10 * MS);
            let stamp = clocks.pair.wall;
            if back {
                clocks.pair.wall -= 3000 * MS;
            } else {
                clocks.pair.wall += 3000 * MS;
            }
            clocks.pass(MS);
            assert_eq!(clocks.carrier.carry_by(stamp, Some(clocks.pair)), None);
            clocks.pass(MS);
            assert_eq!(clocks.packet(MS), Some(Duration::ZERO), "after the step");
        }
    }

    #[test]
    fn a_thread_that_was_held_up_gives_no_pair_and_loses_nothing() {
        let mut clocks = Clocks::new();
        assert_eq!(clocks.carrier.carry_by(clocks.pair.wall, None), None);
        assert_eq!(clocks.packet(MS), Some(Duration::ZERO));
    }

    #[test]
    fn both_clocks_run_alike_here() {
        let mut carrier = Carrier::new();
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = Instant::now();
        // The machine may hold this thread up; then there is none, but never a wrong one.
        if let Some(at) = carrier.carry(stamp) {
            assert!(at <= Instant::now());
            assert!(now.saturating_duration_since(at) < Duration::from_millis(500));
        }
    }
}
