//! Examples for the OpenAPI document: real values of the real types, measured from a made-up
//! stream, so that none can differ from what the program answers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::health;
use super::models::ModelList;
use super::nova_examples;
use super::problem::Problem;
use crate::measure::{self, timeline};
use crate::record::{
    BackendState, BenchmarkRequest, BenchmarkResponse, BenchmarkResult, Calibration, Clock, Cpu,
    DatabaseState, DeleteReport, Environment, FieldError, Gpu, GpuSample, ImportError,
    ImportReport, Location, Memory, ModelDetails, ModelEnvironment, ModelName, ModelStatistics,
    ModelSummary, NewPrompt, NewView, Pressure, RunEvent, RunFinished, RunId, RunStarted, Sample,
    Samples, SavedPrompt, SavedView, ServerSample, ServerState, Status, StoredFigures,
    SystemImpact, SystemInfo, SystemNow, TextArrived, Trend, UnknownFigure, Validity,
};
use crate::version::VERSION;

/// Examples are the same in whatever build.
const COMMIT: &str = "4d1c7a2";

/// The examples of one operation.
#[derive(Default)]
pub struct Examples {
    /// Of its body.
    pub request: Option<Value>,
    /// Of its answer when it worked.
    pub answer: Option<Value>,
    /// Of the same as events, where it can be had either way.
    pub events: Option<Value>,
}

impl Examples {
    pub(super) fn answer(value: impl Serialize) -> Self {
        Self {
            answer: Some(json!(value)),
            ..Self::default()
        }
    }

    pub(super) fn exchange(request: impl Serialize, answer: impl Serialize) -> Self {
        Self {
            request: Some(json!(request)),
            answer: Some(json!(answer)),
            events: None,
        }
    }
}

/// The examples of an operation; empty where it neither takes nor gives anything.
pub fn of(operation: &str) -> Examples {
    match operation {
        "runBenchmark" => Examples::exchange(request(), finished()),
        "startBenchmark" => Examples::exchange(request(), queued(request())),
        "listBenchmarks" => Examples::answer([listed()]),
        "deleteManyBenchmarks" => Examples::answer(DeleteReport {
            deleted: 2,
            ..DeleteReport::default()
        }),
        "getBenchmark" | "cancelBenchmark" => Examples::answer(finished()),
        "rerunBenchmark" => Examples::answer(queued(request())),
        "followBenchmark" => Examples::answer(events()),
        "exportBenchmarks" => Examples::answer([finished()]),
        "importBenchmarks" => Examples::exchange(
            [finished()],
            ImportReport {
                documents: 3,
                stored: 1,
                known: 1,
                failed: 1,
                dry_run: false,
                errors: vec![ImportError {
                    line: 3,
                    message: "`results[0].model` is missing".into(),
                }],
            },
        ),
        "compareBenchmarks" => {
            let slower = BenchmarkResponse {
                results: results(1.25),
                ..finished()
            };
            Examples::answer(measure::compare_runs(&[finished(), slower]))
        }
        "listModels" => Examples::answer(ModelList::new(vec![model()], Vec::new())),
        "getModel" => Examples::answer(ModelDetails {
            summary: model(),
            parameters: Some("stop \"<|eot_id|>\"".into()),
            template: None,
            model_info: json!({"general.architecture": "llama"}),
        }),
        "getSystem" => Examples::answer(system()),
        "getCalibration" => Examples::answer(calibration()),
        "getTrend" => Examples::answer(trend()),
        "watchSystem" => Examples::answer([system()]),
        "listPrompts" => Examples::answer([prompt()]),
        "savePrompt" => {
            let SavedPrompt { name, text, .. } = prompt();
            Examples::exchange(NewPrompt { name, text }, prompt())
        }
        "getStatistics" => Examples::answer([statistics()]),
        "listViews" => Examples::answer([view()]),
        "saveView" => {
            let SavedView { name, query, .. } = view();
            Examples::exchange(NewView { name, query }, view())
        }
        "getHealth" | "getReadiness" => Examples::answer(health::State::fine(Some(COMMIT))),
        // A text: its examples go by its type.
        "getMetrics" => Examples::answer(Value::Null),
        other => nova_examples::of(other, &result(1, 1.0)),
    }
}

