//! One run from the queue to its stored end. A result is committed before it is announced.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{App, price};
use crate::clock::time_of_day;
use crate::measure::{self, GapPool, Price, RateCourse};
use crate::nova::live::{self, Live};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, ErrorCode, ErrorInfo, Queued, RequestFinished, RunEvent,
    RunFinished, RunStarted, Status,
};
use crate::run::engine::{self, Finished, Job, Seen};
use crate::run::queue::Ticket;
use crate::store::{Store, StoreError};

/// Waits between tries to store something; after them the last one over and over.
const RETRIES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// So long a database that may come back by itself is waited for, as while its server is restarted.
const LONGEST_OUTAGE: Duration = Duration::from_secs(150);

/// So long one is waited for that needs somebody's help: most of them get none.
const SHORT_OUTAGE: Duration = Duration::from_secs(8);

/// So many results may wait for the database before the next request is held up: measuring goes on
/// through an outage.
const MOST_WAITING: usize = 1024;

/// Answers of one run are kept until its end: so many bytes of them at most.
const MOST_ANSWER_BYTES: usize = 1 << 30;

/// A run on its way.
pub struct Execution {
    /// The program.
    pub app: App,
    /// What to do.
    pub job: Arc<Job>,
    /// The session that the agents carry out with each model, where they do.
    pub live: Option<Live>,
    /// The record as it stands.
    pub run: BenchmarkResponse,
    /// Where its results wait for the database is told here.
    pub results: Arc<OnceLock<mpsc::WeakSender<Finished>>>,
    /// A result could not be stored: it is in the record here and not in the database.
    pub is_behind: bool,
    /// Bytes of all answers so far.
    pub answer_bytes: usize,
    /// The gaps of each model, in the order of the request: the chunks themselves are in the database.
    /// Empty where chunks are kept, because the stages of a sweep are looked at each for itself.
    pub gaps: Vec<GapPool>,
    /// The decode rate of each model over the run, in the same order.
    pub courses: Vec<RateCourse>,
}

/// Why a run ended before its plan did.
enum Cut {
    Cancelled,
    Stopped,
    TimedOut(f64),
    Failed(String),
}

/// Everything about a run that follows from its results and samples. `gaps` and `courses` are those of
/// each model where its results have no chunks any more.
pub fn conclude(
    run: &mut BenchmarkResponse,
    gaps: &[GapPool],
    courses: &[RateCourse],
    price: Option<&Price>,
) {
    let models: Vec<(String, String)> = run
        .environment
        .models
        .iter()
        .map(|it| (it.model.clone(), it.backend.clone()))
        .collect();
    run.summary = measure::summarize(&models, &run.results);
    for (one, gaps) in run.summary.iter_mut().zip(gaps) {
        one.inter_chunk_latency = gaps.distribution();
    }
    let objectives = run.request.parsed_objectives();
    for one in &mut run.summary {
        let is_own = |it: &&BenchmarkResult| it.model == one.model && it.backend == one.backend;
        let own: Vec<&BenchmarkResult> = run.results.iter().filter(is_own).collect();
        let load = run.request.load.as_ref();
        one.load = load.and_then(|load| measure::load_summary(load, &objectives, &own));
        one.objectives = measure::objective_outcomes(&objectives, one, &own);
        one.goodput = measure::goodput(&objectives, &own);
    }
    measure::surround(run, courses, price);
    run.validity = measure::validity(run);
}

impl Execution {
    /// Carries the run out; tells `ended` when its record is final.
    pub async fn carry_out(mut self, mut ticket: Ticket, ended: watch::Sender<bool>) {
        let begun = Instant::now();
        let mut cut = self.wait(&mut ticket).await;
        let started = cut.is_none().then(Instant::now);
        if cut.is_none() {
            let waited = begun.elapsed().as_secs_f64();
            self.app.metrics().run_started(waited);
            cut = self.measure().await;
        }
        self.finish(cut);
        // Stored before it is announced, like every result.
        if !self.complete().await {
            self.app.keep_unsaved(self.run.clone());
        }
        let took = started.map(|it| it.elapsed().as_secs_f64());
        self.app.told_run_ended(&self.run, took);
        self.announce_end();
        drop(ticket);
        self.app.inner.logs.close(&self.run.id);
        self.app.active().remove(&self.run.id);
        // Nobody may be waiting.
        let _ = ended.send(true);
    }

    async fn wait(&mut self, ticket: &mut Ticket) -> Option<Cut> {
        let mut told = None;
        while let Some(position) = ticket.position() {
            if told.replace(position) != Some(position) {
                self.job.log.announce(RunEvent::Queued(Queued { position }));
                self.run.queue_position = Some(position);
                self.save(&self.job.cancel).await;
            }
            tokio::select! {
                () = ticket.changed() => {}
                () = self.job.cancel.cancelled() => return Some(self.cut_by_person()),
            }
        }
        self.job.cancel.is_cancelled().then(|| self.cut_by_person())
    }

    fn cut_by_person(&self) -> Cut {
        if self.app.inner.stopping.is_cancelled() {
            Cut::Stopped
        } else {
            Cut::Cancelled
        }
    }

