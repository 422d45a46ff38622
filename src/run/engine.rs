//! Sends the requests of a plan, times them and looks at the machine meanwhile.
//! Results go out through a channel; what becomes of them is not known here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::events::EventLog;
use super::plan::{Plan, Step};
use crate::backend::stream::{Bounds, News, follow};
use crate::backend::transport::Transport;
use crate::backend::{Backend, Backends};
use crate::config::SamplingConfig;
use crate::machine::{MachineError, Sampler};
use crate::measure;
use crate::measure::timeline::{Outcome, Timeline};
use crate::record::{
    BenchmarkRequest, BenchmarkResult, Calibration, ErrorCode, ErrorInfo, Execution, Placement,
    RequestStarted, RunEvent, Sample, SampleTaken, Samples, TextArrived,
};

/// Chunks that come faster than this are told in one event. Only the telling is slowed down.
const TELL_INTERVAL: Duration = Duration::from_millis(20);

/// What every run needs.
pub struct Engine {
    /// The timed sockets.
    pub transport: Transport,
    /// The model servers.
    pub backends: Backends,
    /// Bounds of a request that names none.
    pub bounds: Bounds,
    /// How to look at the machine.
    pub sampling: SamplingConfig,
}

/// One run.
pub struct Job {
    /// What was asked.
    pub request: BenchmarkRequest,
    /// The requests to send.
    pub plan: Plan,
    /// Digests of the models, in the order of the plan.
    pub digests: Vec<Option<String>>,
    /// How well this machine can measure, where that is known.
    pub calibration: Option<Arc<Calibration>>,
    /// Where events are announced.
    pub log: EventLog,
    /// Cancelled to stop the run.
    pub cancel: CancellationToken,
}

/// A request that ended.
pub struct Finished {
    /// Which model of the run, from 0.
    pub model: usize,
    /// What was measured.
    pub result: BenchmarkResult,
}

/// Runs a job to its end. Every result goes to `results` as soon as it is there; a full channel
/// holds up the next request, never one that is being timed.
pub async fn run(
    engine: Arc<Engine>,
    job: Arc<Job>,
    results: mpsc::Sender<Finished>,
) -> Result<Samples, MachineError> {
    let baseline = Duration::from_secs_f64(engine.sampling.baseline);
    let watched = Arc::new(Watched::default());
    let sampler = {
        let (watched, log) = (Arc::clone(&watched), job.log.clone());
        let interval = Duration::from_secs_f64(engine.sampling.interval);
        Sampler::start(
            baseline,
            interval,
            engine.sampling.max_samples,
            move |sample| {
                watched.lock().samples.push(sample.clone());
                log.announce(RunEvent::SampleTaken(SampleTaken {
                    sample: sample.clone(),
                }));
            },
        )?
    };
    let zero = sampler.zero();
    tokio::select! {
        () = tokio::time::sleep_until(zero.into()) => {}
        () = job.cancel.cancelled() => {}
    }
    let mut lanes = JoinSet::new();
    for lane in 0..job.plan.lanes.len() {
        let walk = Lane {
            engine: Arc::clone(&engine),
            job: Arc::clone(&job),
            watched: Arc::clone(&watched),
            zero,
        };
        lanes.spawn(walk.walk(lane, results.clone()).in_current_span());
    }
    lanes.join_all().await;
    // Stopping joins a thread that may be in the middle of a look; that takes no longer than one.
    let stopped = tokio::task::spawn_blocking(move || sampler.stop()).await;
    Ok(stopped.unwrap_or_default())
}

/// The samples that requests in flight still need.
#[derive(Default)]
struct Watched {
    state: Mutex<WatchedState>,
}

#[derive(Default)]
struct WatchedState {
    samples: Vec<Sample>,
    in_flight: usize,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, WatchedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is about to be sent: samples before it are needed no more, but for the baseline
    /// and the newest.
    fn begin(&self) {
        let mut state = self.lock();
        if state.in_flight == 0 {
            let last = state.samples.last().cloned();
            state.samples.retain(|sample| sample.offset < 0.0);
            state
                .samples
                .extend(last.filter(|sample| sample.offset >= 0.0));
        }
        state.in_flight += 1;
    }

