//! Records for the tests of this room: plain values, changed where a test needs it.

use chrono::{DateTime, Utc};

use crate::record::{
    BenchmarkRequest, BenchmarkResponse, BenchmarkResult, Environment, ErrorCode, ErrorInfo,
    ModelEnvironment, RunId, Sample, Status, SystemImpact, SystemInfo, Throughput, Timing,
    Validity,
};

fn moment() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// A success on backend `ollama`: 101 tokens, one a chunk, with this TTFT and TPOT.
pub(super) fn result(model: &str, first_chunk: f64, per_token: f64) -> BenchmarkResult {
    let last = first_chunk + 100.0 * per_token;
    BenchmarkResult {
        model: model.to_owned(),
        backend: "ollama".to_owned(),
        digest: None,
        repetition: 1,
        warmup: false,
        stage: None,
        step: None,
        contended: false,
        cold_start: false,
        success: true,
        error: None,
        timestamp: moment(),
        prompt: "hello".to_owned(),
        prompt_prefix: None,
        response: "text".to_owned(),
        thinking: None,
        done_reason: Some("stop".to_owned()),
        response_sha256: "0".repeat(64),
        timing: Timing {
            time_to_first_chunk: Some(first_chunk),
            time_to_first_output: Some(first_chunk),
            time_to_second_chunk: Some(per_token),
            total_time: Some(last),
            request_latency: Some(last),
            time_per_output_token: Some(per_token),
            ..Timing::default()
        },
        throughput: Throughput {
            total_chunks: 101,
            total_bytes: 404,
            average_chunk_size: Some(4.0),
            bytes_per_second: Some(404.0 / last),
            output_tokens: Some(101),
            output_tokens_per_second: Some(1.0 / per_token),
            ..Throughput::default()
        },
        system_impact: SystemImpact::default(),
        energy: None,
        cooled_down: None,
        placement: None,
        notes: Vec::new(),
        chunks: None,
    }
}

/// A request that the server refused.
pub(super) fn failed(model: &str) -> BenchmarkResult {
    BenchmarkResult {
        success: false,
        error: Some(ErrorInfo {
            code: ErrorCode::Server,
            message: "out of memory".to_owned(),
        }),
        timing: Timing::default(),
        throughput: Throughput::default(),
        response: String::new(),
        ..result(model, 1.0, 1.0)
    }
}

/// A completed run of `models` on backend `ollama`.
pub(super) fn run(models: &[&str], results: Vec<BenchmarkResult>) -> BenchmarkResponse {
    let names = models.iter().map(|name| (*name).to_owned()).collect();
    let environment = |name: &&str| ModelEnvironment {
        model: (*name).to_owned(),
        backend: "ollama".to_owned(),
        backend_kind: "ollama".to_owned(),
        ..ModelEnvironment::default()
    };
    BenchmarkResponse {
        id: RunId::new(moment()),
        timestamp: moment(),
        status: Status::Completed,
        status_reason: None,
        queue_position: None,
        total_requests: u32::try_from(results.len()).unwrap(),
        request: BenchmarkRequest::new("hello", names),
        system_info: SystemInfo::default(),
        results,
        summary: Vec::new(),
        environment: Environment {
            benchmarker_version: "0.1.0".to_owned(),
            benchmarker_commit: None,
            models: models.iter().map(environment).collect(),
        },
        validity: Validity::default(),
        finished_at: Some(moment()),
        worker: None,
        samples: None,
        remote_samples: Vec::new(),
    }
}

/// Successes of one model with these decode rates, tokens/s.
pub(super) fn at_rates(model: &str, rates: &[f64]) -> Vec<BenchmarkResult> {
    rates
        .iter()
        .map(|rate| result(model, 0.5, 1.0 / rate))
        .collect()
}

/// A look at the machine.
pub(super) fn sample(offset: f64, core_percent: &[f64], memory_percent: f64) -> Sample {
    Sample {
        offset,
        cpu_percent: core_percent.iter().sum::<f64>() / core_percent.len() as f64,
        core_percent: core_percent.to_vec(),
        memory_used_bytes: 0,
        memory_available_bytes: 0,
        memory_percent,
        swap_used_bytes: 0,
        ..Sample::default()
    }
}