/// Of a text, by what it is.
pub fn documents(content_type: &str) -> String {
    if content_type.starts_with("text/csv") {
        return format!(
            "run_id,model,backend,success,time_to_first_chunk_s\r\n{},llama3.2:1b,ollama,true,0.121\r\n",
            id()
        );
    }
    if content_type == "text/plain" {
        return "# HELP benchmarker_runs_total Runs that have ended.\n\
            # TYPE benchmarker_runs_total counter\n\
            benchmarker_runs_total{status=\"completed\"} 12\n"
            .into();
    }
    if content_type == "application/openmetrics-text" {
        return "# HELP benchmarker_runs Runs that have ended.\n\
            # TYPE benchmarker_runs counter\n\
            benchmarker_runs_total{status=\"completed\"} 12\n\
            # EOF\n"
            .into();
    }
    if content_type.starts_with("text/markdown") {
        return "# The sky\n\n## Turn 1\n\n### Prompt\n\n```text\nWhy is the sky blue?\n```\n"
            .into();
    }
    let mut document = json!(queued(request()));
    document["status"] = json!(Status::Cancelled);
    document["timestamp"] = json!({ "$date": document["timestamp"] });
    let id = json!({ "_id": { "$oid": document["id"].take() } });
    let members = [id, document].into_iter().filter_map(|it| match it {
        Value::Object(members) => Some(members),
        _ => None,
    });
    let mut members: Map<String, Value> = members.flatten().collect();
    members.remove("id");
    format!("{}\n", Value::Object(members))
}

/// A problem of this status.
pub fn problem(status: u16) -> Value {
    let problem = match status {
        404 => Problem::new(
            404,
            "there is no benchmark with the id 6742f0a1c3d2e1f0a9b8c7d6",
        ),
        422 => Problem::invalid(vec![FieldError {
            pointer: "/repetitions".into(),
            message: "is 0; must be from 1 to 1000".into(),
        }]),
        429 => Problem {
            retry_after: Some(5),
            ..Problem::new(429, "64 runs wait already; try again later")
        },
        503 => Problem {
            retry_after: Some(5),
            ..Problem::new(503, "the database does not work: database is locked")
        },
        502 => Problem {
            benchmark_id: Some(id()),
            ..Problem::new(
                502,
                "no request succeeded: the stream ended without saying that it was done",
            )
        },
        other => {
            let problem = Problem::new(other, "");
            Problem {
                detail: problem.title.to_lowercase(),
                ..problem
            }
        }
    };
    json!(problem)
}

pub(super) fn id() -> RunId {
    <RunId as poem_openapi::types::Example>::example()
}

pub(super) fn moment() -> DateTime<Utc> {
    DateTime::from_timestamp(1_732_440_225, 0).unwrap_or_default()
}

fn request() -> BenchmarkRequest {
    let mut request = BenchmarkRequest::new("Why is the sky blue?", vec!["llama3.2:1b".into()]);
    request.repetitions = 2;
    request.parameters.temperature = Some(0.0);
    request.parameters.seed = Some(7);
    request
}

fn system_info() -> SystemInfo {
    SystemInfo {
        platform: "Debian GNU/Linux 13 6.12 x86_64".into(),
        processor: "AMD EPYC".into(),
        benchmarker_version: Some(VERSION.into()),
        benchmarker_commit: Some(COMMIT.into()),
        cpu: Cpu {
            physical_cores: Some(2),
            total_cores: Some(2),
            ..Cpu::default()
        },
        memory: Memory {
            total: 16.0,
            available: 12.0,
            used: 4.0,
            percent_used: 25.0,
            total_bytes: Some(16 << 30),
            available_bytes: Some(12 << 30),
            used_bytes: Some(4 << 30),
        },
        gpu: vec![Gpu {
            name: Some("NVIDIA RTX 4000 Ada".into()),
            vendor: Some("nvidia".into()),
            memory_total_bytes: Some(20 << 30),
            driver_version: Some("580.95.05".into()),
            cuda_version: Some("13.0".into()),
            power_limit_watts: Some(130.0),
            ..Gpu::default()
        }],
        unavailable: vec![UnknownFigure {
            field: "cpu_energy_joules".into(),
            reason: "/sys/class/powercap/intel-rapl:0/energy_uj may be read by root only".into(),
        }],
        ..SystemInfo::default()
    }
}

