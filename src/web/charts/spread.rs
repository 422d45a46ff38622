//! How the values of one figure lie, model by model or run by run: boxes below each other, and the curves of
//! their percentiles over each other.

use serde::Serialize;

use super::labels::{apart, short};
use super::path;
use super::scale::{Axis, AxisKind, Frame, Scale, Tick, tenths};
use crate::measure::{self, FEWEST_FOR_INTERVAL};
use crate::record;

/// The drawings of one figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The figure's name.
    pub name: String,
    /// The boxes.
    pub boxes: Boxes,
    /// The curves; there are none where nobody has two values.
    pub curves: Option<Curves>,
    /// The same in figures.
    pub rows: Vec<Figures>,
    /// So many have a row of figures and no box.
    pub without_box: usize,
    /// So many have a box and no curve.
    pub without_curve: usize,
}

/// What a row of the table says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Whose.
    pub label: String,
    /// How many values.
    pub n: u64,
    /// Smallest, 10 %, 25 %, 50 %, 75 %, 90 %, largest.
    pub values: Vec<Option<f64>>,
    /// The interval of the median, where there is one.
    pub interval: Option<(f64, f64)>,
}

/// Boxes over one axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boxes {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Left end of the axis.
    pub left: f64,
    /// Where the axis is drawn.
    pub bottom: f64,
    /// How the axis goes.
    pub axis: AxisKind,
    /// The figure.
    pub ticks: Vec<Tick>,
    /// One each, in the given order.
    pub rows: Vec<Row>,
}

/// One box, or the values themselves where they are too few for one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which one of all it is, from 0; it chooses the colour.
    pub index: usize,
    /// Its name.
    pub label: String,
    /// How many values.
    pub n: u64,
    /// The median, in the figure's unit.
    pub value: f64,
    /// Where the name stands.
    pub label_y: f64,
    /// Upper edge of the box.
    pub top: f64,
    /// Height of the box.
    pub height: f64,
    /// The middle of the box.
    pub middle: f64,
    /// Left and right end of the box: the quartiles.
    pub quartiles: Option<(f64, f64)>,
    /// Left and right end of the line: the smallest and the largest value.
    pub ends: (f64, f64),
    /// The median.
    pub median: f64,
    /// Left and right end of its interval.
    pub interval: Option<(f64, f64)>,
    /// Each value, where there is no box.
    pub dots: Vec<f64>,
}

/// Curves over one axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curves {
    /// Where its axes lie.
    #[serde(flatten)]
    pub frame: Frame,
    /// How the axis goes.
    pub axis: AxisKind,
    /// The figure.
    pub ticks: Vec<Tick>,
    /// Shares of the values.
    pub shares: Vec<Tick>,
    /// One for each that has two values.
    pub lines: Vec<Line>,
}

/// One curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which one of all it is, from 0; it chooses colour and dashes.
    pub index: usize,
    /// Its name.
    pub label: String,
    /// Its name as far as there is room.
    pub short: String,
    /// The curve.
    pub d: String,
    /// From its end to its name.
    pub leader: String,
    /// Where its name begins.
    pub label_x: f64,
    /// Where its name stands.
    pub label_y: f64,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 20.0;
const RIGHT: f64 = 700.0;
const LABEL: f64 = 19.0;
const BOX: f64 = 15.0;
/// With room for the interval below the box.
const ROW: f64 = LABEL + BOX + 14.0;
const AXIS: f64 = 26.0;

const CURVES_LEFT: f64 = 62.0;
const CURVES_RIGHT: f64 = 500.0;
const CURVES_TOP: f64 = 24.0;
/// Lowest height of the curves themselves; many names need more.
const CURVES_HEIGHT: f64 = 190.0;
const LEADER: f64 = 14.0;
const KEY: f64 = 24.0;
/// Between the names of two lines.
const NAME: f64 = 17.0;
/// So many characters fit beside a line.
const LONGEST_NAME: usize = 23;
/// So many fit above a box, with its figures.
const LONGEST_LABEL: usize = 52;

/// More boxes are more than anybody looks through.
const MOST_BOXES: usize = 40;
/// More curves cannot be told apart: so many colours and dashes there are.
const MOST_CURVES: usize = 12;
/// What the table says.
const SHARES: [f64; 7] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0];

