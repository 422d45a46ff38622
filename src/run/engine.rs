//! Sends the requests of a plan, times them and looks at the machine meanwhile.
//! Results go out through a channel; what becomes of them is not known here.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::events::EventLog;
use super::plan::{Phase, Plan, Step};
use crate::backend::stream::{Bounds, News, follow};
use crate::backend::transport::Transport;
use crate::backend::{Backend, Backends, Words};
use crate::config::SamplingConfig;
use crate::machine::{MachineError, Sampler};
use crate::measure;
use crate::measure::timeline::{Outcome, Timeline};
use crate::record::{
    BenchmarkRequest, BenchmarkResult, Calibration, ErrorCode, ErrorInfo, Execution, MOST_STREAMS,
    Placement, RequestStarted, RunEvent, RunId, Sample, SampleTaken, Samples, TextArrived,
};

/// Chunks that come faster than this are told in one event; where many requests go on, so many times
/// slower, since nobody reads faster. Only the telling is slowed down.
const TELL_INTERVAL: Duration = Duration::from_millis(20);

/// So long before its time a request of an open loop is begun, so that its connection stands when
/// its time has come.
const LEAD: Duration = Duration::from_millis(20);

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
    /// Which run it is.
    pub id: RunId,
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

impl Job {
    /// What stands before the prompt of a step: nothing, or what stands before no other of any run.
    fn prefix(&self, step: &Step) -> Option<String> {
        let make = || {
            let hash = Sha256::digest(format!("{} {}", self.id, step.index));
            format!("[{}] ", hex::encode(&hash[..4]))
        };
        self.request.defeats_cache().then(make)
    }
}

/// What a model is told; owned where something stands before it.
struct Told<'a> {
    system: Option<Cow<'a, str>>,
    prompt: Cow<'a, str>,
}

impl Told<'_> {
    fn words(&self) -> Words<'_> {
        Words {
            system: self.system.as_deref(),
            prompt: &self.prompt,
        }
    }
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
    let walker = Walker {
        engine: Arc::clone(&engine),
        job: Arc::clone(&job),
        watched,
        zero,
        results,
    };
    for phase in 0..job.plan.phases.len() {
        if !job.cancel.is_cancelled() {
            walker.walk(phase).await;
        }
    }
    drop(walker);
    // Stopping joins a thread that may be in the middle of a look; that takes no longer than one.
    let stopped = tokio::task::spawn_blocking(move || sampler.stop()).await;
    Ok(stopped.unwrap_or_default())
}

/// The samples that requests in flight still need, and how many there are of these.
#[derive(Default)]
struct Watched {
    state: Mutex<WatchedState>,
}

#[derive(Default)]
struct WatchedState {
    samples: Vec<Sample>,
    in_flight: usize,
    begun: u64,
}

/// One request in flight.
struct Watch {
    begun: u64,
    others: usize,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, WatchedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is about to be sent: samples before it are needed no more, but for the baseline
    /// and the newest.
    fn begin(&self) -> Watch {
        let mut state = self.lock();
        if state.in_flight == 0 {
            let last = state.samples.last().cloned();
            state.samples.retain(|sample| sample.offset < 0.0);
            state
                .samples
                .extend(last.filter(|sample| sample.offset >= 0.0));
        }
        let others = state.in_flight;
        state.in_flight += 1;
        state.begun += 1;
        Watch {
            begun: state.begun,
            others,
        }
    }

    /// It has ended; it began at this offset. The samples of its time and of the baseline, and who
    /// was there.
    fn end(&self, watch: &Watch, from: f64) -> (Vec<Sample>, Company) {
        let mut state = self.lock();
        let before = state.samples.iter().rfind(|sample| sample.offset <= from);
        let from = before.map_or(from, |sample| sample.offset);
        let is_needed = |sample: &&Sample| sample.offset < 0.0 || sample.offset >= from;
        let samples = state.samples.iter().filter(is_needed).cloned().collect();
        state.in_flight -= 1;
        let company = Company {
            overlapped: watch.others > 0 || state.begun != watch.begun,
            streams: watch.others.max(state.in_flight) + 1,
            is_last: state.in_flight == 0,
        };
        (samples, company)
    }
}

