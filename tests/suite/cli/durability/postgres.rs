//! The same with a Postgres that is stopped, crashes or does not answer: a server of its own, so that no
//! other test is hit.

mod tls;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::Home;
use super::super::process::{Running, spawn_command};
use super::{Acknowledged, begin, ended, request, work_a_while};

const ROUNDS: usize = 30;

/// A Postgres that does as it is told.
struct Postgres {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Postgres {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres/start.sh");
        let mut command = Command::new("bash");
        command
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let url = line.strip_prefix("postgres ").unwrap().trim();
        let url = format!("{url}/postgres");
        Self {
            child,
            commands,
            answers,
            url,
        }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n", "{command}");
    }

    /// Its folder goes with it.
    fn end(mut self) {
        drop(self.commands);
        self.child.wait().unwrap();
    }

    fn serve(&self, home: &Home) -> Running {
        let binary = assert_cmd::cargo::cargo_bin("ollama-benchmarker");
        let mut command = Command::new(binary);
        // Short waits: a database that hangs is noticed within two seconds.
        command.args(["serve", "--port", "0", "--config", "settings.toml"]);
        let settings = "[database]\nconnect_timeout = 1.0\nstatement_timeout = 1.0\n";
        std::fs::write(home.path().join("settings.toml"), settings).unwrap();
        spawn_command(home, command, &self.url).serving()
    }
}

#[test]
fn a_run_goes_on_through_a_restart_of_the_database() {
    let mut postgres = Postgres::start();
    let home = Home::new();
    let server = postgres.serve(&home);
    let id = begin(&server, &request(300, 2), 5);
    postgres.tell("stop");
    let away = server.ask("GET", "/readyz", None);
    assert_eq!(away["status"], 503, "{away}");
    std::thread::sleep(Duration::from_secs(5));
    postgres.tell("start");
    let run = ended(&server, &id);
    assert_eq!(run["status"], "completed", "{}", run["status_reason"]);
    assert_eq!(run["results"].as_array().unwrap().len(), 300);
    server.signal("-TERM");
    assert_eq!(server.end().0, Some(0));
    postgres.end();
}

#[test]
fn a_database_that_does_not_answer_holds_nothing_for_ever() {
    let mut postgres = Postgres::start();
    let home = Home::new();
    let server = postgres.serve(&home);
    let id = begin(&server, &request(300, 2), 5);
    postgres.tell("freeze");
    let begun = Instant::now();
    let away = server.ask("GET", "/readyz", None);
    assert_eq!(away["status"], 503, "{away}");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    postgres.tell("thaw");
    let run = ended(&server, &id);
    assert_eq!(run["status"], "completed", "{}", run["status_reason"]);
    assert_eq!(run["results"].as_array().unwrap().len(), 300);
    server.signal("-TERM");
    server.end();
    postgres.end();
}

/// What waits for the database and what waits for a client wait at the same time, and not without end.
#[test]
fn neither_a_database_nor_a_client_that_says_nothing_holds_up_the_end() {
    let mut postgres = Postgres::start();
    let home = Home::new();
    let server = postgres.serve(&home);
    begin(&server, &request(300, 20), 1);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let half =
        "POST /api/benchmarks/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{";
    client.write_all(half.as_bytes()).unwrap();
    postgres.tell("freeze");
    let begun = Instant::now();
    server.signal("-TERM");
    assert_eq!(server.end().0, Some(0));
    // Four and a half, and room for a slow machine. One after the other would be seven and a half.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(7), "{took:?}");
    postgres.tell("thaw");
    postgres.end();
}

#[test]
fn nothing_acknowledged_is_lost_when_either_side_crashes() {
    let mut postgres = Postgres::start();
    let home = Home::new();
    let mut server = postgres.serve(&home);
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        work_a_while(&server, &acknowledged);
        if round % 2 == 0 {
            server.signal("-KILL");
            server.end();
            server = postgres.serve(&home);
        } else {
            postgres.tell("crash");
            postgres.tell("start");
        }
    }
    // It has time to come back to.
    server.signal("-KILL");
    server.end();
    let server = postgres.serve(&home);
    // Just after its start the database cannot tell whether a run's process is gone for good.
    acknowledged.check(&server, false);
    println!(
        "{ROUNDS} crashes: {} results, all there",
        acknowledged.results()
    );
    assert!(acknowledged.results() > ROUNDS);
    server.signal("-TERM");
    server.end();
    postgres.end();
}
