//! Whole runs against each other: their models' figures, and what differed in the set-up.

use std::collections::BTreeSet;

use super::comparison::compare;
use super::outputs::compare_outputs;
use super::participant::{Participant, marked_labels, participants};
use super::spread::compared_spreads;
use super::statistics::{median, sorted};
use super::wording::{excerpt, list};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Comparison, Container, Gpu, ModelName, Placement, RunId,
};

/// Longest value of a setting that is quoted in a difference, characters.
const LONGEST_QUOTE: usize = 80;

/// Answers whose lengths differ by more than this are different amounts of work, and whole times
/// tell little; a tenth is the order of difference that comparisons are made for.
const ALIKE_LENGTHS: f64 = 1.1;

/// Fields of a request that name or bound a run and do not change what is measured.
const NOT_SET_UP: [&str; 8] = [
    "name",
    "tags",
    "models",
    "repetitions",
    "timeout",
    "run_timeout",
    "prompt",
    "prompts",
];

/// Compares every model of every run with the first model of the first run; of a single run, its
/// models.
pub fn compare_runs(runs: &[BenchmarkResponse]) -> Comparison {
    let all: Vec<Participant> = runs.iter().flat_map(participants).collect();
    let ids = runs.iter().map(|run| run.id.clone());
    compare_participants(&all, ids.collect())
}

/// Compares models with the first of them, each over all requests of some runs of it, the newest run
/// first: that one tells the set-up.
pub fn compare_models(models: &[(ModelName, Vec<BenchmarkResponse>)]) -> Comparison {
    let mut ids: Vec<RunId> = Vec::new();
    let mut all: Vec<Participant> = Vec::new();
    for (model, runs) in models {
        let of_model = runs.iter().flat_map(participants);
        let mut of_model =
            of_model.filter(|it| it.model == model.name && it.backend == model.backend);
        if let Some(mut newest) = of_model.next() {
            newest.results.extend(of_model.flat_map(|it| it.results));
            all.push(newest);
        }
        for run in runs {
            if !ids.contains(&run.id) {
                ids.push(run.id.clone());
            }
        }
    }
    compare_participants(&all, ids)
}

fn compare_participants(all: &[Participant], runs: Vec<RunId>) -> Comparison {
    let labels = marked_labels(all);
    let sets: Vec<(String, Vec<&BenchmarkResult>)> = labels
        .iter()
        .cloned()
        .zip(all.iter().map(|it| it.results.clone()))
        .collect();
    let rows = compare(&sets);
    Comparison {
        spreads: compared_spreads(&rows, &sets),
        rows,
        differences: differences(all, &labels),
        outputs: compare_outputs(all, &labels),
        labels,
        runs,
    }
}

/// Something about a set-up: a name, and its value in words where it is known.
type Fact = (String, Option<String>);

/// What differed in the set-up, in words.
pub(super) fn differences(all: &[Participant], labels: &[String]) -> Vec<String> {
    let facts: Vec<Vec<Fact>> = all.iter().map(facts).collect();
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in facts.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut found: Vec<String> = digests(all, labels);
    for name in names {
        let values: Vec<Option<&str>> = facts
            .iter()
            .map(|of_one| {
                let fact = of_one.iter().find(|(other, _)| other == name)?;
                fact.1.as_deref()
            })
            .collect();
        found.extend(difference(name, &values, labels));
    }
    found.extend(lengths(all, labels));
    found
}

/// One sentence where the values are not all the same.
fn difference(name: &str, values: &[Option<&str>], labels: &[String]) -> Option<String> {
    let mut groups: Vec<(Option<&str>, Vec<&str>)> = Vec::new();
    for (value, label) in values.iter().zip(labels) {
        match groups.iter_mut().find(|(other, _)| other == value) {
            Some((_, members)) => members.push(label),
            None => groups.push((*value, vec![label])),
        }
    }
    if groups.len() < 2 {
        return None;
    }
    let long = |value: Option<&str>| {
        value.is_some_and(|text| text.chars().count() > LONGEST_QUOTE || text.contains('\n'))
    };
    let words: Vec<String> = if groups.iter().any(|(value, _)| long(*value)) {
        groups
            .iter()
            .enumerate()
            .map(|(index, (_, members))| format!("version {} for {}", index + 1, list(members)))
            .collect()
    } else {
        groups
            .iter()
            .map(|(value, members)| {
                let value = value.map_or_else(
                    || "not known or not set".to_owned(),
                    |text| excerpt(text, LONGEST_QUOTE),
                );
                format!("{value} for {}", list(members))
            })
            .collect()
    };
    Some(format!("{name}: {}", words.join("; ")))
}

