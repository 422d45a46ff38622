//! From values to the geometry of a drawing: pure, in the units of the drawing's own `viewBox`.
//! Colours and text sizes belong to the style sheet, the drawing itself to the templates.

mod course;
mod curve;
mod days;
mod histogram;
mod labels;
mod path;
mod race;
mod scale;
mod spread;
mod timeline;
mod waterfall;

pub use course::course;
pub use curve::curve;
pub use days::{Course as DayCourse, days};
pub use histogram::histogram;
pub use race::race;
pub use spread::{Spread, spread};
pub use timeline::{Machine, View, timeline};
pub use waterfall::waterfall;

use crate::record::BenchmarkResult;

/// Most points that one line of a drawing has.
pub const MOST_POINTS: usize = 400;

/// What one model's line, bar or row is made from.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// The model's label.
    pub label: String,
    /// Its results, in the order they finished.
    pub results: Vec<&'a BenchmarkResult>,
}

impl<'a> Series<'a> {
    /// The measured requests that succeeded.
    fn measured(&self) -> impl Iterator<Item = &'a BenchmarkResult> {
        self.results
            .iter()
            .copied()
            .filter(|it| it.success && it.is_measured())
    }

    /// The measured request whose `figure` lies in the middle: a real one, not a mean.
    fn typical(
        &self,
        figure: impl Fn(&BenchmarkResult) -> Option<f64>,
    ) -> Option<&'a BenchmarkResult> {
        let mut known: Vec<(f64, &BenchmarkResult)> = self
            .measured()
            .filter_map(|it| Some((figure(it)?, it)))
            .collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let middle = known.len().checked_sub(1)? / 2;
        known.get(middle).map(|(_, result)| *result)
    }
}

#[cfg(test)]
mod fixture;
