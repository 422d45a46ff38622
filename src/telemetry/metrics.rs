//! The figures that grow: counters and histograms. Recording is an atomic or a short lock, on the thread of
//! whoever keeps a result or answers a request; the timed thread knows nothing of it.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{
    ErrorLabel, HttpLabels, KindLabel, ModelLabels, Models, OTHER, Servers, StatusLabel,
    StepLabels, TokenLabel, TurnLabels, method,
};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Chunks, ErrorCode, ErrorInfo, NovaPipeline, NovaRole,
    NovaStatus, NovaStep, NovaTurn, Status, Throughput, Timing,
};

/// Prefix of the names that are this program's own.
pub const OWN: &str = "benchmarker";

// The bounds of durations that OpenTelemetry's conventions advise are among these. More stand between them, since figures
// of models often lie within a factor of two, and beyond them, since a model on a small machine takes minutes.

/// For `http.server.request.duration`, s; some requests wait for a whole run.
const HTTP: [f64; 18] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
    300.0, 900.0,
];
/// For `gen_ai.client.operation.duration`, s.
const OPERATION: [f64; 24] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92, 2.56, 3.84, 5.12, 7.68,
    10.24, 15.36, 20.48, 30.72, 40.96, 81.92, 163.84, 655.36,
];
/// For the time to the first token, s.
const FIRST: [f64; 23] = [
    0.001, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0,
    1.5, 2.5, 5.0, 7.5, 10.0, 30.0, 120.0,
];
/// For the time per output token, s.
const GAP: [f64; 20] = [
    0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2,
    0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
/// For `gen_ai.client.token.usage`, tokens; nobody has contexts beyond that.
const TOKENS: [f64; 12] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];
/// Waiting for a turn, s: at once, or as long as other runs take.
const WAIT: [f64; 13] = [
    0.01, 0.1, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0,
];
/// A run, or a turn of agents, s.
const LONG: [f64; 12] = [
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0,
];

/// The states in which a run can end.
const ENDS: [Status; 5] = [
    Status::Completed,
    Status::Partial,
    Status::Failed,
    Status::Cancelled,
    Status::Interrupted,
];

/// Those in which a turn of agents can end.
const TURN_ENDS: [NovaStatus; 5] = [
    NovaStatus::Completed,
    NovaStatus::Cancelled,
    NovaStatus::Failed,
    NovaStatus::Interrupted,
    NovaStatus::AwaitingUser,
];

/// How a step of an agent can end.
const STEP_ENDS: [&str; 3] = ["completed", "partial", "failed"];

/// Makes histograms with these bounds.
#[derive(Clone)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms<L> = Family<L, Histogram, Bounds>;
type Counters<L> = Family<L, Counter>;
type Gauges<L> = Family<L, Gauge>;
type Seconds = Counter<f64, AtomicU64>;

/// Everything that is counted.
pub struct Metrics {
    pub(super) registry: Registry,
    models: Models,
    http_duration: Histograms<HttpLabels>,
    http_active: Gauge,
    duration: Histograms<(ModelLabels, ErrorLabel)>,
    first_chunk: Histograms<ModelLabels>,
    chunk_gap: Histograms<ModelLabels>,
    tokens: Histograms<(ModelLabels, TokenLabel)>,
    errors: Counters<(ModelLabels, ErrorLabel)>,
    runs: Counters<StatusLabel>,
    run_duration: Histogram,
    wait: Histograms<KindLabel>,
    turns: Counters<TurnLabels>,
    turn_duration: Histogram,
    steps: Counters<StepLabels>,
    streams: Gauges<KindLabel>,
    looks: Counter,
    missed_looks: Counter,
    look_cpu: Seconds,
}

/// Whose events somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// A run.
    Run,
    /// A turn of agents.
    Turn,
    /// The machine.
    System,
}

impl Watched {
    fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Turn => "turn",
            Self::System => "system",
        }
    }
}

/// Counts as long as it lives.
pub struct Open(Gauge);

impl Open {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request to a model, of a run or of a step of an agent.
struct Call<'a> {
    labels: ModelLabels,
    timing: &'a Timing,
    throughput: &'a Throughput,
    chunks: Option<&'a Chunks>,
    error: Option<&'a ErrorInfo>,
}

impl Metrics {
    /// Nothing has been counted yet. `servers` are those that models are asked of.
    pub fn new(servers: Servers) -> Self {
        let one = |bounds: &[f64]| Histogram::new(bounds.iter().copied());
        let many = Bounds;
        let mut metrics = Self {
            registry: Registry::default(),
            models: Models::new(servers),
            http_duration: Family::new_with_constructor(many(&HTTP)),
            http_active: Gauge::default(),
            duration: Family::new_with_constructor(many(&OPERATION)),
            first_chunk: Family::new_with_constructor(many(&FIRST)),
            chunk_gap: Family::new_with_constructor(many(&GAP)),
            tokens: Family::new_with_constructor(many(&TOKENS)),
            errors: Family::default(),
            runs: Family::default(),
            run_duration: one(&LONG),
            wait: Family::new_with_constructor(many(&WAIT)),
            turns: Family::default(),
            turn_duration: one(&LONG),
            steps: Family::default(),
            streams: Family::default(),
            looks: Counter::default(),
            missed_looks: Counter::default(),
            look_cpu: Seconds::default(),
        };
        metrics.registry = metrics.registered();
        metrics.begin_at_zero();
        metrics
    }