/// Digests are compared among models of one name only: others differ by nature.
fn digests(all: &[Participant], labels: &[String]) -> Vec<String> {
    let names: BTreeSet<&str> = all.iter().map(|it| it.model).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (values, labels): (Vec<Option<&str>>, Vec<String>) = all
                .iter()
                .zip(labels)
                .filter(|(it, _)| it.model == name)
                .map(|(it, label)| (digest(it), label.clone()))
                .unzip();
            difference("model digest", &values, &labels)
        })
        .collect()
}

fn digest<'a>(it: &Participant<'a>) -> Option<&'a str> {
    it.environment
        .and_then(|environment| environment.digest.as_deref())
        .or_else(|| it.results.iter().find_map(|r| r.digest.as_deref()))
}

fn facts(it: &Participant) -> Vec<Fact> {
    let run = it.run;
    let system = &run.system_info;
    let environment = it.environment.cloned().unwrap_or_default();
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let gpus: Vec<&str> = system
        .gpu
        .iter()
        .filter_map(|gpu| gpu.name.as_deref())
        .collect();
    let mut facts = vec![
        ("quantization", environment.quantization),
        ("backend", text(&environment.backend_kind)),
        ("backend version", environment.backend_version),
        (
            "benchmarker version",
            text(&run.environment.benchmarker_version),
        ),
        (
            "benchmarker commit",
            run.environment.benchmarker_commit.clone(),
        ),
        ("platform", text(&system.platform)),
        ("processor", text(&system.processor)),
        (
            "logical cores",
            system.cpu.total_cores.map(|cores| cores.to_string()),
        ),
        (
            "memory",
            (system.memory.total > 0.0).then(|| format!("{:.1} GiB", system.memory.total)),
        ),
        ("GPU", text(&gpus.join(", "))),
        ("limit of GPU power", watts(&system.gpu)),
        ("governor", system.cpu.governor.clone()),
        ("power profile", system.power_profile.clone()),
        ("container", system.container.as_ref().map(container)),
        ("part of the model on the CPU", on_cpu(it)),
        ("context that was loaded", loaded_context(it)),
        ("prompt", text(&run.request.all_prompts().join("\n"))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<Fact>>();
    let server = environment.server_settings.into_iter();
    facts.extend(server.map(|(name, value)| (format!("server's {name}"), Some(value))));
    facts.extend(settings(run));
    facts
}

fn watts(gpus: &[Gpu]) -> Option<String> {
    let limits = gpus.iter().filter_map(|gpu| gpu.power_limit_watts);
    let limits: Vec<String> = limits.map(|watts| format!("{watts:.0} W")).collect();
    (!limits.is_empty()).then(|| limits.join(", "))
}

fn container(it: &Container) -> String {
    let cores = it.cpu_cores.map(|cores| format!("{cores} cores"));
    let memory = it
        .memory_bytes
        .map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1_u32 << 30)));
    let limits: Vec<String> = cores.into_iter().chain(memory).collect();
    limits.join(", ")
}

/// Where the model lay last; records of earlier versions have it only in their results.
fn placement<'a>(it: &Participant<'a>) -> Option<&'a Placement> {
    let known = it.environment.and_then(|it| it.placement_after.as_ref());
    known.or_else(|| it.results.iter().rev().find_map(|it| it.placement.as_ref()))
}

fn on_cpu(it: &Participant) -> Option<String> {
    let share = placement(it)?.cpu_percent?;
    Some(format!("{share:.0} %"))
}