/// What other requests went on beside one.
#[derive(Clone, Copy)]
struct Company {
    /// Another one did at some time.
    overlapped: bool,
    /// Requests at once, this one too.
    streams: usize,
    /// No other one does any more.
    is_last: bool,
}

/// Sends the requests of a plan.
#[derive(Clone)]
struct Walker {
    engine: Arc<Engine>,
    job: Arc<Job>,
    watched: Arc<Watched>,
    zero: Instant,
    results: mpsc::Sender<Finished>,
}

impl Walker {
    /// Sends the requests of one phase and waits until all have ended.
    async fn walk(&self, phase: usize) {
        let job = Arc::clone(&self.job);
        match &job.plan.phases[phase] {
            Phase::Lanes(lanes) => {
                let mut all = JoinSet::new();
                for lane in lanes {
                    let (walker, lane) = (self.clone(), lane.clone());
                    let walk = async move {
                        for step in &lane {
                            if !walker.send(step, None).await {
                                return;
                            }
                        }
                    };
                    all.spawn(walk.in_current_span());
                }
                all.join_all().await;
            }
            Phase::Users {
                users,
                steps,
                duration,
            } => {
                let end = duration.and_then(|duration| Instant::now().checked_add(duration));
                self.users(*users, Arc::new(steps.clone()), end).await;
            }
            Phase::Schedule(steps) => self.schedule(steps).await,
        }
    }

