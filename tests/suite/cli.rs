//! The command line as a process: what it prints where, how it ends, what survives its end.

mod baseline;
mod calibration;
mod care;
mod durability;
mod exchange;
mod nova;
mod objectives;
mod process;
mod prompts;
mod tls;

use std::path::Path;

use assert_cmd::Command;
use ollama_benchmarker::record::{BenchmarkResponse, Comparison, Status};
use serde_json::Value;

const QUICK: &str = "script:tokens=8,ttft=5,gap=1@reference";

/// A database and a working folder of its own, and no variable of this machine.
struct Home {
    folder: tempfile::TempDir,
}

/// What a command came to.
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::cargo_bin("ollama-benchmarker").unwrap();
        command.env_clear().current_dir(self.path());
        command
            .env("DATABASE_URL", "sqlite:runs.db")
            .env("OLLAMA_HOST", "127.0.0.1:9");
        command.env("BENCHMARKER_SAMPLING__BASELINE", "0.05");
        command.env("BENCHMARKER_CALIBRATION__AUTOMATIC", "false");
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        Self::outcome(self.command().args(arguments))
    }

    fn outcome(command: &mut Command) -> Outcome {
        let output = command.output().unwrap();
        Outcome {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a quick benchmark and gives its record.
    fn benchmark(&self, more: &[&str]) -> BenchmarkResponse {
        let base = [
            "run", "--model", QUICK, "--prompt", "Why?", "--format", "json",
        ];
        let outcome = self.run(&[&base[..], more].concat());
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        serde_json::from_str(&outcome.out).unwrap()
    }
}

#[test]
fn a_run_is_printed_stored_and_found_again() {
    let home = Home::new();
    let run = home.benchmark(&["--repetitions", "2", "--name", "first", "--tag", "a"]);
    assert_eq!(run.status, Status::Completed);
    assert_eq!(run.results.len(), 3);
    assert!(run.results.iter().all(|result| result.chunks.is_some()));
    let id = run.id.as_str();
    let shown = home.run(&["show", id, "--format", "json"]);
    assert_eq!(
        serde_json::from_str::<BenchmarkResponse>(&shown.out).unwrap(),
        run
    );
    let table = home.run(&["show", id]);
    assert!(
        table.out.contains("(synthetic)") && table.out.contains(id),
        "{}",
        table.out
    );
    for query in [
        &["--tag", "a"][..],
        &["--query", "FIRST"],
        &["--model", "nothing"],
    ] {
        let found = home.run(&[&["history", "--format", "csv"][..], query].concat());
        assert_eq!(found.code, Some(0), "{}", found.err);
        assert_eq!(
            found.out.contains(id),
            query[1] != "nothing",
            "{}",
            found.out
        );
    }
    let listed: Value =
        serde_json::from_str(&home.run(&["history", "--format", "json"]).out).unwrap();
    assert_eq!(listed[0]["id"], id);
    assert_eq!(listed[0]["results"].as_array().unwrap().len(), 3);
}

#[test]
fn every_form_holds_the_results_and_nothing_else() {
    let home = Home::new();
    for format in ["table", "json", "csv", "markdown", "html"] {
        let outcome = home.run(&["run", "-m", QUICK, "-p", "x", "--format", format]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        assert_eq!(outcome.err, "", "{format}");
        assert!(!outcome.out.contains('\u{1b}'), "{format} has colours");
        match format {
            "csv" => {
                let mut reader = csv::Reader::from_reader(outcome.out.as_bytes());
                let header = reader.headers().unwrap().clone();
                assert!(header.iter().any(|name| name == "time_to_first_chunk"));
                assert_eq!(reader.records().map(Result::unwrap).count(), 4);
            }
            "json" => drop(serde_json::from_str::<BenchmarkResponse>(&outcome.out).unwrap()),
            "markdown" => assert!(outcome.out.starts_with("| model |"), "{}", outcome.out),
            "html" => {
                assert!(
                    outcome.out.starts_with("<!doctype html>"),
                    "{}",
                    outcome.out
                );
                assert!(outcome.out.contains("<h1 class=\"headline\">"));
            }
            _ => assert!(outcome.out.contains("first chunk, ms"), "{}", outcome.out),
        }
    }
}

#[test]
fn results_go_to_a_file_where_one_is_named() {
    let home = Home::new();
    let file = home.path().join("out.json");
    std::fs::write(&file, "x".repeat(1 << 20)).unwrap();
    let outcome = home.run(&[
        "run", "-m", QUICK, "-p", "x", "--format", "json", "-o", "out.json",
    ]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(0), ""));
    serde_json::from_str::<BenchmarkResponse>(&std::fs::read_to_string(file).unwrap()).unwrap();
    let nowhere = home.run(&["run", "-m", QUICK, "-p", "x", "-o", "no/such/folder/x"]);
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.err.contains("cannot write"), "{}", nowhere.err);
    let runs = home.run(&["history", "--format", "json"]);
    assert_eq!(
        serde_json::from_str::<Vec<Value>>(&runs.out).unwrap().len(),
        1,
        "it ran all the same"
    );
}

