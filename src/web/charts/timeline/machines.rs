//! What machines were doing, panel by panel. A figure that was never known has no panel, and one that
//! never moved only where its height says something.

use super::{Frame, LOW, Line, Panel, TITLE};
use crate::record::{Pressure, Sample};
use crate::web::charts::path;
use crate::web::charts::scale::{Scale, nice_step, plain_label};

/// One machine of a run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it is called.
    pub name: String,
    /// Its samples.
    pub items: Vec<Sample>,
}

/// A column of the table.
pub(super) struct Figures {
    /// What it is, with the unit.
    pub(super) title: String,
    /// The mean of each bin; none where no sample lies in it.
    pub(super) means: Vec<Option<f64>>,
}

/// Work that waited less of the time than this is not worth a panel, percent.
const WAITED: f64 = 5.0;
/// A clock that never moved by more than this share is level.
const MOVED: f64 = 0.02;

type Figure<'a> = Box<dyn Fn(&Sample) -> Option<f64> + 'a>;

/// A panel as it is declared: its title, its highest value where that is fixed, and its lines, each with
/// its look, its label and its figure.
struct Draft<'a> {
    title: String,
    most: Option<f64>,
    lines: Vec<(&'static str, String, Figure<'a>)>,
}

fn draft<'a>(title: impl Into<String>, most: Option<f64>) -> Draft<'a> {
    Draft {
        title: title.into(),
        most,
        lines: Vec::new(),
    }
}

impl<'a> Draft<'a> {
    fn line(
        mut self,
        look: &'static str,
        label: &str,
        of: impl Fn(&Sample) -> Option<f64> + 'a,
    ) -> Self {
        self.lines.push((look, label.to_owned(), Box::new(of)));
        self
    }
}

/// The panels of a machine under `above`, and the same in figures.
pub(super) fn panels(
    machine: &Machine,
    name: Option<&str>,
    above: f64,
    frame: &Frame,
) -> (Vec<Panel>, Vec<Figures>) {
    // One sample more at each end, so that lines reach the edges.
    let items = &machine.items;
    let first = items.partition_point(|it| it.offset < frame.from);
    let last = items.partition_point(|it| it.offset <= frame.to);
    let near = items.get(first.saturating_sub(1)..(last + 1).min(items.len()));
    let near: Vec<&Sample> = near.unwrap_or_default().iter().collect();
    let (mut drawn, mut figures) = (Vec::new(), Vec::new());
    let mut above = above;
    if last <= first {
        return (drawn, figures);
    }
    for draft in drafts(items) {
        let prefix = name.map(|name| format!("{name}: ")).unwrap_or_default();
        let unit = draft.title.rsplit(", ").next().unwrap_or_default();
        for (_, label, of) in &draft.lines {
            let base = column(&draft.title, label);
            figures.push(Figures {
                title: format!("{prefix}{base}, {unit}"),
                means: means(&near, of, frame),
            });
        }
        let panel = panel(&draft, &prefix, &near, above, frame);
        above = panel.bottom;
        drawn.push(panel);
    }
    (drawn, figures)
}

/// What a line is called where it stands alone.
fn column(title: &str, label: &str) -> String {
    let what = title.split([',', ' ']).next().unwrap_or(title);
    let subject = title.split(" in use").next().unwrap_or(title);
    let subject = subject.split(", ").next().unwrap_or(subject);
    match (what, label) {
        ("Temperature", label) => format!("temperature of {label}"),
        ("Work", label) => format!("waited for {label}"),
        (_, "all") => subject.to_owned(),
        (_, label) => format!("{subject} of {label}"),
    }
}

fn means(samples: &[&Sample], of: &Figure, frame: &Frame) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u32); frame.bins];
    for sample in samples {
        let place = frame.bin_of(sample.offset);
        if let Some(sum) = place.and_then(|place| sums.get_mut(place))
            && let Some(value) = of(sample)
        {
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    let mean = |(sum, count): (f64, u32)| (count > 0).then(|| sum / f64::from(count));
    sums.into_iter().map(mean).collect()
}

fn panel(draft: &Draft, prefix: &str, samples: &[&Sample], above: f64, frame: &Frame) -> Panel {
    let (top, bottom) = (above + TITLE + 4.0, above + TITLE + LOW);
    let values = draft
        .lines
        .iter()
        .flat_map(|(_, _, of)| samples.iter().filter_map(|it| of(it)));
    let most = draft.most.or_else(|| values.reduce(f64::max));
    let y = Scale::new(0.0, rounded_up(most.unwrap_or(1.0).max(1.0)), bottom, top);
    let lines = draft.lines.iter().map(|(look, label, of)| {
        let points = samples.iter().filter_map(|it| Some((it.offset, of(it)?)));
        let points: Vec<(f64, f64)> = within(&points.collect::<Vec<_>>(), frame)
            .into_iter()
            .map(|(at, value)| (frame.x.at(at), y.at(value)))
            .collect();
        Line {
            look: (*look).to_owned(),
            label: label.clone(),
            d: path::line(&path::peaks(&points)),
        }
    });
    Panel {
        title: format!("{prefix}{}", draft.title),
        top,
        bottom,
        ticks: y.ticks(2.0, plain_label),
        lines: lines.filter(|line| !line.d.is_empty()).collect(),
    }
}

/// The next round value, so that an axis has one near its end.
fn rounded_up(most: f64) -> f64 {
    let step = nice_step(most / 2.0);
    (most / step).ceil() * step
}

/// The points that are shown; a line that goes on beyond an edge ends there.
fn within(points: &[(f64, f64)], frame: &Frame) -> Vec<(f64, f64)> {
    let mut found: Vec<(f64, f64)> = Vec::new();
    for (place, point) in points.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|place| points.get(place));
        if let Some(before) = before {
            for edge in [frame.from, frame.to] {
                if before.0 < edge && edge < point.0 {
                    let share = (edge - before.0) / (point.0 - before.0);
                    found.push((edge, before.1 + share * (point.1 - before.1)));
                }
            }
        }
        if frame.holds(point.0) {
            found.push(*point);
        }
    }
    found
}

