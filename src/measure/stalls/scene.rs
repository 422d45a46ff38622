//! The figures of a machine during a stall beside those without one.

use crate::measure::statistics::{median, sorted};
use crate::record::{Sample, ServerState};

/// What went on when, s since the run began.
pub(super) struct Times<'a> {
    pub(super) stalls: &'a [(f64, f64)],
    /// When requests to the same backend went on, in order and apart from each other.
    pub(super) requests: &'a [(f64, f64)],
}

/// The figures of one machine during a stall and without one.
pub(super) struct Scene<'a> {
    pub(super) backend: &'a str,
    /// Looks whose time lies in the stall for the most part, or that hold all of it.
    pub(super) during: Vec<&'a Sample>,
    /// Looks that were made within it.
    pub(super) within: Vec<&'a Sample>,
    /// Looks while requests went on without a stall.
    pub(super) usual: Vec<&'a Sample>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(
        samples: &'a [Sample],
        backend: &'a str,
        times: &Times,
        at: (f64, f64),
    ) -> Self {
        let (from, to) = at;
        let spans = samples.windows(2).map(|pair| (pair[0].offset, &pair[1]));
        let during = spans.clone().filter(|(begin, look)| {
            let both = look.offset.min(to) - begin.max(from);
            let shorter = (look.offset - begin).min(to - from);
            both > 0.5 * shorter
        });
        let usual = spans.filter(|(begin, look)| {
            let is_in = |(from, to): &(f64, f64)| look.offset > *from && begin < to;
            let next = times.requests.partition_point(|it| it.0 <= *begin);
            let around = next
                .checked_sub(1)
                .and_then(|last| times.requests.get(last));
            around.is_some_and(|it| look.offset <= it.1) && !times.stalls.iter().any(is_in)
        });
        let within = samples.iter().filter(|it| (from..=to).contains(&it.offset));
        Self {
            backend,
            during: during.map(|(_, look)| look).collect(),
            within: within.collect(),
            usual: usual.map(|(_, look)| look).collect(),
        }
    }

    /// The usual value of a figure and the one in the stall: the one farthest from the usual.
    pub(super) fn moved(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<(f64, f64)> {
        let values: Vec<f64> = self.usual.iter().filter_map(|it| of(it)).collect();
        let usual = median(&sorted(&values))?;
        let then = self.during.iter().filter_map(|it| of(it));
        let then = then.max_by(|a, b| (a - usual).abs().total_cmp(&(b - usual).abs()))?;
        Some((usual, then))
    }

    /// How much more it was than usual, and what it was.
    pub(super) fn risen(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<(f64, f64)> {
        let most = self
            .during
            .iter()
            .filter_map(|it| of(it))
            .reduce(f64::max)?;
        let values: Vec<f64> = self.usual.iter().filter_map(|it| of(it)).collect();
        let usual = median(&sorted(&values)).unwrap_or(0.0);
        (most > usual).then_some((most - usual, most))
    }

    pub(super) fn state(&self, state: ServerState) -> bool {
        let mut states = self.within.iter().filter_map(|it| it.server(self.backend));
        states.any(|it| it.state == state)
    }

    pub(super) fn server_cpu(&self) -> Option<(f64, f64)> {
        self.moved(|it| it.server(self.backend)?.cpu_percent)
    }
}
