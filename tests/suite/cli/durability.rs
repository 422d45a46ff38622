//! What becomes of acknowledged results when the process, the machine or its disk fails: a result that was
//! announced is stored, whatever happens next.

mod postgres;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::Home;
use super::process::{Running, blocking, serve, spawn_command};

/// How often the process is killed, and how often the power goes: a hundred times in all.
const ROUNDS: usize = 52;

/// Of each run that a server said it has: how many results it said are stored.
#[derive(Clone, Default)]
struct Acknowledged(Arc<Mutex<BTreeMap<String, usize>>>);

impl Acknowledged {
    fn note(&self, id: &str, results: usize) {
        self.0.lock().unwrap().insert(id.to_owned(), results);
    }

    fn results(&self) -> usize {
        self.0.lock().unwrap().values().sum()
    }

    /// Every run is there with every result, and has ended where `ended` says that it must.
    fn check(&self, server: &Running, ended: bool) {
        let known = self.0.lock().unwrap().clone();
        for (id, results) in known {
            let run = server.ask("GET", &format!("/api/benchmarks/history/{id}"), None);
            let stored = run["results"].as_array().map(Vec::len);
            assert!(stored >= Some(results), "{id}: {results} of {stored:?}");
            let is_open = run["status"] == "running" || run["status"] == "queued";
            assert!(!(ended && is_open), "{id}: {}", run["status"]);
        }
    }
}

fn request(requests: usize, milliseconds: u32) -> Value {
    json!({
        "prompt": "x",
        "models": [format!("script:tokens=4,ttft={milliseconds},gap=1@reference")],
        "repetitions": requests,
        "warmup": 0,
    })
}

/// Asks a server for runs, one after the other, and notes what it acknowledges, for ever.
async fn burden(url: &str, acknowledged: &Acknowledged) {
    let http = reqwest::Client::new();
    loop {
        if note_run(&http, url, acknowledged).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// `None` where the server or its database is away.
async fn note_run(http: &reqwest::Client, url: &str, acknowledged: &Acknowledged) -> Option<()> {
    let start = http.post(format!("{url}/api/benchmarks/start"));
    let started = start.json(&request(20, 2)).send().await.ok()?;
    if started.status() != 202 {
        return None;
    }
    let run: Value = started.json().await.ok()?;
    let id = run["id"].as_str()?;
    acknowledged.note(id, 0);
    let events = http.get(format!("{url}/api/benchmarks/{id}/events"));
    let mut events = events.send().await.ok()?;
    let mut seen = String::new();
    while let Some(bytes) = events.chunk().await.ok()? {
        seen.push_str(&String::from_utf8_lossy(&bytes));
        let finished = seen.matches(r#""type":"request_finished""#).count();
        acknowledged.note(id, finished);
    }
    Some(())
}

/// Two at once ask for runs, until a random number of results is acknowledged, and a random while longer.
fn work_a_while(server: &Running, acknowledged: &Acknowledged) {
    let results = acknowledged.results() + rand::random_range(0..8);
    let longer = Duration::from_millis(rand::random_range(0..40));
    let enough = async {
        while acknowledged.results() < results {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(longer).await;
    };
    blocking(async {
        let both = async {
            tokio::join!(
                burden(&server.url, acknowledged),
                burden(&server.url, acknowledged)
            )
        };
        let patience = tokio::time::sleep(crate::support::PATIENCE);
        tokio::select! {
            _ = both => {}
            () = enough => {}
            () = patience => panic!("nothing was acknowledged"),
        }
    });
}

/// Ends a server at a random point, `ROUNDS` times, and looks at what it had said.
fn ended_at_random(end: impl Fn(Running, Home) -> Home) {
    let mut home = Home::new();
    let all = Acknowledged::default();
    for _ in 0..ROUNDS {
        let server = serve(&home);
        let acknowledged = Acknowledged::default();
        work_a_while(&server, &acknowledged);
        home = end(server, home);
        let server = serve(&home);
        acknowledged.check(&server, true);
        let known = acknowledged.0.lock().unwrap().clone();
        all.0.lock().unwrap().extend(known);
        server.signal("-KILL");
        server.end();
    }
    let server = serve(&home);
    all.check(&server, true);
    server.signal("-TERM");
    server.end();
    assert_eq!(integrity(&home), "ok");
    let runs = all.0.lock().unwrap().len();
    println!(
        "{ROUNDS} ends: {runs} runs, {} results, all there",
        all.results()
    );
    assert!(
        all.results() > ROUNDS,
        "it was ended before it did anything"
    );
}

fn integrity(home: &Home) -> String {
    blocking(async {
        let mut connection = open(home).await;
        sqlx::query_scalar("pragma integrity_check")
            .fetch_one(&mut connection)
            .await
            .unwrap()
    })
}

async fn open(home: &Home) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(home.path().join("runs.db"));
    options.connect().await.unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    ended_at_random(|server, home| {
        server.signal("-KILL");
        server.end();
        home
    });
}

/// What lies on the disk at one moment is what a machine finds that was switched off then.
#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    ended_at_random(|server, home| {
        server.signal("-STOP");
        let found = Home::new();
        for name in ["runs.db", "runs.db-wal"] {
            copy_if_there(&home.path().join(name), &found.path().join(name));
        }
        server.signal("-KILL");
        server.end();
        found
    });
}

fn copy_if_there(from: &Path, to: &Path) {
    if from.exists() {
        std::fs::copy(from, to).unwrap();
    }
}

/// The events of a run, until it ends.
fn watched(server: &Running, id: &str) -> String {
    let events = format!("{}/api/benchmarks/{id}/events", server.url);
    blocking(async { reqwest::get(events).await.unwrap().text().await.unwrap() })
}

