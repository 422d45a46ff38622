//! Sends the requests of a plan, times them and looks at the machine meanwhile.
//! Results go out through a channel; what becomes of them is not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::teller::Teller;
use super::events::EventLog;
use super::plan::{Plan, Step};
use crate::backend::stream::{Bounds, News};
use crate::backend::transport::Transport;
use crate::backend::{self, Backend, Backends, Words};
use crate::config::{BackendConfig, SamplingConfig};
use crate::machine::{Machine, MachineError};
use crate::measure::timeline::{Outcome, Timeline};
use crate::record::{
    BenchmarkRequest, BenchmarkResult, Calibration, ErrorCode, ErrorInfo, Execution,
    ModelEnvironment, RemoteSamples, RequestStarted, RunEvent, RunId, SampleTaken, Samples,
};

mod cooldown;
mod instrument;
mod machines;
mod phases;
mod teller;
mod unit;
mod watched;

pub use self::instrument::{Asked, Instrument, Labels};
pub use self::machines::Machines;
pub use self::unit::Unit;

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
    /// This machine.
    pub machine: Arc<Machine>,
    /// How the backends are set: where their processes are, and who looks at their machines.
    pub settings: BTreeMap<String, BackendConfig>,
}

/// One run.
pub struct Job {
    /// Which run it is.
    pub id: RunId,
    /// What was asked.
    pub request: BenchmarkRequest,
    /// The requests to send.
    pub plan: Plan,
    /// How many they are: [`Plan::total`] at first, and those of sweeps as they become known.
    pub planned: AtomicU32,
    /// What the models run on, in the order of the plan.
    pub models: Vec<ModelEnvironment>,
    /// How well this machine can measure, where that is known.
    pub calibration: Option<Arc<Calibration>>,
    /// Where events are announced.
    pub log: EventLog,
    /// Cancelled to stop the run.
    pub cancel: CancellationToken,
}

impl Job {
    /// How many requests the run has, as far as that is known.
    pub fn planned(&self) -> u32 {
        self.planned.load(Ordering::Relaxed)
    }

    /// So many more will be sent.
    fn plan_more(&self, requests: u32) {
        self.planned.fetch_add(requests, Ordering::Relaxed);
    }

    /// So many will not be sent.
    fn forgo(&self, requests: usize) {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        self.planned.fetch_sub(requests, Ordering::Relaxed);
    }

    /// Its models are meant to work at the same time.
    fn is_contended(&self) -> bool {
        self.request.execution == Execution::Concurrent && self.plan.models.len() > 1
    }

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
    /// Number of the request in the plan, from 0.
    pub request: u32,
    /// Which model of the run, from 0.
    pub model: usize,
    /// What was measured.
    pub result: BenchmarkResult,
}

/// What the machines were doing.
#[derive(Default)]
pub struct Seen {
    /// This one.
    pub samples: Samples,
    /// Those of the model servers that an agent looks at.
    pub remote: Vec<RemoteSamples>,
}

/// Runs a job to its end. Every result goes to `results` as soon as it is there; a full channel
/// holds up the next request, never one that is being timed.
pub async fn run(
    engine: Arc<Engine>,
    job: Arc<Job>,
    results: mpsc::Sender<Finished>,
) -> Result<Seen, MachineError> {
    let (walker, machines) = Walker::begin(engine, &job, results).await?;
    for phase in 0..job.plan.phases.len() {
        if !job.cancel.is_cancelled() {
            walker.walk(phase).await;
        }
    }
    drop(walker);
    Ok(machines.stop().await)
}

/// Sends the requests of a plan.
#[derive(Clone)]
pub struct Walker {
    instrument: Instrument,
    job: Arc<Job>,
    results: mpsc::Sender<Finished>,
    /// What was found since it was last asked for, where what comes next depends on it.
    kept: Arc<Mutex<Vec<BenchmarkResult>>>,
    /// Index of the first request that is planned next.
    next_index: Arc<AtomicU32>,
    /// A measured request has been sent.
    is_warm: Arc<AtomicBool>,
}

