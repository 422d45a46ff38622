//! Keeping the history: bounds, archive, copies and checks, beside processes that measure and through
//! ends of the process at any moment.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ollama_benchmarker::app::App;
use ollama_benchmarker::config::{BackendConfig, Config};
use ollama_benchmarker::record::{ExportQuery, ImportReport, RunId};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::process::{blocking, serve, spawn, spawn_command};
use super::{Home, QUICK};
use crate::support::PATIENCE;

/// How often a process is killed while it archives.
const KILLS: usize = 10;

impl Home {
    fn config(&self) -> Config {
        let mut config = Config {
            database_url: format!("sqlite:{}", self.path().join("runs.db").display()),
            ..Config::default()
        };
        let ollama = BackendConfig {
            url: "http://127.0.0.1:9".into(),
            ..BackendConfig::default()
        };
        config.backends.insert("ollama".into(), ollama);
        config
    }

    /// Reads documents into the database.
    fn import(&self, text: impl Into<bytes::Bytes>) -> ImportReport {
        let text = text.into();
        blocking(async {
            let app = App::open(self.config()).await.unwrap();
            let bytes = futures_util::stream::iter([Ok(text)]);
            let cancel = CancellationToken::new();
            let report = app.import(bytes, false, &cancel, |_| ()).await.unwrap();
            app.shutdown().await;
            report
        })
    }

    /// As many runs as asked for, each a day older than the one before; gives their ids, newest first.
    fn fill(&self, runs: u32) -> Vec<String> {
        let model = self.benchmark(&["--no-save", "--repetitions", "1", "--warmup", "0"]);
        let mut lines = String::new();
        let mut ids = Vec::new();
        for age in 0..runs {
            let mut run = model.clone();
            run.timestamp -= chrono::TimeDelta::days(age.into());
            run.id = RunId::new(run.timestamp);
            ids.push(run.id.to_string());
            lines += &serde_json::to_string(&run).unwrap();
            lines.push('\n');
        }
        let report = self.import(lines);
        assert_eq!(
            (report.stored, report.failed),
            (runs.into(), 0),
            "{report:?}"
        );
        ids
    }

    /// The ids of all stored runs.
    fn ids(&self) -> BTreeSet<String> {
        blocking(async {
            let app = App::open(self.config()).await.unwrap();
            let mut export = app.export(ExportQuery::default()).await.unwrap();
            let mut text = Vec::new();
            while let Some(bytes) = export.next().await {
                text.extend_from_slice(&bytes.unwrap());
            }
            app.shutdown().await;
            ids_of(&String::from_utf8(text).unwrap())
        })
    }
}

/// The ids of documents, one a line; what is no whole line counts for nothing.
fn ids_of(text: &str) -> BTreeSet<String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let id = |line: &str| -> String {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        document["_id"]["$oid"].as_str().unwrap().to_owned()
    };
    whole.lines().map(id).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn set<'a>(ids: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    ids.into_iter().cloned().collect()
}

#[test]
fn the_oldest_runs_go_and_the_archive_brings_them_back() {
    let home = Home::new();
    let ids = home.fill(50);
    let nothing = home.run(&["prune"]);
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.err.contains("--keep-runs"), "{}", nothing.err);
    let tried = home.run(&["prune", "--keep-runs", "45", "--dry-run"]);
    assert!(
        tried.out.starts_with("5 runs would be deleted, of "),
        "{}",
        tried.out
    );
    assert_eq!(home.ids().len(), 50);

    let archive = home.path().join("old/runs.jsonl");
    let by_number = ["prune", "--keep-runs", "45", "--archive", "old/runs.jsonl"];
    let done = home.run(&by_number);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("5 runs deleted"), "{}", done.out);
    assert!(
        done.out.contains("5 archived in old/runs.jsonl"),
        "{}",
        done.out
    );
    assert_eq!(home.ids(), set(&ids[..45]));
    assert_eq!(ids_of(&read(&archive)), set(&ids[45..]));
    let again = home.run(&by_number);
    assert!(again.out.contains("0 runs deleted"), "{}", again.out);

    let by_age = ["prune", "--keep-days", "30", "--archive", "old/runs.jsonl"];
    let tried = home.run(&[&by_age[..], &["--dry-run"]].concat());
    assert!(tried.out.starts_with("15 runs"), "{}", tried.out);
    let done = home.run(&by_age);
    assert!(done.out.contains("15 runs deleted"), "{}", done.out);
    assert_eq!(home.ids(), set(&ids[..30]));
    assert_eq!(ids_of(&read(&archive)), set(&ids[30..]));

    let report = home.import(read(&archive));
    assert_eq!((report.stored, report.failed), (20, 0), "{report:?}");
    assert_eq!(home.ids(), set(&ids));
    let checked = home.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    assert!(checked.out.contains("50 runs"), "{}", checked.out);
}

