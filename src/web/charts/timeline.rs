//! The whole run on one time axis: chunks a second of each model, and under them what the machine
//! was doing.

use serde::Serialize;

use super::Series;
use super::path;
use super::scale::{Scale, Tick, nice_step, plain_label, time_label};
use crate::record::{Sample, Samples};

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
    /// Width of a bin, s.
    pub bin: f64,
    /// Time since the run began.
    pub times: Vec<Tick>,
    /// Chunks a second, then CPU and memory where there are samples.
    pub panels: Vec<Panel>,
    /// When each request was sent.
    pub sends: Vec<Send>,
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
    /// Chooses the colour: the model's number in the run, from 0; null for the machine's lines.
    pub index: Option<usize>,
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

/// A bin in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Beginning of the bin, s since the run began.
    pub from: f64,
    /// Chunks a second, one a model.
    pub rates: Vec<f64>,
    /// CPU in use, percent; null where no sample lies in the bin.
    pub cpu: Option<f64>,
    /// Memory in use, percent.
    pub memory: Option<f64>,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 700.0;
const TITLE: f64 = 22.0;
const RATES: f64 = 120.0;
const MACHINE: f64 = 60.0;
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

/// Draws the run; `None` where no chunk came.
pub fn timeline(series: &[Series], samples: Option<&Samples>) -> Option<Timeline> {
    let arrivals: Vec<Vec<f64>> = series.iter().map(arrivals).collect();
    // Silence at the end belongs to the run as well: it may be why it failed.
    let end = arrivals
        .iter()
        .flatten()
        .copied()
        .chain(series.iter().flat_map(ends))
        .reduce(f64::max)
        .filter(|_| arrivals.iter().any(|times| !times.is_empty()))?;
    let wide = (usual_gap(series) * GAPS_A_BIN).min(end / FEWEST_BINS);
    let bin = nice_step(wide.max(end / MOST_BINS)).max(NARROWEST_BIN);
    let bins = bin_of(end, bin) + 1;
    let x = Scale::new(0.0, bins as f64 * bin, LEFT, RIGHT);
    let rates: Vec<Vec<f64>> = arrivals
        .iter()
        .map(|times| rates(times, bin, bins))
        .collect();
    let shown: Vec<Sample> = samples
        .map(|samples| samples.items.iter())
        .into_iter()
        .flatten()
        .filter(|sample| (0.0..=end).contains(&sample.offset))
        .cloned()
        .collect();
    let mut panels = vec![rate_panel(series, &rates, bin, x)];
    if !shown.is_empty() {
        let top = RATES + TITLE;
        let cpu = |sample: &Sample| sample.cpu_percent;
        let memory = |sample: &Sample| sample.memory_percent;
        panels.push(machine_panel("CPU in use, %", top, &shown, cpu, x));
        panels.push(machine_panel(
            "Memory in use, %",
            top + TITLE + MACHINE,
            &shown,
            memory,
            x,
        ));
    }
    let bottom = panels.last().map_or(0.0, |panel| panel.bottom);
    let sends = series.iter().enumerate().flat_map(|(index, one)| {
        let offsets = one
            .results
            .iter()
            .filter_map(|result| result.timing.send_offset);
        offsets.map(move |offset| Send {
            x: x.at(offset),
            index,
        })
    });
    Some(Timeline {
        width: WIDTH,
        height: bottom + AXIS,
        left: LEFT,
        right: RIGHT,
        bottom,
        bin,
        times: x.ticks(7.0, time_label),
        panels,
        sends: Some(sends.collect::<Vec<_>>())
            .filter(|sends| sends.len() <= MOST_SENDS)
            .unwrap_or_default(),
        rows: rows(&rates, &shown, bin),
    })
}