fn loaded_context(it: &Participant) -> Option<String> {
    let tokens = placement(it)?.context_length?;
    Some(format!("{tokens} tokens"))
}

/// What was asked for, field by field, parameters by their own names.
fn settings(run: &BenchmarkResponse) -> Vec<Fact> {
    let Ok(serde_json::Value::Object(mut request)) = serde_json::to_value(&run.request) else {
        return Vec::new();
    };
    let parameters = request.remove("parameters");
    let parameters = parameters.as_ref().and_then(serde_json::Value::as_object);
    request
        .iter()
        .filter(|(name, _)| !NOT_SET_UP.contains(&name.as_str()))
        .chain(parameters.into_iter().flatten())
        .map(|(name, value)| {
            let words = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), Some(words))
        })
        .collect()
}

/// Output tokens of the request in the middle.
pub(super) fn output_tokens(results: &[&BenchmarkResult]) -> Option<f64> {
    let tokens: Vec<f64> = results
        .iter()
        .filter_map(|result| result.throughput.output_tokens)
        .map(|tokens| tokens as f64)
        .collect();
    median(&sorted(&tokens))
}

/// Whether answers of these lengths are about the same amount of work.
pub(super) fn are_alike(tokens: &[f64]) -> bool {
    let least = tokens.iter().copied().reduce(f64::min);
    let most = tokens.iter().copied().reduce(f64::max);
    least
        .zip(most)
        .is_none_or(|(least, most)| most <= least * ALIKE_LENGTHS)
}

