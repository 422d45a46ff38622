//! What the page of a finished run shows beside the record itself: the table with the best of each
//! column marked, the drawings, the answers side by side, the failures.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::charts::{self, Series, View};
use super::{answers, figures, machine, run_form, sweep, trend};
use crate::measure::{self, FEWEST_FOR_INTERVAL};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Distribution, ErrorInfo, ModelSummaryStatistics,
};

/// Medians that differ by less than this share would show the same three digits.
const LEVEL: f64 = 0.005;
/// So many failures are shown.
const MOST_FAILURES: usize = 50;
/// So many notes are shown.
const MOST_NOTES: usize = 50;

/// What a column of the table shows.
struct Metric {
    name: &'static str,
    of: fn(&ModelSummaryStatistics) -> &Distribution,
    unit: Unit,
    /// Whether models can be ranked by it: by whole times only answers of equal length could.
    ranks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Less is better.
    Time,
    /// More is better.
    TokensPerSecond,
}

const METRICS: [Metric; 8] = [
    Metric {
        name: "time_to_first_chunk",
        of: |it| &it.time_to_first_chunk,
        unit: Unit::Time,
        ranks: true,
    },
    Metric {
        name: "time_to_first_output",
        of: |it| &it.time_to_first_output,
        unit: Unit::Time,
        ranks: true,
    },
    Metric {
        name: "output_tokens_per_second",
        of: |it| &it.output_tokens_per_second,
        unit: Unit::TokensPerSecond,
        ranks: true,
    },
    Metric {
        name: "server_output_tokens_per_second",
        of: |it| &it.server_output_tokens_per_second,
        unit: Unit::TokensPerSecond,
        ranks: true,
    },
    Metric {
        name: "prompt_tokens_per_second",
        of: |it| &it.prompt_tokens_per_second,
        unit: Unit::TokensPerSecond,
        ranks: true,
    },
    Metric {
        name: "inter_chunk_latency",
        of: |it| &it.inter_chunk_latency,
        unit: Unit::Time,
        ranks: true,
    },
    Metric {
        name: "total_time",
        of: |it| &it.total_time,
        unit: Unit::Time,
        ranks: false,
    },
    Metric {
        name: "load_time",
        of: |it| &it.load_time,
        unit: Unit::Time,
        ranks: true,
    },
];

/// Figures whose values are drawn one by one: when an answer began, how fast it came, how long it took.
const SPREAD: [&str; 3] = ["time_to_first_chunk", "time_per_output_token", "total_time"];

#[derive(Debug, PartialEq, Serialize)]
struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Column {
    name: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
struct Row {
    label: String,
    trend: String,
    synthetic: bool,
    placement: Option<String>,
    succeeded: u64,
    failed: u64,
    warmups: u64,
    distinct_outputs: u64,
    cells: Vec<Cell>,
}

/// A figure with its uncertainty.
#[derive(Debug, PartialEq, Serialize)]
struct Cell {
    median: String,
    interval: Option<String>,
    n: u64,
    standing: Option<Standing>,
}

/// How a median stands among the others of its column; a model alone stands nowhere.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// Surely better than every other: the intervals do not touch.
    Best,
    /// The best median, but perhaps by chance.
    First,
    /// All are the same to three digits.
    Level,
    /// How many times the best.
    Behind(String),
}

#[derive(Debug, PartialEq, Serialize)]
struct Failure {
    label: String,
    repetition: u32,
    warmup: bool,
    error: Option<ErrorInfo>,
}

/// A short name for a run: its own, or its prompt's beginning.
pub fn title(run: &BenchmarkResponse) -> String {
    let prompt = || {
        run.request
            .all_prompts()
            .first()
            .map(|text| figures::excerpt(text, 80))
    };
    let made_up = || {
        let synthetic = run.request.synthetic?;
        Some(format!(
            "Made-up prompt of about {} tokens",
            synthetic.tokens
        ))
    };
    let name = run.request.name.clone().or_else(prompt).or_else(made_up);
    name.unwrap_or_else(|| run.id.to_string())
}

