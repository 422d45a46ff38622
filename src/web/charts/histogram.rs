//! How the gaps between chunks are spread: for each model a row of bars over a common axis.
//! The axis is logarithmic, since a burst's gaps are thousandths of the pauses between bursts.

use serde::Serialize;

use super::Series;
use super::scale::{Scale, Tick, round_values, tenths, time_label};

/// The drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Left end of the axis.
    pub left: f64,
    /// Right end of the axis.
    pub right: f64,
    /// Where the axis is drawn.
    pub bottom: f64,
    /// Gap between two chunks.
    pub gaps: Vec<Tick>,
    /// One a model.
    pub rows: Vec<Row>,
    /// Ends of the bins, s; one more than there are bins.
    pub edges: Vec<f64>,
}

/// One model's row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which model of the run, from 0; it chooses the colour.
    pub index: usize,
    /// The model's label.
    pub label: String,
    /// Where the label stands.
    pub label_y: f64,
    /// Where no gap lies.
    pub base: f64,
    /// How many gaps there are.
    pub total: usize,
    /// How many of them are too short to be told apart; they are in no bin.
    pub together: usize,
    /// Bars that are not empty.
    pub bars: Vec<Bar>,
    /// Gaps in each bin.
    pub counts: Vec<usize>,
}

/// The gaps of one bin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// How many gaps.
    pub count: usize,
    /// Lower end of the bin, s.
    pub from: f64,
    /// Upper end of the bin, s.
    pub to: f64,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 14.0;
const RIGHT: f64 = 706.0;
const LABEL: f64 = 20.0;
const BARS: f64 = 64.0;
const ROW: f64 = LABEL + BARS + 8.0;
const AXIS: f64 = 28.0;
/// Bins a decade: finer ones would hold too few gaps of an answer of usual length.
const BINS_A_DECADE: f64 = 10.0;
/// Chunks that come closer were taken by one read and share its stamp: between them nothing was
/// measured.
const SHORTEST: f64 = 1e-6;
/// The axis covers at least this, so that a steady model does not look spread.
const FEWEST_BINS: usize = 10;

/// Draws the gaps of all measured requests; `None` where there is none.
pub fn histogram(series: &[Series]) -> Option<Histogram> {
    let gaps: Vec<(usize, &Series, Vec<f64>)> = series
        .iter()
        .enumerate()
        .map(|(index, one)| (index, one, gaps(one)))
        .filter(|(.., gaps)| !gaps.is_empty())
        .collect();
    let all = || {
        gaps.iter()
            .flat_map(|(.., gaps)| gaps)
            .filter(|gap| **gap >= SHORTEST)
            .map(|gap| gap.log10() * BINS_A_DECADE)
    };
    let low = all().reduce(f64::min)?.floor();
    let high = (all().reduce(f64::max)? + 1e-9).ceil();
    let bins = bins_between(low, high).max(FEWEST_BINS);
    let low = low - ((bins - bins_between(low, high)) / 2) as f64;
    let x = Scale::new(0.0, bins as f64, LEFT, RIGHT);
    let edge = |bin: usize| 10_f64.powf((low + bin as f64) / BINS_A_DECADE);
    let rows: Vec<Row> = gaps
        .iter()
        .zip(0_u32..)
        .map(|((index, one, gaps), place)| {
            let top = f64::from(place) * ROW;
            let mut counts = vec![0_usize; bins];
            for gap in gaps.iter().filter(|gap| **gap >= SHORTEST) {
                let bin = bins_between(low, (gap.log10() * BINS_A_DECADE).floor()).min(bins - 1);
                if let Some(count) = counts.get_mut(bin) {
                    *count += 1;
                }
            }
            Row {
                index: *index,
                label: one.label.clone(),
                label_y: top + LABEL - 6.0,
                base: top + LABEL + BARS,
                total: gaps.len(),
                together: gaps.iter().filter(|gap| **gap < SHORTEST).count(),
                bars: bars(&counts, top + LABEL, x, edge),
                counts,
            }
        })
        .collect();
    let bottom = rows.len() as f64 * ROW;
    Some(Histogram {
        width: WIDTH,
        height: bottom + AXIS,
        left: LEFT,
        right: RIGHT,
        bottom,
        gaps: ticks(low, bins, x),
        rows,
        edges: (0..=bins).map(edge).collect(),
    })
}

/// Gaps between the chunks of every measured request.
fn gaps(series: &Series) -> Vec<f64> {
    let chunks = series.measured().filter_map(|it| it.chunks.as_ref());
    chunks
        .flat_map(|chunks| chunks.offsets.windows(2))
        .filter_map(|pair| Some(pair.last()? - pair.first()?))
        .filter(|gap| gap.is_finite())
        .collect()
}

/// Whole steps from one end to another; none where the second is not above the first.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "logarithms of times: some hundreds at most, and not below zero here"
)]
fn bins_between(low: f64, high: f64) -> usize {
    (high - low).max(0.0).round() as usize
}

fn bars(counts: &[usize], top: f64, x: Scale, edge: impl Fn(usize) -> f64) -> Vec<Bar> {
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let y = Scale::new(0.0, most as f64, top + BARS, top);
    let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    filled
        .map(|(bin, count)| {
            let (from, to) = (x.at(bin as f64), x.at(bin as f64 + 1.0));
            // A single gap among thousands is still seen.
            let upper = y.at(*count as f64).min(top + BARS - 1.0);
            Bar {
                x: from,
                y: upper,
                width: tenths((to - from - 1.0).max(1.0)),
                height: tenths(top + BARS - upper),
                count: *count,
                from: edge(bin),
                to: edge(bin + 1),
            }
        })
        .collect()
}

/// The powers of ten within the axis; on a short axis also twice and five times them.
fn ticks(low: f64, bins: usize, x: Scale) -> Vec<Tick> {
    let high = low + bins as f64;
    round_values(low / BINS_A_DECADE, high / BINS_A_DECADE, bins > 30)
        .map(|gap| Tick {
            at: x.at(gap.log10() * BINS_A_DECADE - low),
            label: time_label(gap, gap),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{result, series};
    use super::*;

    #[test]
    fn every_gap_is_in_one_bin() {
        let offsets: Vec<f64> = (0..50)
            .map(|n| f64::from(n) * 0.01 + f64::from(n % 5) * 0.001)
            .collect();
        let results = [result(0.0, &offsets), result(5.0, &[0.1, 0.1, 0.9])];
        let drawing = histogram(&series(&results)).unwrap();
        let row = &drawing.rows[0];
        assert_eq!((row.total, row.together), (51, 1));
        assert_eq!(row.counts.iter().sum::<usize>(), 50);
        assert_eq!(row.bars.iter().map(|bar| bar.count).sum::<usize>(), 50);
        assert_eq!(drawing.edges.len(), row.counts.len() + 1);
        for bar in &row.bars {
            assert!(bar.x >= LEFT && bar.x + bar.width <= RIGHT + 0.1, "{bar:?}");
            assert!(bar.height > 0.0, "{bar:?}");
        }
    }

    #[test]
    fn equal_gaps_stand_in_the_middle_of_a_wide_axis() {
        let results = [result(0.0, &[0.0, 0.01, 0.02, 0.03])];
        let drawing = histogram(&series(&results)).unwrap();
        assert!(drawing.rows[0].counts.len() >= FEWEST_BINS);
        assert!(
            drawing.gaps.iter().any(|tick| tick.label == "10 ms"),
            "{:?}",
            drawing.gaps
        );
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(histogram(&[]), None);
        assert_eq!(histogram(&series(&[result(0.0, &[0.5])])), None);
    }
}
