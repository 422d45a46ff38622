use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ollama_benchmarker::config::Config;
use serde_json::{Value, json};

use super::{Home, QUICK};
use crate::support::{settings, start_from};

#[test]
fn the_answer_goes_to_standard_output_and_the_steps_to_standard_error() {
    let home = Home::new();
    let asked = home.run(&["nova", "ask", "--model", QUICK, "Why is the sky blue?"]);
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    assert!(asked.err.contains("\nplanner ("), "{}", asked.err);
    assert!(asked.err.contains("\n  planner: "), "{}", asked.err);
    assert!(!asked.out.trim().is_empty() && !asked.out.contains("planner"));
    let session = asked.err.lines().find_map(|it| it.strip_prefix("session "));
    let session = session.unwrap();
    let again = home.run(&[
        "nova",
        "ask",
        "--session",
        session,
        "--model",
        QUICK,
        "--no-stream",
        "--pipeline",
        "nova_process",
        "--param",
        "seed=1",
        "And?",
    ]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.err.contains("cae"), "{}", again.err);
}

#[test]
fn what_cannot_be_asked_is_a_mistake_of_usage_and_a_failed_turn_is_not() {
    let home = Home::new();
    for arguments in [
        ["--model", "nothing@reference", "x"],
        ["--param", "temprature=1", "x"],
        ["--pipeline", "oracle", "x"],
        ["--session", "6742f0a1c3d2e1f0a9b8c7d6", "x"],
    ] {
        let asked = home.run(&[&["nova", "ask"], &arguments[..]].concat());
        assert_eq!(asked.code, Some(2), "{arguments:?}: {}", asked.err);
    }
    let failed = home.run(&["nova", "ask", "--model", "fault-truncated@reference", "x"]);
    assert_eq!(failed.code, Some(1), "{}", failed.err);
}

/// `nova ask` whose planner writes for long, and its session; of what is there is kept every second.
fn asking(folder: &tempfile::TempDir, config: &Config) -> (Child, String) {
    let model = "script:tokens=3000,ttft=5,gap=10,json=prose@reference";
    let mut program = Command::new(assert_cmd::cargo::cargo_bin("ollama-benchmarker"));
    program.env_clear().current_dir(folder.path());
    program
        .env("DATABASE_URL", &config.database_url)
        .env("OLLAMA_HOST", "127.0.0.1:9");
    let unbounded = "num_predict=-1";
    program.args([
        "nova", "ask", "--model", model, "--param", unbounded, "Why?",
    ]);
    let mut asked = program
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(asked.stderr.take().unwrap()).lines();
    let session = lines.next().unwrap().unwrap();
    let session = session.strip_prefix("session ").unwrap().to_owned();
    let planner = lines.find(|it| it.as_ref().is_ok_and(|it| it.contains("planner")));
    assert!(planner.is_some());
    // Read on, so that it can write.
    std::thread::spawn(move || lines.for_each(drop));
    std::thread::sleep(Duration::from_secs(3));
    (asked, session)
}

fn in_a_file(folder: &tempfile::TempDir) -> Config {
    let mut config = settings(folder);
    config.database_url = format!("sqlite:{}", folder.path().join("test.db").display());
    config
}

/// The first turn of a session whose planner was cut off, which can be gone on with.
async fn cut_off(config: Config, session: &str) -> Value {
    let server = start_from(config).await;
    let path = format!("/api/nova/sessions/{session}/turns/1");
    let turn = server.get(&path).await.body;
    assert!(!turn["response"]["text"].as_str().unwrap().is_empty());
    let steps = turn["response"]["steps"].as_array().unwrap();
    assert_eq!(
        (&steps[0]["role"], &steps[0]["partial"]),
        (&json!("memory"), &json!(false))
    );
    assert_eq!(steps[1]["partial"], true);
    let next = json!({"prompt": "Again?", "model": QUICK, "session_id": session});
    assert_eq!(server.ask(&next).await["status"], "completed");
    turn
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_loses_nothing_that_was_told_before() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_a_file(&folder);
    let (mut asked, session) = asking(&folder, &config);
    asked.kill().unwrap();
    asked.wait().unwrap();
    let turn = cut_off(config, &session).await;
    assert_eq!(turn["response"]["status"], "interrupted", "{turn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_stops_its_turn_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_a_file(&folder);
    let (mut asked, session) = asking(&folder, &config);
    let id = asked.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status();
    assert!(sent.unwrap().success());
    assert_eq!(asked.wait().unwrap().code(), Some(130));
    let turn = cut_off(config, &session).await;
    assert_eq!(turn["response"]["status"], "cancelled", "{turn}");
    let stopped = turn["response"]["metrics"]["cancelled_after_ms"].as_f64();
    assert!(stopped.is_some(), "{turn}");
}

/// Resident memory of a process, bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kibibytes: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kibibytes << 10
}

/// From the twentieth session to the hundredth it was measured to grow by 11 MB: what the reference server
/// keeps of its last thousand requests, and what SQLite has at hand. With the events of each turn kept for
/// good it was 29 MB.
#[cfg(target_os = "linux")]
#[test]
fn sessions_one_after_another_leave_nothing_in_memory() {
    let home = Home::new();
    let server = super::process::serve(&home);
    let body = json!({
        "prompt": "why so? ".repeat(2_500),
        "model": "script:tokens=8,ttft=1,gap=0@reference",
        "parameters": {"num_ctx": 200_000},
    });
    let mut after = Vec::new();
    for number in 1..=100 {
        let answer = server.ask("POST", "/api/nova/ask", Some(&body));
        assert_eq!(answer["status"], "completed", "{}", answer["error"]);
        if number % 20 == 0 {
            after.push(resident(server.child.id()));
        }
    }
    server.signal("-TERM");
    server.end();
    let grown = after[4].saturating_sub(after[0]);
    assert!(grown < 18 << 20, "{after:?}");
}