fn sample() -> Sample {
    Sample {
        offset: 0.25,
        cpu_percent: 50.0,
        core_percent: vec![80.0, 20.0],
        frequency_min_mhz: Some(2600.0),
        frequency_mean_mhz: Some(2600.0),
        frequency_max_mhz: Some(2600.0),
        memory_used_bytes: 4 << 30,
        memory_available_bytes: 12 << 30,
        memory_percent: 25.0,
        load_average: Some(0.5),
        pressure: Some(Pressure {
            cpu_percent: Some(2.5),
            memory_percent: Some(0.0),
            io_percent: Some(0.0),
        }),
        own_cpu_percent: Some(1.2),
        other_cpu_percent: Some(3.4),
        servers: vec![ServerSample {
            backend: "ollama".into(),
            state: ServerState::Running,
            processes: 2,
            cpu_percent: Some(45.4),
            memory_bytes: Some(2 << 30),
            major_faults: Some(0),
            throttled_percent: None,
        }],
        gpus: vec![GpuSample {
            utilization_percent: Some(93.0),
            memory_activity_percent: Some(71.0),
            memory_used_bytes: Some(3 << 30),
            server_memory_bytes: Some(2 << 30),
            power_watts: Some(121.5),
            temperature_celsius: Some(68.0),
            clock_mhz: Some(2175.0),
            memory_clock_mhz: Some(8750.0),
            throttle_reasons: Some(vec!["sw_power_cap".into()]),
            energy_joules: Some(60.75),
        }],
        ..Sample::default()
    }
}

/// A model whose server was upgraded between two runs.
fn trend() -> Trend {
    let before = finished();
    let mut after = BenchmarkResponse {
        results: results(1.25),
        ..finished()
    };
    for model in &mut after.environment.models {
        model.backend_version = Some("0.34.0".into());
    }
    let first = before.environment.models.first();
    let model = ModelName {
        name: first.map_or_else(String::new, |it| it.model.clone()),
        backend: first.map_or_else(String::new, |it| it.backend.clone()),
    };
    measure::trend(&model, &[after, before])
}

fn calibration() -> Calibration {
    let stream = measure::CalibratedStream {
        request_sent: Duration::from_micros(100),
        request_received: Duration::from_micros(120),
        sends: vec![(Duration::from_millis(50), Duration::from_micros(50_011))],
        arrivals: vec![(Duration::from_micros(50_013), Clock::Kernel)],
    };
    let cpu = Duration::from_micros(40);
    Calibration {
        id: id(),
        timestamp: moment(),
        benchmarker_version: "0.1.0".into(),
        machine: "workbench: Processor of some make, 8 cores, Linux".into(),
        levels: vec![measure::clock_error(&[stream], 100.0, Some(cpu))],
    }
}

/// Two requests of three chunks; `pace` stretches time.
fn results(pace: f64) -> Vec<BenchmarkResult> {
    (1..=2).map(|repetition| result(repetition, pace)).collect()
}

fn result(repetition: u32, pace: f64) -> BenchmarkResult {
    let at = |milliseconds: u64| Duration::from_millis(milliseconds).mul_f64(pace);
    let chunk = |(milliseconds, text): (u64, &str)| timeline::Chunk {
        clock: Clock::Kernel,
        at: at(milliseconds),
        bytes: u32::try_from(text.len()).unwrap_or_default(),
        kind: timeline::ChunkKind::Answer,
    };
    let pieces = [
        (120 + u64::from(repetition), "Light"),
        (145, " scat"),
        (171, "ters."),
    ];
    let measured = measure::measure(&timeline::Timeline {
        connect: Some(Duration::from_micros(180)),
        chunks: pieces.map(chunk).to_vec(),
        last_byte: Some(at(172)),
        ended: Some(at(172)),
        text: pieces.map(|(_, text)| text).concat(),
        report: timeline::ServerReport {
            prompt_tokens: Some(31),
            output_tokens: Some(4),
            total: Some(at(170)),
            load: Some(at(15)),
            prompt_eval: Some(at(90)),
            eval: Some(at(64)),
            ..timeline::ServerReport::default()
        },
        outcome: timeline::Outcome::Done {
            reason: Some("stop".into()),
        },
        ..timeline::Timeline::default()
    });
    BenchmarkResult {
        model: "llama3.2:1b".into(),
        backend: "ollama".into(),
        digest: None,
        repetition,
        warmup: false,
        stage: None,
        step: None,
        contended: false,
        cold_start: false,
        success: measured.success,
        error: measured.error,
        timestamp: moment(),
        prompt: "Why is the sky blue?".into(),
        prompt_prefix: None,
        response: "Light scatters.".into(),
        thinking: None,
        done_reason: measured.done_reason,
        response_sha256: hex::encode(Sha256::digest("Light scatters.")),
        timing: measured.timing,
        throughput: measured.throughput,
        system_impact: SystemImpact {
            cpu_delta: vec![60.0, 12.0],
            memory_delta: Some(0.5),
            cpu_mean_percent: Some(48.0),
            cpu_peak_percent: Some(52.5),
            ..SystemImpact::default()
        },
        energy: None,
        cooled_down: None,
        placement: None,
        notes: measured.notes,
        chunks: Some(measured.chunks),
    }
}

