//! Whether figures kept what was asked of them, and how many requests did.

use super::load;
use super::metrics::gaps;
use super::participant::named_summaries;
use super::selection::{Metric, is_failure, is_success};
use super::statistics::finite;
use super::wording;
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Distribution, Goodput, ModelSummaryStatistics, Objective,
    ObjectiveOutcome, Statistic,
};

/// What became of each objective for one model, from its summary and its results.
pub fn objective_outcomes(
    objectives: &[Objective],
    summary: &ModelSummaryStatistics,
    results: &[&BenchmarkResult],
) -> Vec<ObjectiveOutcome> {
    objectives
        .iter()
        .map(|objective| {
            let found = figure(objective, summary, results);
            let value = found.as_ref().ok().copied();
            ObjectiveOutcome {
                objective: objective.to_string(),
                met: value.is_some_and(|it| objective.relation.holds(it, objective.bound)),
                value,
                reason: found.err(),
            }
        })
        .collect()
}

/// Requests of one model that kept the bounds of all objectives; `None` where there are no
/// objectives, or none that speaks of single requests.
pub fn goodput(objectives: &[Objective], results: &[&BenchmarkResult]) -> Option<Goodput> {
    let of_requests: Vec<&Objective> = objectives
        .iter()
        .filter(|it| is_of_requests(&it.metric))
        .collect();
    if of_requests.is_empty() {
        return None;
    }
    let counted: Vec<&BenchmarkResult> = results
        .iter()
        .copied()
        .filter(|it| is_success(it) || is_failure(it))
        .collect();
    let keeps = |it: &&&BenchmarkResult| of_requests.iter().all(|objective| kept(objective, it));
    let good = counted
        .iter()
        .filter(|it| is_success(it))
        .filter(keeps)
        .count() as u64;
    let requests = counted.len() as u64;
    let duration = load::span(&counted).map(|(first, last)| last - first);
    Some(Goodput {
        good,
        requests,
        good_percent: finite(good as f64 / requests as f64 * 100.0).unwrap_or_default(),
        requests_per_second: duration.and_then(|duration| finite(good as f64 / duration)),
    })
}

/// How many objectives of a run were missed, each model counted.
pub fn missed_objectives(run: &BenchmarkResponse) -> usize {
    let all = run.summary.iter().flat_map(|one| &one.objectives);
    all.filter(|outcome| !outcome.met).count()
}

/// What became of the objectives of a run, in words: each of them, and the good requests.
pub fn objective_sentences(run: &BenchmarkResponse) -> Vec<String> {
    let mut sentences = Vec::new();
    for (name, one) in named_summaries(run) {
        let outcomes = one.objectives.iter();
        sentences.extend(outcomes.map(|outcome| objective_sentence(&name, outcome)));
        let good = one.goodput.iter();
        sentences.extend(good.map(|goodput| goodput_sentence(&name, goodput)));
    }
    sentences
}

/// An objective's outcome in words: `met: …` or `missed: …`.
fn objective_sentence(model: &str, outcome: &ObjectiveOutcome) -> String {
    let word = if outcome.met { "met" } else { "missed" };
    let found = match (outcome.value, &outcome.reason) {
        (Some(value), _) => in_words(&outcome.objective, value),
        (None, Some(reason)) => format!("not known: {reason}"),
        (None, None) => "not known".to_owned(),
    };
    format!("{word}: {model}: {} ({found})", outcome.objective)
}

/// How many requests were good, in words.
fn goodput_sentence(model: &str, goodput: &Goodput) -> String {
    let Goodput { good, requests, .. } = goodput;
    let rate = goodput.requests_per_second.and_then(wording::significant);
    let rate = rate.map_or_else(String::new, |rate| format!(", {rate} good ones a second"));
    let percent = wording::significant(goodput.good_percent).unwrap_or_default();
    format!(
        "{model}: {good} of {requests} requests ({percent} %) kept the bounds of all objectives{rate}."
    )
}

fn in_words(objective: &str, value: f64) -> String {
    let metric = objective.split(['.', '<', '>']).next().unwrap_or_default();
    if metric.ends_with("_per_second") || metric.ends_with("_percent") {
        wording::significant(value).unwrap_or_default()
    } else {
        wording::time(value, None)
    }
}

/// It is a figure of each request.
fn is_of_requests(metric: &str) -> bool {
    metric == GAPS || Metric::named(metric).is_some()
}

const GAPS: &str = "inter_chunk_latency";

