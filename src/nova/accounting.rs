//! Where the time of a turn went. Pure: from spans on the turn's own clock to four parts that add up
//! to its wall time to the nanosecond.
//!
//! Whatever goes on side by side is counted once. A moment in which a model is at work is the
//! model's, whatever else waits meanwhile; otherwise it is the queue's, if anything waits there; otherwise
//! the memory's; and what is left is this program's own.

use std::time::Duration;

/// What a stretch of time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// A model was asked and had not ended: loading, reading and writing.
    Model,
    /// A request waited for other work of its backend to end.
    Queue,
    /// Memory was looked through or written, embeddings included.
    Memory,
}

/// A stretch of time. Spans may overlap in any way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it was spent on.
    pub activity: Activity,
    /// When it began, since the turn's start.
    pub start: Duration,
    /// When it ended, since the turn's start.
    pub end: Duration,
}

/// Where the time of a turn went. `model + queue + memory + overhead` is `wall`, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// From the turn's start to its end.
    pub wall: Duration,
    /// At least one model was at work.
    pub model: Duration,
    /// Otherwise: something waited for its turn on a backend.
    pub queue: Duration,
    /// Otherwise: memory was looked through or written.
    pub memory: Duration,
    /// The rest: this program's own.
    pub overhead: Duration,
}

/// Accounts for a turn of this length. What lies outside of it is not counted, and neither is a span
/// that ends before it begins. The same spans of one stage, with its own start and length, account
/// for the stage.
pub fn account(wall: Duration, spans: &[Span]) -> Accounting {
    // Each span opens and closes what it was spent on.
    let mut edges: Vec<(Duration, Activity, bool)> = Vec::with_capacity(2 * spans.len());
    for span in spans {
        let end = span.end.min(wall);
        if span.start < end {
            edges.push((span.start, span.activity, true));
            edges.push((end, span.activity, false));
        }
    }
    edges.sort_unstable_by_key(|(at, ..)| *at);
    let mut open = Open::default();
    let mut account = Accounting {
        wall,
        ..Accounting::default()
    };
    let mut since = Duration::ZERO;
    for (at, activity, opens) in edges {
        *account.part(open.uppermost()) += at.saturating_sub(since);
        since = at;
        let count = open.count(activity);
        if opens {
            *count += 1;
        } else {
            *count -= 1;
        }
    }
    *account.part(open.uppermost()) += wall.saturating_sub(since);
    account
}

/// How many spans of each activity go on.
#[derive(Default)]
struct Open {
    model: usize,
    queue: usize,
    memory: usize,
}

impl Open {
    fn count(&mut self, activity: Activity) -> &mut usize {
        match activity {
            Activity::Model => &mut self.model,
            Activity::Queue => &mut self.queue,
            Activity::Memory => &mut self.memory,
        }
    }

    /// What the moment counts as; `None` is this program's own.
    fn uppermost(&self) -> Option<Activity> {
        let counts = [
            (self.model, Activity::Model),
            (self.queue, Activity::Queue),
            (self.memory, Activity::Memory),
        ];
        let mut going_on = counts.into_iter().filter(|(count, _)| *count > 0);
        going_on.next().map(|(_, activity)| activity)
    }
}

impl Accounting {
    fn part(&mut self, activity: Option<Activity>) -> &mut Duration {
        match activity {
            Some(Activity::Model) => &mut self.model,
            Some(Activity::Queue) => &mut self.queue,
            Some(Activity::Memory) => &mut self.memory,
            None => &mut self.overhead,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn span(activity: Activity, start: u64, end: u64) -> Span {
        Span {
            activity,
            start: ms(start),
            end: ms(end),
        }
    }

    #[track_caller]
    fn check(wall: u64, spans: &[Span], parts: [u64; 4]) {
        let account = account(ms(wall), spans);
        let [model, queue, memory, overhead] = parts.map(ms);
        let expected = Accounting {
            wall: ms(wall),
            model,
            queue,
            memory,
            overhead,
        };
        assert_eq!(account, expected);
    }

    #[test]
    fn one_after_another_adds_up() {
        let spans = [
            span(Activity::Memory, 1, 5),
            span(Activity::Queue, 6, 16),
            span(Activity::Model, 16, 96),
        ];
        check(100, &spans, [80, 10, 4, 6]);
        check(100, &[], [0, 0, 0, 100]);
    }

    #[test]
    fn experts_side_by_side_are_counted_once() {
        let spans = [
            span(Activity::Model, 10, 60),
            span(Activity::Model, 20, 90),
            span(Activity::Model, 30, 40),
        ];
        check(100, &spans, [80, 0, 0, 20]);
    }

    #[test]
    fn who_waits_while_a_model_works_costs_nothing() {
        // A backend that serves one at a time: the second waits as long as the first works.
        let spans = [
            span(Activity::Queue, 0, 2),
            span(Activity::Model, 2, 50),
            span(Activity::Queue, 0, 53),
            span(Activity::Model, 53, 95),
            span(Activity::Memory, 90, 100),
        ];
        check(100, &spans, [90, 5, 5, 0]);
    }

    #[test]
    fn what_lies_outside_is_not_counted() {
        let spans = [
            span(Activity::Model, 50, 500),
            span(Activity::Memory, 200, 300),
            span(Activity::Queue, 40, 20),
        ];
        check(100, &spans, [50, 0, 0, 50]);
    }

    fn any_span() -> impl Strategy<Value = Span> {
        let activity = prop_oneof![
            Just(Activity::Model),
            Just(Activity::Queue),
            Just(Activity::Memory)
        ];
        (activity, 0..120_u64, 0..120_u64)
            .prop_map(|(activity, start, end)| span(activity, start, end))
    }

    proptest! {
        /// Against the definition, millisecond by millisecond.
        #[test]
        fn every_moment_is_counted_once(wall in 0..100_u64, spans in proptest::collection::vec(any_span(), 0..20)) {
            let mut parts = [0; 4];
            for moment in 0..wall {
                let goes_on = |activity| spans.iter().any(|span: &Span| {
                    span.activity == activity && span.start <= ms(moment) && ms(moment) < span.end
                });
                let order = [Activity::Model, Activity::Queue, Activity::Memory];
                parts[order.into_iter().position(goes_on).unwrap_or(3)] += 1;
            }
            let account = account(ms(wall), &spans);
            prop_assert_eq!([account.model, account.queue, account.memory, account.overhead], parts.map(ms));
            prop_assert_eq!(account.model + account.queue + account.memory + account.overhead, account.wall);
        }
    }
}
