//! One model over time: what it did in each run, and what every change of its set-up did to it.

use super::baseline::{is_same_work, machine};
use super::comparison::compare_by;
use super::participant::{Participant, participants};
use super::selection::Metric;
use super::statistics::distribution;
use super::wording::list;
use crate::record::{
    BenchmarkResponse, BenchmarkResult, ModelName, Trend, TrendChange, TrendPoint,
};

/// What is watched, and what people call it.
const WATCHED: [(Metric, &str); 2] = [
    (Metric::OutputTokensPerSecond, "tokens a second"),
    (Metric::TimeToFirstChunk, "first chunk"),
];

/// Of a digest this much tells it from others, characters.
const DIGEST: usize = 12;

/// The trend of a model, from runs that have it, newest first. Runs that asked for other work than the
/// newest are left out: another prompt is no change of the model.
pub fn trend(model: &ModelName, runs: &[BenchmarkResponse]) -> Trend {
    let of_model = |run| {
        let mut all = participants(run).into_iter();
        all.find(|it: &Participant| it.model == model.name && it.backend == model.backend)
    };
    let found: Vec<Participant> = runs
        .iter()
        .filter_map(of_model)
        .filter(|it| !it.successes().is_empty())
        .collect();
    let newest = found.first().map(|it| &it.run.request);
    let mut same: Vec<&Participant> = found
        .iter()
        .filter(|it| newest.is_some_and(|newest| is_same_work(newest, &it.run.request)))
        .collect();
    same.reverse();
    let same = with_setups(same);
    let setups: Vec<&[Placed]> = same
        .chunk_by(|(_, one), (_, next)| is_same(one, next))
        .collect();
    let numbered = (0_u32..).zip(&setups);
    Trend {
        model: model.name.clone(),
        backend: model.backend.clone(),
        points: numbered
            .flat_map(|(number, runs)| runs.iter().map(move |(it, _)| point(it, number)))
            .collect(),
        changes: setups
            .windows(2)
            .filter_map(|pair| change(pair[0], pair[1]))
            .collect(),
    }
}

fn point(it: &Participant, setup: u32) -> TrendPoint {
    let successes = it.successes();
    let of = |metric: Metric| distribution(&metric.values(&successes));
    TrendPoint {
        id: it.run.id.clone(),
        timestamp: it.run.timestamp,
        name: it.run.request.name.clone(),
        setup,
        time_to_first_chunk: of(Metric::TimeToFirstChunk),
        output_tokens_per_second: of(Metric::OutputTokensPerSecond),
    }
}

/// What a model runs on, piece by piece, each with its name.
fn setup(it: &Participant) -> [Piece; 5] {
    let environment = it.environment;
    let digest = environment.and_then(|it| it.digest.clone());
    let digest = digest.or_else(|| it.results.iter().find_map(|result| result.digest.clone()));
    let version = &it.run.environment.benchmarker_version;
    [
        (
            "the model",
            digest.map(|digest| digest.chars().take(DIGEST).collect()),
        ),
        (
            "the model server",
            environment.and_then(|it| it.backend_version.clone()),
        ),
        ("the machine", Some(machine(&it.run.system_info))),
        (
            "this program",
            Some(version.clone()).filter(|version| !version.is_empty()),
        ),
        (
            "the commit of this program",
            it.run.environment.benchmarker_commit.clone(),
        ),
    ]
}