    /// Every figure under its name.
    fn registered(&self) -> Registry {
        let mut registry = Registry::default();
        self.register_requests(&mut registry);
        self.register_own(registry.sub_registry_with_prefix(OWN));
        registry
    }

    /// Those that have names in OpenTelemetry's semantic conventions.
    fn register_requests(&self, registry: &mut Registry) {
        let mut seconds = |name: &str, help: &str, metric: Histograms<_>| {
            registry.register_with_unit(name, help, Unit::Seconds, metric);
        };
        seconds(
            "gen_ai_client_operation_time_to_first_chunk",
            "From sending a request to a model to the first chunk of text or thinking",
            self.first_chunk.clone(),
        );
        seconds(
            "gen_ai_client_operation_time_per_output_chunk",
            "Between two chunks of an answer of a model",
            self.chunk_gap.clone(),
        );
        registry.register_with_unit(
            "gen_ai_client_operation_duration",
            "From sending a request to a model to the last byte of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "gen_ai_client_token_usage",
            "Tokens of a request to a model, as its server counts",
            self.tokens.clone(),
        );
        registry.register_with_unit(
            "http_server_request_duration",
            "From a request to this server to the head of its answer; a stream of events goes on after it",
            Unit::Seconds,
            self.http_duration.clone(),
        );
        registry.register(
            "http_server_active_requests",
            "Requests to this server that have no answer yet",
            self.http_active.clone(),
        );
    }

    fn register_own(&self, own: &mut Registry) {
        own.register(
            "model_request_errors",
            "Requests to models that failed, by the code of the error in the record",
            self.errors.clone(),
        );
        own.register("runs", "Runs that have ended", self.runs.clone());
        own.register_with_unit(
            "run_duration",
            "From the start of a run to its stored end, without its time in the queue",
            Unit::Seconds,
            self.run_duration.clone(),
        );
        own.register_with_unit(
            "queue_wait",
            "Time in the queue of runs that started, and of calls of agents",
            Unit::Seconds,
            self.wait.clone(),
        );
        own.register(
            "nova_turns",
            "Turns of agents that have ended",
            self.turns.clone(),
        );
        own.register_with_unit(
            "nova_turn_duration",
            "From the start of a turn of agents to its end",
            Unit::Seconds,
            self.turn_duration.clone(),
        );
        own.register(
            "nova_steps",
            "Steps of agents that have ended",
            self.steps.clone(),
        );
        own.register(
            "event_streams",
            "Streams of events that somebody watches",
            self.streams.clone(),
        );
        own.register(
            "sampler_looks",
            "Looks at this machine while runs went on, told when a run ends",
            self.looks.clone(),
        );
        own.register(
            "sampler_missed_looks",
            "Looks that were left out since the machine was too late for them",
            self.missed_looks.clone(),
        );
        own.register_with_unit(
            "sampler_cpu",
            "Processor time of looking at this machine",
            Unit::Seconds,
            self.look_cpu.clone(),
        );
    }

    /// What can be named before it happens begins at 0: the first of it is seen as an increase.
    fn begin_at_zero(&self) {
        for status in ENDS {
            let status = status.as_str();
            drop(self.runs.get_or_create(&StatusLabel { status }));
        }
        for watched in [Watched::Run, Watched::Turn, Watched::System] {
            let kind = watched.as_str();
            drop(self.streams.get_or_create(&KindLabel { kind }));
        }
        for kind in ["run", "call"] {
            drop(self.wait.get_or_create(&KindLabel { kind }));
        }
        for pipeline in [NovaPipeline::Turn, NovaPipeline::NovaProcess] {
            let pipeline = pipeline.as_str();
            for status in TURN_ENDS.map(NovaStatus::as_str) {
                drop(self.turns.get_or_create(&TurnLabels { pipeline, status }));
            }
        }
        for role in NovaRole::ALL.map(NovaRole::as_str) {
            for status in STEP_ENDS {
                drop(self.steps.get_or_create(&StepLabels { role, status }));
            }
        }
    }

    /// A model is going to be asked: its figures begin at 0 too.
    pub fn model_chosen(&self, model: &str, backend: &str) {
        let labels = self.models.labels(model, backend);
        let good = ErrorLabel { error_type: "" };
        drop(self.duration.get_or_create(&(labels.clone(), good)));
        drop(self.first_chunk.get_or_create(&labels));
        drop(self.chunk_gap.get_or_create(&labels));
        for gen_ai_token_type in ["input", "output"] {
            let labels = (labels.clone(), TokenLabel { gen_ai_token_type });
            drop(self.tokens.get_or_create(&labels));
        }
        for code in ErrorCode::ALL {
            let error_type = code.as_str();
            let labels = (labels.clone(), ErrorLabel { error_type });
            drop(self.errors.get_or_create(&labels));
        }
    }