/// When each request ended, s since the run began.
fn ends(series: &Series) -> Vec<f64> {
    let timings = series.results.iter().map(|result| &result.timing);
    timings
        .filter_map(|timing| Some(timing.send_offset? + timing.total_time.unwrap_or_default()))
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

fn rates(times: &[f64], bin: f64, bins: usize) -> Vec<f64> {
    let mut counts = vec![0_u32; bins];
    for at in times {
        if let Some(count) = counts.get_mut(bin_of(*at, bin)) {
            *count += 1;
        }
    }
    counts
        .into_iter()
        .map(|count| f64::from(count) / bin)
        .collect()
}

fn rate_panel(series: &[Series], rates: &[Vec<f64>], bin: f64, x: Scale) -> Panel {
    let most = rates.iter().flatten().copied().fold(0.0, f64::max);
    let y = Scale::new(0.0, most, RATES, TITLE);
    let lines = series
        .iter()
        .zip(rates)
        .enumerate()
        .map(|(index, (one, rates))| Line {
            index: Some(index),
            label: one.label.clone(),
            d: bursts(rates, bin, x, y),
        });
    Panel {
        title: "Chunks a second".to_owned(),
        top: TITLE,
        bottom: RATES,
        ticks: y.ticks(3.0, plain_label),
        lines: lines.collect(),
    }
}

/// A stepped line for each time with chunks, from the ground up and back: while others write, a
/// model has no line.
fn bursts(rates: &[f64], bin: f64, x: Scale, y: Scale) -> String {
    let mut d = String::new();
    let mut points: Vec<(f64, f64)> = Vec::new();
    let closed = rates.iter().copied().chain([0.0]);
    for (place, rate) in closed.enumerate() {
        let at = x.at(place as f64 * bin);
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

fn machine_panel(
    title: &str,
    top: f64,
    samples: &[Sample],
    value: impl Fn(&Sample) -> f64,
    x: Scale,
) -> Panel {
    let (top, bottom) = (top + 4.0, top + MACHINE);
    let y = Scale::new(0.0, 100.0, bottom, top);
    let points: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| (x.at(sample.offset), y.at(value(sample))))
        .collect();
    Panel {
        title: title.to_owned(),
        top,
        bottom,
        ticks: y.ticks(2.0, plain_label),
        lines: vec![Line {
            index: None,
            label: title.to_owned(),
            d: path::line(&path::peaks(&points)),
        }],
    }
}

fn rows(rates: &[Vec<f64>], samples: &[Sample], bin: f64) -> Vec<Row> {
    let bins = rates.first().map_or(0, Vec::len);
    (0..bins)
        .map(|place| {
            let within: Vec<&Sample> = samples
                .iter()
                .filter(|sample| bin_of(sample.offset, bin) == place)
                .collect();
            let mean = |value: fn(&Sample) -> f64| {
                let sum: f64 = within.iter().map(|sample| value(sample)).sum();
                (!within.is_empty()).then(|| sum / within.len() as f64)
            };
            Row {
                from: place as f64 * bin,
                rates: rates
                    .iter()
                    .filter_map(|rates| rates.get(place).copied())
                    .collect(),
                cpu: mean(|sample| sample.cpu_percent),
                memory: mean(|sample| sample.memory_percent),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{result, series};
    use super::*;

    fn sample(offset: f64, cpu_percent: f64) -> Sample {
        Sample {
            offset,
            cpu_percent,
            core_percent: vec![cpu_percent],
            memory_used_bytes: 1,
            memory_available_bytes: 1,
            memory_percent: 50.0,
            swap_used_bytes: 0,
            ..Sample::default()
        }
    }

    #[test]
    fn every_chunk_is_counted_in_its_bin() {
        let results = [result(0.1, &[0.1, 0.12, 0.2]), result(1.0, &[0.5, 1.0])];
        let samples = Samples {
            interval: 0.25,
            items: vec![sample(-0.2, 1.0), sample(0.25, 40.0), sample(0.27, 60.0)],
            ..Samples::default()
        };
        let drawing = timeline(&series(&results), Some(&samples)).unwrap();
        let chunks: f64 = drawing
            .rows
            .iter()
            .map(|row| row.rates[0] * drawing.bin)
            .sum();
        assert!((chunks - 5.0).abs() < 1e-9);
        let with_cpu: Vec<f64> = drawing.rows.iter().filter_map(|row| row.cpu).collect();
        assert_eq!(with_cpu, [50.0]);
        assert_eq!(drawing.panels.len(), 3);
        assert_eq!(drawing.sends.len(), 2);
    }

    #[test]
    fn silence_at_the_end_is_drawn() {
        let mut stalled = result(0.0, &[0.1, 0.2]);
        stalled.timing.total_time = Some(3.0);
        stalled.success = false;
        let results = [stalled, result(3.0, &[0.1])];
        let drawing = timeline(&series(&results), None).unwrap();
        let end = drawing.rows.len() as f64 * drawing.bin;
        assert!((3.1..3.5).contains(&end), "{end}");
        assert!(drawing.sends[1].x < drawing.right);
    }

    #[test]
    fn a_steady_model_is_level() {
        let offsets: Vec<f64> = (1..=100).map(|n| f64::from(n) * 0.06).collect();
        let drawing = timeline(&series(&[result(0.0, &offsets)]), None).unwrap();
        let rates: Vec<f64> = drawing.rows.iter().map(|row| row.rates[0]).collect();
        let within = &rates[1..rates.len() - 1];
        let (low, high) = within
            .iter()
            .fold((f64::MAX, 0.0_f64), |(low, high), rate| {
                (low.min(*rate), high.max(*rate))
            });
        assert!(high < low * 1.5, "{rates:?}");
    }

    #[test]
    fn silence_has_no_line() {
        let x = Scale::new(0.0, 5.0, 0.0, 50.0);
        let y = Scale::new(0.0, 10.0, 100.0, 0.0);
        let d = bursts(&[0.0, 5.0, 0.0, 10.0, 5.0], 1.0, x, y);
        assert_eq!(d, "M10 100H10V50H20V100M30 100H30V0H40V50H50V100");
    }

    #[test]
    fn long_runs_have_few_bins() {
        let results: Vec<_> = (0..500)
            .map(|n| result(f64::from(n) * 20.0, &[0.5, 10.0]))
            .collect();
        let drawing = timeline(&series(&results), None).unwrap();
        assert!(drawing.rows.len() <= 161, "{}", drawing.rows.len());
        assert_eq!(drawing.panels.len(), 1);
        assert!(drawing.sends.is_empty());
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(timeline(&[], None), None);
        assert_eq!(timeline(&series(&[result(0.0, &[])]), None), None);
    }
}
