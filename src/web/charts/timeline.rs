//! The whole run, or a part of it, on one time axis: chunks a second and gaps of each model, and under
//! them what the machines were doing. Stalls are marked across all of it.

mod machines;

use serde::Serialize;

pub use self::machines::Machine;
use self::machines::{Figures, panels};
use super::path;
use super::scale::{Scale, Tick, nice_step, plain_label, time_label};
use super::{MOST_POINTS, Series};
use crate::measure::Stall;
use crate::web::figures;

/// The drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Left end of the time axis.
    pub left: f64,
    /// Right end of the time axis.
    pub right: f64,
    /// Where the axis is drawn.
    pub bottom: f64,
    /// Beginning of what is shown, s since the run began.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// It is only a part of the run.
    pub is_part: bool,
    /// Width of a bin, s.
    pub bin: f64,
    /// Time since the run began.
    pub times: Vec<Tick>,
    /// Chunks a second and gaps, then the machines where there are samples.
    pub panels: Vec<Panel>,
    /// When each request was sent.
    pub sends: Vec<Send>,
    /// Gaps that were long.
    pub stalls: Vec<Band>,
    /// What the columns of the figures are, beside the time.
    pub columns: Vec<String>,
    /// The same in figures.
    pub rows: Vec<Row>,
}

/// One panel of the drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Panel {
    /// What it shows, with the unit.
    pub title: String,
    /// Upper edge.
    pub top: f64,
    /// Lower edge.
    pub bottom: f64,
    /// Values of its axis.
    pub ticks: Vec<Tick>,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A line of a panel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Chooses the look: `series-0` and so on for models; others for machines.
    pub look: String,
    /// What it shows.
    pub label: String,
    /// The line.
    pub d: String,
}

/// The sending of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Send {
    /// Where.
    pub x: f64,
    /// Which model of the run, from 0.
    pub index: usize,
}

/// A stall across all panels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Band {
    /// Which one of the run, from 1.
    pub number: usize,
    /// Left edge.
    pub x: f64,
    /// Width.
    pub width: f64,
    /// What it is, in words.
    pub words: String,
}

/// A bin in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Beginning of the bin, s since the run began.
    pub from: f64,
    /// One a column.
    pub cells: Vec<String>,
}

/// What of a run is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct View {
    /// From here, s since the run began; the beginning where it is none.
    pub from: Option<f64>,
    /// To here; the end where it is none.
    pub to: Option<f64>,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 700.0;
const TITLE: f64 = 22.0;
const RATES: f64 = 120.0;
const LOW: f64 = 60.0;
const AXIS: f64 = 28.0;
/// Most bins: beyond it a bin would be narrower than four units of the drawing.
const MOST_BINS: f64 = 160.0;
/// Narrower bins would be finer than anybody looks.
const NARROWEST_BIN: f64 = 0.05;
/// So many usual gaps make a bin at least: of fewer the count would jump between two values where
/// the rate does not.
const GAPS_A_BIN: f64 = 8.0;
/// But so many bins there are at least.
const FEWEST_BINS: f64 = 20.0;
/// Marks of sending beyond this many would be a wall.
const MOST_SENDS: usize = 200;
/// A mark that is narrower is not seen, nor hit.
const NARROWEST_BAND: f64 = 4.0;
/// A part of a run is so long at least, s.
const SHORTEST_PART: f64 = 0.1;

/// Draws the run; `None` where no chunk came.
pub fn timeline(
    series: &[Series],
    machines: &[Machine],
    stalls: &[Stall],
    view: View,
) -> Option<Timeline> {
    let arrivals: Vec<Vec<f64>> = series.iter().map(arrivals).collect();
    // Silence at the end belongs to the run as well: it may be why it failed.
    let end = arrivals
        .iter()
        .flatten()
        .copied()
        .chain(series.iter().flat_map(ends))
        .reduce(f64::max)
        .filter(|_| arrivals.iter().any(|times| !times.is_empty()))?;
    let (from, to) = shown(view, end);
    let span = to - from;
    let wide = (usual_gap(series) * GAPS_A_BIN).min(span / FEWEST_BINS);
    let bin = nice_step(wide.max(span / MOST_BINS)).max(NARROWEST_BIN);
    let from = (from / bin).floor() * bin;
    let bins = bin_of(to - from, bin) + 1;
    let to = from + bins as f64 * bin;
    let x = Scale::new(from, to, LEFT, RIGHT);
    let frame = Frame {
        from,
        to,
        bin,
        bins,
        x,
    };
    let rates: Vec<Vec<f64>> = arrivals.iter().map(|times| rates(times, &frame)).collect();
    let gaps: Vec<Vec<(f64, f64)>> = series.iter().map(|one| gaps(one, &frame)).collect();
    let mut drawn = vec![rate_panel(series, &rates, &frame)];
    drawn.extend(gap_panel(series, &gaps, drawn[0].bottom, x));
    let mut columns: Vec<String> = series
        .iter()
        .map(|one| format!("{}, chunks/s", one.label))
        .collect();
    let mut figures: Vec<Figures> = Vec::new();
    for machine in machines {
        let bottom = drawn.last().map_or(0.0, |panel| panel.bottom);
        let name = (machines.len() > 1).then_some(machine.name.as_str());
        let (of_machine, table) = panels(machine, name, bottom, &frame);
        drawn.extend(of_machine);
        columns.extend(table.iter().map(|it| it.title.clone()));
        figures.extend(table);
    }
    let bottom = drawn.last().map_or(0.0, |panel| panel.bottom);
    Some(Timeline {
        width: WIDTH,
        height: bottom + AXIS,
        left: LEFT,
        right: RIGHT,
        bottom,
        from,
        to,
        is_part: view != View::default(),
        bin,
        times: x.ticks(7.0, whole_seconds),
        panels: drawn,
        sends: sends(series, &frame),
        stalls: bands(stalls, &frame),
        columns,
        rows: rows(&rates, &figures, &frame),
    })
}

