//! One figure of a model from run to run: its median with its interval, and where the set-up changed.

use serde::Serialize;

use super::path;
use super::scale::{Frame, Scale, Tick, plain_label, time_label};
use crate::record::Distribution;

/// The drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// Where its axes lie.
    #[serde(flatten)]
    pub frame: Frame,
    /// The figure.
    pub values: Vec<Tick>,
    /// One a run that has the figure.
    pub marks: Vec<Mark>,
    /// The line through the medians.
    pub d: String,
    /// Where the set-up changed: between two runs.
    pub changes: Vec<f64>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// Where it lies.
    pub x: f64,
    /// Where its median lies.
    pub y: f64,
    /// Where its interval ends above and below; the median itself where it has none.
    pub high: f64,
    /// Its lower end.
    pub low: f64,
    /// Which of the runs it is, from 0.
    pub run: usize,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 180.0;

/// Draws a figure of runs in their order, each with the number of its set-up; `None` where no run has
/// the figure. `is_time` says in which words the axis speaks.
pub fn course(runs: &[(u32, &Distribution)], is_time: bool) -> Option<Course> {
    let most = runs
        .iter()
        .filter_map(|(_, of)| of.median_high.or(of.median))
        .reduce(f64::max)?;
    let x = Scale::new(-0.5, runs.len() as f64 - 0.5, LEFT, RIGHT);
    let y = Scale::new(0.0, most, BOTTOM, TOP);
    let marks: Vec<Mark> = runs
        .iter()
        .enumerate()
        .filter_map(|(run, (_, of))| {
            let median = of.median?;
            Some(Mark {
                x: x.at(run as f64),
                y: y.at(median),
                high: y.at(of.median_high.unwrap_or(median)),
                low: y.at(of.median_low.unwrap_or(median)),
                run,
            })
        })
        .collect();
    let places: Vec<(f64, f64)> = marks.iter().map(|mark| (mark.x, mark.y)).collect();
    let changes = runs.windows(2).enumerate();
    let changes = changes
        .filter(|(_, pair)| pair[0].0 != pair[1].0)
        .map(|(run, _)| x.at(run as f64 + 0.5));
    let words = if is_time { time_label } else { plain_label };
    Some(Course {
        frame: Frame {
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
        },
        values: y.ticks(4.0, words),
        d: path::line(&places),
        changes: changes.collect(),
        marks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(median: f64) -> Distribution {
        Distribution {
            median: Some(median),
            median_low: Some(median - 1.0),
            median_high: Some(median + 1.0),
            ..Distribution::default()
        }
    }

    #[test]
    fn runs_lie_side_by_side_and_changes_between_them() {
        let (first, second, unknown) = (of(9.0), of(4.0), Distribution::default());
        let runs = [(0, &first), (0, &unknown), (1, &second), (1, &second)];
        let drawn = course(&runs, false).unwrap();
        let numbers: Vec<usize> = drawn.marks.iter().map(|mark| mark.run).collect();
        assert_eq!(numbers, [0, 2, 3]);
        assert_eq!(drawn.changes.len(), 1);
        let change = drawn.changes[0];
        assert!(drawn.marks[0].x < change && change < drawn.marks[1].x);
        let mark = &drawn.marks[0];
        assert!(mark.high < mark.y && mark.y < mark.low);
        assert_eq!(course(&[(0, &unknown)], true), None);
        assert_eq!(course(&[], true), None);
    }
}
