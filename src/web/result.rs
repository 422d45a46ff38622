//! What the page of a finished run shows beside the record itself: the table with the best of each
//! column marked, the drawings, the answers side by side, the failures.

use serde::Serialize;
use serde_json::{Value, json};

use super::charts::{self, Series};
use super::figures;
use crate::measure;
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Distribution, ErrorInfo, ModelSummaryStatistics, Status,
};

/// Of one answer so much is shown, bytes; the rest is in the record.
const MOST_TEXT: usize = 20_000;
/// So many answers of a model are shown.
const MOST_ANSWERS: usize = 10;
/// Medians that differ by less than this share would show the same three digits.
const LEVEL: f64 = 0.005;
/// So many failures are shown.
const MOST_FAILURES: usize = 50;

/// What a column of the table shows.
struct Metric {
    title: &'static str,
    hint: &'static str,
    of: fn(&ModelSummaryStatistics) -> &Distribution,
    unit: Unit,
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
        title: "First chunk",
        hint: "From sending to the first chunk of text or thinking (TTFT). Less is better.",
        of: |it| &it.time_to_first_chunk,
        unit: Unit::Time,
    },
    Metric {
        title: "First answer text",
        hint: "From sending to the first chunk of the answer itself, thinking left out. Less is better.",
        of: |it| &it.time_to_first_output,
        unit: Unit::Time,
    },
    Metric {
        title: "Decode rate",
        hint: "Output tokens a second after the first, by our clock. More is better.",
        of: |it| &it.output_tokens_per_second,
        unit: Unit::TokensPerSecond,
    },
    Metric {
        title: "Decode rate, server",
        hint: "Output tokens a second, by the model server's own clock. More is better.",
        of: |it| &it.server_output_tokens_per_second,
        unit: Unit::TokensPerSecond,
    },
    Metric {
        title: "Prompt rate, server",
        hint: "Uncached prompt tokens read a second, by the model server's own clock. More is better.",
        of: |it| &it.prompt_tokens_per_second,
        unit: Unit::TokensPerSecond,
    },
    Metric {
        title: "Gap between chunks",
        hint: "Every gap between two chunks, of all requests together. Less is better.",
        of: |it| &it.inter_chunk_latency,
        unit: Unit::Time,
    },
    Metric {
        title: "Total time",
        hint: "From sending to the last byte. Answers of unequal length are unequal work.",
        of: |it| &it.total_time,
        unit: Unit::Time,
    },
    Metric {
        title: "Model load",
        hint: "Loading the model, as the model server tells. Less is better.",
        of: |it| &it.load_time,
        unit: Unit::Time,
    },
];