#[test]
fn a_size_is_kept_to() {
    let home = Home::new();
    let ids = home.fill(500);
    let file = home.path().join("runs.db");
    let before = file.metadata().unwrap().len();
    let bound = before * 7 / 10;
    let bound_text = bound.to_string();
    let tried = home.run(&["prune", "--keep-bytes", &bound_text, "--dry-run"]);
    let estimate: usize = tried.out.split(' ').next().unwrap().parse().unwrap();
    assert!((50..450).contains(&estimate), "{}", tried.out);
    let done = home.run(&["prune", "--keep-bytes", &bound_text]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let left = home.ids();
    assert!((50..500).contains(&left.len()), "{}", left.len());
    assert_eq!(left, set(&ids[..left.len()]));
    assert!(file.metadata().unwrap().len() <= bound);
    // No database is so small: it would lose everything to a unit that was forgotten.
    let refused = home.run(&["prune", "--keep-bytes", "500"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("at least 1000000"), "{}", refused.err);
    assert_eq!(home.ids().len(), left.len());
}

#[test]
fn what_cannot_be_archived_is_not_deleted() {
    let home = Home::new();
    let ids = home.fill(6);
    std::fs::write(home.path().join("notes.txt"), "no archive").unwrap();
    let prune = |archive: &str| home.run(&["prune", "--keep-runs", "2", "--archive", archive]);
    for (archive, words) in [
        ("notes.txt", "name another file"),
        ("/dev/full", "cannot write /dev/full"),
        ("/proc/runs.jsonl", "cannot write /proc/runs.jsonl"),
    ] {
        let refused = prune(archive);
        assert_eq!(refused.code, Some(1), "{archive}");
        assert!(refused.err.contains(words), "{archive}: {}", refused.err);
    }
    assert_eq!(home.ids(), set(&ids));
    assert_eq!(read(&home.path().join("notes.txt")), "no archive");
    // Those that cannot be read stay, and hinder no other: one that is something else, and one in which
    // everything is where it should be but a single letter.
    damage(&home, &ids[4], b"\x01\x02");
    let letter = format!(
        r#"{{"id":"{}","request":{{}},"results":[],"samples":null,"remote_samples":[],"a":b}}"#,
        ids[3]
    );
    damage(&home, &ids[3], letter.as_bytes());
    let done = prune("runs.jsonl");
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains(&ids[3]), "{}", done.err);
    assert!(done.err.contains(&ids[4]), "{}", done.err);
    assert!(done.out.contains("2 runs deleted"), "{}", done.out);
    let archived = ids_of(&read(&home.path().join("runs.jsonl")));
    assert_eq!(archived, set([&ids[2], &ids[5]]));
    let checked = home.run(&["check", "--format", "json"]);
    assert_eq!(checked.code, Some(1));
    let report: Value = serde_json::from_str(&checked.out).unwrap();
    assert_eq!(report["faults"], 2, "{report}");
    let found = [0, 1].map(|place| report["findings"][place]["id"].as_str().unwrap().to_owned());
    assert_eq!(set(&found), set([&ids[3], &ids[4]]), "{report}");
}

/// Overwrites the document of a run.
fn damage(home: &Home, id: &str, document: &[u8]) {
    use sqlx::ConnectOptions;
    blocking(async {
        let file = home.path().join("runs.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let mut connection = options.connect().await.unwrap();
        let done = sqlx::query("update runs set document = $1 where id = $2")
            .bind(document)
            .bind(id)
            .execute(&mut connection)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1);
    });
}

#[test]
fn nothing_is_lost_when_a_process_is_killed_while_it_archives() {
    let home = Home::new();
    let archive = home.path().join("old.jsonl");
    let (mut in_the_middle, mut twice) = (0, 0);
    for _ in 0..KILLS {
        let all = set(&home.fill(100));
        let expected = &set(&home.ids()) | &ids_of(&read(&archive));
        assert!(expected.is_superset(&all));
        let length = || archive.metadata().map_or(0, |about| about.len());
        let before = length();
        let arguments = ["prune", "--keep-runs", "1", "--archive", "old.jsonl"];
        let mut pruning = spawn(&home, &arguments);
        let begun = Instant::now();
        while length() == before && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(rand::random_range(0..40_000)));
        pruning.child.kill().unwrap();
        pruning.end();
        let (archived, stored) = (ids_of(&read(&archive)), home.ids());
        assert_eq!(&archived | &stored, expected);
        in_the_middle += usize::from(stored.len() > 1);
        twice += archived.intersection(&stored).count();
    }
    println!(
        "{KILLS} kills, {in_the_middle} in the middle; {twice} runs were in both places, none in neither"
    );
    // What a kill left is no hindrance: the rest goes the same way, and all of it comes back.
    let rest = home.run(&["prune", "--keep-runs", "1", "--archive", "old.jsonl"]);
    assert_eq!(rest.code, Some(0), "{}", rest.err);
    let text = read(&archive);
    assert!(text.ends_with('\n'));
    let archived = ids_of(&text);
    let report = home.import(text);
    assert_eq!(report.failed, 0, "{report:?}");
    assert!(home.ids().is_superset(&archived));
    let checked = home.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.out);
}