/// Whether any sample has the figure.
fn is_known(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> bool {
    samples.iter().any(|it| of(it).is_some())
}

/// Whether the figure moved by more than a share of it.
fn has_moved(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> bool {
    let values: Vec<f64> = samples.iter().filter_map(of).collect();
    let least = values.iter().copied().reduce(f64::min);
    let most = values.iter().copied().reduce(f64::max);
    least
        .zip(most)
        .is_some_and(|(least, most)| most - least > MOVED * most)
}

fn server_cpu(sample: &Sample) -> Option<f64> {
    let known: Vec<f64> = sample
        .servers
        .iter()
        .filter_map(|it| it.cpu_percent)
        .collect();
    known.into_iter().reduce(|sum, one| sum + one)
}

fn server_memory(sample: &Sample) -> Option<f64> {
    let known = sample.servers.iter().filter_map(|it| it.memory_bytes);
    known
        .reduce(|sum, one| sum + one)
        .map(|bytes| bytes as f64 / 1e6)
}

/// A resource that work can wait for.
type Wait = (&'static str, &'static str, fn(&Pressure) -> Option<f64>);

const WAITS: [Wait; 3] = [
    ("machine", "processor", |it| it.cpu_percent),
    ("server", "memory", |it| it.memory_percent),
    ("other", "storage", |it| it.io_percent),
];

fn drafts(samples: &[Sample]) -> Vec<Draft<'static>> {
    let mut found = vec![cpu(samples)];
    found.extend(waits(samples));
    found.push(
        draft("Memory in use, %", Some(100.0)).line("machine", "all", |it| Some(it.memory_percent)),
    );
    if has_moved(samples, server_memory) {
        found.push(draft("Model server in memory, MB", None).line("server", "all", server_memory));
    }
    if has_moved(samples, |it| it.frequency_max_mhz) {
        found.push(
            draft("CPU clock, MHz", None)
                .line("server", "fastest core", |it| it.frequency_max_mhz)
                .line("machine", "mean of cores", |it| it.frequency_mean_mhz),
        );
    }
    let gpus = samples.iter().map(|it| it.gpus.len()).max().unwrap_or(0);
    for place in 0..gpus {
        found.extend(gpu(samples, place, gpus));
    }
    found.extend(temperature(samples, gpus));
    found
}

fn cpu(samples: &[Sample]) -> Draft<'static> {
    let mut panel =
        draft("CPU in use, %", Some(100.0)).line("machine", "all", |it| Some(it.cpu_percent));
    if is_known(samples, server_cpu) {
        panel = panel.line("server", "model server", server_cpu);
    }
    if is_known(samples, |it| it.other_cpu_percent) {
        panel = panel.line("other", "other programs", |it| it.other_cpu_percent);
    }
    panel
}

fn waits(samples: &[Sample]) -> Option<Draft<'static>> {
    let mut panel = draft("Work that waited, % of the time", None);
    for (look, label, of) in WAITS {
        let value = move |it: &Sample| of(it.pressure.as_ref()?);
        if samples
            .iter()
            .any(|it| value(it).is_some_and(|it| it >= WAITED))
        {
            panel = panel.line(look, label, value);
        }
    }
    (!panel.lines.is_empty()).then_some(panel)
}

fn gpu_name(place: usize, of: usize) -> String {
    if of > 1 {
        format!("GPU {place}")
    } else {
        "GPU".to_owned()
    }
}

fn gpu(samples: &[Sample], place: usize, of: usize) -> Vec<Draft<'static>> {
    let name = gpu_name(place, of);
    let mut found = Vec::new();
    let utilization = move |it: &Sample| it.gpus.get(place)?.utilization_percent;
    let activity = move |it: &Sample| it.gpus.get(place)?.memory_activity_percent;
    let power = move |it: &Sample| it.gpus.get(place)?.power_watts;
    let clock = move |it: &Sample| it.gpus.get(place)?.clock_mhz;
    if is_known(samples, utilization) {
        let panel = draft(format!("{name} in use, %"), Some(100.0));
        found.push(panel.line("server", "all", utilization).line(
            "machine",
            "its memory",
            activity,
        ));
    }
    if is_known(samples, power) {
        found.push(draft(format!("{name} power, W"), None).line("server", "all", power));
    }
    if has_moved(samples, clock) {
        found.push(draft(format!("{name} clock, MHz"), None).line("server", "all", clock));
    }
    found
}

fn temperature(samples: &[Sample], gpus: usize) -> Option<Draft<'static>> {
    const LOOKS: [&str; 2] = ["server", "other"];
    let mut panel = draft("Temperature, °C", None);
    if is_known(samples, |it| it.cpu_temperature_celsius) {
        panel = panel.line("machine", "the processor", |it| it.cpu_temperature_celsius);
    }
    for place in 0..gpus {
        let of = move |it: &Sample| it.gpus.get(place)?.temperature_celsius;
        if is_known(samples, of) {
            let name = format!("the {}", gpu_name(place, gpus));
            panel = panel.line(LOOKS[place % 2], &name, of);
        }
    }
    (!panel.lines.is_empty()).then_some(panel)
}
