//! `history`: the stored runs.

use clap::Args;

use super::filter::FilterFlags;
use super::output::{Format, Grid, Output, OutputFlags, csv_text, json_text};
use super::{Exit, figures, values};
use crate::app::App;
use crate::config::Config;
use crate::record::{
    BenchmarkResponse, HistoryDetail, HistoryPage, HistoryQuery, HistorySort, Order, synthetic_mark,
};

/// Flags of `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Most runs to list, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on where the page before ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    filter: FilterFlags,
    /// What to sort by
    #[arg(long, value_name = "COLUMN", default_value = "timestamp", value_parser = values::choice::<HistorySort>(&["timestamp", "status", "model", "time_to_first_chunk", "output_tokens_per_second", "total_time"]))]
    sort: HistorySort,
    /// In which direction
    #[arg(long, value_name = "ORDER", default_value = "desc", value_parser = values::choice::<Order>(&["asc", "desc"]))]
    order: Order,
    #[command(flatten)]
    output: OutputFlags,
}

const COLUMNS: [&str; 9] = [
    "id",
    "timestamp",
    "status",
    "name",
    "models",
    "requests",
    "time_to_first_chunk",
    "output_tokens_per_second",
    "total_time",
];

impl History {
    /// Lists them.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let output = self.output.open()?;
        let detail = match output.format() {
            Format::Json => HistoryDetail::Results,
            Format::Table | Format::Csv | Format::Markdown => HistoryDetail::Summary,
        };
        let query = HistoryQuery {
            limit: self.limit,
            cursor: self.cursor,
            sort: self.sort,
            order: self.order,
            detail,
            ..self.filter.query()
        };
        let app = App::open(config).await?;
        let page = app.history(&query).await;
        app.shutdown().await;
        present(&page?, output)?;
        Ok(Exit::Done)
    }
}

fn present(page: &HistoryPage, output: Output) -> anyhow::Result<()> {
    if page.runs.is_empty() {
        eprintln!("no run is stored that fits");
    }
    let text = match output.format() {
        Format::Json => json_text(&page.runs)?,
        Format::Csv => csv_text(&COLUMNS, page.runs.iter().map(csv_row))?,
        Format::Table => grid(&page.runs).table().into_bytes(),
        Format::Markdown => grid(&page.runs).markdown().into_bytes(),
    };
    output.write(&text)?;
    if let Some(next) = &page.next {
        eprintln!("there are more: --cursor {next}");
    }
    Ok(())
}

/// The figures of a run that history sorts by: smallest times and largest rate of its models.
fn best(run: &BenchmarkResponse) -> [Option<f64>; 3] {
    let summaries = || run.summary.iter();
    [
        summaries()
            .filter_map(|it| it.time_to_first_chunk.median)
            .reduce(f64::min),
        summaries()
            .filter_map(|it| it.output_tokens_per_second.median)
            .reduce(f64::max),
        summaries()
            .filter_map(|it| it.total_time.median)
            .reduce(f64::min),
    ]
}

/// The models of a run; `marked`, for people.
fn models(run: &BenchmarkResponse, marked: bool) -> String {
    let names = run.environment.models.iter().map(|it| {
        let mark = synthetic_mark(marked && it.synthetic);
        format!("{}@{}{mark}", it.model, it.backend)
    });
    names.collect::<Vec<_>>().join(" ")
}

fn csv_row(run: &BenchmarkResponse) -> Vec<String> {
    let figures = best(run).map(|value| value.map(|value| value.to_string()).unwrap_or_default());
    let mut row = vec![
        run.id.to_string(),
        run.timestamp.to_rfc3339(),
        run.status.as_str().to_owned(),
        run.request.name.clone().unwrap_or_default(),
        models(run, false),
        run.total_requests.to_string(),
    ];
    row.extend(figures);
    row
}

fn grid(runs: &[BenchmarkResponse]) -> Grid {
    let header = [
        "id",
        "time (UTC)",
        "status",
        "name",
        "models",
        "first chunk, ms",
        "tokens/s",
        "total, s",
    ];
    let mut grid = Grid::new(&header, 5);
    for run in runs {
        let [first, rate, total] = best(run);
        grid.row(&[
            run.id.to_string(),
            run.timestamp.format("%Y-%m-%d %H:%M:%S").to_string(),
            run.status.as_str().to_owned(),
            values::brief(run.request.name.as_deref().unwrap_or_default(), 30),
            values::brief(&models(run, true), 80),
            figures::optional(first, 1000.0),
            figures::optional(rate, 1.0),
            figures::optional(total, 1.0),
        ]);
    }
    grid
}
