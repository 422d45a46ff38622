//! A history of any size: how long it takes to fill, how large it is, and how quick lists, records,
//! inserts and the export are in it.
//!
//! ```text
//! cargo bench --bench history                            100,000 runs of three results in SQLite
//! cargo bench --bench history -- 1000000                 a million
//! cargo bench --bench history -- 1000000 DATABASE_URL    kept there, and taken up again where it is
//! ```
//!
//! It is no test: nothing fails here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot go on has nothing to say"
)]

mod export;
mod made_up;
mod questions;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ollama_benchmarker::record::HistoryQuery;
use ollama_benchmarker::store::{PackedRun, ServerOptions, Store};
use tokio::sync::mpsc;

use self::made_up::Maker;

/// Runs that are stored together: as many as an import of small documents does not reach, since the
/// history is only to be there.
const BATCH: usize = 1024;

const OPTIONS: ServerOptions = ServerOptions {
    max_connections: 8,
    connect_timeout: Duration::from_secs(5),
    statement_timeout: Duration::from_mins(10),
    restart_grace: Duration::ZERO,
};

#[tokio::main]
async fn main() {
    // The program's own start does so too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut arguments = std::env::args().skip(1).filter(|it| !it.starts_with("--"));
    let runs: usize = arguments.next().map_or(100_000, |it| it.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let url = arguments
        .next()
        .unwrap_or_else(|| format!("sqlite:{}", file.display()));
    let store = Store::open(&url, OPTIONS).await.unwrap();
    let is_empty = store
        .history(&HistoryQuery::default())
        .await
        .unwrap()
        .runs
        .is_empty();
    if is_empty {
        fill(&store, runs).await;
    }
    print_size(&url, runs);
    questions::ask(&store, runs).await;
    store.close().await;
    export::time(&url, runs);
}

async fn fill(store: &Store, runs: usize) {
    let maker = Maker::new(runs).await;
    let next = Arc::new(AtomicUsize::new(0));
    let (batches, mut made) = mpsc::channel(4);
    let begun = Instant::now();
    // As an import does: packed on as many threads as there are, stored by one.
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
        let (maker, next, batches) = (maker.clone(), Arc::clone(&next), batches.clone());
        std::thread::spawn(move || {
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                let places = first.min(runs)..runs.min(first + BATCH);
                let batch: Vec<PackedRun> = places
                    .map(|place| PackedRun::new(&maker.make(place), &[], None).unwrap())
                    .collect();
                if batch.is_empty() || batches.blocking_send(batch).is_err() {
                    return;
                }
            }
        });
    }
    drop(batches);
    let (mut stored, mut storing) = (0, Duration::ZERO);
    while let Some(batch) = made.recv().await {
        let at = Instant::now();
        store
            .import(&batch.iter().collect::<Vec<_>>())
            .await
            .unwrap();
        storing += at.elapsed();
        stored += batch.len();
        if stored.is_multiple_of(BATCH * 50) {
            eprintln!("{stored} runs after {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    println!(
        "filled: {runs} runs of 3 results in {:.0} s, {:.0} runs/s while storing",
        begun.elapsed().as_secs_f64(),
        stored as f64 / storing.as_secs_f64(),
    );
}

/// Of a file; elsewhere the server tells.
fn print_size(url: &str, runs: usize) {
    let Some(path) = url.strip_prefix("sqlite:") else {
        return;
    };
    let bytes: u64 = ["", "-wal"]
        .iter()
        .filter_map(|suffix| std::fs::metadata(format!("{path}{suffix}")).ok())
        .map(|about| about.len())
        .sum();
    println!(
        "size: {:.2} GB, {:.0} bytes a result with all that belongs to it",
        bytes as f64 / 1e9,
        bytes as f64 / (3 * runs) as f64
    );
}