/// A piece with its name, as far as a run could learn it.
type Piece = (&'static str, Option<String>);

/// A run of the model and what it ran on.
type Placed<'a> = (&'a Participant<'a>, [Piece; 5]);

/// What a run could not learn is as the last run knew it.
fn with_setups<'a>(runs: Vec<&'a Participant<'a>>) -> Vec<Placed<'a>> {
    let mut known: Option<[Piece; 5]> = None;
    let placed = runs.into_iter().map(|it| {
        let mut pieces = setup(it);
        for (piece, last) in pieces.iter_mut().zip(known.iter().flatten()) {
            piece.1 = piece.1.take().or_else(|| last.1.clone());
        }
        known = Some(pieces.clone());
        (it, pieces)
    });
    placed.collect()
}

fn is_same(one: &[Piece], other: &[Piece]) -> bool {
    !one.iter().zip(other).any(|(old, new)| differ(old, new))
}

/// What one of two runs could not learn, as when its server did not tell its version, is no change.
fn differ((_, old): &Piece, (_, new): &Piece) -> bool {
    old.is_some() && new.is_some() && old != new
}

fn change(before: &[Placed], after: &[Placed]) -> Option<TrendChange> {
    let ((_, old), (first, new)) = (before.last()?, after.first()?);
    let what: Vec<String> = old
        .iter()
        .zip(new)
        .filter(|(old, new)| differ(old, new))
        .map(|((name, old), (_, new))| {
            let words = |value: &Option<String>| value.clone().unwrap_or_default();
            format!("{name} changed from {} to {}", words(old), words(new))
        })
        .collect();
    let results = |runs: &[Placed]| -> (String, Vec<BenchmarkResult>) {
        let all = runs.iter().flat_map(|(it, _)| it.successes());
        (String::new(), all.cloned().collect())
    };
    let (old, new) = (results(before), results(after));
    let sets = [&old, &new].map(|(label, results)| (label.clone(), results.iter().collect()));
    let rows: Vec<_> = compare_by(&WATCHED.map(|(metric, _)| metric), &sets)
        .into_iter()
        .map(|mut row| {
            row.candidate.clone_from(&first.run.id.to_string());
            row
        })
        .collect();
    let cause = list(&what);
    let sentences = WATCHED.iter().filter_map(|(metric, words)| {
        let row = rows.iter().find(|row| row.metric == metric.name())?;
        Some(match row.sentence.strip_prefix("cannot tell: ") {
            None => format!("{words}: {} since {cause}", row.sentence),
            Some(doubt) => format!("{words}: no difference is sure since {cause}: {doubt}"),
        })
    });
    Some(TrendChange {
        id: first.run.id.clone(),
        timestamp: first.run.timestamp,
        sentences: sentences.collect(),
        what,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, run};

    /// A run of `a` with this version of its server; its id ends with the number.
    fn version(number: u32, version: &str, rates: &[f64]) -> BenchmarkResponse {
        let mut one = run(&["a", "b"], at_rates("a", rates));
        one.id = format!("{number:024x}").parse().unwrap();
        one.environment.models[0].backend_version = Some(version.into());
        one
    }

    fn of(runs: &[BenchmarkResponse]) -> Trend {
        trend(&"a@ollama".parse().unwrap(), runs)
    }

    const QUICK: [f64; 6] = [12.0, 12.1, 11.9, 12.2, 11.8, 12.0];
    const SLOW: [f64; 6] = [10.0, 10.1, 9.9, 10.2, 9.8, 10.0];

    #[test]
    fn an_upgrade_that_made_it_slower_is_told() {
        let found = of(&[
            version(4, "0.13", &SLOW),
            version(3, "0.13", &SLOW),
            version(2, "0.12", &QUICK),
            version(1, "0.12", &QUICK),
        ]);
        let setups: Vec<u32> = found.points.iter().map(|it| it.setup).collect();
        assert_eq!(setups, [0, 0, 1, 1]);
        let ids: Vec<&str> = found.points.iter().map(|it| it.id.as_str()).collect();
        assert!(ids.is_sorted(), "oldest first: {ids:?}");
        assert_eq!(found.changes.len(), 1);
        let change = &found.changes[0];
        assert_eq!(change.id, found.points[2].id);
        assert_eq!(change.what, ["the model server changed from 0.12 to 0.13"]);
        insta::assert_snapshot!(change.sentences[0], @"tokens a second: 16.7 % slower (15.6 % to 17.5 %) since the model server changed from 0.12 to 0.13");
        assert_eq!(change.rows[0].baseline_n, 12);
    }

    #[test]
    fn another_commit_of_this_program_is_a_change_and_an_unknown_one_is_none() {
        let built_from = |number: u32, commit: Option<&str>| {
            let mut one = version(number, "0.12", &QUICK);
            one.environment.benchmarker_commit = commit.map(str::to_owned);
            one
        };
        let found = of(&[
            built_from(3, Some("bbbbbbb")),
            built_from(2, Some("aaaaaaa")),
            built_from(1, None),
        ]);
        assert_eq!(found.changes.len(), 1);
        assert_eq!(
            found.changes[0].what,
            ["the commit of this program changed from aaaaaaa to bbbbbbb"]
        );
    }

    #[test]
    fn what_a_run_could_not_learn_is_no_change() {
        let mut silent = version(2, "", &QUICK);
        silent.environment.models[0].backend_version = None;
        let found = of(&[
            version(3, "0.12", &QUICK),
            silent,
            version(1, "0.12", &QUICK),
        ]);
        assert_eq!((found.points.len(), found.changes.len()), (3, 0));
        let mut silent = version(2, "", &QUICK);
        silent.environment.models[0].backend_version = None;
        let found = of(&[
            version(3, "0.13", &QUICK),
            silent,
            version(1, "0.12", &QUICK),
        ]);
        let setups: Vec<u32> = found.points.iter().map(|it| it.setup).collect();
        assert_eq!(setups, [0, 0, 1]);
        assert_eq!(
            found.changes[0].what,
            ["the model server changed from 0.12 to 0.13"]
        );
    }

    #[test]
    fn other_work_other_models_and_failures_are_left_out() {
        let mut other = version(2, "0.12", &QUICK);
        other.request.prompt = Some("another".into());
        let mut failed = version(3, "0.14", &QUICK);
        failed.results.clear();
        let found = of(&[
            version(4, "0.12", &QUICK),
            failed,
            other,
            version(1, "0.12", &QUICK),
        ]);
        assert_eq!((found.points.len(), found.changes.len()), (2, 0));
        let none = trend(&"c@ollama".parse().unwrap(), &[version(1, "0.12", &QUICK)]);
        assert_eq!(none.points, []);
    }
}