#[test]
fn a_run_that_is_not_saved_leaves_nothing() {
    let home = Home::new();
    home.benchmark(&["--no-save"]);
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_exit_code_tells_who_was_wrong() {
    let home = Home::new();
    let with =
        |more: &[&str]| home.run(&[&["run", "-p", "x", "--repetitions", "1"][..], more].concat());
    for (outcome, code, words) in [
        (with(&["-m", "fault-truncated@reference"]), 1, ""),
        (with(&["-m", "llama3.2"]), 1, "ollama serve"),
        (with(&["-m", "staedy@reference"]), 2, "did you mean steady"),
        (with(&["-m", "steady@nowhere"]), 2, "ollama, reference"),
        (
            with(&["-m", QUICK, "--param", "temprature=1"]),
            2,
            "did you mean `temperature`",
        ),
        (
            with(&["-m", QUICK, "--param", "temperature=NaN"]),
            2,
            "temperature",
        ),
        (
            with(&["-m", QUICK, "--repetitions", "0"]),
            2,
            "--repetitions",
        ),
        (with(&["-m", QUICK, "--timeout", "NaN"]), 2, "--timeout"),
        (with(&["-m", QUICK, "--execution", "all"]), 2, "interleaved"),
        (with(&[]), 2, "--model"),
        (home.run(&["run", "-m", QUICK]), 2, "--prompt"),
        (
            home.run(&["run", "-m", QUICK, "--prompt-file", "none"]),
            2,
            "cannot read the prompt",
        ),
        (home.run(&["show", "xyz"]), 2, "24 hexadecimal digits"),
        (
            home.run(&["show", "6742f0a1c3d2e1f0a9b8c7d6"]),
            2,
            "there is no benchmark",
        ),
        (
            home.run(&["compare", "6742f0a1c3d2e1f0a9b8c7d6"]),
            2,
            "there is no benchmark",
        ),
        (home.run(&["history", "--cursor", "zz"]), 2, "--cursor"),
        (
            home.run(&["--config", "none.toml", "models"]),
            2,
            "none.toml",
        ),
        (home.run(&["fly"]), 2, "fly"),
        (
            home.run(&["--database-url", "mysql://x", "history"]),
            2,
            "sqlite:",
        ),
    ] {
        assert_eq!(outcome.code, Some(code), "{}", outcome.err);
        assert!(outcome.err.contains(words), "{words}: {}", outcome.err);
        assert!(
            code == 1 && words.is_empty() || outcome.out.is_empty(),
            "{}",
            outcome.out
        );
    }
}

#[test]
fn a_wrong_setting_is_told_with_the_nearest_right_one() {
    let home = Home::new();
    std::fs::write(
        home.path().join("benchmarker.toml"),
        "[limits]\nmax_promt_bytes = 3\n",
    )
    .unwrap();
    let outcome = home.run(&["models"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.err.contains("limits.max_prompt_bytes"),
        "{}",
        outcome.err
    );
    assert!(outcome.err.contains("benchmarker.toml"), "{}", outcome.err);
    let outcome = Home::outcome(
        Home::new()
            .command()
            .env("BENCHMARKER_PROT", "1")
            .arg("models"),
    );
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("BENCHMARKER_PORT"), "{}", outcome.err);
}

#[test]
fn the_prompt_may_come_from_a_file_or_a_pipe() {
    let home = Home::new();
    std::fs::write(home.path().join("p.txt"), "from a file").unwrap();
    let base = [
        "run",
        "-m",
        QUICK,
        "--warmup",
        "0",
        "--repetitions",
        "1",
        "--format",
        "json",
        "--prompt-file",
    ];
    let file = home.run(&[&base[..], &["p.txt"]].concat());
    let pipe = Home::outcome(
        home.command()
            .args(base)
            .arg("-")
            .write_stdin("from a pipe"),
    );
    for (outcome, prompt) in [(file, "from a file"), (pipe, "from a pipe")] {
        let run: BenchmarkResponse = serde_json::from_str(&outcome.out).unwrap();
        assert_eq!(run.results[0].prompt, prompt);
    }
    std::fs::write(home.path().join("p.txt"), "x".repeat(2_000_000)).unwrap();
    let long = home.run(&[&base[..], &["p.txt"]].concat());
    assert_eq!(long.code, Some(2));
    assert!(long.err.contains("more than 1000000 bytes"), "{}", long.err);
}

#[test]
fn stored_runs_are_compared() {
    let home = Home::new();
    let ids = [5, 60].map(|first| {
        let model = format!("script:tokens=8,ttft={first},gap=1@reference");
        let arguments = [
            "run",
            "-m",
            &model,
            "-p",
            "x",
            "--repetitions",
            "6",
            "--format",
            "json",
        ];
        let run: BenchmarkResponse = serde_json::from_str(&home.run(&arguments).out).unwrap();
        run.id.to_string()
    });
    let outcome = home.run(&["compare", &ids[0], &ids[1], "--format", "json"]);
    let comparison: Comparison = serde_json::from_str(&outcome.out).unwrap();
    let row = comparison
        .rows
        .iter()
        .find(|row| row.metric == "time_to_first_chunk")
        .unwrap();
    assert_eq!(serde_json::to_value(row.verdict).unwrap(), "slower");
    for format in ["table", "csv", "markdown"] {
        let outcome = home.run(&["compare", &ids[0], &ids[1], "--format", format]);
        assert!(outcome.out.contains("slower"), "{}", outcome.out);
    }
    let alone = home.run(&["compare", &ids[0]]);
    assert_eq!(alone.code, Some(2));
}

#[test]
fn models_are_listed_and_a_missing_backend_is_no_failure() {
    let home = Home::new();
    let outcome = home.run(&["models"]);
    assert_eq!(outcome.code, Some(0));
    assert!(
        outcome.out.contains("slow-start@reference (synthetic)"),
        "{}",
        outcome.out
    );
    assert!(outcome.err.contains("ollama serve"), "{}", outcome.err);
    let json: Value = serde_json::from_str(&home.run(&["models", "--format", "json"]).out).unwrap();
    assert!(
        json.as_array()
            .unwrap()
            .iter()
            .all(|model| model["synthetic"] == true)
    );
}

#[test]
fn what_a_model_writes_cannot_drive_the_terminal() {
    let home = Home::new();
    let outcome = home.run(&["run", "-m", "fault-hostile-error@reference", "-p", "x"]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        !outcome.out.contains(['\u{1b}', '\u{0}', '\u{202e}']),
        "{:?}",
        outcome.out
    );
    assert!(outcome.out.contains("\\u{1b}"), "{}", outcome.out);
}

#[test]
fn the_small_commands_do_their_work() {
    let home = Home::new();
    assert_eq!(home.run(&["migrate"]).code, Some(0));
    assert!(home.path().join("runs.db").exists());
    let document = home.run(&["openapi"]).out;
    assert_eq!(document, ollama_benchmarker::api::text());
    let script = home.run(&["completions", "bash"]).out;
    assert!(script.contains("ollama-benchmarker"));
    std::fs::write(home.path().join("completions"), script).unwrap();
    for (words, last, expected) in [
        ("ru", "ru", "run"),
        ("run --exec", "--exec", "--execution"),
        ("nova ask --pi", "--pi", "--pipeline"),
    ] {
        let told = std::process::Command::new("bash")
            .current_dir(home.path())
            .arg("-c")
            .arg(format!(
                "source ./completions; COMP_WORDS=(ollama-benchmarker {words}); \
                 COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
                 _ollama__benchmarker ollama-benchmarker {last} x; echo \"${{COMPREPLY[@]}}\""
            ))
            .output()
            .unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains(expected), "{words}: {told}");
    }
    let health = home.run(&["health"]);
    assert!(matches!(health.code, Some(1)), "{}", health.err);
}

