//! A run as text: what `run` and `show` print.

use super::output::{Grid, Output, ReportFormat, csv_text, json_text};
use super::{figures, values};
use crate::measure::{self, AgainstBaseline};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Grade, ModelSummaryStatistics, synthetic_mark,
};
use crate::web;

/// Columns of a run as CSV, one row a request; durations in seconds, null figures empty.
const COLUMNS: [&str; 36] = [
    "run_id",
    "timestamp",
    "model",
    "backend",
    "repetition",
    "warmup",
    "stage",
    "offered_requests_per_second",
    "contended",
    "success",
    "error_code",
    "error_message",
    "done_reason",
    "time_to_first_chunk",
    "time_to_first_output",
    "time_per_output_token",
    "request_latency",
    "total_time",
    "longest_gap",
    "schedule_delay",
    "connect_time",
    "load_time",
    "prompt_tokens",
    "output_tokens",
    "output_tokens_per_second",
    "server_output_tokens_per_second",
    "prompt_tokens_per_second",
    "response_sha256",
    "joules",
    "net_joules",
    "cpu_placement_percent",
    "cooled_down_seconds",
    "cpu_mean_percent",
    "server_cpu_mean_percent",
    "server_memory_peak_bytes",
    "gpu_mean_percent",
];

/// Prints a run, and how it stands against its baseline: in words, and on standard error where the
/// results are a file of a form of its own.
pub fn present(
    run: &BenchmarkResponse,
    against: Option<&AgainstBaseline>,
    is_kept: bool,
    output: Output<ReportFormat>,
) -> anyhow::Result<()> {
    let against = against.map_or_else(String::new, |against| {
        let mut lines = vec!["Against the baseline:".to_owned()];
        lines.extend(against.sentences.iter().map(|it| format!("- {it}")));
        lines.join("\n") + "\n"
    });
    let is_apart = matches!(
        output.format(),
        ReportFormat::Json | ReportFormat::Csv | ReportFormat::Html
    );
    if is_apart {
        eprint!("{}", values::visible(&against));
    }
    let text = match output.format() {
        ReportFormat::Json => json_text(run)?,
        ReportFormat::Html => web::report(run.clone())
            .map_err(|problem| anyhow::anyhow!(problem.detail))?
            .into_bytes(),
        ReportFormat::Csv => csv_text(&COLUMNS, run.results.iter().map(|result| row(run, result)))?,
        ReportFormat::Table => {
            let stages: String = stages(run).iter().map(Grid::table).collect();
            let plain = format!(
                "{}{stages}{}",
                grid(run).table(),
                remarks(run, is_kept) + &against
            );
            values::visible(&plain).into_bytes()
        }
        ReportFormat::Markdown => {
            let mut parts = vec![grid(run).markdown()];
            parts.extend(stages(run).iter().map(Grid::markdown));
            parts.push(remarks(run, is_kept) + &against);
            parts
                .join(
                    "
",
                )
                .into_bytes()
        }
    };
    output.write(&text)
}

fn row(run: &BenchmarkResponse, result: &BenchmarkResult) -> Vec<String> {
    let figure = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let count = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let (timing, throughput) = (&result.timing, &result.throughput);
    let code = result
        .error
        .as_ref()
        .and_then(|error| serde_json::to_value(error.code).ok());
    vec![
        run.id.to_string(),
        result.timestamp.to_rfc3339(),
        result.model.clone(),
        result.backend.clone(),
        result.repetition.to_string(),
        result.warmup.to_string(),
        result
            .stage
            .map(|it| it.number.to_string())
            .unwrap_or_default(),
        figure(result.stage.and_then(|it| it.requests_per_second)),
        result.contended.to_string(),
        result.success.to_string(),
        code.as_ref()
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        result
            .error
            .as_ref()
            .map(|error| error.message.clone())
            .unwrap_or_default(),
        result.done_reason.clone().unwrap_or_default(),
        figure(timing.time_to_first_chunk),
        figure(timing.time_to_first_output),
        figure(timing.time_per_output_token),
        figure(timing.request_latency),
        figure(timing.total_time),
        figure(timing.longest_gap),
        figure(timing.schedule_delay),
        figure(timing.connect_time),
        figure(timing.load_time),
        count(throughput.prompt_tokens),
        count(throughput.output_tokens),
        figure(throughput.output_tokens_per_second),
        figure(throughput.server_output_tokens_per_second),
        figure(throughput.prompt_tokens_per_second),
        result.response_sha256.clone(),
        figure(result.energy.as_ref().map(|it| it.joules)),
        figure(result.energy.as_ref().and_then(|it| it.net_joules)),
        figure(result.placement.as_ref().and_then(|it| it.cpu_percent)),
        figure(result.cooled_down.map(|it| it.seconds)),
        figure(result.system_impact.cpu_mean_percent),
        figure(result.system_impact.server_cpu_mean_percent),
        count(result.system_impact.server_memory_peak_bytes),
        figure(result.system_impact.gpu_mean_percent),
    ]
}

