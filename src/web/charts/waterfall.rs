//! Where the time to the first chunk went: for each model the parts of its typical request, end to
//! end in one bar.

use serde::Serialize;

use super::Series;
use super::scale::{Scale, Tick, tenths, time_label};

/// The drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waterfall {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Left end of the time axis.
    pub left: f64,
    /// Where the axis is drawn.
    pub bottom: f64,
    /// Time since sending.
    pub times: Vec<Tick>,
    /// The names of all parts, in the order they first occur; the place chooses the colour.
    pub parts: Vec<String>,
    /// One a model.
    pub bars: Vec<Bar>,
}

/// One model's bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// The model's label.
    pub label: String,
    /// Upper edge.
    pub y: f64,
    /// Height.
    pub height: f64,
    /// All parts together: the time to the first chunk, s.
    pub total: f64,
    /// Its parts in order.
    pub blocks: Vec<Block>,
}

/// One part of a bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Block {
    /// What happened.
    pub name: String,
    /// Which of the parts it is, from 0; it chooses the colour.
    pub part: usize,
    /// Left edge.
    pub x: f64,
    /// Width.
    pub width: f64,
    /// How long it took, s.
    pub seconds: f64,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 14.0;
const RIGHT: f64 = 690.0;
/// The label stands above its bar, so that a long name has the whole width.
const LABEL: f64 = 20.0;
const BAR: f64 = 22.0;
const ROW: f64 = LABEL + BAR + 12.0;
const AXIS: f64 = 28.0;

/// Draws the parts; `None` where no model has any.
pub fn waterfall(series: &[Series]) -> Option<Waterfall> {
    let rows: Vec<(&Series, Vec<(&str, f64)>)> = series
        .iter()
        .filter_map(|one| {
            let result = one.typical(|it| it.timing.time_to_first_chunk)?;
            let parts = result.timing.waterfall.iter();
            let parts: Vec<(&str, f64)> = parts
                .map(|part| (part.name.as_str(), part.duration.max(0.0)))
                .collect();
            (!parts.is_empty()).then_some((one, parts))
        })
        .collect();
    let sum = |parts: &[(&str, f64)]| parts.iter().map(|(_, duration)| duration).sum::<f64>();
    let longest = rows.iter().map(|(_, parts)| sum(parts)).reduce(f64::max)?;
    let mut names: Vec<String> = Vec::new();
    for (name, _) in rows.iter().flat_map(|(_, parts)| parts) {
        if !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    let x = Scale::new(0.0, longest, LEFT, RIGHT);
    let bars: Vec<Bar> = rows
        .iter()
        .zip(0_u32..)
        .map(|((one, parts), row)| Bar {
            label: one.label.clone(),
            y: f64::from(row) * ROW + LABEL,
            height: BAR,
            total: sum(parts),
            blocks: blocks(parts, &names, x),
        })
        .collect();
    let bottom = bars.len() as f64 * ROW;
    Some(Waterfall {
        width: WIDTH,
        height: bottom + AXIS,
        left: LEFT,
        bottom,
        times: x.ticks(6.0, time_label),
        parts: names,
        bars,
    })
}

fn blocks(parts: &[(&str, f64)], names: &[String], x: Scale) -> Vec<Block> {
    let mut begin = 0.0;
    parts
        .iter()
        .map(|(name, duration)| {
            let (from, to) = (x.at(begin), x.at(begin + duration));
            begin += duration;
            Block {
                name: (*name).to_owned(),
                part: names
                    .iter()
                    .position(|known| known == name)
                    .unwrap_or_default(),
                x: from,
                width: tenths(to - from),
                seconds: *duration,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{result, series};
    use super::*;

    #[test]
    fn the_parts_follow_each_other_and_add_up() {
        let results = [result(0.0, &[0.5])];
        let drawing = waterfall(&series(&results)).unwrap();
        assert_eq!(drawing.parts, ["model load", "prompt evaluation"]);
        let bar = &drawing.bars[0];
        assert!((bar.total - 0.5).abs() < 1e-9);
        assert!((bar.blocks[0].x + bar.blocks[0].width - bar.blocks[1].x).abs() < 1e-9);
        assert!((bar.blocks[1].x + bar.blocks[1].width - RIGHT).abs() < 0.11);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(waterfall(&[]), None);
        let mut failed = result(0.0, &[0.5]);
        failed.success = false;
        assert_eq!(waterfall(&series(&[failed])), None);
    }
}
