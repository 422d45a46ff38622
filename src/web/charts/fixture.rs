//! Results for the tests of drawings.

use super::Series;
use crate::record::{BenchmarkResult, Chunks, SystemImpact, Throughput, Timing, WaterfallPart};

/// A measured success, sent `send` seconds into the run, whose chunks came at `offsets`.
pub fn result(send: f64, offsets: &[f64]) -> BenchmarkResult {
    BenchmarkResult {
        model: "steady".into(),
        backend: "reference".into(),
        digest: None,
        repetition: 1,
        warmup: false,
        contended: false,
        success: true,
        error: None,
        timestamp: chrono::DateTime::UNIX_EPOCH,
        prompt: "why".into(),
        prompt_prefix: None,
        response: "because".into(),
        thinking: None,
        done_reason: Some("stop".into()),
        response_sha256: "00".into(),
        timing: Timing {
            time_to_first_chunk: offsets.first().copied(),
            total_time: offsets.last().copied().or(Some(0.0)),
            send_offset: Some(send),
            waterfall: vec![
                WaterfallPart {
                    name: "model load".into(),
                    duration: 0.2,
                },
                WaterfallPart {
                    name: "prompt evaluation".into(),
                    duration: 0.3,
                },
            ],
            ..Timing::default()
        },
        throughput: Throughput::default(),
        system_impact: SystemImpact::default(),
        placement: None,
        notes: Vec::new(),
        chunks: Some(Chunks {
            offsets: offsets.to_vec(),
            sizes: vec![4; offsets.len()],
        }),
    }
}

/// One model with these results.
pub fn series(results: &[BenchmarkResult]) -> Vec<Series<'_>> {
    vec![Series {
        label: "steady".into(),
        results: results.iter().collect(),
    }]
}
