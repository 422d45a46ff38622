//! Signals, crashes and two processes on one database.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ollama_benchmarker::record::BenchmarkResponse;
use serde_json::{Value, json};

use super::{Home, QUICK};

const LONG: &str = "script:tokens=3000,ttft=5,gap=10@reference";

/// A process with its log.
pub struct Running {
    pub child: Child,
    log: BufReader<std::process::ChildStderr>,
    pub url: String,
}

pub fn spawn(home: &Home, arguments: &[&str]) -> Running {
    let binary = assert_cmd::cargo::cargo_bin("ollama-benchmarker");
    let mut command = Command::new(binary);
    command.args(arguments);
    spawn_command(home, command, "sqlite:runs.db")
}

/// A command that comes to be the program, on this database.
pub fn spawn_command(home: &Home, mut command: Command, database: &str) -> Running {
    command.env_clear().current_dir(home.path());
    command
        .env("DATABASE_URL", database)
        .env("OLLAMA_HOST", "127.0.0.1:9")
        .env("BENCHMARKER_SAMPLING__BASELINE", "0.05")
        .env("BENCHMARKER_CALIBRATION__AUTOMATIC", "false");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    Running {
        child,
        log,
        url: String::new(),
    }
}

/// A server on a free port, once it tells where.
pub fn serve(home: &Home) -> Running {
    spawn(home, &["serve", "--port", "0"]).serving()
}

impl Running {
    /// Waits until it tells where it serves.
    pub fn serving(mut self) -> Self {
        let line = self.wait_for("serving on ");
        let url = line.split("serving on ").nth(1).unwrap();
        url.trim().clone_into(&mut self.url);
        self
    }

    pub fn wait_for(&mut self, words: &str) -> String {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 {
            if line.contains(words) {
                return line;
            }
            line.clear();
        }
        panic!("it ended without `{words}`");
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end; gives code, standard output and the rest of the log.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut log) = (String::new(), String::new());
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), out, log)
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.url);
        let method = method.parse::<reqwest::Method>().unwrap();
        blocking(async {
            let mut call = reqwest::Client::new().request(method, url);
            if let Some(body) = body {
                call = call.json(body);
            }
            call.send().await.unwrap().json().await.unwrap()
        })
    }

    /// Starts a run whose first model is quick and whose second takes long; returns when the
    /// first has its result and the second some text.
    pub fn half_run(&self) -> String {
        let body = json!({"prompt": "x", "models": [QUICK, LONG], "repetitions": 1, "warmup": 0});
        let run = self.ask("POST", "/api/benchmarks/start", Some(&body));
        let id = run["id"].as_str().unwrap().to_owned();
        let path = format!("{}/api/benchmarks/{id}/events", self.url);
        blocking(async {
            let mut events = reqwest::get(path).await.unwrap();
            let mut seen = String::new();
            // The first model has its result, which on a slow disk is stored while the second writes already.
            let both = [
                r#""type":"request_finished""#,
                r#""type":"text_arrived","request":1"#,
            ];
            while !both.iter().all(|it| seen.contains(it)) {
                let bytes = events.chunk().await.unwrap().unwrap();
                seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        });
        id
    }
}

