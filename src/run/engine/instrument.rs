//! One request, sent and measured: the same for a request of a run and for a step of an agent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::machines::Machines;
use super::watched::{Company, Looks, Watched};
use super::{Engine, log_outcome};
use crate::backend::stream::{News, follow};
use crate::backend::{Backend, Words};
use crate::clock::time_of_day;
use crate::machine::MachineError;
use crate::measure;
use crate::measure::timeline::{Outcome, Timeline};
use crate::record::{
    BenchmarkRequest, BenchmarkResult, Calibration, CooledDown, ErrorInfo, Location,
    ModelEnvironment, ModelName, Placement, Sample, SessionStep, Stage,
};

/// Machines that are looked at, and the way to send something meanwhile. Cheap to clone.
#[derive(Clone)]
pub struct Instrument {
    /// The sockets, the servers and the bounds.
    pub(super) engine: Arc<Engine>,
    /// What is seen while requests go on.
    pub(super) watched: Arc<Watched>,
    /// What offsets count from.
    pub(super) zero: Instant,
    calibration: Option<Arc<Calibration>>,
    cancel: CancellationToken,
}

/// What is asked of a model.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its parameters, format, thinking, timeout and the like; its prompts and models do not matter.
    pub request: &'a BenchmarkRequest,
    /// The model.
    pub model: &'a ModelName,
    /// What it runs on, where that is known.
    pub environment: Option<&'a ModelEnvironment>,
    /// What it is told.
    pub words: Words<'a>,
    /// When to send it; at once where there is nothing.
    pub due: Option<Instant>,
    /// Ask afterwards where the model lies.
    pub locate: bool,
    /// What the record says of it.
    pub labels: Labels<'a>,
}

/// How a result is marked.
#[derive(Clone, Copy, Default)]
pub struct Labels<'a> {
    /// The prompt without what was put before it.
    pub prompt: &'a str,
    /// What was put before it, so that no cache knows it.
    pub prompt_prefix: Option<&'a str>,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// Sent to warm up.
    pub warmup: bool,
    /// Stage of a sweep.
    pub stage: Option<Stage>,
    /// Step of a session that it stands for.
    pub session_step: Option<&'a SessionStep>,
    /// Other requests are meant to go on at the same time.
    pub contended: bool,
    /// The pause before it.
    pub cooled_down: Option<CooledDown>,
}

/// When and beside what a request was sent.
pub(super) struct Sending {
    timestamp: DateTime<Utc>,
    sent: Option<Instant>,
    company: Company,
    looks: Looks,
}

impl Instrument {
    /// Begins to look at the machines; each look is told. Requests may be sent as soon as the baseline is
    /// over, at `zero`.
    pub async fn start(
        engine: Arc<Engine>,
        backends: &BTreeSet<String>,
        calibration: Option<Arc<Calibration>>,
        cancel: CancellationToken,
        tell: impl Fn(Option<&str>, &Sample) + Clone + Send + Sync + 'static,
    ) -> Result<(Self, Machines), MachineError> {
        let watched = Arc::new(Watched::new(engine.sampling.max_samples));
        let machines = Machines::watch(&engine, backends, &watched, tell).await?;
        let instrument = Self {
            engine,
            watched,
            zero: machines.zero(),
            calibration,
            cancel,
        };
        Ok((instrument, machines))
    }

