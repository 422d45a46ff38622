//! The monotonic clock and the wall clock side by side: the one measures, the other is what the
//! kernel and other processes speak of. It decides nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SubsecRound, Utc};

/// Two readings of the monotonic clock that enclose one of the wall clock may lie so far apart. The
/// readings take some 50 ns each; more means that the thread was held up between them.
const WIDEST: Duration = Duration::from_micros(5);
/// Readings that are tried for a narrow pair.
const ATTEMPTS: usize = 3;

/// The time of day for records, in whole milliseconds: that is what a date of MongoDB holds, and so what
/// is stored is what any export says.
pub fn time_of_day() -> DateTime<Utc> {
    to_milliseconds(Utc::now())
}

/// A time of day as records hold it.
pub fn to_milliseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

/// Both clocks at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The monotonic clock.
    pub monotonic: Instant,
    /// The wall clock, since 1970.
    pub wall: Duration,
}

impl Pair {
    /// Reads both clocks; `None` where the thread was held up each time.
    pub fn read() -> Option<Self> {
        (0..ATTEMPTS).find_map(|_| {
            let before = Instant::now();
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            let width = before.elapsed();
            (width <= WIDEST).then(|| Self {
                monotonic: before + width / 2,
                wall,
            })
        })
    }

    /// The wall clock at a moment, since 1970; `None` before 1970.
    pub fn wall_at(&self, moment: Instant) -> Option<Duration> {
        let later = moment.saturating_duration_since(self.monotonic);
        let earlier = self.monotonic.saturating_duration_since(moment);
        (self.wall + later).checked_sub(earlier)
    }

    /// The moment of a time of the wall clock; `None` where it is before all moments.
    pub fn moment_of(&self, wall: Duration) -> Option<Instant> {
        let later = wall.saturating_sub(self.wall);
        let earlier = self.wall.saturating_sub(wall);
        (self.monotonic + later).checked_sub(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_times_of_day_are_carried_over_and_back() {
        let second = Duration::from_secs(1);
        let begin = Instant::now();
        let wall = Duration::from_hours(500_000);
        let pair = Pair {
            monotonic: begin + second,
            wall: wall + second,
        };
        for after in [Duration::ZERO, second, 2 * second] {
            assert_eq!(pair.wall_at(begin + after), Some(wall + after));
            assert_eq!(pair.moment_of(wall + after), Some(begin + after));
        }
    }
}