/// Draws the spreads of a figure, each in the colour of its label's place among `labels`; `None` where nobody
/// has more than one value.
pub fn spread(name: &str, labels: &[String], spreads: &[record::Spread]) -> Option<Spread> {
    let spreads: Vec<(usize, &record::Spread)> = spreads
        .iter()
        .filter(|of| of.metric == name)
        .filter_map(|of| Some((labels.iter().position(|it| *it == of.label)?, of)))
        .collect();
    if !spreads.iter().any(|(_, of)| of.n > 1) {
        return None;
    }
    let is_time = !name.ends_with("_per_second");
    let boxed = spreads.get(..MOST_BOXES).unwrap_or(&spreads);
    let with_curve: Vec<_> = boxed.iter().copied().filter(|(_, of)| of.n > 1).collect();
    let curved = with_curve.get(..MOST_CURVES).unwrap_or(&with_curve);
    let figures = spreads.iter().map(|(_, of)| Figures {
        label: of.label.clone(),
        n: of.n,
        values: SHARES.map(|share| measure::value_at(of, share)).into(),
        interval: of.median_low.zip(of.median_high),
    });
    Some(Spread {
        name: name.to_owned(),
        boxes: boxes(boxed, is_time)?,
        curves: curves(curved, is_time),
        rows: figures.collect(),
        without_box: spreads.len() - boxed.len(),
        without_curve: with_curve.len() - curved.len(),
    })
}

/// The axis of all values.
fn axis(spreads: &[(usize, &record::Spread)], from: f64, to: f64) -> Option<Axis> {
    let low = spreads.iter().map(|(_, of)| of.min).reduce(f64::min)?;
    let high = spreads.iter().map(|(_, of)| of.max).reduce(f64::max)?;
    Some(Axis::new(low, high, from, to))
}

fn boxes(spreads: &[(usize, &record::Spread)], is_time: bool) -> Option<Boxes> {
    let x = axis(spreads, LEFT, RIGHT)?;
    let rows = spreads.iter().zip(0_u32..).map(|((index, of), place)| {
        let top = f64::from(place) * ROW + LABEL;
        let are_few = of.n < FEWEST_FOR_INTERVAL as u64;
        let pair = |low: f64, high: f64| (x.at(low), x.at(high));
        let few = of.percentiles.iter().filter(|_| are_few);
        Row {
            index: *index,
            label: short(&of.label, LONGEST_LABEL),
            n: of.n,
            value: of.median,
            label_y: top - 5.0,
            top,
            height: BOX,
            middle: tenths(top + BOX / 2.0),
            quartiles: (!are_few).then(|| pair(of.low_quartile, of.high_quartile)),
            ends: pair(of.min, of.max),
            median: x.at(of.median),
            interval: of
                .median_low
                .zip(of.median_high)
                .map(|(low, high)| pair(low, high)),
            dots: few.map(|value| x.at(*value)).collect(),
        }
    });
    let rows: Vec<Row> = rows.collect();
    let bottom = rows.len() as f64 * ROW;
    Some(Boxes {
        width: WIDTH,
        height: bottom + AXIS,
        left: LEFT,
        bottom,
        axis: x.kind(),
        ticks: x.ticks(6.0, is_time),
        rows,
    })
}