    /// Waits for the end of the baseline.
    pub async fn settle(&self) {
        tokio::select! {
            () = tokio::time::sleep_until(self.zero.into()) => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// Requests that go on now.
    pub fn in_flight(&self) -> usize {
        self.watched.in_flight()
    }

    /// Sends a request and follows its answer to whatever end; `hear` is told of each chunk. Cancelled by
    /// `cancel` it gives what came until then.
    pub async fn measure(
        &self,
        asked: &Asked<'_>,
        backend: &dyn Backend,
        cancel: &CancellationToken,
        hear: &mut (dyn FnMut(usize, News<'_>) + Send),
    ) -> BenchmarkResult {
        let timestamp = time_of_day();
        let watch = self.watched.begin(asked.due);
        let begun = self.zero.elapsed().as_secs_f64();
        let others = watch.others;
        let mut call = backend.call(asked.request, &asked.model.name, asked.words);
        call.due = asked.due;
        let mut bounds = self.engine.bounds;
        if let Some(timeout) = asked.request.timeout {
            bounds.deadlines.total = Duration::from_secs_f64(timeout);
        }
        let (mut timeline, sent) = follow(
            &self.engine.transport,
            call,
            backend.decoder(),
            &bounds,
            cancel.clone(),
            &mut |news| hear(others, news),
        )
        .await;
        let delay = asked.due.zip(sent);
        timeline.schedule_delay = delay.map(|(due, sent)| sent.saturating_duration_since(due));
        timeline.unique_prefix = asked.labels.prompt_prefix.is_some();
        let ended = sent.zip(timeline.ended).map(|(sent, took)| sent + took);
        let ended = ended.unwrap_or_else(Instant::now);
        let backend_name = &asked.model.backend;
        let (looks, company) = self.watched.end(&watch, ended, begun, backend_name);
        log_outcome(&timeline);
        // Where the model lies, whenever that disturbs nothing: what else goes on may have moved it.
        let placement = if asked.locate && company.is_last {
            tokio::select! {
                placement = backend.placement(&asked.model.name) => placement,
                () = cancel.cancelled() => None,
            }
        } else {
            None
        };
        let sending = Sending {
            timestamp,
            sent,
            company,
            looks,
        };
        self.result(asked, timeline, &sending, placement)
    }

    /// The result of a request that was never sent.
    pub fn unsent(&self, asked: &Asked<'_>, reason: ErrorInfo) -> BenchmarkResult {
        let timeline = Timeline {
            outcome: Outcome::Failed(reason),
            ..Timeline::default()
        };
        let sending = Sending {
            timestamp: time_of_day(),
            sent: None,
            company: Company {
                overlapped: false,
                streams: 1,
                is_last: true,
            },
            looks: Looks::default(),
        };
        self.result(asked, timeline, &sending, None)
    }

    fn result(
        &self,
        asked: &Asked<'_>,
        timeline: Timeline,
        sending: &Sending,
        placement: Option<Placement>,
    ) -> BenchmarkResult {
        let Asked { model, labels, .. } = *asked;
        let mut measured = measure::measure(&timeline);
        let offset = sending.sent;
        let offset = offset.map(|sent| sent.saturating_duration_since(self.zero).as_secs_f64());
        measured.timing.send_offset = offset;
        let calibration = self.calibration.as_ref();
        measured.timing.clock_error =
            calibration.and_then(|it| measure::clock_error_at(it, sending.company.streams));
        let end = timeline.ended.unwrap_or_default().as_secs_f64();
        let here = &sending.looks.here;
        let system_impact =
            offset.map(|offset| measure::impact(here, &model.backend, offset, offset + end));
        let contended = labels.contended || sending.company.overlapped;
        let is_synthetic = asked.environment.is_some_and(|it| it.synthetic);
        // Of requests that go on together nobody can tell whose energy it was.
        let alone = offset.filter(|_| !contended && !is_synthetic);
        let is_local = asked
            .environment
            .is_some_and(|it| it.location == Location::Local);
        let of_model = match &sending.looks.elsewhere {
            Some(samples) => samples.as_slice(),
            None if is_local => here,
            None => &[],
        };
        let tokens = measured.throughput.output_tokens;
        let energy =
            alone.and_then(|offset| measure::energy(of_model, offset, offset + end, tokens));
        BenchmarkResult {
            model: model.name.clone(),
            backend: model.backend.clone(),
            digest: (placement.as_ref().and_then(|it| it.digest.clone()))
                .or_else(|| asked.environment?.digest.clone()),
            repetition: labels.repetition,
            warmup: labels.warmup,
            stage: labels.stage,
            step: labels.session_step.cloned(),
            contended,
            cold_start: asked.request.cold_start,
            success: measured.success,
            error: measured.error,
            timestamp: sending.timestamp,
            prompt: labels.prompt.to_owned(),
            prompt_prefix: labels.prompt_prefix.map(str::to_owned),
            response_sha256: hex::encode(Sha256::digest(timeline.text.as_bytes())),
            response: timeline.text,
            thinking: Some(timeline.thinking).filter(|text| !text.is_empty()),
            done_reason: measured.done_reason,
            timing: measured.timing,
            throughput: measured.throughput,
            system_impact: system_impact.unwrap_or_default(),
            energy,
            cooled_down: labels.cooled_down,
            placement,
            notes: measured.notes,
            chunks: Some(measured.chunks),
        }
    }
}