#[derive(Debug, PartialEq, Serialize)]
struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Column {
    title: &'static str,
    hint: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
struct Row {
    label: String,
    synthetic: bool,
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
    /// Better than some other.
    Best,
    /// All are the same to three digits.
    Level,
    /// How many times the best.
    Behind(String),
}

#[derive(Debug, PartialEq, Serialize)]
struct Answers {
    label: String,
    shown: Vec<Answer>,
    left_out: usize,
}

#[derive(Debug, PartialEq, Serialize)]
struct Answer {
    title: String,
    text: String,
    is_cut: bool,
    thinking: Option<String>,
    /// The earlier answer that has the very same text.
    same_as: Option<u32>,
    done_reason: Option<String>,
    chunks: u64,
    tokens: Option<u64>,
    error: Option<ErrorInfo>,
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
    run.request.name.clone().or_else(prompt).unwrap_or_default()
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

/// The beginning of a text, and whether that is not all of it.
pub fn shortened(text: &str) -> (String, bool) {
    let end = text.floor_char_boundary(MOST_TEXT);
    (
        text.get(..end).unwrap_or_default().to_owned(),
        end < text.len(),
    )
}

/// Everything that the page shows.
pub fn values(mut run: BenchmarkResponse) -> Value {
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
    let drawings = json!({
        "waterfall": charts::waterfall(&series),
        "race": charts::race(&series),
        "timeline": charts::timeline(&series, run.samples.as_ref()),
        "histogram": charts::histogram(&series),
    });
    let has_prompts = run.request.all_prompts().len() > 1;
    let answers: Vec<Answers> = series.iter().map(|it| answers(it, has_prompts)).collect();
    let failures: Vec<Failure> = series
        .iter()
        .flat_map(failures)
        .take(MOST_FAILURES)
        .collect();
    let placements: Vec<_> = series
        .iter()
        .filter_map(|it| {
            Some((
                &it.label,
                it.results.iter().rev().find_map(|r| r.placement.as_ref())?,
            ))
        })
        .collect();
    let mut values = json!({
        "headline": measure::headline(&run),
        "title": title(&run),
        "seconds": run.finished_at.map(|end| (end - run.timestamp).as_seconds_f64()),
        "table": table(&run, &labels),
        "is_well": run.status == Status::Completed,
        "can_edit": !has_prompts,
        "labels": labels,
        "failed": run.results.iter().filter(|it| !it.success).count(),
        "notes": notes(&series),
        "answers": answers,
        "failures": failures,
        "placements": placements,
        "drawings": drawings,
    });
    // The record itself goes along without what only the drawings need.
    drop(series);
    run.results.clear();
    run.samples = None;
    values["run"] = json!(run);
    values
}

fn table(run: &BenchmarkResponse, labels: &[String]) -> Table {
    let shown: Vec<&Metric> = METRICS
        .iter()
        .filter(|metric| {
            run.summary
                .iter()
                .any(|one| (metric.of)(one).median.is_some())
        })
        .filter(|metric| metric.title != "First answer text" || has_thinking(&run.summary))
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
                synthetic: model.synthetic,
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
        columns: shown
            .iter()
            .map(|it| Column {
                title: it.title,
                hint: it.hint,
            })
            .collect(),
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
    let is_level = |median: f64| best.is_some_and(|best| (median - best).abs() <= best * LEVEL);
    let ratio = of
        .median
        .zip(best.filter(|best| *best > 0.0))
        .map(|(median, best)| figures::ratio(Some(median / best)));
    let standing = match of.median {
        Some(_) if medians.len() < 2 => None,
        Some(_) if medians.iter().all(|median| is_level(*median)) => Some(Standing::Level),
        Some(median) if is_level(median) => Some(Standing::Best),
        Some(_) => ratio.map(Standing::Behind),
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

/// The interval in the median's own unit.
fn interval(unit: Unit, of: &Distribution) -> Option<String> {
    let (median, low, high) = (of.median?, of.median_low?, of.median_high?);
    let scale = if unit == Unit::Time {
        figures::time_unit(median).0
    } else {
        1.0
    };
    let (low, high) = (
        figures::significant(low * scale),
        figures::significant(high * scale),
    );
    (low != high).then(|| format!("{low} to {high}"))
}

fn answers(series: &Series, has_prompts: bool) -> Answers {
    let measured: Vec<&BenchmarkResult> = series
        .results
        .iter()
        .copied()
        .filter(|it| !it.warmup)
        .collect();
    let shown = measured
        .iter()
        .take(MOST_ANSWERS)
        .enumerate()
        .map(|(index, result)| {
            let earlier = measured.iter().take(index);
            let same = earlier.clone().find(|it| {
                it.response_sha256 == result.response_sha256 && it.thinking == result.thinking
            });
            let (text, is_cut) = shortened(&result.response);
            let about = if has_prompts {
                figures::excerpt(&result.prompt, 60)
            } else {
                String::new()
            };
            let gap = if has_prompts { ": " } else { "" };
            Answer {
                title: format!("Repetition {}{gap}{about}", result.repetition),
                text,
                is_cut,
                thinking: result.thinking.as_deref().map(|text| shortened(text).0),
                same_as: same.filter(|_| !has_prompts).map(|it| it.repetition),
                done_reason: result.done_reason.clone(),
                chunks: result.throughput.total_chunks,
                tokens: result.throughput.output_tokens,
                error: result.error.clone(),
            }
        });
    Answers {
        label: series.label.clone(),
        shown: shown.collect(),
        left_out: measured.len().saturating_sub(MOST_ANSWERS),
    }
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
    let mut notes: Vec<(String, String)> = Vec::new();
    for one in series {
        for note in one.results.iter().flat_map(|result| &result.notes) {
            let told = (one.label.clone(), note.clone());
            if !notes.contains(&told) {
                notes.push(told);
            }
        }
    }
    notes
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
            time_to_first_chunk: of.clone(),
            output_tokens_per_second: of,
            ..ModelSummaryStatistics::default()
        }
    }

    #[test]
    fn the_best_is_marked_and_the_others_measured_by_it() {
        let all = [
            model(Some(0.1), Some(0.09), Some(0.12)),
            model(Some(0.25), None, None),
            model(None, None, None),
        ];
        let times: Vec<Cell> = all.iter().map(|one| cell(&METRICS[0], one, &all)).collect();
        assert_eq!(times[0].standing, Some(Standing::Best));
        assert_eq!(times[0].interval.as_deref(), Some("90.0 to 120"));
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
        assert_eq!((only.standing, only.interval), (None, None));
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
    fn long_texts_are_cut_between_characters() {
        let (text, is_cut) = shortened(&"ä".repeat(MOST_TEXT));
        assert!(is_cut && text.len() <= MOST_TEXT);
        assert_eq!(shortened("ä"), ("ä".to_owned(), false));
    }
}