#[test]
fn the_version_is_one_line_that_begins_with_its_number() {
    let home = Home::new();
    let told = home.run(&["--version"]);
    assert_eq!(told.code, Some(0));
    // What stands behind it tells of the build.
    let number = concat!("ollama-benchmarker ", env!("CARGO_PKG_VERSION"));
    assert!(told.out.starts_with(number), "{}", told.out);
    assert_eq!(told.out.lines().count(), 1);
    assert_eq!(home.run(&["-V"]).out, told.out);
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let written = home.run(&["man", "--output", "pages"]);
    assert_eq!(written.code, Some(0), "{}", written.err);
    let page = |name: &str| std::fs::read_to_string(home.path().join("pages").join(name)).unwrap();
    assert!(page("ollama-benchmarker.1").contains("ollama\\-benchmarker\\-nova(1)"));
    let asking = page("ollama-benchmarker-nova-ask.1");
    assert!(asking.contains("\\-\\-pipeline"), "{asking}");
    assert_eq!(home.run(&["man", "nova", "ask"]).out, asking);

    let unknown = home.run(&["man", "nova", "ax"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("no command `ax`"), "{}", unknown.err);
    let below_a_file = home.run(&["man", "--output", "pages/ollama-benchmarker.1/x"]);
    assert_eq!(below_a_file.code, Some(2), "{}", below_a_file.err);
}
