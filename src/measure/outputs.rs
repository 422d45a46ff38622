//! Whether models wrote the same, and where their texts part.

use std::collections::{BTreeMap, BTreeSet};

use super::participant::Participant;
use super::text_difference::first_difference;
use super::wording::{count, excerpt};
use crate::record::{BenchmarkResult, OutputComparison, Parameters};

/// Most prompts of a candidate whose answers are compared.
const MOST_PROMPTS: usize = 20;

/// Of a prompt this much is repeated, characters.
const EXCERPT: usize = 80;

/// The answers of each candidate held against the first one's, prompt by prompt.
pub(super) fn compare_outputs(all: &[Participant], labels: &[String]) -> Vec<OutputComparison> {
    let Some((baseline, candidates)) = all.split_first() else {
        return Vec::new();
    };
    let answers = by_prompt(baseline);
    let mut found = Vec::new();
    for (candidate, label) in candidates.iter().zip(labels.iter().skip(1)) {
        let shared = by_prompt(candidate)
            .into_iter()
            .filter_map(|(prompt, own)| Some((prompt, answers.get(prompt)?, own)));
        let should_agree = should_agree(baseline, candidate);
        found.extend(
            shared
                .take(MOST_PROMPTS)
                .map(|(prompt, theirs, own)| compared(label, prompt, theirs, &own, should_agree)),
        );
    }
    found
}

fn by_prompt<'a>(it: &Participant<'a>) -> BTreeMap<&'a str, Vec<&'a BenchmarkResult>> {
    let mut answers: BTreeMap<&str, Vec<&BenchmarkResult>> = BTreeMap::new();
    for result in it.successes() {
        answers.entry(&result.prompt).or_default().push(result);
    }
    answers
}

/// The same weights, asked the same without randomness, write the same.
fn should_agree(baseline: &Participant, candidate: &Participant) -> bool {
    let digest = |it: &Participant| it.environment.and_then(|it| it.digest.clone());
    let is_fixed = |parameters: &Parameters| {
        parameters.seed.is_some_and(|seed| seed >= 0)
            && parameters.temperature.is_some_and(|heat| heat <= 0.0)
    };
    let (one, other) = (&baseline.run.request, &candidate.run.request);
    baseline.model == candidate.model
        && digest(baseline) == digest(candidate)
        && is_fixed(&one.parameters)
        && one.parameters == other.parameters
        && one.system == other.system
        && one.think == other.think
        && one.format == other.format
        && !one.defeats_cache()
        && !other.defeats_cache()
}

fn compared(
    label: &str,
    prompt: &str,
    theirs: &[&BenchmarkResult],
    own: &[&BenchmarkResult],
    should_agree: bool,
) -> OutputComparison {
    let known: BTreeSet<&str> = theirs
        .iter()
        .map(|it| it.response_sha256.as_str())
        .collect();
    let (same, others): (Vec<&BenchmarkResult>, Vec<&BenchmarkResult>) = own
        .iter()
        .partition(|it| known.contains(it.response_sha256.as_str()));
    let parting = theirs
        .first()
        .zip(others.first())
        .and_then(|(theirs, other)| first_difference(&theirs.response, &other.response));
    let answers = count(own.len(), "answer");
    let mut parts = vec![if others.is_empty() {
        format!("{label}: the same text in all {answers}")
    } else {
        format!("{label}: the same text in {} of {answers}", same.len())
    }];
    parts.extend(parting.as_ref().map(|parting| {
        format!(
            "the first other one parts at word {}, character {}: “{}” became “{}”",
            parting.word, parting.character, parting.baseline, parting.candidate
        )
    }));
    if should_agree && !others.is_empty() {
        parts.push("model, seed and options are the same, so it should not differ".to_owned());
    }
    OutputComparison {
        candidate: label.to_owned(),
        prompt: excerpt(prompt, EXCERPT),
        answers: own.len() as u64,
        same: same.len() as u64,
        should_agree,
        first_difference: parting,
        sentence: parts.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::compare_runs;
    use crate::measure::fixture::{result, run};
    use crate::record::BenchmarkResponse;

    fn wrote(texts: &[&str]) -> BenchmarkResponse {
        let results = texts.iter().map(|text| {
            let mut one = result("a", 0.1, 0.01);
            one.response = (*text).to_owned();
            one.response_sha256 = (*text).to_owned();
            one
        });
        let mut run = run(&["a"], results.collect());
        run.request.parameters.seed = Some(7);
        run.request.parameters.temperature = Some(0.0);
        run
    }

    fn told(baseline: &BenchmarkResponse, candidate: &BenchmarkResponse) -> OutputComparison {
        compare_runs(&[baseline.clone(), candidate.clone()])
            .outputs
            .remove(0)
    }

    #[test]
    fn the_same_text_is_said_to_be_the_same() {
        let found = told(&wrote(&["the sky", "the sky"]), &wrote(&["the sky"]));
        assert_eq!(
            (found.answers, found.same, found.should_agree),
            (1, 1, true)
        );
        assert_eq!(found.first_difference, None);
        assert!(
            found.sentence.ends_with(": the same text in all 1 answer"),
            "{}",
            found.sentence
        );
    }

    #[test]
    fn where_texts_part_is_named_and_whether_they_should() {
        let (before, after) = (
            wrote(&["the sky is blue"]),
            wrote(&["the sky is blue", "the sky is red"]),
        );
        let found = told(&before, &after);
        assert_eq!((found.answers, found.same), (2, 1));
        let parting = found.first_difference.unwrap();
        assert_eq!((parting.word, parting.character), (4, 12));
        assert!(
            found.sentence.ends_with("so it should not differ"),
            "{}",
            found.sentence
        );
        let mut free = after.clone();
        free.request.parameters.temperature = Some(0.8);
        assert!(!told(&before, &free).should_agree);
        let mut replaced = after;
        replaced.environment.models[0].digest = Some("other".into());
        assert!(!told(&before, &replaced).should_agree);
    }

    #[test]
    fn answers_to_different_prompts_are_not_compared() {
        let mut other = wrote(&["x"]);
        other.results[0].prompt = "another".into();
        assert_eq!(compare_runs(&[wrote(&["x"]), other]).outputs, []);
    }
}
