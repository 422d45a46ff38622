//! The models side by side from the moment of sending: how many chunks had come by when.
//! Flat is waiting, steep is fast, a step is a burst.

use serde::Serialize;

use super::Series;
use super::path;
use super::scale::{Frame, Scale, Tick, plain_label, time_label};

/// The drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Race {
    /// Where its axes lie.
    #[serde(flatten)]
    pub frame: Frame,
    /// Time since sending.
    pub times: Vec<Tick>,
    /// Chunks.
    pub counts: Vec<Tick>,
    /// One a model that has chunks.
    pub lines: Vec<Line>,
    /// The same in figures: when a tenth, two tenths, … of the chunks had come.
    pub rows: Vec<Row>,
}

/// One model's line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which model of the run, from 0; it chooses the colour.
    pub index: usize,
    /// The model's label.
    pub label: String,
    /// Which repetition is drawn: the one whose total time lies in the middle.
    pub repetition: u32,
    /// Its chunks.
    pub chunks: usize,
    /// The line.
    pub d: String,
}

/// A share of the chunks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// How much of the answer, percent.
    pub percent: u32,
    /// For each line when that much had come, s since sending.
    pub seconds: Vec<f64>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 200.0;

/// Draws the typical request of each model; `None` where no chunk came.
pub fn race(series: &[Series]) -> Option<Race> {
    let runners: Vec<(usize, &Series, u32, &[f64])> = series
        .iter()
        .enumerate()
        .filter_map(|(index, one)| {
            let result = one.typical(|it| it.timing.total_time)?;
            let offsets = result.chunks.as_ref()?.offsets.as_slice();
            (!offsets.is_empty()).then_some((index, one, result.repetition, offsets))
        })
        .collect();
    let end = runners
        .iter()
        .filter_map(|(.., offsets)| offsets.last())
        .copied()
        .fold(0.0, f64::max);
    let most = runners.iter().map(|(.., offsets)| offsets.len()).max()?;
    let x = Scale::new(0.0, end, LEFT, RIGHT);
    let y = Scale::new(0.0, most as f64, BOTTOM, TOP);
    let lines = runners.iter().map(|(index, one, repetition, offsets)| {
        let counted: Vec<(f64, f64)> = offsets
            .iter()
            .zip(1_u32..)
            .map(|(offset, count)| (*offset, f64::from(count)))
            .collect();
        let mut points = vec![(x.at(0.0), y.at(0.0))];
        points.extend(
            path::thinned(&counted)
                .iter()
                .map(|(at, count)| (x.at(*at), y.at(*count))),
        );
        Line {
            index: *index,
            label: one.label.clone(),
            repetition: *repetition,
            chunks: offsets.len(),
            d: path::steps(&points),
        }
    });
    Some(Race {
        frame: Frame {
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
        },
        times: x.ticks(7.0, time_label),
        // Chunks are whole: nothing lies between none and one.
        counts: y.ticks((most as f64).min(4.0), plain_label),
        lines: lines.collect(),
        rows: (1..=10).map(|tenth| row(tenth, &runners)).collect(),
    })
}

fn row(tenth: usize, runners: &[(usize, &Series, u32, &[f64])]) -> Row {
    let seconds = runners.iter().filter_map(|(.., offsets)| {
        // The chunk with which that share is reached.
        let reached = (offsets.len() * tenth).div_ceil(10).max(1) - 1;
        offsets.get(reached).copied()
    });
    Row {
        percent: u32::try_from(tenth * 10).unwrap_or_default(),
        seconds: seconds.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{result, series};
    use super::*;

    #[test]
    fn a_line_is_flat_until_the_first_chunk_and_ends_with_the_last() {
        let results = [result(0.0, &[0.5, 0.6, 0.7, 1.0])];
        let race = race(&series(&results)).unwrap();
        assert_eq!(
            race.lines[0].d,
            "M46 200H373V155.5H438.4V111H503.8V66.5H700V22"
        );
        assert_eq!(race.lines[0].chunks, 4);
        assert_eq!(race.rows[9].seconds, [1.0]);
        assert_eq!(race.rows[4].seconds, [0.6]);
    }

    #[test]
    fn ten_thousand_chunks_are_thinned() {
        let many: Vec<f64> = (1..=10_000).map(|n| f64::from(n) * 0.001).collect();
        let results = [result(0.0, &many)];
        let race = race(&series(&results)).unwrap();
        assert_eq!(
            race.lines[0].d.matches('H').count(),
            super::super::MOST_POINTS
        );
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(race(&[]), None);
        assert_eq!(race(&series(&[result(0.0, &[])])), None);
    }
}
