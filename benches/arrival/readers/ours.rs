//! The path that every run takes.

use std::sync::Arc;
use std::time::Duration;

use ollama_benchmarker::backend::stream::{Bounds, follow};
use ollama_benchmarker::backend::transport::{Deadlines, Transport};
use ollama_benchmarker::backend::{Backend, Ollama, Words};
use ollama_benchmarker::machine;
use ollama_benchmarker::record::BenchmarkRequest;
use ollama_benchmarker::run::calibration::{Calibrator, Level};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Found, stay_on};

fn bounds() -> Bounds {
    let long = Duration::from_mins(5);
    Bounds {
        deadlines: Deadlines {
            connect: long,
            first_byte: long,
            idle: long,
            total: long,
        },
        max_line_bytes: 1 << 20,
        max_response_bytes: 1 << 30,
    }
}

fn runtime() -> Runtime {
    stay_on(0);
    machine::allow_many_files();
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

pub fn paced(url: &str, streams: u32, seconds: u32) -> Found {
    runtime().block_on(async {
        let calibrator = Calibrator {
            transport: Transport::start().expect("the timed thread"),
            bounds: bounds(),
        };
        let level = Level {
            streams,
            duration: Duration::from_secs(u64::from(seconds)),
        };
        let found = calibrator
            .level(url, level, &CancellationToken::new())
            .await
            .expect("a calibration");
        Found {
            kernel: found,
            user: None,
        }
    })
}

/// Chunks a second that are there as fast as they can be read, decoded and kept.
pub fn unpaced(url: &str) -> f64 {
    runtime().block_on(async {
        let backend = Ollama::reference(url).expect("a backend");
        let request = BenchmarkRequest::new("x", vec!["flood".into()]);
        let call = backend.call(&request, "flood", Words::alone("x"));
        let transport = Transport::start().expect("the timed thread");
        let cancel = CancellationToken::new();
        let begun = std::time::Instant::now();
        let (timeline, _) = follow(
            &transport,
            call,
            backend.decoder(),
            &bounds(),
            cancel,
            &mut |_| {},
        )
        .await;
        timeline.chunks.len() as f64 / begun.elapsed().as_secs_f64()
    })
}

/// Bytes of memory for each stream that waits for its first chunk.
pub fn idle(url: &str, streams: u32) -> f64 {
    runtime().block_on(async {
        let backend = Arc::new(Ollama::reference(url).expect("a backend"));
        let transport = Transport::start().expect("the timed thread");
        let model = "script:tokens=1,ttft=6000";
        let before = resident();
        for stream in 0..streams {
            let request = BenchmarkRequest::new("x", vec![model.into()]);
            let call = backend.call(&request, model, Words::alone(&format!("idle {stream}")));
            let (backend, transport) = (Arc::clone(&backend), transport.clone());
            tokio::spawn(async move {
                let cancel = CancellationToken::new();
                let decoder = backend.decoder();
                follow(&transport, call, decoder, &bounds(), cancel, &mut |_| {}).await
            });
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        (resident() - before) / f64::from(streams)
    })
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or_default();
    pages * 4096.0
}