pub fn blocking<T>(work: impl Future<Output = T>) -> T {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

pub fn stored(home: &Home, id: &str) -> BenchmarkResponse {
    let outcome = home.run(&["show", id, "--format", "json"]);
    serde_json::from_str(&outcome.out).unwrap_or_else(|_| panic!("{}", outcome.err))
}

#[test]
fn a_run_survives_the_death_of_its_server() {
    let home = Home::new();
    let mut server = serve(&home);
    let id = server.half_run();
    server.child.kill().unwrap();
    server.end();
    // The next start of anything on this database sees it.
    let run = stored(&home, &id);
    assert_eq!(run.status.as_str(), "interrupted");
    assert_eq!(run.results.len(), 1);
    assert!(run.results[0].success && run.results[0].chunks.is_some());
    assert_eq!(run.summary[0].succeeded, 1);
}

#[test]
fn a_server_that_is_told_to_stop_stores_what_it_has() {
    for signal in ["-TERM", "-INT"] {
        let home = Home::new();
        let server = serve(&home);
        let id = server.half_run();
        let begun = Instant::now();
        server.signal(signal);
        let (code, _, log) = server.end();
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(code, Some(0), "{log}");
        let run = stored(&home, &id);
        assert_eq!(run.status.as_str(), "interrupted");
        assert_eq!(
            run.status_reason.as_deref(),
            Some("the program was stopped")
        );
        assert_eq!(run.results.len(), 2, "the request in flight keeps its text");
        assert!(!run.results[1].response.is_empty());
    }
}

#[test]
fn interrupting_a_run_prints_and_stores_what_was_measured() {
    let home = Home::new();
    let arguments = [
        "run", "-m", QUICK, "-m", LONG, "-p", "x", "--format", "json", "--log", "info",
    ];
    let mut running = spawn(&home, &arguments);
    // Warm-up and three repetitions of the first, then the second is under way.
    for _ in 0..4 {
        running.wait_for("the request finished");
    }
    running.signal("-INT");
    let (code, out, log) = running.end();
    assert_eq!(code, Some(130), "{log}");
    let run: BenchmarkResponse = serde_json::from_str(&out).unwrap();
    assert_eq!(run.status.as_str(), "cancelled");
    assert!(run.results.len() >= 4);
    assert_eq!(stored(&home, run.id.as_str()), run);
}

#[test]
fn a_run_beside_a_server_disturbs_neither_record() {
    let home = Home::new();
    let server = serve(&home);
    let id = server.half_run();
    let beside = home.benchmark(&["--repetitions", "1"]);
    let run = server.ask("GET", &format!("/api/benchmarks/history/{id}"), None);
    assert_eq!(run["status"], "running");
    let found = server.ask(
        "GET",
        &format!("/api/benchmarks/history/{}", beside.id),
        None,
    );
    assert_eq!(found["status"], "completed");
    server.signal("-TERM");
    server.end();
}

#[test]
fn a_port_that_is_taken_is_told() {
    let home = Home::new();
    let server = serve(&home);
    let port = server.url.rsplit(':').next().unwrap();
    let outcome = home.run(&["serve", "--port", port]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.err.contains("another program listens there"),
        "{}",
        outcome.err
    );
    assert_eq!(home.run(&["health", "--config", "none"]).code, Some(2));
    let healthy = Home::outcome(home.command().env("PORT", port).arg("health"));
    assert_eq!(healthy.code, Some(0), "{}", healthy.err);
    server.signal("-TERM");
    server.end();
}

#[test]
fn the_log_never_holds_what_a_model_was_asked_or_wrote() {
    let home = Home::new();
    let outcome = home.run(&[
        "run",
        "-m",
        "fault-hostile@reference",
        "-p",
        "my secret question",
        "--log",
        "info",
        "--log-format",
        "json",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(
        !outcome.err.contains("secret") && !outcome.err.contains("alert(1)"),
        "{}",
        outcome.err
    );
    for line in outcome.err.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["level"].is_string());
    }
    let debug = home.run(&[
        "run",
        "-m",
        "fault-hostile@reference",
        "-p",
        "x",
        "--log",
        "debug",
    ]);
    assert!(
        debug.err.contains("alert(1)") && !debug.err.contains('\u{1b}'),
        "{:?}",
        debug.err
    );
}

/// A server that repeats the question in its error.
#[test]
fn the_log_holds_no_question_that_a_server_repeats() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = [0; 10_000];
            let length = stream.read(&mut question).unwrap();
            let question = String::from_utf8_lossy(&question[..length]).into_owned();
            let answer = if question.starts_with("GET /api/tags") {
                r#"{"models":[{"name":"x:latest","model":"x:latest"}]}"#.to_owned()
            } else {
                serde_json::json!({ "error": question }).to_string()
            };
            let status = if question.starts_with("GET") {
                200
            } else {
                400
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all((head + &answer).as_bytes());
        }
    });
    let home = Home::new();
    let mut command = home.command();
    command.env("OLLAMA_HOST", address);
    let run = [
        "run",
        "-m",
        "x",
        "-p",
        "my secret question",
        "--log",
        "info",
        "--format",
        "json",
    ];
    let outcome = Home::outcome(command.args(run));
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    assert!(
        outcome.out.contains("my secret question"),
        "{}",
        outcome.out
    );
    let log: Vec<&str> = outcome
        .err
        .lines()
        .filter(|line| line.contains(" WARN ") || line.contains(" INFO "))
        .collect();
    assert!(
        log.iter().any(|line| line.contains("the request failed")),
        "{}",
        outcome.err
    );
    assert!(
        !log.iter().any(|line| line.contains("secret")),
        "{}",
        outcome.err
    );
}

#[test]
fn a_pipe_is_written_to_as_well() {
    let home = Home::new();
    let run = [
        "run",
        "-m",
        QUICK,
        "-p",
        "x",
        "--no-save",
        "--format",
        "json",
        "--output",
        "/dev/stdout",
    ];
    let outcome = home.run(&run);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    serde_json::from_str::<BenchmarkResponse>(&outcome.out).unwrap();
}

#[cfg(unix)]
#[test]
fn a_setting_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    for name in ["BENCHMARKER_API_TOKEN", "DATABASE_URL"] {
        let mut command = home.command();
        command.env(name, std::ffi::OsStr::from_bytes(b"s3cret\xff"));
        let outcome = Home::outcome(command.arg("history"));
        assert_eq!(outcome.code, Some(2), "{}", outcome.err);
        assert!(
            outcome.err.contains(name) && !outcome.err.contains("s3cret"),
            "{}",
            outcome.err
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let home = Home::new();
    let mut running = spawn(&home, &["openapi"]);
    drop(running.child.stdout.take());
    let mut log = String::new();
    running.log.read_to_string(&mut log).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(0), "{log}");
}

#[test]
fn the_reference_server_runs_alone() {
    let home = Home::new();
    let mut server = spawn(&home, &["reference", "--port", "0"]);
    let line = server.wait_for("http://");
    server.url = line[line.find("http://").unwrap()..].trim().to_owned();
    let tags = server.ask("GET", "/api/tags", None);
    assert_eq!(tags["models"].as_array().unwrap().len(), 5);
    server.signal("-TERM");
    assert_eq!(server.end().0, Some(0));
}