/// A run that waits.
pub fn queued(request: BenchmarkRequest) -> BenchmarkResponse {
    BenchmarkResponse {
        id: id(),
        timestamp: moment(),
        status: Status::Queued,
        status_reason: None,
        queue_position: Some(1),
        total_requests: 2,
        request,
        system_info: system_info(),
        results: Vec::new(),
        summary: Vec::new(),
        environment: Environment {
            benchmarker_version: VERSION.into(),
            benchmarker_commit: Some(COMMIT.into()),
            models: vec![ModelEnvironment {
                model: "llama3.2:1b".into(),
                backend: "ollama".into(),
                backend_kind: "ollama".into(),
                backend_version: Some("0.12.6".into()),
                location: Location::Local,
                ..ModelEnvironment::default()
            }],
        },
        validity: Validity::default(),
        finished_at: None,
        worker: Some("workstation".into()),
        samples: None,
        remote_samples: Vec::new(),
    }
}

fn finished() -> BenchmarkResponse {
    let mut run = BenchmarkResponse {
        status: Status::Completed,
        queue_position: None,
        results: results(1.0),
        finished_at: Some(moment() + Duration::from_secs(1)),
        samples: Some(Samples {
            interval: 0.25,
            items: vec![sample()],
            ..Samples::default()
        }),
        ..queued(request())
    };
    let models = [("llama3.2:1b".to_owned(), "ollama".to_owned())];
    run.summary = measure::summarize(&models, &run.results);
    run.validity = measure::validity(&run);
    run
}

/// As in lists.
fn listed() -> BenchmarkResponse {
    let mut run = BenchmarkResponse {
        samples: None,
        ..finished()
    };
    for result in &mut run.results {
        result.chunks = None;
    }
    run
}

fn events() -> Vec<RunEvent> {
    vec![
        RunEvent::RunStarted(RunStarted { total_requests: 2 }),
        RunEvent::TextArrived(TextArrived {
            request: 0,
            model_index: 0,
            text: "Light".into(),
            thinking: String::new(),
            chunks: 1,
            time_to_first_chunk: Some(0.121),
            offset: 0.121,
            chunks_per_second: None,
        }),
        RunEvent::RunFinished(RunFinished {
            id: id(),
            status: Status::Completed,
            status_reason: None,
            summary: finished().summary,
        }),
    ]
}

fn model() -> ModelSummary {
    ModelSummary {
        name: "llama3.2:1b".into(),
        backend: "ollama".into(),
        synthetic: false,
        size_bytes: Some(1_321_098_329),
        parameter_size: Some("1.2B".into()),
        quantization: Some("Q8_0".into()),
        context_length: Some(131_072),
        family: Some("llama".into()),
        loaded: Some(true),
        digest: Some("baf6a787fdff".into()),
        capabilities: vec!["completion".into()],
    }
}

fn system() -> SystemNow {
    SystemNow {
        system_info: system_info(),
        sample: Some(sample()),
        backends: vec![BackendState {
            name: "ollama".into(),
            kind: "ollama".into(),
            url: "http://127.0.0.1:11434".into(),
            reachable: true,
            version: Some("0.12.6".into()),
            error: None,
        }],
        database: DatabaseState {
            kind: "sqlite".into(),
            place: "/home/me/.local/share/ollama-benchmarker/benchmarker.db".into(),
            bytes: Some(7_348_224),
            free_bytes: Some(0),
            runs: Some(1204),
        },
        running: 0,
        queued: 0,
    }
}

/// The requests of one day, all alike but for their time to the first chunk.
fn statistics() -> ModelStatistics {
    let mut tally = measure::Tally::default();
    for request in 0..200 {
        let first = 0.1 + 0.0001 * request as f64;
        tally.add(&StoredFigures {
            run: request / 2,
            position: request % 2,
            day: 0,
            model: 0,
            is_failed: request == 199,
            figures: [
                Some(first),
                Some(0.02),
                Some(2.1),
                Some(2.11),
                Some(50.0),
                Some(190.0),
            ],
        });
    }
    let day = moment().date_naive();
    tally.statistics("llama3.2:1b".into(), "ollama".into(), Some(day))
}

fn view() -> SavedView {
    SavedView {
        id: id(),
        name: "nightly runs that failed".into(),
        query: "tag=nightly&status=failed".into(),
        created_at: moment(),
    }
}

fn prompt() -> SavedPrompt {
    SavedPrompt {
        id: id(),
        name: "sky".into(),
        text: "Why is the sky blue?".into(),
        created_at: moment(),
    }
}