/// Whether one request's own figure keeps the bound. One that lacks the figure does not, but for a single token or
/// chunk: between it and the next there is nothing that could take too long. So vLLM counts goodput.
fn kept(objective: &Objective, result: &BenchmarkResult) -> bool {
    let holds = |value: f64| objective.relation.holds(value, objective.bound);
    let throughput = &result.throughput;
    let is_single = match objective.metric.as_str() {
        "time_per_output_token" => throughput.output_tokens.is_some_and(|count| count <= 1),
        GAPS | "time_to_second_chunk" => throughput.total_chunks <= 1,
        _ => false,
    };
    if is_single {
        return true;
    }
    if objective.metric == GAPS {
        let of_chunks = || gaps(result.chunks.as_ref()?).reduce(f64::max);
        let longest = result.timing.longest_gap.or_else(of_chunks);
        return longest.is_some_and(holds);
    }
    let value = Metric::named(&objective.metric).and_then(|metric| metric.of(result));
    value.is_some_and(holds)
}

/// The number that an objective speaks of, or why there is none.
fn figure(
    objective: &Objective,
    summary: &ModelSummaryStatistics,
    results: &[&BenchmarkResult],
) -> Result<f64, String> {
    match objective.metric.as_str() {
        "failed_percent" => {
            let all = summary.failed + summary.succeeded;
            finite(summary.failed as f64 / all as f64 * 100.0)
                .ok_or_else(|| "no request ended".to_owned())
        }
        "system_output_tokens_per_second" => {
            summary.system_output_tokens_per_second.ok_or_else(|| {
                "the server does not count its tokens, or other models had their turns in between"
                    .to_owned()
            })
        }
        name => {
            let worst = if objective.relation.is_upper() {
                Statistic::Max
            } else {
                Statistic::Min
            };
            let statistic = objective.statistic.unwrap_or(worst);
            let of = distribution_of(name, statistic, summary, results);
            statistic_of(&of, statistic).ok_or_else(|| match of.percentile_reason {
                Some(reason) if of.n > 0 => reason,
                _ => "no request has such a figure".to_owned(),
            })
        }
    }
}

/// What a statistic is taken from. The worst of every request is that of the cold ones too; averages and percentiles
/// are those that the summary tells, which leave them out.
fn distribution_of(
    name: &str,
    statistic: Statistic,
    summary: &ModelSummaryStatistics,
    results: &[&BenchmarkResult],
) -> Distribution {
    if name == GAPS {
        return summary.inter_chunk_latency.clone();
    }
    let successes: Vec<&BenchmarkResult> = results
        .iter()
        .copied()
        .filter(|it| is_success(it))
        .collect();
    let is_of_every_one = matches!(statistic, Statistic::Min | Statistic::Max);
    let values = |metric: Metric| {
        if is_of_every_one {
            successes.iter().filter_map(|it| metric.of(it)).collect()
        } else {
            metric.values(&successes)
        }
    };
    Metric::named(name)
        .map(|metric| super::statistics::distribution(&values(metric)))
        .unwrap_or_default()
}