    /// Each user takes the next step when its last has ended.
    async fn users(&self, users: usize, steps: Arc<Vec<Step>>, end: Option<Instant>) {
        let next = Arc::new(AtomicUsize::new(0));
        let mut all = JoinSet::new();
        for _ in 0..users.min(steps.len()) {
            let (walker, steps, next) = (self.clone(), Arc::clone(&steps), Arc::clone(&next));
            let walk = async move {
                while end.is_none_or(|end| Instant::now() < end)
                    && let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed))
                    && walker.send(step, None).await
                {}
            };
            all.spawn(walk.in_current_span());
        }
        all.join_all().await;
    }

    /// Sends each step at its time. Where too many go on it waits for one to end: it is then sent
    /// late, and says so.
    async fn schedule(&self, steps: &[(Duration, Step)]) {
        let places = Arc::new(Semaphore::new(MOST_STREAMS as usize));
        let begin = Instant::now();
        let mut all = JoinSet::new();
        for (offset, step) in steps {
            let Some(start) = begin.checked_add(*offset) else {
                break;
            };
            let due = start + LEAD;
            tokio::select! {
                () = tokio::time::sleep_until(start.into()) => {}
                () = self.job.cancel.cancelled() => break,
            }
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let (walker, step) = (self.clone(), step.clone());
            let send = async move {
                walker.send(&step, Some(due)).await;
                drop(place);
            };
            all.spawn(send.in_current_span());
            while all.try_join_next().is_some() {}
        }
        all.join_all().await;
    }

    /// One request and its result; `false` where no more shall be sent.
    async fn send(&self, step: &Step, due: Option<Instant>) -> bool {
        let job = &self.job;
        if job.cancel.is_cancelled() {
            return false;
        }
        let model = &job.plan.models[step.model];
        let span = tracing::info_span!("request", number = step.index, model = %model);
        let Some(result) = self.step(step, due).instrument(span).await else {
            return true;
        };
        let finished = Finished {
            model: step.model,
            result,
        };
        self.results.send(finished).await.is_ok()
    }

    /// One request; `None` only where the backend is gone from the configuration, which the
    /// check before the run excludes.
    async fn step(&self, step: &Step, due: Option<Instant>) -> Option<BenchmarkResult> {
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
            let alone = Company {
                overlapped: false,
                streams: 1,
                is_last: true,
            };
            let sending = Sending {
                timestamp,
                sent: None,
                company: alone,
            };
            return Some(self.result(step, &timeline, &sending, &[], None));
        }
        job.log.announce(started);
        let watch = self.watched.begin();
        let begun = self.zero.elapsed().as_secs_f64();
        let teller = Teller::new(step, &job.log, watch.others);
        let (timeline, sent) = self.follow(step, backend.as_ref(), due, teller).await;
        let (samples, company) = self.watched.end(&watch, begun);
        log_outcome(&timeline);
        // Where the model lies, whenever that disturbs nothing: what else goes on may have moved it.
        let placement = if company.is_last {
            tokio::select! {
                placement = backend.placement(&model.name) => placement,
                () = job.cancel.cancelled() => None,
            }
        } else {
            None
        };
        let sending = Sending {
            timestamp,
            sent,
            company,
        };
        Some(self.result(step, &timeline, &sending, &samples, placement))
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

    async fn follow(
        &self,
        step: &Step,
        backend: &dyn Backend,
        due: Option<Instant>,
        mut teller: Teller<'_>,
    ) -> (Timeline, Option<Instant>) {
        let job = &self.job;
        let model = &job.plan.models[step.model];
        let told = self.told(step);
        let mut call = backend.call(&job.request, &model.name, told.words());
        call.due = due;
        let mut bounds = self.engine.bounds;
        if let Some(timeout) = job.request.timeout {
            bounds.deadlines.total = Duration::from_secs_f64(timeout);
        }
        let (mut timeline, sent) = follow(
            &self.engine.transport,
            call,
            backend.decoder(),
            &bounds,
            job.cancel.clone(),
            &mut |news| teller.hear(&news),
        )
        .await;
        teller.tell();
        let delay = due
            .zip(sent)
            .map(|(due, sent)| sent.saturating_duration_since(due));
        timeline.schedule_delay = delay;
        timeline.unique_prefix = job.request.defeats_cache();
        (timeline, sent)
    }

    /// What the model is told.
    fn told(&self, step: &Step) -> Told<'_> {
        let job = &self.job;
        let system = job.request.system.as_deref().map(Cow::Borrowed);
        let prompt = Cow::Borrowed(job.plan.prompts[step.prompt].as_str());
        match (job.prefix(step), system) {
            (Some(prefix), Some(system)) => Told {
                system: Some(Cow::Owned(prefix + &system)),
                prompt,
            },
            (Some(prefix), None) => Told {
                system: None,
                prompt: Cow::Owned(prefix + &prompt),
            },
            (None, system) => Told { system, prompt },
        }
    }

    fn result(
        &self,
        step: &Step,
        timeline: &Timeline,
        sending: &Sending,
        samples: &[Sample],
        placement: Option<Placement>,
    ) -> BenchmarkResult {
        let job = &self.job;
        let model = &job.plan.models[step.model];
        let mut measured = measure::measure(timeline);
        let Sending {
            timestamp,
            sent,
            company,
        } = *sending;
        let offset = sent.map(|sent| sent.saturating_duration_since(self.zero).as_secs_f64());
        measured.timing.send_offset = offset;
        measured.timing.clock_error = job
            .calibration
            .as_ref()
            .and_then(|it| measure::clock_error_at(it, company.streams));
        let end = timeline.last_byte.unwrap_or_default().as_secs_f64();
        let system_impact = offset
            .map(|offset| measure::impact(samples, offset, offset + end))
            .unwrap_or_default();
        let concurrent =
            job.request.execution == Execution::Concurrent && job.plan.models.len() > 1;
        let contended = concurrent || company.overlapped;
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
            prompt_prefix: job.prefix(step),
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

/// When and beside what a request was sent.
struct Sending {
    timestamp: chrono::DateTime<Utc>,
    sent: Option<Instant>,
    company: Company,
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
    interval: Duration,
    first: Option<Duration>,
    told: Option<Duration>,
}

impl<'a> Teller<'a> {
    fn new(step: &Step, log: &'a EventLog, others: usize) -> Self {
        let streams = u32::try_from(others + 1).unwrap_or(u32::MAX);
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
            interval: TELL_INTERVAL.saturating_mul(streams),
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
            .is_none_or(|told| news.at.saturating_sub(told) >= self.interval)
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