/// Of a part of a run too, a time is so many seconds since it began.
fn whole_seconds(value: f64, step: f64) -> String {
    format!("{} s", plain_label(value, step))
}

/// The time axis.
struct Frame {
    from: f64,
    to: f64,
    bin: f64,
    bins: usize,
    x: Scale,
}

impl Frame {
    fn holds(&self, at: f64) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// Which bin a time lies in, where it is shown.
    fn bin_of(&self, at: f64) -> Option<usize> {
        self.holds(at).then(|| bin_of(at - self.from, self.bin))
    }
}

/// The part of a run of this length that is asked for; all of it where that makes no sense.
fn shown(view: View, end: f64) -> (f64, f64) {
    let within = |at: Option<f64>, other: f64| at.filter(|at| at.is_finite()).unwrap_or(other);
    let from = within(view.from, 0.0).clamp(0.0, end);
    let to = within(view.to, end).clamp(0.0, end);
    if to - from < SHORTEST_PART {
        (0.0, end)
    } else {
        (from, to)
    }
}

fn sends(series: &[Series], frame: &Frame) -> Vec<Send> {
    let sends = series.iter().enumerate().flat_map(|(index, one)| {
        let offsets = one
            .results
            .iter()
            .filter_map(|result| result.timing.send_offset);
        offsets
            .filter(|offset| frame.holds(*offset))
            .map(move |offset| Send {
                x: frame.x.at(offset),
                index,
            })
    });
    Some(sends.collect::<Vec<_>>())
        .filter(|sends| sends.len() <= MOST_SENDS)
        .unwrap_or_default()
}

fn bands(stalls: &[Stall], frame: &Frame) -> Vec<Band> {
    let seen = stalls
        .iter()
        .zip(1..)
        .filter(|(stall, _)| stall.to > frame.from && stall.from < frame.to);
    seen.map(|(stall, number)| {
        let left = frame.x.at(stall.from.max(frame.from));
        let right = frame.x.at(stall.to.min(frame.to));
        let width = (right - left).max(NARROWEST_BAND);
        Band {
            number,
            x: left.min(RIGHT - width),
            width,
            words: format!(
                "{} without a chunk: {}",
                figures::seconds(Some(stall.to - stall.from)),
                stall.causes.join("; ")
            ),
        }
    })
    .collect()
}

/// When each request ended, s since the run began.
fn ends(series: &Series) -> Vec<f64> {
    let timings = series.results.iter().map(|result| &result.timing);
    timings
        .filter_map(|timing| Some(timing.send_offset? + timing.flight().unwrap_or_default()))
        .filter(|at| at.is_finite())
        .collect()
}

/// The longest of the models' median gaps between chunks, s; 0 where no request has two chunks.
fn usual_gap(series: &[Series]) -> f64 {
    let median = |one: &Series| {
        let chunks = one.results.iter().filter_map(|it| it.chunks.as_ref());
        let mut gaps: Vec<f64> = chunks
            .flat_map(|chunks| chunks.offsets.windows(2))
            .filter_map(|pair| Some(pair.last()? - pair.first()?))
            .collect();
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    };
    series.iter().filter_map(median).fold(0.0, f64::max)
}

/// When each chunk of each request came, s since the run began.
fn arrivals(series: &Series) -> Vec<f64> {
    let parts = series.results.iter().filter_map(|result| {
        let send = result.timing.send_offset?;
        Some((send, result.chunks.as_ref()?))
    });
    parts
        .flat_map(|(send, chunks)| chunks.offsets.iter().map(move |offset| send + offset))
        .filter(|at| at.is_finite() && *at >= 0.0)
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times and widths are not negative, and a time has few bins"
)]
fn bin_of(at: f64, bin: f64) -> usize {
    (at / bin).floor() as usize
}