/// Each model's name, with its backend where two have the same.
pub fn labels(run: &BenchmarkResponse) -> Vec<String> {
    let models = &run.environment.models;
    models
        .iter()
        .map(|model| {
            let is_one_of_two = models.iter().filter(|it| it.model == model.model).count() > 1;
            if is_one_of_two {
                format!("{}@{}", model.model, model.backend)
            } else {
                model.model.clone()
            }
        })
        .collect()
}

/// Everything that the page shows.
pub fn values(mut run: BenchmarkResponse, view: View) -> Value {
    let labels = labels(&run);
    let series: Vec<Series> = labels
        .iter()
        .zip(&run.environment.models)
        .map(|(label, model)| Series {
            label: label.clone(),
            results: run
                .results
                .iter()
                .filter(|it| it.model == model.model && it.backend == model.backend)
                .collect(),
        })
        .collect();
    let sweeps = sweep::of_models(&run, &labels);
    let machines = machine::machines(&run);
    let stalls = measure::stalls(&run);
    let drawings = json!({
        "curve": charts::curve(&sweeps),
        "waterfall": charts::waterfall(&series),
        "race": charts::race(&series),
        "timeline": charts::timeline(&series, &machines, &stalls, view),
        "histogram": charts::histogram(&series),
        "spreads": spreads(&series, &labels),
    });
    let answers = answers::of_models(&run, &series);
    let failures: Vec<Failure> = series
        .iter()
        .flat_map(failures)
        .take(MOST_FAILURES)
        .collect();
    let models = labels.iter().zip(&run.environment.models);
    let placements: Vec<_> = models
        .filter_map(|(label, model)| Some((label, machine::placement(&run, model)?)))
        .collect();
    // From the first request on: a run may have waited in the queue before.
    let begun = run.results.iter().map(|it| it.timestamp).min();
    let mut values = json!({
        "headline": measure::headline(&run),
        "instrument": measure::instrument(&run),
        "loads": measure::load_sentences(&run),
        "objectives": measure::objective_sentences(&run),
        "sweeps": sweep::tables(&sweeps),
        "title": title(&run),
        "seconds": run.finished_at.zip(begun).map(|(end, begun)| (end - begun).as_seconds_f64()),
        "table": table(&run, &labels),
        "is_report": false,
        "can_edit": run_form::has_place(&run.request),
        "labels": labels,
        "failed": run.results.iter().filter(|it| !it.success).count(),
        "notes": notes(&series),
        "answers": answers,
        "failures": failures,
        "placements": placements,
        "stalls": machine::stalls(&stalls),
        "energy": machine::energy(&run, &labels),
        "elsewhere": machine::elsewhere(&run),
        "sampling": machine::sampling(&run),
        "sustained": measure::rate_change_sentences(&run),
        "drawings": drawings,
    });
    // The record itself goes along without what only the drawings need.
    drop(series);
    run.results.clear();
    run.samples = None;
    run.remote_samples = Vec::new();
    values["run"] = json!(run);
    values
}

/// How the requests of each model differ among each other, figure by figure.
fn spreads(series: &[Series], labels: &[String]) -> Vec<charts::Spread> {
    let sets = series
        .iter()
        .map(|it| (it.label.clone(), it.results.clone()));
    let sets: Vec<(String, Vec<&BenchmarkResult>)> = sets.collect();
    let drawn = SPREAD.iter().filter_map(|name| {
        let spreads = measure::spreads(name, &sets);
        charts::spread(name, labels, &spreads)
    });
    drawn.collect()
}

