//! `statistics`: what the stored runs say about each model.

use clap::Args;

use super::filter::FilterFlags;
use super::output::{Format, Grid, Output, OutputFlags, csv_text, json_text};
use super::{Exit, figures, values};
use crate::app::App;
use crate::config::Config;
use crate::record::{Bucket, FigureStatistics, ModelStatistics, REFERENCE, synthetic_mark};

/// Flags of `statistics`.
#[derive(Debug, Args)]
pub struct Statistics {
    #[command(flatten)]
    filter: FilterFlags,
    /// What to part them by, besides the model
    #[arg(long, value_name = "BUCKET", value_parser = values::choice::<Bucket>(&["day"]))]
    bucket: Option<Bucket>,
    #[command(flatten)]
    output: OutputFlags,
}

const COLUMNS: [&str; 17] = [
    "model",
    "backend",
    "day",
    "runs",
    "succeeded",
    "failed",
    "figure",
    "n",
    "min",
    "max",
    "mean",
    "median",
    "p90",
    "p95",
    "p99",
    "standard_deviation",
    "resolution",
];

impl Statistics {
    /// Prints them.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let output = self.output.open()?;
        let app = App::open(config).await?;
        let found = app.statistics(&self.filter.query(), self.bucket).await;
        app.shutdown().await;
        present(&found?, output)?;
        Ok(Exit::Done)
    }
}

fn present(found: &[ModelStatistics], output: Output) -> anyhow::Result<()> {
    if found.is_empty() {
        eprintln!("no request is stored that fits");
    }
    let text = match output.format() {
        Format::Json => json_text(&found)?,
        Format::Csv => csv_text(&COLUMNS, found.iter().flat_map(csv_rows))?,
        Format::Table => grid(found).table().into_bytes(),
        Format::Markdown => grid(found).markdown().into_bytes(),
    };
    output.write(&text)
}

/// A row for each figure; durations in seconds, null figures empty.
fn csv_rows(one: &ModelStatistics) -> Vec<Vec<String>> {
    let figure = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let row = |(name, of): (&str, &FigureStatistics)| {
        vec![
            one.model.clone(),
            one.backend.clone(),
            one.day.map(|day| day.to_string()).unwrap_or_default(),
            one.runs.to_string(),
            one.succeeded.to_string(),
            one.failed.to_string(),
            name.to_owned(),
            of.n.to_string(),
            figure(of.min),
            figure(of.max),
            figure(of.mean),
            figure(of.median),
            figure(of.p90),
            figure(of.p95),
            figure(of.p99),
            figure(of.standard_deviation),
            figure(of.resolution),
        ]
    };
    one.figures().map(row).into()
}

fn grid(found: &[ModelStatistics]) -> Grid {
    let by_day = found.iter().any(|one| one.day.is_some());
    let mut header = vec![
        "model",
        "runs",
        "ok",
        "failed",
        "first chunk, ms",
        "its p95, ms",
        "output, tokens/s",
        "per token, ms",
        "last chunk, s",
        "total, s",
        "its p95, s",
    ];
    if by_day {
        header.insert(1, "day");
    }
    let mut grid = Grid::new(&header, if by_day { 2 } else { 1 });
    for one in found {
        let mark = synthetic_mark(one.backend == REFERENCE);
        let mut cells = vec![
            format!("{}@{}{mark}", one.model, one.backend),
            one.runs.to_string(),
            one.succeeded.to_string(),
            one.failed.to_string(),
            figures::optional(one.time_to_first_chunk.median, 1000.0),
            figures::optional(one.time_to_first_chunk.p95, 1000.0),
            figures::optional(one.output_tokens_per_second.median, 1.0),
            figures::optional(one.time_per_output_token.median, 1000.0),
            figures::optional(one.request_latency.median, 1.0),
            figures::optional(one.total_time.median, 1.0),
            figures::optional(one.total_time.p95, 1.0),
        ];
        if by_day {
            let day = one.day.map(|day| day.to_string()).unwrap_or_default();
            cells.insert(1, day);
        }
        grid.row(&cells);
    }
    grid
}