    /// A request to this server came; it counts as active until the guard is dropped.
    pub fn request_came(&self) -> Open {
        Open::of(&self.http_active)
    }

    /// A request to this server has its answer. `route` is the template of its route, `None` where it
    /// has none.
    pub fn answered(&self, name: &str, route: Option<&str>, status: u16, seconds: f64) {
        let labels = HttpLabels {
            http_request_method: method(name),
            http_response_status_code: status,
            http_route: route.filter(|it| !it.is_empty()).unwrap_or(OTHER).into(),
        };
        self.http_duration.get_or_create(&labels).observe(seconds);
    }

    /// Somebody watches events, until the guard is dropped.
    pub fn stream_opened(&self, watched: Watched) -> Open {
        let kind = watched.as_str();
        Open::of(&self.streams.get_or_create(&KindLabel { kind }))
    }

    /// A run has left the queue after so many seconds.
    pub fn run_started(&self, waited: f64) {
        self.wait
            .get_or_create(&KindLabel { kind: "run" })
            .observe(waited);
    }

    /// A request of a run has its result, with its chunks.
    pub fn request_ended(&self, result: &BenchmarkResult) {
        self.count(&Call {
            labels: self.models.labels(&result.model, &result.backend),
            timing: &result.timing,
            throughput: &result.throughput,
            chunks: result.chunks.as_ref(),
            error: result.error.as_ref(),
        });
    }

    /// A run has ended; `seconds` after it had started, where it had.
    pub fn run_ended(&self, run: &BenchmarkResponse, seconds: Option<f64>) {
        let status = run.status.as_str();
        self.runs.get_or_create(&StatusLabel { status }).inc();
        if let Some(seconds) = seconds {
            self.run_duration.observe(seconds);
        }
        let Some(cost) = run.samples.as_ref().and_then(|it| it.cost.as_ref()) else {
            return;
        };
        self.looks.inc_by(cost.looks);
        self.missed_looks.inc_by(cost.missed_looks);
        self.look_cpu.inc_by(cost.cpu_seconds.unwrap_or_default());
    }

    /// An agent has ended a step, with its chunks.
    pub fn step_ended(&self, step: &NovaStep) {
        let [completed, partial, failed] = STEP_ENDS;
        let status = match (step.success, step.partial) {
            (true, _) => completed,
            (false, true) => partial,
            (false, false) => failed,
        };
        let role = step.role.as_str();
        self.steps.get_or_create(&StepLabels { role, status }).inc();
        let (Some(model), Some(backend)) = (&step.model, &step.backend) else {
            return;
        };
        let kind = "call";
        self.wait
            .get_or_create(&KindLabel { kind })
            .observe(step.queue_time);
        // Embeddings are no answers: they have no chunks.
        if step.chunks.is_some() {
            self.count(&Call {
                labels: self.models.labels(model, backend),
                timing: &step.timing,
                throughput: &step.throughput,
                chunks: step.chunks.as_ref(),
                error: step.error.as_ref(),
            });
        }
    }

    /// A turn of agents has ended.
    pub fn turn_ended(&self, turn: &NovaTurn) {
        let response = &turn.response;
        let labels = TurnLabels {
            pipeline: turn.pipeline.as_str(),
            status: response.status.as_str(),
        };
        self.turns.get_or_create(&labels).inc();
        if let Some(seconds) = response.metrics.wall_time {
            self.turn_duration.observe(seconds);
        }
    }

    fn count(&self, call: &Call<'_>) {
        let labels = &call.labels;
        let error = ErrorLabel {
            error_type: call.error.map_or("", |it| it.code.as_str()),
        };
        if call.error.is_some() {
            let labels = (labels.clone(), error.clone());
            self.errors.get_or_create(&labels).inc();
        }
        if let Some(flight) = call.timing.flight() {
            let seconds = flight + call.timing.schedule_delay.unwrap_or_default();
            let labels = (labels.clone(), error);
            self.duration.get_or_create(&labels).observe(seconds);
        }
        if let Some(seconds) = call.timing.time_to_first_chunk {
            self.first_chunk.get_or_create(labels).observe(seconds);
        }
        if let Some(chunks) = call.chunks {
            let gaps = self.chunk_gap.get_or_create(labels);
            for pair in chunks.offsets.windows(2) {
                gaps.observe(pair[1] - pair[0]);
            }
        }
        let tokens = [
            ("input", call.throughput.prompt_tokens),
            ("output", call.throughput.output_tokens),
        ];
        for (gen_ai_token_type, tokens) in tokens {
            if let Some(tokens) = tokens {
                let labels = (labels.clone(), TokenLabel { gen_ai_token_type });
                self.tokens.get_or_create(&labels).observe(tokens as f64);
            }
        }
    }
}
