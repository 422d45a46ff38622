//! Starts one process after another and prints what each found.

mod bare;
mod flood;
mod ours;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use ollama_benchmarker::record::{CalibrationLevel, ClockErrors};
use serde::{Deserialize, Serialize};

/// Streams at once.
const STREAMS: [u32; 5] = [1, 16, 64, 256, 1000];
/// How long they write, s.
const SECONDS: u32 = 5;
/// Chunks a second of each.
pub const RATE: u32 = 100;

/// What a reader found.
#[derive(Serialize, Deserialize)]
pub struct Found {
    /// Stamps by the kernel.
    pub kernel: CalibrationLevel,
    /// Stamps by the time after the read, where they were taken too.
    pub user: Option<CalibrationLevel>,
}

pub fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => everything(),
        ["bare", url, streams] => answer(&bare::paced(url, number(streams), SECONDS)),
        ["ours", url, streams] => answer(&ours::paced(url, number(streams), SECONDS)),
        ["bare-flood", url] => answer(&bare::unpaced(url)),
        ["ours-flood", url] => answer(&ours::unpaced(url)),
        ["idle", url, streams] => answer(&ours::idle(url, number(streams))),
        _ => println!("usage: cargo bench --bench arrival"),
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or(1)
}

fn answer(found: &impl Serialize) {
    println!("{}", serde_json::to_string(found).unwrap_or_default());
}

/// A process of its own on the first core.
fn reader<T: for<'a> Deserialize<'a>>(arguments: &[&str]) -> T {
    let program = std::env::current_exe().expect("this program has a file");
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("a reader starts");
    serde_json::from_slice(&output.stdout).expect("a reader answers")
}

/// Keeps this process to one core; called before it has threads.
pub fn stay_on(core: usize) {
    let mut one = CpuSet::new();
    if one.set(core).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &one);
    }
}

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ollama-benchmarker"))
            .args([
                "reference",
                "--port",
                "0",
                "--one-core",
                "--until-eof",
                "--log",
                "error",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the reference server starts");
        let mut url = String::new();
        let output = child.stdout.take().expect("it has an output");
        BufReader::new(output)
            .read_line(&mut url)
            .expect("it tells its address");
        let url = url.trim().to_owned();
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn everything() {
    println!("errors in µs beyond the sender's write: median / p99 / largest\n");
    println!(
        "| streams | reader | clock | sent a second | missed | merged | arrival | gap | write, median µs | CPU a chunk, µs |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for streams in STREAMS {
        for kind in ["bare", "ours"] {
            let server = Server::start();
            let found: Found = reader(&[kind, &server.url, &streams.to_string()]);
            if let Some(user) = &found.user {
                row(kind, "user", user);
            }
            row(kind, "kernel", &found.kernel);
        }
    }
    println!("\n| unpaced, one stream | reader | chunks a second |\n|---|---|---|");
    for (together, words) in [(1, "a write for each chunk"), (500, "500 chunks a write")] {
        let flood = flood::Flood::start(together);
        for kind in ["bare", "ours"] {
            let mut rates: Vec<f64> = (0..3)
                .map(|_| reader(&[&format!("{kind}-flood"), &flood.url]))
                .collect();
            rates.sort_by(f64::total_cmp);
            println!("| {words} | {kind} | {:.0} |", rates[1]);
        }
    }
    let server = Server::start();
    let idle: f64 = reader(&["idle", &server.url, "1000"]);
    println!(
        "\n1000 streams that wait for their first chunk: {:.1} KiB each",
        idle / 1024.0
    );
}

fn row(kind: &str, clock: &str, level: &CalibrationLevel) {
    println!(
        "| {} | {kind} | {clock} | {:.0} | {} | {} | {} | {} | {} | {} |",
        level.streams,
        level.sent_per_second.unwrap_or_default(),
        level.missed,
        level.merged,
        errors(&level.arrival),
        errors(&level.inter_chunk_latency),
        microseconds(level.resolution),
        microseconds(level.cpu_per_chunk),
    );
}

fn errors(errors: &ClockErrors) -> String {
    [errors.median, errors.p99, errors.max]
        .map(microseconds)
        .join(" / ")
}

fn microseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{:.1}", seconds * 1e6))
}
