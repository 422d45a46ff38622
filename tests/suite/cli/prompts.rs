//! Prompts from files, prompts that are made up, and prompts that no cache has seen.

use std::collections::BTreeSet;

use ollama_benchmarker::record::BenchmarkResponse;

use super::{Home, QUICK};

fn measured(home: &Home, arguments: &[&str]) -> BenchmarkResponse {
    let base = ["run", "--model", QUICK, "--warmup", "0", "--format", "json"];
    let outcome = home.run(&[&base[..], arguments].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    serde_json::from_str(&outcome.out).unwrap()
}

#[test]
fn every_line_of_a_data_set_is_asked() {
    let home = Home::new();
    std::fs::write(
        home.path().join("questions.jsonl"),
        "{\"prompt\": \"one\"}\n\n\"two\"\n",
    )
    .unwrap();
    let run = measured(
        &home,
        &["--dataset", "questions.jsonl", "--repetitions", "2"],
    );
    let asked: Vec<&str> = run.results.iter().map(|it| it.prompt.as_str()).collect();
    assert_eq!(asked, ["one", "two", "one", "two"]);
    assert!(run.results.iter().all(|it| it.prompt_prefix.is_none()));
}

#[test]
fn a_broken_data_set_is_named_with_its_line_before_anything_is_asked() {
    let home = Home::new();
    std::fs::write(home.path().join("bad.jsonl"), "\"one\"\n{\"prompt\": \n").unwrap();
    std::fs::write(home.path().join("bad.csv"), "question\none\n").unwrap();
    for (file, words) in [
        ("bad.jsonl", "bad.jsonl: line 2: is not JSON"),
        ("bad.csv", "bad.csv: has no column `prompt`"),
        ("none.txt", "none.txt: cannot be read"),
    ] {
        let outcome = home.run(&["run", "-m", QUICK, "--dataset", file]);
        assert_eq!(outcome.code, Some(2), "{}", outcome.err);
        assert!(outcome.err.contains(words), "{}", outcome.err);
    }
    let both = home.run(&["run", "-m", QUICK, "-p", "x", "--dataset", "bad.csv"]);
    assert_eq!(both.code, Some(2));
    let history = home.run(&["history", "--format", "json"]);
    assert_eq!(history.out.trim(), "[]");
}

#[test]
fn made_up_prompts_have_their_length_and_are_the_same_again() {
    let home = Home::new();
    let arguments = [
        "--synthetic-tokens",
        "120",
        "--synthetic-prompts",
        "2",
        "--repetitions",
        "1",
    ];
    let run = measured(&home, &arguments);
    let again = measured(&home, &arguments);
    let asked = |run: &BenchmarkResponse| -> Vec<String> {
        run.results.iter().map(|it| it.prompt.clone()).collect()
    };
    assert_eq!((asked(&run).len(), asked(&run)), (2, asked(&again)));
    // The reference server counts words.
    let counted = |it: &BenchmarkResponse| it.results[0].throughput.prompt_tokens;
    assert_eq!(counted(&run), Some(120));
    let outcome = home.run(&["run", "-m", QUICK, "--synthetic-tokens", "0"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.err.contains("--synthetic-tokens"),
        "{}",
        outcome.err
    );
}

#[test]
fn under_a_load_no_prompt_begins_like_another() {
    let home = Home::new();
    let run = measured(
        &home,
        &["-p", "one two", "--concurrency", "2", "--requests", "6"],
    );
    let prefixes: BTreeSet<_> = run.results.iter().map(|it| &it.prompt_prefix).collect();
    assert_eq!(prefixes.len(), 6);
    assert!(!prefixes.contains(&None));
    for result in &run.results {
        assert_eq!(result.prompt, "one two");
        assert_eq!(
            result.throughput.prompt_tokens,
            Some(3),
            "the prefix is one word more"
        );
    }
    // What a model answers here depends on every word it is told.
    let answers: BTreeSet<_> = run.results.iter().map(|it| &it.response_sha256).collect();
    assert_eq!(answers.len(), 6);
    let with_system = measured(
        &home,
        &[
            "-p",
            "one",
            "--system",
            "be brief",
            "--unique-prefix",
            "true",
        ],
    );
    let first = &with_system.results[0];
    assert!(first.prompt_prefix.is_some());
    assert_eq!(first.throughput.prompt_tokens, Some(4));
    let off = measured(
        &home,
        &[
            "-p",
            "one two",
            "--requests",
            "2",
            "--unique-prefix",
            "false",
        ],
    );
    assert!(off.results.iter().all(|it| it.prompt_prefix.is_none()));
}
