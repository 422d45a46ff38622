//! The models of a run with what each of them measured. It groups; it judges nothing.

use super::selection::{is_failure, is_success};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, ModelEnvironment, ModelSummaryStatistics, synthetic_mark,
};

/// One model of one run.
#[derive(Clone, Debug)]
pub(super) struct Participant<'a> {
    /// Its run.
    pub(super) run: &'a BenchmarkResponse,
    /// Model name as the backend knows it.
    pub(super) model: &'a str,
    /// The backend that served it.
    pub(super) backend: &'a str,
    /// What it ran on, where the record tells.
    pub(super) environment: Option<&'a ModelEnvironment>,
    /// All its requests in the order they were sent.
    pub(super) results: Vec<&'a BenchmarkResult>,
}

impl<'a> Participant<'a> {
    /// Measured requests that succeeded, in the order they were sent.
    pub(super) fn successes(&self) -> Vec<&'a BenchmarkResult> {
        self.results
            .iter()
            .copied()
            .filter(|result| is_success(result))
            .collect()
    }

    /// How many measured requests failed.
    pub(super) fn failed(&self) -> usize {
        self.results
            .iter()
            .filter(|result| is_failure(result))
            .count()
    }

    /// Made by this program; not a language model.
    pub(super) fn synthetic(&self) -> bool {
        self.environment.is_some_and(|it| it.synthetic)
    }
}

/// The models of a run: those of its environment in their order, then any other that has a result
/// (records from elsewhere may carry no environment).
pub(super) fn participants(run: &BenchmarkResponse) -> Vec<Participant<'_>> {
    let mut found: Vec<Participant> = Vec::new();
    for it in &run.environment.models {
        found.push(Participant {
            run,
            model: &it.model,
            backend: &it.backend,
            environment: Some(it),
            results: Vec::new(),
        });
    }
    for result in &run.results {
        let same = |it: &&mut Participant| it.model == result.model && it.backend == result.backend;
        match found.iter_mut().find(same) {
            Some(it) => it.results.push(result),
            None => found.push(Participant {
                run,
                model: &result.model,
                backend: &result.backend,
                environment: None,
                results: vec![result],
            }),
        }
    }
    for it in &mut found {
        it.results.sort_by(|a, b| sent(a).total_cmp(&sent(b)));
    }
    found
}

/// Results without a place in time keep their order among themselves.
fn sent(result: &BenchmarkResult) -> f64 {
    result.timing.send_offset.unwrap_or(0.0)
}

/// The summaries of a run, each with its model's name, and its backend where the name alone would be
/// that of several.
pub(super) fn named_summaries(
    run: &BenchmarkResponse,
) -> impl Iterator<Item = (String, &ModelSummaryStatistics)> {
    run.summary.iter().map(|one| {
        let namesakes = run.summary.iter().filter(|it| it.model == one.model);
        let name = if namesakes.count() > 1 {
            format!("{}@{}", one.model, one.backend)
        } else {
            one.model.clone()
        };
        (name, one)
    })
}

/// A label for each, all different: the model's name, with backend and run where the name alone
/// would be that of several.
pub(super) fn labels(participants: &[Participant]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for it in participants {
        let namesakes = || participants.iter().filter(|other| other.model == it.model);
        let mut label = it.model.to_owned();
        if namesakes().any(|other| other.backend != it.backend) {
            label = format!("{label}@{}", it.backend);
        }
        let same_backend = namesakes().filter(|other| other.backend == it.backend);
        if same_backend.count() > 1 {
            label = format!("{label} ({})", run_name(it.run, participants));
        }
        let mut distinct = label.clone();
        let mut number = 1;
        while labels.contains(&distinct) {
            number += 1;
            distinct = format!("{label} #{number}");
        }
        labels.push(distinct);
    }
    labels
}

/// The same for sentences that stand alone: what is made by this program is marked.
pub(super) fn marked_labels(participants: &[Participant]) -> Vec<String> {
    let labels = labels(participants).into_iter();
    let marked = labels
        .zip(participants)
        .map(|(label, it)| label + synthetic_mark(it.synthetic()));
    marked.collect()
}

/// The run's name where no other run has it too, else the second in which it began, else its id.
fn run_name(run: &BenchmarkResponse, participants: &[Participant]) -> String {
    let is_own = |same: &dyn Fn(&BenchmarkResponse) -> bool| {
        let mut others = participants.iter().map(|it| it.run);
        !others.any(|it| it.id != run.id && same(it))
    };
    let begun = |run: &BenchmarkResponse| run.timestamp.format("%F %T").to_string();
    if let Some(name) = &run.request.name
        && is_own(&|it| it.request.name.as_ref() == Some(name))
    {
        return name.clone();
    }
    if is_own(&|it| begun(it) == begun(run)) {
        return format!("run of {} UTC", begun(run));
    }
    format!("run {}", run.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{result, run};

    #[test]
    fn models_keep_the_order_of_the_environment() {
        let run = run(
            &["b", "a"],
            vec![result("a", 1.0, 0.1), result("c", 1.0, 0.1)],
        );
        let found = participants(&run);
        let names: Vec<_> = found.iter().map(|it| it.model).collect();
        assert_eq!(names, ["b", "a", "c"]);
        assert_eq!(found[1].results.len(), 1);
    }

    #[test]
    fn labels_say_as_much_as_tells_them_apart() {
        let mut elsewhere = result("a", 1.0, 0.1);
        elsewhere.backend = "gpu-box".into();
        let mut first = run(&["a", "b"], vec![elsewhere]);
        first.request.name = Some("evening".into());
        let mut second = run(&["b"], Vec::new());
        second.id = "0123456789abcdef01234567".parse().unwrap();
        let mut third = second.clone();
        third.id = "0123456789abcdef01234568".parse().unwrap();
        third.timestamp = "2026-11-28T09:12:33Z".parse().unwrap();
        let mut fourth = second.clone();
        fourth.id = "0123456789abcdef01234569".parse().unwrap();
        let mut all = participants(&first);
        all.extend(participants(&second));
        all.extend(participants(&second));
        all.extend(participants(&third));
        all.extend(participants(&fourth));
        assert_eq!(
            labels(&all),
            [
                "a@ollama",
                "b (evening)",
                "a@gpu-box",
                "b (run 0123456789abcdef01234567)",
                "b (run 0123456789abcdef01234567) #2",
                "b (run of 2026-11-28 09:12:33 UTC)",
                "b (run 0123456789abcdef01234569)"
            ]
        );
    }
}
