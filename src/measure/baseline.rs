//! A run against an earlier one of the same models: whether they became slower.

use serde_json::Value;

use super::comparison::assess;
use super::difference::{are_alike, differences, output_tokens};
use super::outputs::compare_outputs;
use super::participant::{Participant, marked_labels, participants};
use super::selection::Metric;
use super::wording::list;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, BenchmarkResult, Execution, SystemInfo, Verdict,
    synthetic_mark,
};

/// What a run came to beside its baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgainstBaseline {
    /// What was found, in words: a sentence a figure, then what else differed.
    pub sentences: Vec<String>,
    /// Some model became slower by some figure.
    pub is_slower: bool,
}

/// Fields of a request that do not change what a model is asked to do.
const NOT_WORK: [&str; 10] = [
    "name",
    "tags",
    "models",
    "repetitions",
    "warmup",
    "timeout",
    "run_timeout",
    "objectives",
    "execution",
    "until_decided",
];

/// What is held against the baseline, and what people call it.
const HELD: [(Metric, &str); 3] = [
    (Metric::TimeToFirstChunk, "first chunk"),
    (Metric::OutputTokensPerSecond, "tokens a second"),
    (Metric::RequestLatency, "last chunk"),
];

/// Compares each model of a run with the same one of an earlier run.
pub fn against_baseline(run: &BenchmarkResponse, baseline: &BenchmarkResponse) -> AgainstBaseline {
    let before = participants(baseline);
    let mut found = AgainstBaseline::default();
    for it in participants(run) {
        let same = |other: &&Participant| other.model == it.model && other.backend == it.backend;
        match before.iter().find(same) {
            None => found.sentences.push(format!(
                "{}@{}: the baseline has no such model",
                it.model, it.backend
            )),
            Some(earlier) => hold(&[earlier.clone(), it], &mut found),
        }
    }
    found
}

fn hold(pair: &[Participant; 2], found: &mut AgainstBaseline) {
    let (before, after) = (pair[0].successes(), pair[1].successes());
    let name = format!("{}{}", pair[1].model, synthetic_mark(pair[1].synthetic()));
    for (metric, words) in HELD {
        if metric == Metric::RequestLatency && !is_same_length(&before, &after) {
            continue;
        }
        let assessment = assess(metric, &before, &after);
        found.is_slower |= assessment.verdict == Verdict::Slower;
        found
            .sentences
            .push(format!("{name}: {words}: {}", assessment.sentence()));
    }
    let labels = marked_labels(pair);
    let texts = compare_outputs(pair, &labels).into_iter();
    // What chance wrote differs by nature.
    let texts = texts.filter(|it| it.should_agree || it.first_difference.is_none());
    found.sentences.extend(texts.map(|it| it.sentence));
    found.sentences.extend(differences(pair, &labels));
}

fn is_same_length(before: &[&BenchmarkResult], after: &[&BenchmarkResult]) -> bool {
    let tokens: Vec<f64> = [before, after]
        .into_iter()
        .filter_map(output_tokens)
        .collect();
    are_alike(&tokens)
}

/// Whether two requests ask their models for the same work: prompts, options and load.
pub fn is_same_work(one: &BenchmarkRequest, other: &BenchmarkRequest) -> bool {
    work(one) == work(other)
}

/// What a request asks its models for, in words that are the same where the work is.
pub fn work_of(request: &BenchmarkRequest) -> String {
    work(request)
        .map(|work| work.to_string())
        .unwrap_or_default()
}

fn work(request: &BenchmarkRequest) -> Option<Value> {
    let mut work = serde_json::to_value(request).ok()?;
    let fields = work.as_object_mut()?;
    for name in NOT_WORK {
        fields.remove(name);
    }
    // Models that run at once are each other's work; in turn they are not.
    if request.execution == Execution::Concurrent && request.models.len() > 1 {
        fields.insert("beside".to_owned(), request.models.clone().into());
    }
    // One prompt may be given in two ways.
    fields.remove("prompt");
    fields.insert("prompts".to_owned(), request.all_prompts().into());
    Some(work)
}

/// Whether two machines are alike in what a model runs on.
pub fn is_same_machine(one: &SystemInfo, other: &SystemInfo) -> bool {
    machine(one) == machine(other)
}

/// Processor, cores, memory and GPUs, in words.
pub(super) fn machine(system: &SystemInfo) -> String {
    let mut parts = vec![system.processor.clone()];
    parts.extend(system.cpu.total_cores.map(|cores| format!("{cores} cores")));
    parts.push(format!("{:.0} GiB", system.memory.total));
    parts.extend(system.gpu.iter().filter_map(|gpu| gpu.name.clone()));
    list(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, run};

    const QUICK: [f64; 6] = [12.0, 12.1, 11.9, 12.2, 11.8, 12.0];
    const SLOW: [f64; 6] = [10.0, 10.1, 9.9, 10.2, 9.8, 10.0];

    fn of(rates: &[f64]) -> BenchmarkResponse {
        run(&["a"], at_rates("a", rates))
    }

    #[test]
    fn a_model_that_became_slower_is_told() {
        let found = against_baseline(&of(&SLOW), &of(&QUICK));
        assert!(found.is_slower);
        assert!(
            found.sentences[1].starts_with("a: tokens a second: 17 % slower ("),
            "{:?}",
            found.sentences
        );
        assert!(!against_baseline(&of(&QUICK), &of(&SLOW)).is_slower);
        assert!(!against_baseline(&of(&QUICK), &of(&QUICK)).is_slower);
    }

    #[test]
    fn what_else_differed_is_told_and_other_models_are_not_compared() {
        let mut after = of(&QUICK);
        after.id = "0123456789abcdef01234567".parse().unwrap();
        after.environment.models[0].backend_version = Some("0.34.0".into());
        let found = against_baseline(&after, &of(&QUICK)).sentences;
        assert!(
            found.iter().any(|it| it.starts_with("backend version: ")),
            "{found:?}"
        );
        let other = run(&["b"], at_rates("b", &SLOW));
        let found = against_baseline(&other, &of(&QUICK));
        assert_eq!(
            found.sentences,
            ["b@ollama: the baseline has no such model"]
        );
        assert!(!found.is_slower);
    }

    #[test]
    fn the_same_work_may_have_another_name_and_other_models() {
        let one = of(&QUICK).request;
        let mut other = one.clone();
        other.name = Some("again".into());
        other.models = vec!["b".into()];
        other.repetitions = 9;
        other.prompts = vec![other.prompt.take().unwrap()];
        assert!(is_same_work(&one, &other));
        other.execution = Execution::Concurrent;
        assert!(is_same_work(&one, &other));
        other.models.push("c".into());
        assert!(!is_same_work(&one, &other));
        other.execution = Execution::Interleaved;
        assert!(is_same_work(&one, &other));
        other.parameters.num_ctx = Some(64);
        assert!(!is_same_work(&one, &other));
    }
}