fn rates(times: &[f64], frame: &Frame) -> Vec<f64> {
    let mut counts = vec![0_u32; frame.bins];
    for at in times {
        let count = frame.bin_of(*at).and_then(|place| counts.get_mut(place));
        if let Some(count) = count {
            *count += 1;
        }
    }
    counts
        .into_iter()
        .map(|count| f64::from(count) / frame.bin)
        .collect()
}

/// The longest gap that ends in each column of the drawing: when it ended, and how long it was, s.
fn gaps(series: &Series, frame: &Frame) -> Vec<(f64, f64)> {
    let mut longest: Vec<Option<(f64, f64)>> = vec![None; MOST_POINTS];
    let width = (frame.to - frame.from) / MOST_POINTS as f64;
    let parts = series.results.iter().filter_map(|result| {
        let send = result.timing.send_offset?;
        Some((send, result.chunks.as_ref()?))
    });
    for (send, chunks) in parts {
        for pair in chunks.offsets.windows(2) {
            let (at, gap) = (send + pair[1], pair[1] - pair[0]);
            let column = frame.holds(at).then(|| bin_of(at - frame.from, width));
            let column = column.map(|place| place.min(MOST_POINTS - 1));
            if let Some(kept) = column.and_then(|place| longest.get_mut(place))
                && kept.is_none_or(|(_, most)| gap > most)
            {
                *kept = Some((at, gap));
            }
        }
    }
    longest.into_iter().flatten().collect()
}

fn rate_panel(series: &[Series], rates: &[Vec<f64>], frame: &Frame) -> Panel {
    let most = rates.iter().flatten().copied().fold(0.0, f64::max);
    let y = Scale::new(0.0, most, RATES, TITLE);
    let lines = series
        .iter()
        .zip(rates)
        .enumerate()
        .map(|(index, (one, rates))| Line {
            look: format!("series-{}", index % 12),
            label: one.label.clone(),
            d: bursts(rates, frame.from, frame.bin, frame.x, y),
        });
    Panel {
        title: "Chunks a second".to_owned(),
        top: TITLE,
        bottom: RATES,
        ticks: y.ticks(3.0, plain_label),
        lines: lines.collect(),
    }
}

/// A stroke for each gap, as high as it was long.
fn gap_panel(series: &[Series], gaps: &[Vec<(f64, f64)>], above: f64, x: Scale) -> Option<Panel> {
    let most = gaps.iter().flatten().map(|it| it.1).reduce(f64::max)?;
    let (top, bottom) = (above + TITLE + 4.0, above + TITLE + LOW);
    let y = Scale::new(0.0, most, bottom, top);
    let lines = series
        .iter()
        .zip(gaps)
        .enumerate()
        .map(|(index, (one, gaps))| {
            let strokes: Vec<(f64, f64)> = gaps
                .iter()
                .map(|(at, gap)| (x.at(*at), y.at(*gap)))
                .collect();
            Line {
                look: format!("solid series-{}", index % 12),
                label: one.label.clone(),
                d: path::strokes(&strokes, bottom),
            }
        });
    Some(Panel {
        title: "Longest gap between chunks".to_owned(),
        top,
        bottom,
        ticks: y.ticks(2.0, time_label),
        lines: lines.collect(),
    })
}

/// A stepped line for each time with chunks, from the ground up and back: while others write, a
/// model has no line.
fn bursts(rates: &[f64], from: f64, bin: f64, x: Scale, y: Scale) -> String {
    let mut d = String::new();
    let mut points: Vec<(f64, f64)> = Vec::new();
    let closed = rates.iter().copied().chain([0.0]);
    for (place, rate) in closed.enumerate() {
        let at = x.at(from + place as f64 * bin);
        if rate > 0.0 {
            if points.is_empty() {
                points.push((at, y.at(0.0)));
            }
            points.push((at, y.at(rate)));
        } else if !points.is_empty() {
            points.push((at, y.at(0.0)));
            d.push_str(&path::steps(&points));
            points.clear();
        }
    }
    d
}

fn rows(rates: &[Vec<f64>], figures: &[Figures], frame: &Frame) -> Vec<Row> {
    let cell = |value: Option<f64>| figures::number(value);
    (0..frame.bins)
        .map(|place| {
            let of_models = rates.iter().map(|rates| rates.get(place).copied());
            let of_machines = figures
                .iter()
                .map(|it| it.means.get(place).copied().flatten());
            Row {
                from: frame.from + place as f64 * frame.bin,
                cells: of_models.chain(of_machines).map(cell).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
