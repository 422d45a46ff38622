//! Counters against what they were a while ago.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The kernel counts processor time in hundredths of a second: over less than this a share would
/// have steps of more than a tenth.
const SPAN: Duration = Duration::from_millis(100);

/// The last states of some counters.
#[derive(Debug)]
pub struct Window<T> {
    states: VecDeque<(Instant, T)>,
}

impl<T> Window<T> {
    /// Counters whose state is known at one moment.
    pub fn new(at: Instant, state: T) -> Self {
        Self {
            states: VecDeque::from([(at, state)]),
        }
    }

    /// Takes a new state; `difference` is given an old one, the new one and the time between them. The
    /// old one is the one before, or, where looks are closer than a tenth of a second, the newest that
    /// is so old.
    pub fn advance<R>(
        &mut self,
        at: Instant,
        state: T,
        difference: impl FnOnce(&T, &T, Duration) -> R,
    ) -> Option<R> {
        let is_old = |(taken, _): &(Instant, T)| at.saturating_duration_since(*taken) >= SPAN;
        while self.states.get(1).is_some_and(is_old) {
            self.states.pop_front();
        }
        self.states.push_back((at, state));
        let (from, old) = self.states.front()?;
        let (to, new) = self.states.back()?;
        let time = to.saturating_duration_since(*from);
        (!time.is_zero()).then(|| difference(old, new, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_looks_are_taken_over_a_tenth_of_a_second() {
        let begin = Instant::now();
        let at = |milliseconds: u64| begin + Duration::from_millis(milliseconds);
        let mut window = Window::new(begin, 0_u64);
        let mut spans = Vec::new();
        for milliseconds in (20..=200).step_by(20) {
            let found = window.advance(at(milliseconds), milliseconds, |old, new, time| {
                assert_eq!(u128::from(new - old), time.as_millis());
                new - old
            });
            spans.extend(found);
        }
        assert_eq!(spans, [20, 40, 60, 80, 100, 100, 100, 100, 100, 100]);
        assert_eq!(
            window.advance(at(450), 450, |old, new, _| new - old),
            Some(250)
        );
        assert_eq!(
            window.advance(at(450), 450, |old, new, _| new - old),
            Some(250)
        );
    }
}