    async fn measure(&mut self) -> Option<Cut> {
        self.app.interrupt_calibration().await;
        self.run.status = Status::Running;
        self.run.queue_position = None;
        // It may have waited for hours.
        self.run.system_info = self.app.system_info().await;
        self.look_at_servers().await;
        self.save(&self.job.cancel).await;
        let total = self.run.total_requests;
        self.job.log.announce(RunEvent::RunStarted(RunStarted {
            total_requests: total,
        }));
        tracing::info!(requests = total, "the run started");

        let limit = self
            .run
            .request
            .run_timeout
            .unwrap_or(self.app.config.timeouts.run);
        let deadline = tokio::time::sleep(Duration::from_secs_f64(limit));
        tokio::pin!(deadline);
        let (sender, mut results) = mpsc::channel(MOST_WAITING);
        // It is told once.
        let _ = self.results.set(sender.downgrade());
        let engine = Arc::clone(&self.app.inner.engine);
        let job = Arc::clone(&self.job);
        let task = match self.live.take() {
            Some(live) => tokio::spawn(live::run(live, engine, job, sender).in_current_span()),
            None => tokio::spawn(engine::run(engine, job, sender).in_current_span()),
        };
        let mut cut = None;
        loop {
            tokio::select! {
                finished = results.recv() => {
                    let Some(mut finished) = finished else { break };
                    if let Some(Cut::TimedOut(limit)) = cut {
                        name_timeout(&mut finished.result, limit);
                    }
                    let trouble = match self.keep(finished).await {
                        Err(error) => format!("a result could not be stored: {error}"),
                        Ok(()) if self.answer_bytes > MOST_ANSWER_BYTES => {
                            format!("its answers have more than {MOST_ANSWER_BYTES} bytes")
                        }
                        Ok(()) => continue,
                    };
                    cut.get_or_insert(Cut::Failed(trouble));
                    self.job.cancel.cancel();
                }
                () = &mut deadline, if cut.is_none() && !self.job.cancel.is_cancelled() => {
                    cut = Some(Cut::TimedOut(limit));
                    self.job.cancel.cancel();
                }
            }
        }
        match task.await {
            Ok(Ok(seen)) => self.keep_samples(seen).await,
            Ok(Err(error)) => cut = Some(Cut::Failed(error.to_string())),
            Err(error) => cut = Some(Cut::Failed(format!("the run broke off: {error}"))),
        }
        let cancelled = self.job.cancel.is_cancelled() && cut.is_none();
        if cancelled {
            Some(self.cut_by_person())
        } else {
            cut
        }
    }

    /// Stores a result, then announces it.
    async fn keep(&mut self, finished: Finished) -> Result<(), StoreError> {
        let thinking = finished.result.thinking.as_ref();
        self.answer_bytes += finished.result.response.len() + thinking.map_or(0, String::len);
        self.run.total_requests = self.job.planned();
        let index = u32::try_from(self.run.results.len()).unwrap_or(u32::MAX);
        let (store, id) = (self.app.inner.store.clone(), self.run.id.clone());
        let result = &finished.result;
        self.app.metrics().request_ended(result);
        self.app.inner.traces.request_ended(&id, index, result);
        if let Some(gaps) = self.gaps.get_mut(finished.model) {
            gaps.add(result);
        }
        if let Some(course) = self.courses.get_mut(finished.model) {
            course.add(result);
        }
        let stored = persist(&self.job.cancel, || store.add_result(&id, index, result)).await;
        if let Err(error) = stored {
            self.is_behind = true;
            self.run.results.push(finished.result);
            return Err(error);
        }
        let model_index = u32::try_from(finished.model).unwrap_or(u32::MAX);
        let announced = BenchmarkResult {
            chunks: None,
            ..finished.result.clone()
        };
        let light = self.lightened(finished.result);
        self.run.results.push(light);
        self.job
            .log
            .announce(RunEvent::RequestFinished(RequestFinished {
                request: Some(finished.request),
                model_index,
                finished: index + 1,
                total: self.run.total_requests,
                result: announced,
            }));
        Ok(())
    }

    /// A result that is stored, without what is not needed for figures: a run may go on for hours.
    fn lightened(&self, result: BenchmarkResult) -> BenchmarkResult {
        if self.gaps.is_empty() {
            return result;
        }
        BenchmarkResult {
            chunks: None,
            response: String::new(),
            thinking: None,
            ..result
        }
    }

    /// Where the models are before the first request, and how their servers are set.
    async fn look_at_servers(&mut self) {
        let app = self.app.clone();
        let models = std::mem::take(&mut self.run.environment.models);
        let looks = models.into_iter().map(|mut model| async {
            if let Some(backend) = app.inner.engine.backends.get(&model.backend) {
                model.placement_before = backend.placement(&model.model).await;
            }
            model
        });
        self.run.environment.models = join_all(looks).await;
        let settings = self.app.server_settings(&self.run.environment).await;
        for model in &mut self.run.environment.models {
            if let Some(found) = settings.get(&model.backend) {
                model.server_settings.clone_from(found);
            }
        }
    }