    fn end(&self) -> Vec<Sample> {
        let mut state = self.lock();
        state.in_flight -= 1;
        state.samples.clone()
    }
}

struct Lane {
    engine: Arc<Engine>,
    job: Arc<Job>,
    watched: Arc<Watched>,
    zero: Instant,
}

impl Lane {
    async fn walk(self, lane: usize, results: mpsc::Sender<Finished>) {
        let job = Arc::clone(&self.job);
        for step in &job.plan.lanes[lane] {
            if job.cancel.is_cancelled() {
                return;
            }
            let model = &job.plan.models[step.model];
            let span = tracing::info_span!("request", number = step.index, model = %model);
            let Some(result) = self.step(step).instrument(span).await else {
                continue;
            };
            if results
                .send(Finished {
                    model: step.model,
                    result,
                })
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// One request; `None` only where the backend is gone from the configuration, which the
    /// check before the run excludes.
    async fn step(&self, step: &Step) -> Option<BenchmarkResult> {
        let job = Arc::clone(&self.job);
        let model = &job.plan.models[step.model];
        let backend = Arc::clone(self.engine.backends.get(&model.backend)?);
        let timestamp = Utc::now();
        let started = RunEvent::RequestStarted(RequestStarted {
            request: step.index,
            model_index: u32::try_from(step.model).unwrap_or(u32::MAX),
            model: model.name.clone(),
            backend: model.backend.clone(),
            repetition: step.repetition,
            warmup: step.warmup,
        });
        if job.request.cold_start
            && !step.warmup
            && let Err(info) = self.unload(backend.as_ref(), &model.name).await
        {
            let timeline = Timeline {
                outcome: Outcome::Failed(info),
                ..Timeline::default()
            };
            job.log.announce(started);
            return Some(self.result(step, &timeline, None, &[], timestamp, None));
        }
        job.log.announce(started);
        self.watched.begin();
        let (timeline, sent) = self.follow(step, backend.as_ref()).await;
        let samples = self.watched.end();
        log_outcome(&timeline);
        // After every request: what else goes on may have moved the model meanwhile.
        let placement = tokio::select! {
            placement = backend.placement(&model.name) => placement,
            () = job.cancel.cancelled() => None,
        };
        Some(self.result(step, &timeline, sent, &samples, timestamp, placement))
    }

    /// Unloads a model, unless the run is to stop meanwhile.
    async fn unload(&self, backend: &dyn Backend, model: &str) -> Result<(), ErrorInfo> {
        let (code, message) = tokio::select! {
            unloaded = backend.unload(model) => match unloaded {
                Ok(()) => return Ok(()),
                Err(error) => (ErrorCode::Server, error.to_string()),
            },
            () = self.job.cancel.cancelled() => (ErrorCode::Cancelled, "cancelled".to_owned()),
        };
        Err(ErrorInfo { code, message })
    }

    async fn follow(&self, step: &Step, backend: &dyn Backend) -> (Timeline, Option<Instant>) {
        let job = &self.job;
        let model = &job.plan.models[step.model];
        let call = backend.call(&job.request, &model.name, &job.plan.prompts[step.prompt]);
        let mut bounds = self.engine.bounds;
        if let Some(timeout) = job.request.timeout {
            bounds.deadlines.total = Duration::from_secs_f64(timeout);
        }
        let mut teller = Teller::new(step, &job.log);
        let followed = follow(
            &self.engine.transport,
            call,
            backend.decoder(),
            &bounds,
            job.cancel.clone(),
            &mut |news| teller.hear(&news),
        )
        .await;
        teller.tell();
        followed
    }

    fn result(
        &self,
        step: &Step,
        timeline: &Timeline,
        sent: Option<Instant>,
        samples: &[Sample],
        timestamp: chrono::DateTime<Utc>,
        placement: Option<Placement>,
    ) -> BenchmarkResult {
        let job = &self.job;
        let model = &job.plan.models[step.model];
        let mut measured = measure::measure(timeline);
        let offset = sent.map(|sent| sent.saturating_duration_since(self.zero).as_secs_f64());
        measured.timing.send_offset = offset;
        measured.timing.clock_error = job
            .calibration
            .as_ref()
            .and_then(|it| measure::clock_error_at(it, job.plan.lanes.len()));
        let end = timeline.last_byte.unwrap_or_default().as_secs_f64();
        let system_impact = offset
            .map(|offset| measure::impact(samples, offset, offset + end))
            .unwrap_or_default();
        let contended = job.request.execution == Execution::Concurrent && job.plan.lanes.len() > 1;
        BenchmarkResult {
            model: model.name.clone(),
            backend: model.backend.clone(),
            digest: (placement.as_ref().and_then(|it| it.digest.clone()))
                .or_else(|| job.digests.get(step.model).cloned().flatten()),
            repetition: step.repetition,
            warmup: step.warmup,
            contended,
            success: measured.success,
            error: measured.error,
            timestamp,
            prompt: job.plan.prompts[step.prompt].clone(),
            response: timeline.text.clone(),
            thinking: Some(timeline.thinking.clone()).filter(|text| !text.is_empty()),
            done_reason: measured.done_reason,
            response_sha256: hex::encode(Sha256::digest(timeline.text.as_bytes())),
            timing: measured.timing,
            throughput: measured.throughput,
            system_impact,
            placement,
            notes: measured.notes,
            chunks: Some(measured.chunks),
        }
    }
}

fn log_outcome(timeline: &Timeline) {
    match &timeline.outcome {
        Outcome::Done { .. } => {
            tracing::info!(chunks = timeline.chunks.len(), "the request finished");
        }
        Outcome::Failed(error) => {
            tracing::warn!(
                code = ?error.code,
                chunks = timeline.chunks.len(),
                "the request failed"
            );
            // In a server's own words there may be the prompt.
            tracing::debug!(reason = %error.message.escape_debug(), "why the request failed");
        }
    }
    tracing::debug!(answer = %timeline.text.escape_debug(), "the answer");
}

/// Tells of text as it comes.
struct Teller<'a> {
    log: &'a EventLog,
    pending: TextArrived,
    first: Option<Duration>,
    told: Option<Duration>,
}

impl<'a> Teller<'a> {
    fn new(step: &Step, log: &'a EventLog) -> Self {
        let pending = TextArrived {
            request: step.index,
            model_index: u32::try_from(step.model).unwrap_or(u32::MAX),
            text: String::new(),
            thinking: String::new(),
            chunks: 0,
            time_to_first_chunk: None,
            offset: 0.0,
            chunks_per_second: None,
        };
        Self {
            log,
            pending,
            first: None,
            told: None,
        }
    }

    fn hear(&mut self, news: &News<'_>) {
        let first = *self.first.get_or_insert(news.at);
        let pending = &mut self.pending;
        pending.text.push_str(news.text);
        pending.thinking.push_str(news.thinking);
        pending.chunks += 1;
        pending.time_to_first_chunk = Some(first.as_secs_f64());
        pending.offset = news.at.as_secs_f64();
        let span = news.at.saturating_sub(first).as_secs_f64();
        pending.chunks_per_second =
            (pending.chunks > 1 && span > 0.0).then(|| (pending.chunks - 1) as f64 / span);
        if self
            .told
            .is_none_or(|told| news.at.saturating_sub(told) >= TELL_INTERVAL)
        {
            self.told = Some(news.at);
            self.tell();
        }
    }

    fn tell(&mut self) {
        if self.pending.text.is_empty() && self.pending.thinking.is_empty() {
            return;
        }
        self.log
            .announce(RunEvent::TextArrived(self.pending.clone()));
        self.pending.text.clear();
        self.pending.thinking.clear();
    }
}