impl Walker {
    /// Begins to look at the machines; requests may be sent then.
    pub async fn begin(
        engine: Arc<Engine>,
        job: &Arc<Job>,
        results: mpsc::Sender<Finished>,
    ) -> Result<(Self, Machines), MachineError> {
        let backends = job.plan.models.iter().map(|it| it.backend.clone());
        let log = job.log.clone();
        let (instrument, machines) = Instrument::start(
            engine,
            &backends.collect(),
            job.calibration.clone(),
            job.cancel.clone(),
            move |backend, sample| {
                log.announce(RunEvent::SampleTaken(SampleTaken {
                    backend: backend.map(str::to_owned),
                    sample: sample.clone(),
                }));
            },
        )
        .await?;
        instrument.settle().await;
        let walker = Self {
            instrument,
            job: Arc::clone(job),
            results,
            kept: Arc::default(),
            next_index: Arc::new(AtomicU32::new(job.plan.total())),
            is_warm: Arc::default(),
        };
        Ok((walker, machines))
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
        if step.stage.is_some() || (job.request.until_decided && !step.warmup) {
            self.kept().push(result.clone());
        }
        let finished = Finished {
            request: step.index,
            model: step.model,
            result,
        };
        self.results.send(finished).await.is_ok()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<BenchmarkResult>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_kept(&self) -> Vec<BenchmarkResult> {
        std::mem::take(&mut *self.kept())
    }

    /// One request; `None` where the run was stopped in the pause before it, or where the backend is
    /// gone from the configuration, which the check before the run excludes.
    async fn step(&self, step: &Step, due: Option<Instant>) -> Option<BenchmarkResult> {
        let job = Arc::clone(&self.job);
        let model = &job.plan.models[step.model];
        let backends = &self.instrument.engine.backends;
        let backend = Arc::clone(backends.get(&model.backend)?);
        let cooled_down = self.cool_down(step).await;
        if job.cancel.is_cancelled() {
            return None;
        }
        let told = self.told(step);
        let prefix = job.prefix(step);
        let call = job.request.pinned_call(step.prompt);
        let mut own = call.map(|call| job.request.of_call(call));
        let own_context = own
            .as_mut()
            .and_then(|own| backend::leave_fixed_context(backend.as_ref(), own));
        let asked = Asked {
            request: own.as_ref().unwrap_or(&job.request),
            model,
            environment: job.models.get(step.model),
            words: told.words(),
            due,
            locate: true,
            labels: Labels {
                prompt: &job.plan.prompts[step.prompt],
                prompt_prefix: prefix.as_deref(),
                repetition: step.repetition,
                warmup: step.warmup,
                stage: step.stage,
                session_step: call.map(|call| &call.step),
                contended: job.is_contended(),
                cooled_down,
            },
        };
        let unloaded = if job.request.cold_start && !step.warmup {
            self.unload(backend.as_ref(), &model.name).await
        } else {
            Ok(())
        };
        self.tell_start(step);
        if let Err(reason) = unloaded {
            return Some(self.instrument.unsent(&asked, reason));
        }
        let (backend, cancel) = (backend.as_ref(), &job.cancel);
        let mut result = self.timed(step, &asked, backend, cancel, &mut |_| ()).await;
        result.notes.extend(own_context);
        Some(result)
    }

    fn tell_start(&self, step: &Step) {
        let job = &self.job;
        let model = &job.plan.models[step.model];
        job.log.announce(RunEvent::RequestStarted(RequestStarted {
            request: step.index,
            model_index: u32::try_from(step.model).unwrap_or(u32::MAX),
            model: model.name.clone(),
            backend: model.backend.clone(),
            repetition: step.repetition,
            warmup: step.warmup,
        }));
    }

    /// Sends a request and tells what comes, the run's readers and `hear`.
    async fn timed(
        &self,
        step: &Step,
        asked: &Asked<'_>,
        backend: &dyn Backend,
        cancel: &CancellationToken,
        hear: &mut (dyn FnMut(&News<'_>) + Send),
    ) -> BenchmarkResult {
        let mut teller = Teller::new(step, &self.job.log);
        let mut hear = |others, news: News<'_>| {
            teller.hear(others, &news);
            hear(&news);
        };
        let instrument = &self.instrument;
        let result = instrument.measure(asked, backend, cancel, &mut hear).await;
        teller.tell();
        result
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