fn table(run: &BenchmarkResponse, labels: &[String]) -> Table {
    let shown: Vec<&Metric> = METRICS
        .iter()
        .filter(|metric| {
            run.summary
                .iter()
                .any(|one| (metric.of)(one).median.is_some())
        })
        .filter(|metric| metric.name != "time_to_first_output" || has_thinking(&run.summary))
        .collect();
    let rows = run
        .environment
        .models
        .iter()
        .zip(labels)
        .filter_map(|(model, label)| {
            let one = run
                .summary
                .iter()
                .find(|it| it.model == model.model && it.backend == model.backend)?;
            Some(Row {
                label: label.clone(),
                trend: trend::address(&format!("{}@{}", model.model, model.backend), Some(&run.id)),
                synthetic: model.synthetic,
                placement: machine::placement_badge(run, model),
                succeeded: one.succeeded,
                failed: one.failed,
                warmups: one.warmups,
                distinct_outputs: one.distinct_outputs,
                cells: shown
                    .iter()
                    .map(|metric| cell(metric, one, &run.summary))
                    .collect(),
            })
        });
    Table {
        rows: rows.collect(),
        columns: shown.iter().map(|it| Column { name: it.name }).collect(),
    }
}

/// Without thinking, the first answer text is the first chunk.
fn has_thinking(summary: &[ModelSummaryStatistics]) -> bool {
    summary
        .iter()
        .any(|one| one.time_to_first_output.median != one.time_to_first_chunk.median)
}

fn cell(metric: &Metric, one: &ModelSummaryStatistics, all: &[ModelSummaryStatistics]) -> Cell {
    let of = (metric.of)(one);
    let medians: Vec<f64> = all.iter().filter_map(|it| (metric.of)(it).median).collect();
    let best = medians.iter().copied().reduce(match metric.unit {
        Unit::Time => f64::min,
        Unit::TokensPerSecond => f64::max,
    });
    // What came in one read has gaps of zero: that is no speed, and nothing can be measured by it.
    let best = best.filter(|best| *best > 0.0);
    let is_level = |median: f64| best.is_some_and(|best| (median - best).abs() <= best * LEVEL);
    let standing = match of.median.zip(best) {
        Some(_) if medians.len() < 2 || !metric.ranks => None,
        Some(_) if medians.iter().all(|median| is_level(*median)) => Some(Standing::Level),
        Some((median, _)) if is_level(median) => {
            let others = all.iter().filter(|other| !std::ptr::eq(*other, one));
            let is_sure = others
                .filter(|other| (metric.of)(other).median.is_some())
                .all(|other| is_apart(metric, one, other));
            Some(if is_sure {
                Standing::Best
            } else {
                Standing::First
            })
        }
        Some((median, best)) => Some(Standing::Behind(figures::ratio(Some(median / best)))),
        None => None,
    };
    Cell {
        median: match metric.unit {
            Unit::Time => figures::seconds(of.median),
            Unit::TokensPerSecond => figures::rate(of.median, "tokens/s"),
        },
        interval: interval(metric.unit, of),
        n: of.n,
        standing,
    }
}

/// Whether the intervals of two models' medians do not touch. Both need requests enough for one:
/// the gaps of few requests are many, but they depend on each other.
fn is_apart(metric: &Metric, one: &ModelSummaryStatistics, other: &ModelSummaryStatistics) -> bool {
    let enough = |it: &ModelSummaryStatistics| it.succeeded >= FEWEST_FOR_INTERVAL as u64;
    let ends = |it: &ModelSummaryStatistics| {
        let of = (metric.of)(it);
        of.median_low.zip(of.median_high)
    };
    let apart = ends(one)
        .zip(ends(other))
        .is_some_and(|(one, other)| one.1 < other.0 || other.1 < one.0);
    enough(one) && enough(other) && apart
}

/// The median's interval.
fn interval(unit: Unit, of: &Distribution) -> Option<String> {
    let ends = of.median_low.zip(of.median_high)?;
    let written = |end: f64| match unit {
        Unit::Time => figures::seconds(Some(end)),
        Unit::TokensPerSecond => figures::significant(end),
    };
    Some(format!("{} to {}", written(ends.0), written(ends.1)))
}

