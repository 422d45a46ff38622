//! The turns, and their figures.

use std::time::Instant;

use serde_json::{Value, json};

use crate::shipped::Server;

/// The parts of a turn's wall time.
const PARTS: [&str; 4] = ["model", "queue", "memory", "overhead"];
/// Answers at once, so that memory is what is seen.
const QUICK: &str = "script:tokens=20,ttft=2,gap=1@reference";

#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let numbers: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let number = |place: usize, usual| numbers.get(place).copied().unwrap_or(usual);
    let (turns, sessions, rounds) = (number(0, 20), number(1, 100), number(2, 10));
    let server = Server::start();
    for pipeline in ["turn", "nova_process"] {
        let mut found = Vec::new();
        for _ in 0..turns {
            let body = json!({
                "prompt": "Why is the sky blue?", "model": "steady@reference", "pipeline": pipeline,
            });
            found.push(ask(&server, body).await);
        }
        print(pipeline, &found);
    }
    together(&server, sessions, rounds).await;
}

async fn ask(server: &Server, body: Value) -> Value {
    let url = format!("http://{}/api/nova/ask", server.address);
    let sent = reqwest::Client::new().post(url).json(&body).send().await;
    let response: Value = sent.unwrap().json().await.unwrap();
    assert_eq!(response["status"], "completed", "{response}");
    response
}

fn print(pipeline: &str, turns: &[Value]) {
    let metrics = || turns.iter().map(|turn| &turn["metrics"]);
    let calls = metrics().map(|it| it["model_calls"].as_f64().unwrap());
    let calls: Vec<f64> = calls.collect();
    let walls = metrics().map(|it| it["wall_time"].as_f64().unwrap());
    let walls: Vec<f64> = walls.collect();
    println!(
        "\n{pipeline}, {} turns of {:.0} calls",
        turns.len(),
        middle(&calls)
    );
    println!("  wall time: median {:.3} s", middle(&walls));
    for part in PARTS {
        let times = metrics().map(|it| it["accounting"][part].as_f64().unwrap());
        let times: Vec<f64> = times.collect();
        let shares: Vec<f64> = times
            .iter()
            .zip(&walls)
            .map(|(it, wall)| it / wall)
            .collect();
        let steps: Vec<f64> = times
            .iter()
            .zip(&calls)
            .map(|(it, calls)| it / calls)
            .collect();
        println!(
            "  {part:<8} median {:8.2} ms, {:6.2} % of the turn (most {:.2} %), {:8.2} ms a call (most {:.2})",
            middle(&times) * 1e3,
            middle(&shares) * 100.0,
            most(&shares) * 100.0,
            middle(&steps) * 1e3,
            most(&steps) * 1e3,
        );
    }
}

/// So many sessions ask at once, again and again: what each round took, and the memory after it.
async fn together(server: &Server, sessions: usize, rounds: usize) {
    println!("\n{sessions} sessions at once");
    let mut ids = vec![Value::Null; sessions];
    for round in 1..=rounds {
        let begun = Instant::now();
        let asked = ids.iter().enumerate().map(|(number, id)| {
            let mut body = json!({ "prompt": format!("Question {number}?"), "model": QUICK });
            if !id.is_null() {
                body["session_id"] = id.clone();
            }
            ask(server, body)
        });
        let answers = futures_util::future::join_all(asked.collect::<Vec<_>>()).await;
        ids = answers.iter().map(|it| it["session_id"].clone()).collect();
        println!(
            "  turn {round:>3}: {:.1} s, {:.0} MiB",
            begun.elapsed().as_secs_f64(),
            server.memory()
        );
    }
    println!("  {:.1} s of processor time in all", server.used());
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}