fn statistic_of(of: &Distribution, statistic: Statistic) -> Option<f64> {
    match statistic {
        Statistic::Min => of.min,
        Statistic::Max => of.max,
        Statistic::Mean => of.mean,
        Statistic::Median => of.median,
        Statistic::P90 => of.p90,
        Statistic::P95 => of.p95,
        Statistic::P99 => of.p99,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{failed, result};
    use crate::record::Chunks;

    fn objectives(texts: &[&str]) -> Vec<Objective> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn judged(texts: &[&str], results: &[BenchmarkResult]) -> Vec<ObjectiveOutcome> {
        let models = [("a".to_owned(), "ollama".to_owned())];
        let summary = &crate::measure::summarize(&models, results)[0];
        let all: Vec<&BenchmarkResult> = results.iter().collect();
        objective_outcomes(&objectives(texts), summary, &all)
    }

    fn ten(first_chunks: [f64; 10]) -> Vec<BenchmarkResult> {
        first_chunks
            .into_iter()
            .map(|it| result("a", it, 0.01))
            .collect()
    }

    const SPREAD: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

    #[test]
    fn an_objective_speaks_of_its_statistic_or_of_every_request() {
        let found = judged(
            &[
                "time_to_first_chunk.median<0.6",
                "time_to_first_chunk.median<0.5",
                "time_to_first_chunk<1",
                "time_to_first_chunk<=1",
                "output_tokens_per_second>99",
                "failed_percent<10",
            ],
            &ten(SPREAD),
        );
        let met: Vec<bool> = found.iter().map(|it| it.met).collect();
        assert_eq!(met, [true, false, false, true, true, true]);
        assert_eq!(found[2].value, Some(1.0));
        insta::assert_snapshot!(
            objective_sentence("a", &found[1]),
            @"missed: a: time_to_first_chunk.median<0.5 (550 ms)"
        );
    }

    #[test]
    fn what_cannot_be_shown_is_not_met_and_says_why() {
        let found = judged(
            &[
                "time_to_first_chunk.p95<9",
                "load_time<9",
                "inter_chunk_latency.max<9",
            ],
            &ten(SPREAD),
        );
        assert!(found.iter().all(|it| !it.met && it.value.is_none()));
        assert!(objective_sentence("a", &found[0]).contains("p95 needs 130 values"));
        assert_eq!(
            found[1].reason.as_deref(),
            Some("no request has such a figure")
        );
        let none = judged(&["failed_percent<9"], &[]);
        assert_eq!(none[0].reason.as_deref(), Some("no request ended"));
    }

    #[test]
    fn goodput_counts_requests_that_keep_every_bound_and_failures_against_them() {
        let mut results = ten(SPREAD);
        for (place, result) in results.iter_mut().enumerate() {
            result.timing.send_offset = Some(place as f64);
        }
        results[0].throughput.output_tokens_per_second = Some(3.0);
        let mut broken = failed("a");
        broken.timing.send_offset = Some(4.0);
        results.push(broken);
        let mut warmup = result("a", 0.1, 0.01);
        warmup.warmup = true;
        results.push(warmup);
        let all: Vec<&BenchmarkResult> = results.iter().collect();
        let bounds = objectives(&[
            "time_to_first_chunk.p95<0.55",
            "output_tokens_per_second>50",
        ]);
        let found = goodput(&bounds, &all).unwrap();
        assert_eq!((found.good, found.requests), (4, 11));
        assert!((found.good_percent - 400.0 / 11.0).abs() < 1e-9);
        // From the first send at 0 to the end of the last, 9 s + 1 s + 100 gaps of 10 ms.
        assert!((found.requests_per_second.unwrap() - 4.0 / 11.0).abs() < 1e-9);
        assert_eq!(goodput(&objectives(&["failed_percent<1"]), &all), None);
        assert_eq!(goodput(&[], &all), None);
    }

    #[test]
    fn every_gap_of_a_good_request_keeps_the_bound() {
        let mut results = ten(SPREAD);
        for result in &mut results {
            let offsets = vec![0.1, 0.11, 0.12];
            result.chunks = Some(Chunks {
                offsets,
                sizes: vec![1; 3],
            });
        }
        if let Some(chunks) = &mut results[0].chunks {
            chunks.offsets[2] = 0.5;
        }
        let all: Vec<&BenchmarkResult> = results.iter().collect();
        let found = goodput(&objectives(&["inter_chunk_latency.median<0.1"]), &all).unwrap();
        assert_eq!((found.good, found.requests), (9, 10));
    }

    #[test]
    fn a_bound_of_every_request_holds_for_those_that_loaded_the_model_too() {
        let mut results = ten(SPREAD);
        for result in &mut results {
            result.timing.load_time = Some(0.01);
        }
        results[9].timing.load_time = Some(0.5);
        let texts = [
            "time_to_first_chunk<1",
            "time_to_first_chunk.max<1",
            "time_to_first_chunk.median<0.55",
        ];
        let found = judged(&texts, &results);
        let told: Vec<_> = found.iter().map(|it| (it.met, it.value)).collect();
        // Warm ones alone have a median of 0.5 s; with the cold one it were 0.55 s.
        assert_eq!(
            told,
            [(false, Some(1.0)), (false, Some(1.0)), (true, Some(0.5))]
        );
    }

    #[test]
    fn an_answer_of_one_token_has_no_gap_that_could_be_too_long() {
        let mut one = result("a", 0.1, 0.01);
        one.throughput.output_tokens = Some(1);
        one.throughput.total_chunks = 1;
        one.timing.time_per_output_token = None;
        one.timing.time_to_second_chunk = None;
        let good = |text: &str| goodput(&objectives(&[text]), &[&one]).unwrap().good;
        for metric in [
            "time_per_output_token",
            "inter_chunk_latency",
            "time_to_second_chunk",
        ] {
            assert_eq!(good(&format!("{metric}<0.1")), 1, "{metric}");
        }
        assert_eq!(good("output_tokens_per_second>9999"), 0);
    }

    /// Every figure that an objective may name is one that is known here.
    #[test]
    fn every_figure_that_may_be_named_is_found() {
        let mut results = ten(SPREAD);
        for result in &mut results {
            result.timing.load_time = Some(0.1);
            result.timing.send_offset = Some(0.0);
            result.throughput.prompt_tokens_per_second = Some(1.0);
            result.throughput.server_output_tokens_per_second = Some(1.0);
            result.chunks = Some(Chunks {
                offsets: vec![0.1, 0.2],
                sizes: vec![1; 2],
            });
        }
        let names = "x<1".parse::<Objective>().unwrap_err();
        let names = names.split_once("known are ").unwrap().1.split(", ");
        for name in names {
            let found = judged(&[&format!("{name}<=9e9")], &results);
            assert!(found[0].met, "{name}: {found:?}");
        }
    }
}
