//! `models`: what can be benchmarked.

use clap::Args;
use serde_json::json;

use super::output::{Format, Grid, Output, OutputFlags, csv_text, json_text};
use super::{Exit, figures, values};
use crate::app::App;
use crate::config::Config;
use crate::record::{ModelSummary, synthetic_mark};

/// Flags of `models`.
#[derive(Debug, Args)]
pub struct Models {
    #[command(flatten)]
    output: OutputFlags,
}

const COLUMNS: [&str; 9] = [
    "model",
    "backend",
    "synthetic",
    "size_bytes",
    "parameter_size",
    "quantization",
    "context_length",
    "loaded",
    "digest",
];

impl Models {
    /// Lists them; backends that do not answer are told on standard error.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let output = self.output.open()?;
        let app = App::open(config).await?;
        let answers = app.models().await;
        app.shutdown().await;
        let mut models = Vec::new();
        for answer in answers {
            match answer.models {
                Ok(found) => models.extend(found),
                Err(error) => eprintln!("{}", values::visible(&error.to_string())),
            }
        }
        present(&models, output)?;
        Ok(Exit::Done)
    }
}

fn present(models: &[ModelSummary], output: Output) -> anyhow::Result<()> {
    let text = match output.format() {
        Format::Json => json_text(&json!(models))?,
        Format::Csv => csv_text(&COLUMNS, models.iter().map(row))?,
        Format::Table => grid(models).table().into_bytes(),
        Format::Markdown => grid(models).markdown().into_bytes(),
    };
    output.write(&text)
}

fn row(model: &ModelSummary) -> Vec<String> {
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    vec![
        model.name.clone(),
        model.backend.clone(),
        model.synthetic.to_string(),
        number(model.size_bytes),
        model.parameter_size.clone().unwrap_or_default(),
        model.quantization.clone().unwrap_or_default(),
        number(model.context_length),
        model
            .loaded
            .map(|loaded| loaded.to_string())
            .unwrap_or_default(),
        model.digest.clone().unwrap_or_default(),
    ]
}

fn grid(models: &[ModelSummary]) -> Grid {
    let header = [
        "model",
        "parameters",
        "quantization",
        "loaded",
        "size",
        "context",
    ];
    let mut grid = Grid::new(&header, 4);
    for model in models {
        let unknown = || figures::UNKNOWN.to_owned();
        let mark = synthetic_mark(model.synthetic);
        grid.row(&[
            format!("{}@{}{mark}", model.name, model.backend),
            model.parameter_size.clone().unwrap_or_else(unknown),
            model.quantization.clone().unwrap_or_else(unknown),
            model
                .loaded
                .map_or_else(unknown, |loaded| if loaded { "yes" } else { "no" }.into()),
            figures::size(model.size_bytes),
            model
                .context_length
                .map_or_else(unknown, |length| length.to_string()),
        ]);
    }
    grid
}