#[test]
fn a_database_in_use_is_copied_checked_and_pruned() {
    let home = Home::new();
    home.fill(40);
    let server = serve(&home);
    let id = server.half_run();
    let copied = home.run(&["backup", "copy.db"]);
    assert_eq!(copied.code, Some(0), "{}", copied.err);
    let refused = home.run(&["backup", "copy.db"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("--force"), "{}", refused.err);
    let itself = home.run(&["backup", "--force", "runs.db"]);
    assert_eq!(itself.code, Some(1));
    assert!(itself.err.contains("the database itself"), "{}", itself.err);
    let replaced = home.run(&["backup", "--force", "copy.db"]);
    assert_eq!(replaced.code, Some(0), "{}", replaced.err);
    for database in ["sqlite:runs.db", "sqlite:copy.db"] {
        let checked = home.run(&["--database-url", database, "check"]);
        assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
        assert!(checked.out.starts_with("41 runs"), "{}", checked.out);
    }
    // What goes on stays, however few are kept.
    let pruned = home.run(&["prune", "--keep-runs", "1"]);
    assert!(pruned.out.starts_with("40 runs deleted"), "{}", pruned.out);
    let path = format!("/api/benchmarks/history/{id}");
    assert_eq!(server.ask("GET", &path, None)["status"], "running");
    let cancelled = server.ask("POST", &format!("/api/benchmarks/{id}/cancel"), None);
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    assert_eq!(cancelled["results"][0]["success"], true);
    server.signal("-TERM");
    server.end();
    // In the copy the run has lost its process.
    let shown = home.run(&[
        "--database-url",
        "sqlite:copy.db",
        "show",
        &id,
        "--format",
        "json",
    ]);
    let run: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(run["status"], "interrupted");
    let names = std::fs::read_dir(home.path()).unwrap();
    let partial = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().contains("partial")
    });
    assert_eq!(partial.count(), 0);
}

#[test]
fn a_server_keeps_its_history_in_bounds_and_other_commands_delete_nothing() {
    let home = Home::new();
    let settings = "[retention]\nruns = 3\narchive = \"old\"\n";
    std::fs::write(home.path().join("settings.toml"), settings).unwrap();
    let first = home.fill(10);
    let listed = home.run(&["--config", "settings.toml", "history", "--format", "json"]);
    let listed: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed.len(), 10);
    let binary = assert_cmd::cargo::cargo_bin("ollama-benchmarker");
    let mut command = std::process::Command::new(binary);
    command.args(["serve", "--port", "0", "--config", "settings.toml"]);
    let server = spawn_command(&home, command, "sqlite:runs.db").serving();
    let ids = || -> BTreeSet<String> {
        let runs = server.ask("GET", "/api/benchmarks/history", None);
        let runs = runs.as_array().unwrap().iter();
        runs.map(|run| run["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let wait_for = |expected: BTreeSet<String>| {
        let begun = Instant::now();
        while ids() != expected && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(ids(), expected);
    };
    wait_for(set(&first[..3]));
    let body = json!({"prompt": "x", "models": [QUICK], "repetitions": 1, "warmup": 0});
    let run = server.ask("POST", "/api/benchmarks/run", Some(&body));
    let id = run["id"].as_str().unwrap().to_owned();
    wait_for(set(first[..2].iter().chain([&id])));
    server.signal("-TERM");
    server.end();
    let folder: Vec<_> = std::fs::read_dir(home.path().join("old"))
        .unwrap()
        .collect();
    assert_eq!(folder.len(), 1, "{folder:?}");
    let archive = folder[0].as_ref().unwrap().path();
    assert_eq!(ids_of(&read(&archive)), set(&first[2..]));
}
