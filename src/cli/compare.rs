//! `compare`: stored runs with the first of them, or the models of one run.

use clap::Args;

use super::output::{Format, Grid, Output, OutputFlags, csv_text, json_text};
use super::show::parse_id;
use super::{Exit, figures};
use crate::app::App;
use crate::config::Config;
use crate::record::{Comparison, ComparisonRow, RunId};

/// Flags of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// Ids of the runs, the baseline first; one id compares the models of that run
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    output: OutputFlags,
}

const COLUMNS: [&str; 11] = [
    "metric",
    "candidate",
    "baseline_n",
    "candidate_n",
    "baseline_median",
    "candidate_median",
    "ratio",
    "ratio_low",
    "ratio_high",
    "p_value",
    "verdict",
];

impl Compare {
    /// Compares them.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let ids = self
            .ids
            .iter()
            .map(|id| parse_id(id))
            .collect::<Result<Vec<RunId>, _>>()?;
        let output = self.output.open()?;
        let app = App::open(config).await?;
        let comparison = app.compare(&ids).await;
        app.shutdown().await;
        present(&comparison?, output)?;
        Ok(Exit::Done)
    }
}

fn present(comparison: &Comparison, output: Output) -> anyhow::Result<()> {
    let text = match output.format() {
        Format::Json => json_text(comparison)?,
        Format::Csv => csv_text(&COLUMNS, comparison.rows.iter().map(csv_row))?,
        Format::Table => {
            format!("{}{}", grid(comparison).table(), remarks(comparison)).into_bytes()
        }
        Format::Markdown => {
            format!("{}\n{}", grid(comparison).markdown(), remarks(comparison)).into_bytes()
        }
    };
    output.write(&text)
}

fn verdict(row: &ComparisonRow) -> &'static str {
    match row.verdict {
        crate::record::Verdict::Faster => "faster",
        crate::record::Verdict::Slower => "slower",
        crate::record::Verdict::CannotTell => "cannot tell",
    }
}

fn csv_row(row: &ComparisonRow) -> Vec<String> {
    let figure = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    vec![
        row.metric.clone(),
        row.candidate.clone(),
        row.baseline_n.to_string(),
        row.candidate_n.to_string(),
        figure(row.baseline_median),
        figure(row.candidate_median),
        figure(row.ratio),
        figure(row.ratio_low),
        figure(row.ratio_high),
        figure(row.p_value),
        verdict(row).to_owned(),
    ]
}

fn grid(comparison: &Comparison) -> Grid {
    let header = [
        "metric",
        "candidate",
        "verdict",
        "baseline",
        "candidate",
        "ratio [95 % interval]",
    ];
    let mut grid = Grid::new(&header, 3);
    for row in &comparison.rows {
        let interval = match (row.ratio_low, row.ratio_high) {
            (Some(low), Some(high)) => {
                format!(" [{} – {}]", figures::figure(low), figures::figure(high))
            }
            _ => String::new(),
        };
        grid.row(&[
            row.metric.clone(),
            row.candidate.clone(),
            verdict(row).to_owned(),
            figures::optional(row.baseline_median, 1.0),
            figures::optional(row.candidate_median, 1.0),
            format!("{}{interval}", figures::optional(row.ratio, 1.0)),
        ]);
    }
    grid
}

fn remarks(comparison: &Comparison) -> String {
    let mut lines = Vec::new();
    if let Some(baseline) = comparison.labels.first() {
        lines.push(format!(
            "Baseline: {baseline}. Durations are seconds, rates a second."
        ));
    }
    lines.extend(comparison.rows.iter().map(|row| row.sentence.clone()));
    lines.extend(comparison.outputs.iter().map(|it| it.sentence.clone()));
    if !comparison.differences.is_empty() {
        lines.push("Different in the set-up:".into());
        lines.extend(
            comparison
                .differences
                .iter()
                .map(|difference| format!("- {difference}")),
        );
    }
    super::values::visible(&(lines.join("\n") + "\n"))
}
