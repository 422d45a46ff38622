//! How long the figures of a run take, beside sorting the same values as the least that exact figures
//! cost.
//!
//! `cargo bench --bench statistics` prints milliseconds, medians of rounds that take turns. It is no
//! test: nothing fails here.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has nothing to say"
)]

use std::hint::black_box;
use std::time::Instant;

use chrono::Utc;
use ollama_benchmarker::measure;
use ollama_benchmarker::record::{BenchmarkResult, Chunks, SystemImpact, Throughput, Timing};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ROUNDS: usize = 15;

fn main() {
    let model = ("a".to_owned(), "ollama".to_owned());
    // A million gaps: a hundred answers of ten thousand chunks.
    let results: Vec<BenchmarkResult> = (0..100).map(|seed| result(seed, 10_001)).collect();
    let gaps: Vec<f64> = results
        .iter()
        .flat_map(|it| {
            let offsets = &it.chunks.as_ref().unwrap().offsets;
            offsets.windows(2).map(|pair| pair[1] - pair[0])
        })
        .collect();
    let many: Vec<BenchmarkResult> = (0..20_000).map(|seed| result(seed, 3)).collect();
    let (left, right) = many.split_at(10_000);
    let sets = [left, right].map(|side| ("a".to_owned(), side.iter().collect::<Vec<_>>()));
    println!(
        "{} gaps, {} results a side; ms, median of {ROUNDS}",
        gaps.len(),
        left.len()
    );
    let models = [model];
    let figures = measure::summarize(&models, &results);
    println!(
        "histogram: {}",
        figures[0].inter_chunk_latency.resolution.is_some()
    );
    let times = in_turns(&mut [
        &mut || {
            let mut sorted = gaps.clone();
            sorted.sort_by(f64::total_cmp);
            black_box(sorted);
        },
        &mut || drop(black_box(measure::distribution(&gaps))),
        &mut || drop(black_box(measure::summarize(&models, &results))),
        &mut || drop(black_box(measure::compare(&sets))),
    ]);
    let names = [
        "sorting the gaps",
        "exact distribution of the gaps",
        "summary of all results, gaps pooled",
        "comparison of the two sides, every metric",
    ];
    for (name, time) in names.into_iter().zip(times) {
        println!("{time:8.1}  {name}");
    }
}

/// The median time of each, ms.
fn in_turns(works: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let mut times = vec![Vec::new(); works.len()];
    for _ in 0..ROUNDS {
        for (work, times) in works.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            work();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect()
}

/// A success with so many chunks, about 10 ms apart, now and then in a burst or after a stall.
fn result(seed: u64, chunks: usize) -> BenchmarkResult {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at = 0.05;
    let offsets: Vec<f64> = (0..chunks)
        .map(|_| {
            let uniform: f64 = random.random();
            at += match random.random_range(0..100) {
                0 => uniform,
                1..=9 => 20e-6 * uniform,
                _ => 0.01 * (0.5 + uniform),
            };
            at
        })
        .collect();
    let first = offsets.first().copied();
    let last = offsets.last().copied();
    BenchmarkResult {
        model: "a".into(),
        backend: "ollama".into(),
        digest: None,
        repetition: 1,
        warmup: false,
        stage: None,
        step: None,
        contended: false,
        cold_start: false,
        success: true,
        error: None,
        timestamp: Utc::now(),
        prompt: "x".into(),
        prompt_prefix: None,
        response: String::new(),
        thinking: None,
        done_reason: None,
        response_sha256: String::new(),
        timing: Timing {
            time_to_first_chunk: first,
            request_latency: last,
            total_time: last,
            time_per_output_token: last.map(|last| last / chunks as f64),
            ..Timing::default()
        },
        throughput: Throughput {
            output_tokens_per_second: last.map(|last| chunks as f64 / last),
            ..Throughput::default()
        },
        system_impact: SystemImpact::default(),
        energy: None,
        cooled_down: None,
        placement: None,
        notes: Vec::new(),
        chunks: Some(Chunks {
            sizes: vec![4; chunks],
            offsets,
        }),
    }
}
