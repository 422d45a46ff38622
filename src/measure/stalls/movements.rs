//! Every figure of a machine that was not as usual during a stall.

use super::Movement;
use super::scene::Scene;
use crate::record::{GpuSample, Sample, ServerSample};

/// A figure of a machine: its name, its unit, the smallest change that is worth a line, and the figure.
type Figure = (&'static str, &'static str, f64, fn(&Sample) -> Option<f64>);

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

const FIGURES: [Figure; 13] = [
    ("CPU", "%", 5.0, |it| Some(it.cpu_percent)),
    ("CPU of other programs", "%", 5.0, |it| it.other_cpu_percent),
    ("CPU of this program", "%", 5.0, |it| it.own_cpu_percent),
    ("CPU given to other guests", "%", 2.0, |it| it.steal_percent),
    ("held up by the container's limit", "%", 2.0, |it| {
        it.throttled_percent
    }),
    ("waiting for a processor", "%", 10.0, |it| {
        it.pressure?.cpu_percent
    }),
    ("waiting for memory", "%", 2.0, |it| {
        it.pressure?.memory_percent
    }),
    ("waiting for storage", "%", 5.0, |it| {
        it.pressure?.io_percent
    }),
    ("memory in use", "MB", 50.0, |it| {
        Some(megabytes(it.memory_used_bytes))
    }),
    ("read from swap", "MB", 0.5, |it| {
        Some(megabytes(it.swapped_in_bytes?))
    }),
    ("written to swap", "MB", 0.5, |it| {
        Some(megabytes(it.swapped_out_bytes?))
    }),
    ("CPU clock", "MHz", 50.0, |it| it.frequency_max_mhz),
    ("CPU temperature", "°C", 3.0, |it| {
        it.cpu_temperature_celsius
    }),
];

/// The same of a model server.
type ServerFigure = (
    &'static str,
    &'static str,
    f64,
    fn(&ServerSample) -> Option<f64>,
);

const SERVER_FIGURES: [ServerFigure; 4] = [
    (
        "model server held up by its container's limit",
        "%",
        2.0,
        |it| it.throttled_percent,
    ),
    ("CPU of the model server", "%", 2.0, |it| it.cpu_percent),
    ("memory of the model server", "MB", 20.0, |it| {
        Some(megabytes(it.memory_bytes?))
    }),
    ("pages the model server read back", "", 20.0, |it| {
        Some(it.major_faults? as f64)
    }),
];

/// The same of a graphics processor, whose name comes before.
type GpuFigure = (
    &'static str,
    &'static str,
    f64,
    fn(&GpuSample) -> Option<f64>,
);

const GPU_FIGURES: [GpuFigure; 5] = [
    ("", "%", 10.0, |it| it.utilization_percent),
    (" memory", "MB", 50.0, |it| {
        Some(megabytes(it.memory_used_bytes?))
    }),
    (" power", "W", 5.0, |it| it.power_watts),
    (" clock", "MHz", 50.0, |it| it.clock_mhz),
    (" temperature", "°C", 3.0, |it| it.temperature_celsius),
];

/// Every figure that was not as usual.
pub(super) fn movements(scene: &Scene) -> Vec<Movement> {
    let mut found = Vec::new();
    let mut note = |name: String, unit, least: f64, moved: Option<(f64, f64)>| {
        // So much, and so large a share of the usual value.
        let is_worth = |(usual, then): &(f64, f64)| {
            (then - usual).abs() >= least && (then - usual).abs() >= 0.1 * usual.abs()
        };
        if let Some((usual, then)) = moved.filter(is_worth) {
            found.push(Movement {
                name,
                usual,
                then,
                unit,
            });
        }
    };
    for (name, unit, least, of) in FIGURES {
        note(name.to_owned(), unit, least, scene.moved(of));
    }
    for (name, unit, least, of) in SERVER_FIGURES {
        let moved = scene.moved(|it| of(it.server(scene.backend)?));
        note(name.to_owned(), unit, least, moved);
    }
    let gpus = scene
        .during
        .iter()
        .map(|it| it.gpus.len())
        .max()
        .unwrap_or(0);
    for place in 0..gpus {
        let number = if gpus > 1 {
            format!(" {place}")
        } else {
            String::new()
        };
        for (name, unit, least, of) in GPU_FIGURES {
            let moved = scene.moved(|it| of(it.gpus.get(place)?));
            note(format!("GPU{number}{name}"), unit, least, moved);
        }
    }
    found
}
