//! The server, its runs, and the figures.

mod clients;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::clients::{Seen, watch};
use crate::shipped::Server;

/// 200 chunks, 100 a second.
const MODEL: &str = "script:tokens=200,ttft=50,gap=10@reference";
/// Nearly all clients are there before the first request that counts.
const WARM_UP: u32 = 1;
/// How often the memory of the server is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What was found of runs with as many clients.
#[derive(Default)]
struct Found {
    /// Processor time of the server by second of run.
    cores: Vec<f64>,
    /// Most memory of the server, MiB.
    memory: f64,
    /// s
    first_chunks: Vec<f64>,
    /// s
    gaps: Vec<f64>,
}

impl Found {
    fn take(&mut self, record: &Value) {
        let results = record["results"].as_array().unwrap();
        for result in results.iter().filter(|it| it["warmup"] == false) {
            let offsets: Vec<f64> = result["chunks"]["offsets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.as_f64().unwrap())
                .collect();
            let first = result["timing"]["time_to_first_chunk"].as_f64().unwrap();
            self.first_chunks.push(first);
            self.gaps
                .extend(offsets.windows(2).map(|pair| pair[1] - pair[0]));
        }
    }
}

#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    ollama_benchmarker::machine::allow_many_files();
    let numbers: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let number = |place: usize, usual| numbers.get(place).copied().unwrap_or(usual);
    let (clients, pairs, requests) = (number(0, 1000), number(1, 4), number(2, 8));
    let server = Server::start();
    let mut alone = Found::default();
    let mut watched = Found::default();
    for pair in 0..pairs {
        for turn in [pair, pair + 1] {
            if turn.is_multiple_of(2) {
                one_run(&server, 0, requests, &mut alone).await;
            } else {
                one_run(&server, clients, requests, &mut watched).await;
            }
        }
    }
    print(&format!("nobody watches, {pairs} runs"), &alone);
    print(&format!("{clients} clients watch, {pairs} runs"), &watched);
    println!("\nwatched : alone");
    ratio(
        "time to the first chunk",
        &alone.first_chunks,
        &watched.first_chunks,
    );
    ratio("time between chunks", &alone.gaps, &watched.gaps);
}

/// Runs it, with so many that watch, and looks at what the server uses meanwhile.
async fn one_run(server: &Server, clients: usize, requests: usize, found: &mut Found) {
    let body = json!({
        "prompt": "Why is the sky blue?", "models": [MODEL], "repetitions": requests, "warmup": WARM_UP,
    });
    let http = reqwest::Client::new();
    let url = format!("http://{}/api/benchmarks", server.address);
    let start = http.post(format!("{url}/start")).json(&body);
    let run: Value = start.send().await.unwrap().json().await.unwrap();
    let id = run["id"].as_str().unwrap().to_owned();
    // One more that knows the end, also where nobody watches.
    let (begun, before) = (Instant::now(), server.used());
    let watching = tokio::spawn(watch(server.address.clone(), id.clone(), clients + 1));
    let mut memory = server.memory();
    while !watching.is_finished() {
        tokio::time::sleep(LOOK_INTERVAL).await;
        memory = memory.max(server.memory());
    }
    let used = server.used() - before;
    let lasted = begun.elapsed().as_secs_f64();
    let seen = watching.await.unwrap();
    let record = http
        .get(format!("{url}/history/{id}"))
        .send()
        .await
        .unwrap();
    found.take(&record.json().await.unwrap());
    found.cores.push(used / lasted);
    found.memory = found.memory.max(memory);
    tell(clients, used / lasted, memory, &seen);
}

fn tell(clients: usize, cores: f64, memory: f64, seen: &Seen) {
    println!(
        "{clients:>5} clients: {cores:.3} cores, {memory:.0} MiB; {} of {} got all {} events in order, of {:.0} kB; {:.3} cores here",
        seen.whole.saturating_sub(1),
        clients,
        seen.events,
        seen.bytes as f64 / 1000.0,
        seen.cores,
    );
    if let Some(wrong) = &seen.wrong {
        println!("      WRONG: {wrong}");
    }
}

fn print(what: &str, found: &Found) {
    let mean = found.cores.iter().sum::<f64>() / found.cores.len() as f64;
    let most = found.cores.iter().copied().fold(0.0, f64::max);
    println!("\n{what}");
    println!(
        "  server: {mean:.3} cores, at most {most:.3}; {:.0} MiB",
        found.memory
    );
    for (name, values) in [
        ("time to the first chunk", &found.first_chunks),
        ("time between chunks", &found.gaps),
    ] {
        println!(
            "  {name}: median {:.3} ms, 99 of 100 within {:.3} ms ({} values)",
            quantile(values, 50) * 1000.0,
            quantile(values, 99) * 1000.0,
            values.len(),
        );
    }
}

fn ratio(name: &str, alone: &[f64], watched: &[f64]) {
    let of = |q| quantile(watched, q) / quantile(alone, q);
    println!("  {name}: median {:.4}, 99 of 100 {:.4}", of(50), of(99));
}

/// The value that so many of 100 do not exceed.
fn quantile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
