//! What a sweep found: how long requests took at the rates that were answered. Flat is a server that
//! keeps up, a wall is one that does not.

use serde::Serialize;

use super::path;
use super::scale::{Frame, Scale, Tick, plain_label, time_label};
use crate::record::{LoadStage, LoadSummary};

/// The drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// Where its axes lie.
    #[serde(flatten)]
    pub frame: Frame,
    /// Requests a second that were answered.
    pub rates: Vec<Tick>,
    /// Median E2E.
    pub times: Vec<Tick>,
    /// One a model that was swept.
    pub lines: Vec<Line>,
}

/// One model's line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which model of the run, from 0; it chooses the colour.
    pub index: usize,
    /// The model's label.
    pub label: String,
    /// The line.
    pub d: String,
    /// A point a stage.
    pub points: Vec<Point>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Where its rate lies.
    pub x: f64,
    /// Where its time lies.
    pub y: f64,
    /// The server fell behind.
    pub saturated: bool,
    /// The stage, from 0.
    pub stage: u32,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 195.0;

/// A stage with the rate that was answered and the median E2E.
type Measured<'a> = (f64, f64, &'a LoadStage);

/// Draws the sweeps of a run's models, given with their labels; `None` where there are none.
pub fn curve(sweeps: &[(String, Option<&LoadSummary>)]) -> Option<Curve> {
    let swept: Vec<(usize, &str, Vec<Measured>)> = sweeps
        .iter()
        .enumerate()
        .filter_map(|(index, (label, load))| {
            let points = known(load.as_ref()?);
            (!points.is_empty()).then_some((index, label.as_str(), points))
        })
        .collect();
    let all = || swept.iter().flat_map(|(.., points)| points);
    let fastest = all().map(|(rate, ..)| *rate).reduce(f64::max)?;
    let longest = all().map(|(_, time, _)| *time).reduce(f64::max)?;
    let x = Scale::new(0.0, fastest, LEFT, RIGHT);
    let y = Scale::new(0.0, longest, BOTTOM, TOP);
    let lines = swept.iter().map(|(index, label, points)| {
        let points: Vec<Point> = points
            .iter()
            .map(|(rate, time, stage)| Point {
                x: x.at(*rate),
                y: y.at(*time),
                saturated: stage.saturated,
                stage: stage.stage,
            })
            .collect();
        let places: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.y)).collect();
        Line {
            index: *index,
            label: (*label).to_owned(),
            d: path::line(&places),
            points,
        }
    });
    Some(Curve {
        frame: Frame {
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
        },
        rates: x.ticks(7.0, plain_label),
        times: y.ticks(4.0, time_label),
        lines: lines.collect(),
    })
}

/// The stages of which enough is known, by what was offered.
fn known(load: &LoadSummary) -> Vec<Measured<'_>> {
    let mut stages: Vec<&LoadStage> = load.stages.iter().collect();
    let offered = |it: &LoadStage| it.offered_requests_per_second.unwrap_or_default();
    stages.sort_by(|a, b| offered(a).total_cmp(&offered(b)));
    stages
        .into_iter()
        .filter_map(|it| Some((it.requests_per_second?, it.request_latency.median?, it)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::charts::fixture::sweep;

    #[test]
    fn stages_are_joined_by_their_rate_and_the_saturated_are_marked() {
        let load = sweep(&[
            (None, 1.0, 0.5),
            (Some(4.0), 2.0, 2.0),
            (Some(1.5), 1.5, 0.5),
        ]);
        let drawn = curve(&[("a".into(), None), ("b".into(), Some(&load))]).unwrap();
        let line = &drawn.lines[0];
        assert_eq!((line.index, line.label.as_str()), (1, "b"));
        let stages: Vec<_> = line
            .points
            .iter()
            .map(|it| (it.stage, it.saturated))
            .collect();
        assert_eq!(stages, [(0, false), (2, false), (1, true)]);
        assert_eq!(line.d, "M378 151.8L539 151.8L700 22");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(curve(&[]), None);
        assert_eq!(
            curve(&[("a".into(), None), ("b".into(), Some(&sweep(&[])))]),
            None
        );
    }
}