fn grid(run: &BenchmarkResponse) -> Grid {
    let header = [
        "model",
        "ok",
        "first chunk, ms",
        "output, tokens/s",
        "server, tokens/s",
        "per token, ms",
        "total, s",
    ];
    let mut grid = Grid::new(&header, 1);
    for summary in &run.summary {
        grid.row(&[
            label(run, summary),
            format!(
                "{}/{}",
                summary.succeeded,
                summary.succeeded + summary.failed
            ),
            figures::median(&summary.time_to_first_chunk, 1000.0),
            figures::median(&summary.output_tokens_per_second, 1.0),
            figures::median(&summary.server_output_tokens_per_second, 1.0),
            figures::median(&summary.time_per_output_token, 1000.0),
            figures::median(&summary.total_time, 1.0),
        ]);
    }
    grid
}

/// A table for each model that was swept.
fn stages(run: &BenchmarkResponse) -> Vec<Grid> {
    let header = [
        "stage",
        "offered, requests/s",
        "answered",
        "answered, requests/s",
        "output, tokens/s",
        "at once",
        "first chunk, ms",
        "last chunk, s",
        "objectives",
        "server",
    ];
    let mut grids = Vec::new();
    for summary in &run.summary {
        let load = summary.load.as_ref().filter(|it| !it.stages.is_empty());
        let Some(load) = load else { continue };
        let mut grid = Grid::new(&header, 1);
        for stage in &load.stages {
            grid.row(&[
                format!("{} {}", label(run, summary), stage.stage + 1),
                stage
                    .offered_requests_per_second
                    .map_or_else(|| "one at a time".to_owned(), figures::figure),
                format!("{}/{}", stage.answered, stage.sent),
                figures::optional(stage.requests_per_second, 1.0),
                figures::optional(stage.output_tokens_per_second, 1.0),
                stage.peak_in_flight.to_string(),
                figures::median(&stage.time_to_first_chunk, 1000.0),
                figures::median(&stage.request_latency, 1.0),
                match stage.objectives_met {
                    None => figures::UNKNOWN.to_owned(),
                    Some(true) => "met".to_owned(),
                    Some(false) => "missed".to_owned(),
                },
                if stage.saturated {
                    "fell behind"
                } else {
                    "kept up"
                }
                .to_owned(),
            ]);
        }
        grids.push(grid);
    }
    grids
}

fn label(run: &BenchmarkResponse, summary: &ModelSummaryStatistics) -> String {
    let mut models = run.environment.models.iter();
    let model = models.find(|it| it.model == summary.model && it.backend == summary.backend);
    let mark = synthetic_mark(model.is_some_and(|model| model.synthetic));
    format!("{}@{}{mark}", summary.model, summary.backend)
}

/// The sentence, how far it can be trusted, what failed, and where the record is.
fn remarks(run: &BenchmarkResponse, is_kept: bool) -> String {
    let mut lines = vec![measure::headline(run)];
    lines.extend(measure::load_sentences(run));
    lines.extend(measure::objective_sentences(run));
    lines.extend(measure::placement_sentences(run));
    lines.extend(measure::energy_sentences(run));
    lines.extend(measure::stall_sentence(run));
    if let Some(reason) = &run.status_reason {
        lines.push(format!("The run is {}: {reason}.", run.status.as_str()));
    }
    let grade = match run.validity.grade {
        Grade::Good => "good",
        Grade::Fair => "fair: read the reasons before quoting the figures",
        Grade::Poor => "poor: do not quote the figures",
        Grade::Unknown => "unknown",
    };
    lines.push(format!("Validity: {grade}."));
    lines.extend(
        run.validity
            .reasons
            .iter()
            .map(|reason| format!("- {reason}")),
    );
    let failed = run
        .results
        .iter()
        .filter_map(|result| Some((result, result.error.as_ref()?)));
    let mut told: Vec<String> = Vec::new();
    for (result, error) in failed {
        let line = format!(
            "{}@{}: {}",
            result.model,
            result.backend,
            values::brief(&error.message, 300)
        );
        if !told.contains(&line) {
            told.push(line);
        }
    }
    lines.extend(told);
    lines.extend(measure::instrument(run));
    lines.push("Figures are medians with their 95 % interval [low – high], or (smallest … largest) of few.".into());
    // Nobody finds again what was not stored.
    lines.extend(is_kept.then(|| format!("Run {}", run.id)));
    lines.join("\n") + "\n"
}
