//! Results for the tests of drawings.

use super::Series;
use crate::record::{
    BenchmarkResult, Chunks, Distribution, LoadPattern, LoadStage, LoadSummary, SystemImpact,
    Throughput, Timing, WaterfallPart,
};

/// A measured success, sent `send` seconds into the run, whose chunks came at `offsets`.
pub fn result(send: f64, offsets: &[f64]) -> BenchmarkResult {
    BenchmarkResult {
        model: "steady".into(),
        backend: "reference".into(),
        digest: None,
        repetition: 1,
        warmup: false,
        stage: None,
        step: None,
        contended: false,
        cold_start: false,
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
        energy: None,
        cooled_down: None,
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

/// A sweep whose stages have these offered rates, answered rates and median latencies; those that
/// answer less than they are offered are saturated.
pub fn sweep(stages: &[(Option<f64>, f64, f64)]) -> LoadSummary {
    let stages = (0..)
        .zip(stages)
        .map(|(stage, (offered, answered, latency))| LoadStage {
            stage,
            offered_requests_per_second: *offered,
            sent: 12,
            answered: 12,
            duration: 10.0,
            requests_per_second: Some(*answered),
            output_tokens_per_second: None,
            peak_in_flight: 1,
            time_to_first_chunk: Distribution::default(),
            time_per_output_token: Distribution::default(),
            request_latency: Distribution {
                median: Some(*latency),
                ..Distribution::default()
            },
            saturated: offered.is_some_and(|offered| *answered < offered),
            objectives_met: None,
            goodput: None,
        });
    LoadSummary {
        pattern: LoadPattern::Sweep,
        offered_requests_per_second: None,
        sent: 36,
        answered: 36,
        duration: 30.0,
        requests_per_second: None,
        peak_in_flight: 1,
        schedule_delay: Distribution::default(),
        stages: stages.collect(),
        sustained_requests_per_second: None,
        saturated_requests_per_second: None,
        rate_within_objectives: None,
    }
}