fn curves(spreads: &[(usize, &record::Spread)], is_time: bool) -> Option<Curves> {
    let names = spreads.len() as f64 * NAME;
    let bottom = CURVES_TOP + CURVES_HEIGHT.max(names);
    let y = axis(spreads, bottom, CURVES_TOP)?;
    let x = Scale::new(0.0, 100.0, CURVES_LEFT, CURVES_RIGHT);
    let ends: Vec<f64> = spreads.iter().map(|(_, of)| y.at(of.max)).collect();
    let places = apart(&ends, NAME, CURVES_TOP + 4.0, bottom);
    let lines = spreads.iter().zip(ends.iter().zip(places));
    let lines = lines.map(|((index, of), (end, place))| {
        let steps = of.percentiles.len().saturating_sub(1).max(1) as f64;
        let points: Vec<(f64, f64)> = of
            .percentiles
            .iter()
            .enumerate()
            .map(|(step, value)| (x.at(step as f64 / steps * 100.0), y.at(*value)))
            .collect();
        let beside = CURVES_RIGHT + LEADER;
        let name_y = tenths(place);
        Line {
            index: *index,
            label: of.label.clone(),
            short: short(&of.label, LONGEST_NAME),
            d: path::line(&points),
            leader: path::line(&[
                (CURVES_RIGHT, *end),
                (beside, name_y),
                (beside + KEY, name_y),
            ]),
            label_x: beside + KEY + 5.0,
            label_y: tenths(place + 4.0),
        }
    });
    Some(Curves {
        frame: Frame {
            width: WIDTH,
            height: bottom + AXIS + 4.0,
            left: CURVES_LEFT,
            right: CURVES_RIGHT,
            top: CURVES_TOP,
            bottom,
        },
        axis: y.kind(),
        ticks: y.ticks(5.0, is_time),
        shares: x.ticks(4.0, |value, _| format!("{value:.0} %")),
        lines: lines.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in order, named.
    fn of(label: &str, values: &[f64]) -> record::Spread {
        let at = |percent: usize| values[(percent * (values.len() - 1) + 50) / 100];
        let enough = values.len() >= FEWEST_FOR_INTERVAL;
        record::Spread {
            metric: "time_to_first_chunk".into(),
            label: label.into(),
            n: values.len() as u64,
            min: at(0),
            low_quartile: at(25),
            median: at(50),
            high_quartile: at(75),
            max: at(100),
            median_low: enough.then(|| at(40)),
            median_high: enough.then(|| at(60)),
            percentiles: values.to_vec(),
        }
    }

    fn drawn(spreads: &[record::Spread]) -> Option<Spread> {
        let labels: Vec<String> = spreads.iter().map(|it| it.label.clone()).collect();
        spread("time_to_first_chunk", &labels, spreads)
    }

    #[test]
    fn a_box_lies_from_quartile_to_quartile_around_its_median() {
        let values: Vec<f64> = (0..=10).map(|n| f64::from(n) / 10.0).collect();
        let drawing = drawn(&[of("steady", &values)]).unwrap();
        let row = &drawing.boxes.rows[0];
        assert_eq!(drawing.boxes.axis, AxisKind::FromZero);
        assert_eq!(row.ends, (LEFT, RIGHT));
        assert!((row.median - 360.0).abs() < 0.1, "{row:?}");
        let (low, high) = row.quartiles.unwrap();
        let interval = row.interval.unwrap();
        assert!(row.ends.0 < low && low < interval.0 && interval.0 < row.median);
        assert!(row.median < interval.1 && interval.1 < high && high < row.ends.1);
        assert!(row.dots.is_empty());
        let figures = &drawing.rows[0];
        assert_eq!(figures.values[3], Some(0.5));
        assert_eq!(figures.interval, Some((0.4, 0.6)));
    }

    #[test]
    fn a_few_values_are_shown_themselves() {
        let drawing = drawn(&[of("a", &[1.0, 2.0, 4.0]), of("b", &[3.0])]).unwrap();
        let rows = &drawing.boxes.rows;
        assert_eq!((rows[0].quartiles, rows[0].dots.len()), (None, 3));
        assert_eq!((rows[1].quartiles, rows[1].dots.len()), (None, 1));
        // One value has no distribution.
        let curves = drawing.curves.unwrap();
        assert_eq!(curves.lines.len(), 1);
        assert_eq!(curves.lines[0].d.matches('L').count(), 2);
        assert_eq!(drawn(&[of("b", &[3.0])]), None);
        assert_eq!(drawn(&[]), None);
    }

    #[test]
    fn a_curve_goes_from_the_smallest_to_the_largest() {
        let drawing = drawn(&[of("a", &[0.0, 0.5, 1.0])]).unwrap();
        let curves = drawing.curves.unwrap();
        assert_eq!(curves.lines[0].d, "M62 214L281 119L500 24");
        let shares: Vec<&str> = curves.shares.iter().map(|it| it.label.as_str()).collect();
        assert_eq!(shares, ["0 %", "50 %", "100 %"]);
    }

    #[test]
    fn the_names_of_ten_models_lie_apart() {
        let alike: Vec<record::Spread> = (0..10)
            .map(|n| {
                of(
                    &format!("script:tokens=40,ttft=20,gap={n}"),
                    &[1.0, 1.1, 1.2, 1.3, 1.4],
                )
            })
            .collect();
        let drawing = drawn(&alike).unwrap();
        let curves = drawing.curves.unwrap();
        let mut places: Vec<f64> = curves.lines.iter().map(|it| it.label_y).collect();
        places.sort_by(f64::total_cmp);
        assert!(
            places
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= NAME - 0.11)
        );
        assert!(
            places
                .iter()
                .all(|it| *it > 0.0 && *it < curves.frame.height)
        );
        let mut names: Vec<&str> = curves.lines.iter().map(|it| it.short.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), 10);
        for pair in drawing.boxes.rows.windows(2) {
            assert!(pair[1].label_y - 12.0 > pair[0].top + BOX, "{pair:?}");
        }
    }

    #[test]
    fn what_is_too_much_to_look_at_is_counted() {
        let many: Vec<record::Spread> = (0..50).map(|n| of(&n.to_string(), &[1.0, 2.0])).collect();
        let drawing = drawn(&many).unwrap();
        assert_eq!(drawing.boxes.rows.len(), MOST_BOXES);
        assert_eq!(drawing.curves.map(|it| it.lines.len()), Some(MOST_CURVES));
        assert_eq!((drawing.without_box, drawing.without_curve), (10, 28));
        assert_eq!(drawing.rows.len(), 50);
    }
}