    async fn keep_samples(&mut self, seen: Seen) {
        let (store, id) = (&self.app.inner.store, &self.run.id);
        let Seen { samples, remote } = seen;
        // A result that could not be stored has waited long enough for both.
        let impatient = CancellationToken::new();
        if self.is_behind {
            impatient.cancel();
        }
        let hurry = if self.is_behind {
            &impatient
        } else {
            &self.app.inner.stopping
        };
        if let Err(error) = persist(hurry, || store.save_samples(id, &samples, &remote)).await {
            tracing::error!(%error, "the samples could not be stored");
            self.is_behind = true;
        }
        self.run.samples = Some(samples);
        self.run.remote_samples = remote;
    }

    fn finish(&mut self, cut: Option<Cut>) {
        let run = &mut self.run;
        run.total_requests = self.job.planned();
        let measured = run.results.iter().filter(|result| !result.warmup);
        let succeeded = measured.filter(|result| result.success).count();
        let all = run.results.iter().all(|result| result.success);
        let by_results = if succeeded == 0 {
            Status::Failed
        } else if all && run.results.len() == run.total_requests as usize {
            Status::Completed
        } else {
            Status::Partial
        };
        (run.status, run.status_reason) = match cut {
            None => (by_results, None),
            Some(Cut::Cancelled) => (Status::Cancelled, None),
            Some(Cut::Stopped) => (Status::Interrupted, Some("the program was stopped".into())),
            Some(Cut::TimedOut(limit)) => (by_results, Some(too_long(limit))),
            Some(Cut::Failed(reason)) => (by_results, Some(reason)),
        };
        run.queue_position = None;
        run.finished_at = Some(time_of_day());
        for model in &mut run.environment.models {
            let own = run.results.iter().rev();
            let mut own = own.filter(|it| it.model == model.model && it.backend == model.backend);
            model.placement_after = own.find_map(|it| it.placement.clone());
        }
        let price = price(&self.app.config);
        conclude(run, &self.gaps, &self.courses, price.as_ref());
        tracing::info!(
            status = run.status.as_str(),
            results = run.results.len(),
            "the run ended"
        );
    }

    fn announce_end(&self) {
        let run = &self.run;
        self.job.log.announce(RunEvent::RunFinished(RunFinished {
            id: run.id.clone(),
            status: run.status,
            status_reason: run.status_reason.clone(),
            summary: run.summary.clone(),
        }));
    }

    /// Stores the end of the run; `false` where the database does not take it.
    async fn complete(&self) -> bool {
        if self.is_behind {
            return match store_whole(&self.app, &self.run).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(%error, "the run could not be stored");
                    false
                }
            };
        }
        // A run's end is waited for even while it is being cancelled.
        self.save(&self.app.inner.stopping).await
    }

    /// Stores everything but results; what cannot be stored is logged, and the run goes on.
    async fn save(&self, hurry: &CancellationToken) -> bool {
        let (store, run) = (&self.app.inner.store, &self.run);
        let stored = persist(hurry, || store_state(store, run)).await;
        if let Err(error) = &stored {
            tracing::error!(%error, "the run could not be stored");
        }
        stored.is_ok()
    }
}

/// Stores all of a run that the database may lack.
pub async fn store_whole(app: &App, run: &BenchmarkResponse) -> Result<(), StoreError> {
    let store = &app.inner.store;
    for (result, index) in run.results.iter().zip(0_u32..) {
        store.add_result(&run.id, index, result).await?;
    }
    if let Some(samples) = &run.samples {
        store
            .save_samples(&run.id, samples, &run.remote_samples)
            .await?;
    }
    store_state(store, run).await
}

/// Stores how a run stands, and which of its results were cold.
pub async fn store_state(store: &Store, run: &BenchmarkResponse) -> Result<(), StoreError> {
    store
        .update_run(run, &measure::cold_places(&run.results))
        .await
}

fn too_long(limit: f64) -> String {
    format!("the run took longer than its timeout of {limit} s")
}

/// What the end of the run's time cut off was not cancelled by anybody.
fn name_timeout(result: &mut BenchmarkResult, limit: f64) {
    let error = result.error.as_mut();
    if let Some(error) = error.filter(|error| error.code == ErrorCode::Cancelled) {
        *error = ErrorInfo {
            code: ErrorCode::TimeoutTotal,
            message: too_long(limit),
        };
    }
}

/// Tries to store something until it works or has been waited for long enough; once, where there is no
/// time left.
pub(super) async fn persist<F>(
    hurry: &CancellationToken,
    mut attempt: impl FnMut() -> F,
) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut waits = RETRIES.into_iter().chain(std::iter::repeat(RETRIES[3]));
    let begun = Instant::now();
    loop {
        let error = match attempt().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let limit = if error.may_pass() {
            LONGEST_OUTAGE
        } else {
            SHORT_OUTAGE
        };
        let wait = waits.next().unwrap_or_default();
        if hurry.is_cancelled() || begun.elapsed() + wait > limit {
            return Err(error);
        }
        tracing::warn!(%error, "storing failed; trying again in {wait:?}");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = hurry.cancelled() => {}
        }
    }
}