/// The record of a run, when it has ended.
fn ended(server: &Running, id: &str) -> Value {
    watched(server, id);
    server.ask("GET", &format!("/api/benchmarks/history/{id}"), None)
}

/// Starts a run and waits until it has so many results.
fn begin(server: &Running, body: &Value, results: usize) -> String {
    let run = server.ask("POST", "/api/benchmarks/start", Some(body));
    let id = run["id"].as_str().unwrap().to_owned();
    let path = format!("/api/benchmarks/history/{id}");
    while server.ask("GET", &path, None)["results"]
        .as_array()
        .unwrap()
        .len()
        < results
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    id
}

/// The run as it is found after a server was killed that had stored it at last.
fn stored_later(mut server: Running, home: &Home, id: &str) -> Value {
    server.wait_for("the run is stored now");
    server.signal("-KILL");
    server.end();
    let server = serve(home);
    let stored = server.ask("GET", &format!("/api/benchmarks/history/{id}"), None);
    server.signal("-TERM");
    server.end();
    stored
}

#[test]
fn a_run_waits_for_another_process_that_holds_the_database() {
    let home = Home::new();
    let server = serve(&home);
    let id = begin(&server, &request(200, 2), 2);
    blocking(async {
        let mut other = open(&home).await;
        sqlx::query("begin immediate")
            .execute(&mut other)
            .await
            .unwrap();
        // Longer than a statement waits for a lock by itself.
        tokio::time::sleep(Duration::from_secs(12)).await;
        other.close().await.unwrap();
    });
    let run = ended(&server, &id);
    assert_eq!(run["status"], "completed", "{}", run["status_reason"]);
    assert_eq!(run["results"].as_array().unwrap().len(), 200);
    server.signal("-TERM");
    server.end();
}

#[test]
fn a_full_disk_ends_a_run_with_a_reason_and_what_was_measured_is_stored_later() {
    let home = Home::new();
    let server = serve(&home);
    server.signal("-TERM");
    server.end();
    // No file may grow beyond this, in units of 512 bytes: the disk is full for this process.
    let limit = home.path().join("runs.db").metadata().unwrap().len() / 512 + 200;
    let binary = assert_cmd::cargo::cargo_bin("ollama-benchmarker");
    let binary = binary.display();
    let mut command = Command::new("/bin/sh");
    // Nobody reads the log while the run goes on.
    let log = "info,ollama_benchmarker::run=error";
    let line =
        format!("trap '' XFSZ; ulimit -S -f {limit}; exec '{binary}' serve --port 0 --log {log}");
    command.args(["-c", &line]);
    let server = spawn_command(&home, command, "sqlite:runs.db").serving();
    let id = begin(&server, &request(1000, 10), 1);
    let run = ended(&server, &id);
    assert_eq!(run["status"], "partial");
    let reason = run["status_reason"].as_str().unwrap();
    assert!(reason.contains("could not be stored"), "{reason}");
    let results = run["results"].as_array().unwrap().len();
    let pid = server.child.id().to_string();
    let grant = |most: &str| {
        let limit = format!("--fsize={most}:unlimited");
        let mut command = Command::new("prlimit");
        let granted = command.args(["--pid", &pid, &limit]).status();
        assert!(granted.unwrap().success());
    };
    // Not a byte more.
    grant("0");
    let refused = server.ask("POST", "/api/benchmarks/start", Some(&request(1, 2)));
    assert_eq!(refused["status"], 503, "{refused}");
    assert_eq!(refused["retry_after"], 5, "{refused}");
    // The disk has room again.
    grant("unlimited");
    let stored = stored_later(server, &home, &id);
    assert_eq!(stored["results"].as_array().unwrap().len(), results);
    assert_eq!(stored["status_reason"], reason);
}

/// An open file that is removed takes what is written, and nobody finds it again.
#[test]
fn nothing_is_acknowledged_into_a_file_that_was_removed() {
    let home = Home::new();
    let server = serve(&home);
    let (there, away) = (home.path().join("runs.db"), home.path().join("away.db"));
    let id = begin(&server, &request(200, 100), 1);
    std::fs::rename(&there, &away).unwrap();
    let finished = watched(&server, &id)
        .matches(r#""type":"request_finished""#)
        .count();
    for (method, path, body) in [
        ("GET", "/readyz", None),
        ("POST", "/api/benchmarks/start", Some(request(1, 2))),
    ] {
        let refused = server.ask(method, path, body.as_ref());
        assert_eq!(refused["status"], 503, "{refused}");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("put it back"), "{refused}");
    }
    std::fs::rename(&away, &there).unwrap();
    let stored = stored_later(server, &home, &id);
    assert_eq!(stored["status"], "partial");
    let reason = stored["status_reason"].as_str().unwrap();
    assert!(reason.contains("was removed from"), "{reason}");
    assert!(stored["results"].as_array().unwrap().len() >= finished);
}

#[test]
fn a_database_that_cannot_be_written_is_told_at_the_start() {
    let home = Home::new();
    let letter = "Dear Sir or Madam, ".repeat(400);
    std::fs::write(home.path().join("letter.txt"), letter).unwrap();
    for (address, words) in [
        ("sqlite:letter.txt", "put a backup in its place"),
        ("sqlite:/proc/runs.db", "cannot open /proc/runs.db"),
        ("sqlite:.", "cannot open ."),
        (
            "postgres://nobody@127.0.0.1:9/none",
            "check that its server runs",
        ),
    ] {
        let mut command = home.command();
        command.env("DATABASE_URL", address);
        let outcome = Home::outcome(command.args(["serve", "--port", "0"]));
        assert_ne!(outcome.code, Some(0));
        assert!(outcome.err.contains(words), "{}", outcome.err);
    }
}