/// Answers of different lengths are different amounts of work.
fn lengths(all: &[Participant], labels: &[String]) -> Option<String> {
    let known: Vec<(f64, &String)> = all
        .iter()
        .zip(labels)
        .filter_map(|(it, label)| Some((output_tokens(&it.successes())?, label)))
        .collect();
    let tokens: Vec<f64> = known.iter().map(|(tokens, _)| *tokens).collect();
    if are_alike(&tokens) {
        return None;
    }
    let words: Vec<String> = known
        .iter()
        .map(|(tokens, label)| format!("{tokens:.0} for {label}"))
        .collect();
    Some(format!(
        "output tokens (median), so whole times are of different amounts of work: {}",
        words.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, result, run};

    #[test]
    fn the_models_of_one_run_are_compared_with_the_first() {
        let mut results = at_rates("a", &[10.0; 6]);
        results.extend(at_rates("b", &[20.0; 6]));
        let found = compare_runs(&[run(&["a", "b"], results)]);
        assert_eq!(found.labels, ["a", "b"]);
        assert_eq!(found.differences, Vec::<String>::new());
        assert!(found.rows.iter().all(|row| row.candidate == "b"));
        assert!(!found.rows.is_empty());
    }

    #[test]
    fn runs_of_programs_from_different_commits_are_told_apart() {
        let of = |id: &str, commit: Option<&str>| {
            let mut run = run(&["a"], at_rates("a", &[10.0; 6]));
            run.id = id.parse().unwrap();
            run.environment.benchmarker_commit = commit.map(str::to_owned);
            run
        };
        let one = of("0123456789abcdef01234567", Some("aaaaaaa"));
        let other = of("0123456789abcdef01234568", None);
        let found = compare_runs(&[one.clone(), other]).differences;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("benchmarker commit: aaaaaaa for "),
            "{found:?}"
        );
        let same = of("0123456789abcdef01234569", Some("aaaaaaa"));
        assert_eq!(compare_runs(&[one, same]).differences, Vec::<String>::new());
    }

    #[test]
    fn models_are_compared_over_all_their_runs() {
        let of = |id: &str, model: &str, version: &str, rate: f64| {
            let mut run = run(&[model, "other"], at_rates(model, &[rate; 4]));
            run.id = id.parse().unwrap();
            run.environment.models[0].backend_version = Some(version.into());
            run
        };
        let a = vec![
            of("0123456789abcdef01234569", "a", "2", 10.0),
            of("0123456789abcdef01234567", "a", "1", 12.0),
        ];
        let b = vec![of("0123456789abcdef01234568", "b", "2", 20.0)];
        let model = |text: &str| text.parse::<ModelName>().unwrap();
        let found = compare_models(&[(model("a@ollama"), a), (model("b@ollama"), b)]);
        assert_eq!(found.labels, ["a", "b"]);
        assert_eq!(found.differences, Vec::<String>::new());
        assert_eq!(found.runs.len(), 3);
        let rate = found
            .rows
            .iter()
            .find(|it| it.metric == "output_tokens_per_second");
        let rate = rate.unwrap();
        assert_eq!((rate.baseline_n, rate.candidate_n), (8, 4));
    }

    #[test]
    fn what_differed_in_the_set_up_is_named() {
        let mut first = run(&["a"], vec![result("a", 0.5, 0.1)]);
        first.request.name = Some("before".into());
        first.request.parameters.temperature = Some(0.0);
        first.environment.models[0].digest = Some("aaa".into());
        first.environment.models[0].backend_version = Some("0.33.0".into());
        first.system_info.processor = "One".into();
        let mut second = first.clone();
        second.id = "0123456789abcdef01234567".parse().unwrap();
        second.request.name = Some("after".into());
        second.request.repetitions = 7;
        second.request.parameters.temperature = Some(0.8);
        second.request.parameters.num_ctx = Some(4096);
        second.request.prompt = Some("x".repeat(200));
        second.environment.models[0].digest = Some("bbb".into());
        second.environment.models[0].backend_version = Some("0.34.0".into());
        second.system_info.processor = "Two".into();
        second.results[0].throughput.output_tokens = Some(300);
        let found = compare_runs(&[first, second]);
        assert_eq!(found.labels, ["a (before)", "a (after)"]);
        assert_eq!(
            found.differences,
            [
                "model digest: aaa for a (before); bbb for a (after)",
                "backend version: 0.33.0 for a (before); 0.34.0 for a (after)",
                "processor: One for a (before); Two for a (after)",
                "prompt: version 1 for a (before); version 2 for a (after)",
                "temperature: 0.0 for a (before); 0.8 for a (after)",
                "num_ctx: not known or not set for a (before); 4096 for a (after)",
                "output tokens (median), so whole times are of different amounts of work: 101 for a (before); 300 for a (after)",
            ]
        );
    }

    #[test]
    fn unlike_placement_is_named() {
        let at = |share: f64, id: &str| {
            let mut run = run(&["a"], vec![result("a", 0.5, 0.1)]);
            run.id = id.parse().unwrap();
            run.request.name = Some(format!("{share}"));
            run.environment.models[0].placement_after = Some(Placement {
                size_bytes: 100,
                size_vram_bytes: 62,
                cpu_percent: Some(share),
                context_length: Some(4096),
                digest: None,
                expires_at: None,
            });
            run.environment.models[0].server_settings =
                [("OLLAMA_NUM_PARALLEL".to_owned(), format!("{share:.0}"))].into();
            run
        };
        let runs = [
            at(38.0, "0123456789abcdef01234567"),
            at(0.0, "0123456789abcdef01234568"),
        ];
        assert_eq!(
            compare_runs(&runs).differences,
            [
                "part of the model on the CPU: 38 % for a (38); 0 % for a (0)",
                "server's OLLAMA_NUM_PARALLEL: 38 for a (38); 0 for a (0)",
            ]
        );
    }

    #[test]
    fn digests_of_different_models_are_no_difference() {
        let mut one = run(&["a", "b"], Vec::new());
        one.environment.models[0].digest = Some("aaa".into());
        one.environment.models[1].digest = Some("bbb".into());
        one.environment.models[1].quantization = Some("Q4_K_M".into());
        let found = compare_runs(&[one]);
        assert_eq!(
            found.differences,
            ["quantization: not known or not set for a; Q4_K_M for b"]
        );
        assert_eq!(found.rows, []);
    }

    #[test]
    fn nothing_compares_to_nothing() {
        let found = compare_runs(&[]);
        assert_eq!(
            (
                found.labels.len(),
                found.rows.len(),
                found.differences.len()
            ),
            (0, 0, 0)
        );
    }
}
