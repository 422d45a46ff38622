//! `calibrate`: how well this machine can measure.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::output::{Format, Grid, Output, OutputFlags, csv_text, json_text};
use super::{Exit, figures, signals, values};
use crate::app::{App, CalibrationPlan};
use crate::config::Config;
use crate::record::{Calibration, CalibrationLevel, Clock, ClockErrors};

/// Flags of `calibrate`.
#[derive(Debug, Args)]
pub struct Calibrate {
    /// Streams at once; give it again for another number
    #[arg(long, value_name = "N", default_values_t = [1, 16, 64, 256, 1000], value_parser = clap::value_parser!(u32).range(1..=1000))]
    streams: Vec<u32>,
    /// How long each number of streams is timed, s; without it as long as each needs
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    duration: Option<Duration>,
    #[command(flatten)]
    output: OutputFlags,
}

const COLUMNS: [&str; 16] = [
    "streams",
    "chunks",
    "sent_per_second",
    "missed",
    "merged",
    "clock",
    "arrival_median_seconds",
    "arrival_p99_seconds",
    "arrival_max_seconds",
    "time_to_first_chunk_median_seconds",
    "time_to_first_chunk_p99_seconds",
    "time_to_first_chunk_max_seconds",
    "inter_chunk_latency_median_seconds",
    "inter_chunk_latency_p99_seconds",
    "inter_chunk_latency_max_seconds",
    "cpu_per_chunk_seconds",
];

impl Calibrate {
    /// Times the built-in server, shows the error, and keeps it.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let output = self.output.open()?;
        let plan = CalibrationPlan {
            streams: self.streams,
            duration: self.duration,
        };
        let signal = signals::listen()?;
        let app = App::open(config).await?;
        let cancel = CancellationToken::new();
        let bar = Bar::new(&plan);
        let told = cancel.clone();
        tokio::spawn(async move {
            signal.await;
            told.cancel();
        });
        let calibrated = app.calibrate(&plan, &cancel, |level| bar.done(level)).await;
        bar.clear();
        app.shutdown().await;
        if cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        present(&calibrated?, output)?;
        Ok(Exit::Done)
    }
}

/// Makes the calibration that reports need, once for each machine and version. A run is worth
/// doing without it, so that it fails is only told.
pub async fn unasked(app: &App) {
    let plan = CalibrationPlan::automatic();
    let bar = Bar::new(&plan);
    let calibrated = app
        .calibrate(&plan, &CancellationToken::new(), |level| bar.done(level))
        .await;
    bar.clear();
    if let Err(error) = calibrated {
        eprintln!("{}", values::visible(&error.to_string()));
    }
}

/// How far it is; each part takes as long as it was planned to.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// Shows the bar where standard error is a terminal.
    fn new(plan: &CalibrationPlan) -> Self {
        let expected: Duration = plan.expected().iter().sum();
        let draw = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(Some(plan.streams.len() as u64), draw);
        let template = format!(
            "{{bar:30}} {{pos}}/{{len}} numbers of streams  {{elapsed}} of about {} s  {{msg}}",
            expected.as_secs()
        );
        // The template is a constant; a mistake in it shows the plain bar.
        let style = ProgressStyle::with_template(&template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("finding out how well this machine can measure");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// One part is done.
    fn done(&self, _level: &CalibrationLevel) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    fn clear(self) {
        self.bar.finish_and_clear();
    }
}

fn present(calibration: &Calibration, output: Output) -> anyhow::Result<()> {
    let remarks = remarks(calibration);
    let text = match output.format() {
        Format::Json => json_text(calibration)?,
        Format::Csv => csv_text(&COLUMNS, calibration.levels.iter().map(csv_row))?,
        Format::Table => format!("{}{remarks}", grid(calibration).table()).into_bytes(),
        Format::Markdown => format!("{}\n{remarks}", grid(calibration).markdown()).into_bytes(),
    };
    output.write(&text)
}

fn clock(clock: Clock) -> &'static str {
    match clock {
        Clock::Kernel => "kernel",
        Clock::User => "user",
    }
}

fn csv_row(level: &CalibrationLevel) -> Vec<String> {
    let figure = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut cells = vec![
        level.streams.to_string(),
        level.chunks.to_string(),
        figure(level.sent_per_second),
        level.missed.to_string(),
        level.merged.to_string(),
        clock(level.clock).to_owned(),
    ];
    for errors in [
        &level.arrival,
        &level.time_to_first_chunk,
        &level.inter_chunk_latency,
    ] {
        cells.extend([errors.median, errors.p99, errors.max].map(figure));
    }
    cells.push(figure(level.cpu_per_chunk));
    cells
}

fn grid(calibration: &Calibration) -> Grid {
    let header = [
        "clock",
        "streams",
        "chunks",
        "sent a second",
        "missed",
        "merged",
        "arrival",
        "first chunk",
        "gap",
        "CPU a chunk",
    ];
    let mut grid = Grid::new(&header, 1);
    for level in &calibration.levels {
        grid.row(&[
            clock(level.clock).to_owned(),
            level.streams.to_string(),
            level.chunks.to_string(),
            figures::optional(level.sent_per_second, 1.0),
            level.missed.to_string(),
            level.merged.to_string(),
            errors(&level.arrival),
            errors(&level.time_to_first_chunk),
            errors(&level.inter_chunk_latency),
            figures::optional(level.cpu_per_chunk, 1e6),
        ]);
    }
    grid
}

fn errors(errors: &ClockErrors) -> String {
    [errors.median, errors.p99, errors.max]
        .map(|value| figures::optional(value, 1e6))
        .join(" / ")
}

fn remarks(calibration: &Calibration) -> String {
    format!(
        "Errors are microseconds: median / 99th percentile / largest; 0 is within the write itself.\n{}\n",
        calibration.machine
    )
}
