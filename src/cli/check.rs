//! `check`: whether everything that is stored can be read and fits together.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;

use super::output::{json_text, write_out};
use super::{Exit, values};
use crate::app::App;
use crate::config::Config;
use crate::record::CheckReport;

/// Flags of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// How what was found is written
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = values::choice::<Format>(&["text", "json"]))]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Text,
    Json,
}

impl Check {
    /// Reads everything; what is damaged is an exit code of its own.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let app = App::open(config).await?;
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {msg}") {
            bar.set_style(style);
        }
        bar.set_message("looking at the structure of the database");
        bar.enable_steady_tick(Duration::from_millis(200));
        let checked = app
            .check(|report| {
                let CheckReport { runs, faults, .. } = report;
                bar.set_message(format!("{runs} runs read, {faults} faults"));
            })
            .await;
        bar.finish_and_clear();
        app.shutdown().await;
        let report = checked?;
        let text = match self.format {
            Format::Json => json_text(&report)?,
            Format::Text => words(&report).into_bytes(),
        };
        write_out(&text)?;
        Ok(if report.faults == 0 {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

fn words(report: &CheckReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let id = finding.id.as_deref().unwrap_or("database");
        text += &values::visible(&format!("{id}: {}", finding.message));
        text.push('\n');
    }
    let CheckReport {
        runs,
        results,
        others,
        faults,
        ..
    } = report;
    let found = match faults {
        0 => "everything can be read and fits together".to_owned(),
        _ => format!("{faults} faults"),
    };
    let read = format!("{runs} runs, {results} results, {others} other documents");
    text + &read + ": " + &found + "\n"
}