fn failures(series: &Series) -> Vec<Failure> {
    let failed = series.results.iter().filter(|it| !it.success);
    failed
        .map(|result| Failure {
            label: series.label.clone(),
            repetition: result.repetition,
            warmup: result.warmup,
            error: result.error.clone(),
        })
        .collect()
}

/// What was noticed about a model's requests, each once.
fn notes(series: &[Series]) -> Vec<(String, String)> {
    let mut told: HashSet<(&str, &str)> = HashSet::new();
    let all = series.iter().flat_map(|one| {
        let notes = one.results.iter().flat_map(|result| &result.notes);
        notes.map(|note| (one.label.as_str(), note.as_str()))
    });
    all.filter(|note| told.insert(*note))
        .take(MOST_NOTES)
        .map(|(label, note)| (label.to_owned(), note.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(median: Option<f64>, low: Option<f64>, high: Option<f64>) -> ModelSummaryStatistics {
        let of = Distribution {
            n: 5,
            median,
            median_low: low,
            median_high: high,
            ..Distribution::default()
        };
        ModelSummaryStatistics {
            succeeded: 5,
            time_to_first_chunk: of.clone(),
            output_tokens_per_second: of,
            ..ModelSummaryStatistics::default()
        }
    }

    #[test]
    fn the_best_is_marked_and_the_others_measured_by_it() {
        let all = [
            model(Some(0.1), Some(0.09), Some(0.12)),
            model(Some(0.25), Some(0.2), Some(0.3)),
            model(None, None, None),
        ];
        let times: Vec<Cell> = all.iter().map(|one| cell(&METRICS[0], one, &all)).collect();
        assert_eq!(times[0].standing, Some(Standing::Best));
        let interval = times[0]
            .interval
            .as_deref()
            .map(|it| it.replace('\u{a0}', " "));
        assert_eq!(interval.as_deref(), Some("90.0 ms to 120 ms"));
        assert_eq!(times[1].standing, Some(Standing::Behind("2.50×".into())));
        assert_eq!((times[2].median.as_str(), &times[2].standing), ("–", &None));
        let rates: Vec<Cell> = all.iter().map(|one| cell(&METRICS[2], one, &all)).collect();
        assert_eq!(rates[1].standing, Some(Standing::Best));
        assert_eq!(rates[0].standing, Some(Standing::Behind("0.400×".into())));
    }

    #[test]
    fn nobody_wins_alone_or_by_a_hair() {
        let alone = [model(Some(0.1), Some(0.1), Some(0.1))];
        let only = cell(&METRICS[0], &alone[0], &alone);
        assert_eq!(only.standing, None);
        let two = [
            model(Some(0.1), None, None),
            model(Some(0.1001), None, None),
        ];
        assert_eq!(
            cell(&METRICS[0], &two[0], &two).standing,
            Some(Standing::Level)
        );
    }

    #[test]
    fn who_may_lead_by_chance_is_only_first() {
        let touching = [
            model(Some(0.1), Some(0.09), Some(0.12)),
            model(Some(0.13), Some(0.11), Some(0.15)),
        ];
        let first = cell(&METRICS[0], &touching[0], &touching);
        assert_eq!(first.standing, Some(Standing::First));
        let mut few = [
            model(Some(0.1), Some(0.09), Some(0.12)),
            model(Some(0.3), Some(0.2), Some(0.4)),
        ];
        few[1].succeeded = 4;
        let first = cell(&METRICS[0], &few[0], &few);
        assert_eq!(first.standing, Some(Standing::First));
    }

    #[test]
    fn no_time_at_all_is_nothing_to_measure_by() {
        let all = [
            model(Some(0.0), Some(0.0), Some(0.0)),
            model(Some(0.1), Some(0.1), Some(0.1)),
        ];
        for one in &all {
            assert_eq!(cell(&METRICS[0], one, &all).standing, None);
        }
    }
}
