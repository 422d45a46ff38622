//! The ways through the house as straight functions; what `api`, `web` and `cli` call.

mod archive;
mod calibration;
mod care;
mod earlier;
mod error;
mod exchange;
mod execution;
mod following;
mod metrics;
mod models;
mod nova;
mod saved;
mod statistics;
mod stopping;
mod system;
mod unsaved;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use self::calibration::Calibrations;
use self::execution::{Execution, conclude, store_state};
use self::nova::Agents;
use self::system::States;
use crate::agent;
use crate::backend::stream::Bounds;
use crate::backend::transport::{Deadlines, Transport};
use crate::backend::{self, BackendError};
use crate::clock::time_of_day;
use crate::config::{Config, DatabaseConfig};
use crate::machine::{self, Machine, Watch};
use crate::measure::{GapPool, Price, RateCourse};
use crate::nova::live::Live;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, DatabaseState, HistoryPage, HistoryQuery, LoadPattern,
    ModelName, ModelSummary, RunEvent, RunFinished, RunId, Status, SystemInfo, Validity,
};
use crate::reference;
use crate::run::engine::{Engine, Finished, Job};
use crate::run::events::EventLogs;
use crate::run::plan::Plan;
use crate::run::queue::{Queue, Ticket};
use crate::store::{ServerOptions, Store, StoreError};
use crate::telemetry::{Metrics, Traces};

pub use self::calibration::{CalibrationPlan, start_reference};
pub use self::care::days_ago;
pub use self::error::AppError;
pub use self::following::EventStream;
pub use crate::run::events::Announcement;
pub use crate::telemetry::{Format as MetricsFormat, Metrics as ServerMetrics, Open, Watched};

/// What one backend answered when asked for its models.
pub struct BackendModels {
    /// The backend's name.
    pub backend: String,
    /// Its models, or why they cannot be listed.
    pub models: Result<Vec<ModelSummary>, BackendError>,
}

/// Nobody types more, and the database refuses much longer patterns.
const LONGEST_SEARCH: usize = 1000;
/// How long processes have to come back after the server of the database was started.
const RESTART_GRACE: Duration = Duration::from_mins(2);
/// How often runs are looked for whose process is gone.
const WATCH_INTERVAL: Duration = Duration::from_mins(1);

/// The running program. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Every setting.
    pub config: Arc<Config>,
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    engine: Arc<Engine>,
    queue: Queue,
    logs: EventLogs,
    active: Mutex<HashMap<RunId, Active>>,
    runs: TaskTracker,
    stopping: CancellationToken,
    /// Since when it is about to end.
    told_to_stop: OnceLock<Instant>,
    watch: Mutex<Watch>,
    states: States,
    /// What this machine is, and when that was asked.
    system_info: tokio::sync::Mutex<Option<(Instant, SystemInfo)>>,
    calibrations: Calibrations,
    /// Those that answer prompts.
    agents: Agents,
    /// Held while sums for statistics are made: one does it for all.
    summing: tokio::sync::Mutex<()>,
    /// Ended, but not in the database yet.
    unsaved: Mutex<HashMap<RunId, BenchmarkResponse>>,
    /// Told when a run ended or was deleted.
    care: Notify,
    /// What is counted for those who watch from outside.
    metrics: Arc<Metrics>,
    /// Held while they are written: one after the other, however many ask.
    scraping: tokio::sync::Mutex<()>,
    /// What is told to a collector.
    traces: Arc<Traces>,
    /// Bytes of the database, and when that was asked.
    database_bytes: tokio::sync::Mutex<Option<(Instant, Option<u64>)>>,
    /// How large the database is, and when that was asked.
    database: tokio::sync::Mutex<Option<(Instant, DatabaseState)>>,
    /// Places of clients that follow events.
    watchers: Arc<Semaphore>,
    /// Runs as long as the program does.
    _reference: reference::Server,
}

/// A run that waits or goes on.
#[derive(Clone)]
struct Active {
    cancel: CancellationToken,
    ended: watch::Receiver<bool>,
    /// Where its results wait for the database, once it has started.
    results: Arc<OnceLock<mpsc::WeakSender<Finished>>>,
}

impl Active {
    /// Results that are measured and wait.
    fn waiting_results(&self) -> usize {
        let sender = self.results.get().and_then(mpsc::WeakSender::upgrade);
        sender.map_or(0, |it| it.max_capacity() - it.capacity())
    }
}

impl App {
    /// Opens the database, starts the reference server and marks what an earlier process left
    /// running as interrupted.
    pub async fn open(config: Config) -> Result<Self, AppError> {
        let store = open_store(&config).await?;
        mark_interrupted(&store, &config).await?;
        let reference = reference::Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let backends = backend::configured(&config, &format!("http://{}", reference.addr()))?;
        let engine = Engine {
            transport: Transport::start()?,
            backends,
            bounds: bounds(&config),
            sampling: config.sampling.clone(),
            machine: Arc::new(Machine::new(config.nvml_library())),
            settings: config.backends.clone(),
        };
        let agents = Agents::new(&config, &engine)?;
        let servers = metrics::servers(&engine.backends, &config);
        let traces = Traces::from_environment(servers.clone())?;
        let metrics = Metrics::new(servers);
        let inner = Inner {
            store,
            agents,
            engine: Arc::new(engine),
            queue: Queue::new(config.limits.max_queued_runs),
            logs: EventLogs::default(),
            active: Mutex::default(),
            runs: TaskTracker::new(),
            stopping: CancellationToken::new(),
            told_to_stop: OnceLock::new(),
            watch: Mutex::default(),
            states: States::default(),
            system_info: tokio::sync::Mutex::default(),
            calibrations: Calibrations::default(),
            summing: tokio::sync::Mutex::default(),
            unsaved: Mutex::default(),
            care: Notify::new(),
            metrics: Arc::new(metrics),
            traces: Arc::new(traces),
            database_bytes: tokio::sync::Mutex::default(),
            scraping: tokio::sync::Mutex::default(),
            database: tokio::sync::Mutex::default(),
            watchers: Arc::new(Semaphore::new(config.limits.max_watchers)),
            _reference: reference,
        };
        let app = Self {
            config: Arc::new(config),
            inner: Arc::new(inner),
        };
        app.look_after_turns().await;
        app.inner.runs.spawn(app.clone().watch_others());
        Ok(app)
    }

    /// Marks what other processes leave behind that use the same database, as long as this one runs.
    async fn watch_others(self) {
        let stopping = self.stopping();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
            }
            if let Err(error) = mark_interrupted(&self.inner.store, &self.config).await {
                tracing::warn!(%error, "runs of processes that are gone could not be looked for");
            }
            self.look_after_turns().await;
        }
    }

    /// Brings the schema of the database up to date.
    pub async fn migrate(config: &Config) -> Result<(), AppError> {
        open_store(config).await?.close().await;
        Ok(())
    }

    /// Checks a request, stores it as queued and sets it going. Answers at once.
    pub async fn start(&self, request: BenchmarkRequest) -> Result<BenchmarkResponse, AppError> {
        if self.inner.stopping.is_cancelled() {
            return Err(AppError::Stopping);
        }
        let problems =
            request.problems(&self.config.request_limits(), &self.config.default_backend);
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        self.inner.queue.check_room()?;
        let environment = self.check_models(&request).await?;
        self.check_cooldown(&request, &environment).await?;
        let live = self.live_session(&request).await?;
        let models: Vec<ModelName> = environment
            .models
            .iter()
            .map(|model| ModelName {
                name: model.model.clone(),
                backend: model.backend.clone(),
            })
            .collect();
        let backends: BTreeSet<String> = models.iter().map(|model| model.backend.clone()).collect();
        let plan = Plan::new(&request, models);
        let now = time_of_day();
        let id = RunId::new(now);
        let ticket = self.inner.queue.enter(backends)?;
        let run = BenchmarkResponse {
            id,
            timestamp: now,
            status: Status::Queued,
            status_reason: None,
            queue_position: ticket.position(),
            total_requests: plan.total(),
            request,
            system_info: self.system_info().await,
            results: Vec::new(),
            summary: Vec::new(),
            environment,
            validity: Validity::default(),
            finished_at: None,
            worker: machine::hostname(),
            samples: None,
            remote_samples: Vec::new(),
        };
        self.look_up_calibration().await;
        // In a task of its own: who asked may go away between the two steps.
        let (app, created) = (self.clone(), run.clone());
        let going = tokio::spawn(async move {
            app.inner.store.create_run(&created).await?;
            app.set_going(created, plan, ticket, live);
            Ok::<(), AppError>(())
        });
        going
            .await
            .map_err(|error| AppError::Storage(error.to_string()))??;
        Ok(run)
    }

    /// From here on the run goes by itself, whoever asked for it.
    fn set_going(&self, run: BenchmarkResponse, plan: Plan, ticket: Ticket, live: Option<Live>) {
        let cancel = self.inner.stopping.child_token();
        let (ended, watcher) = watch::channel(false);
        let active = Active {
            cancel: cancel.clone(),
            ended: watcher,
            results: Arc::default(),
        };
        let results = Arc::clone(&active.results);
        self.active().insert(run.id.clone(), active);
        let models = &run.environment.models;
        for one in models {
            self.metrics().model_chosen(&one.model, &one.backend);
        }
        let job = Job {
            id: run.id.clone(),
            models: models.clone(),
            request: run.request.clone(),
            calibration: self.known_calibration(),
            planned: AtomicU32::new(plan.total()),
            plan,
            log: self.inner.logs.open(&run.id),
            cancel,
        };
        let load = run.request.load.as_ref();
        let is_sweep = load.is_some_and(|load| load.pattern == LoadPattern::Sweep);
        let pools = if is_sweep { 0 } else { models.len() };
        let gaps = vec![GapPool::default(); pools];
        let span = tracing::info_span!("run", id = %run.id);
        let (app, id) = (self.clone(), run.id.clone());
        let execution = Execution {
            app: self.clone(),
            job: Arc::new(job),
            live,
            run,
            results,
            is_behind: false,
            answer_bytes: 0,
            gaps,
            courses: vec![RateCourse::default(); pools],
        };
        let task = tokio::spawn(execution.carry_out(ticket, ended).instrument(span));
        self.inner.runs.spawn(async move {
            if let Err(error) = task.await {
                app.bury(&id, &error.to_string()).await;
            }
            app.inner.care.notify_one();
        });
    }

    /// Ends a run whose task broke off, so that it does not seem to go on for ever.
    async fn bury(&self, id: &RunId, reason: &str) {
        tracing::error!(%id, reason, "a run broke off");
        if let Ok(Some(mut run)) = self.inner.store.run(id).await {
            run.status = Status::Failed;
            run.status_reason = Some(format!("the program failed in the middle of it: {reason}"));
            run.queue_position = None;
            run.finished_at = Some(time_of_day());
            self.told_run_ended(&run, None);
            if let Err(error) = store_state(&self.inner.store, &run).await {
                tracing::error!(%id, %error, "the run could not be stored");
            }
            if let Some(log) = self.inner.logs.get(id) {
                log.announce(RunEvent::RunFinished(RunFinished {
                    id: run.id,
                    status: run.status,
                    status_reason: run.status_reason,
                    summary: run.summary,
                }));
            }
        }
        self.inner.logs.close(id);
        self.active().remove(id);
    }

    /// Waits for the end of a run and gives its whole record.
    pub async fn finished(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        let active = self.active().get(id).cloned();
        if let Some(mut active) = active {
            // The sender is dropped only after it told the end.
            let _ = active.ended.wait_for(|ended| *ended).await;
        }
        self.record(id).await
    }

    /// One record with every chunk and sample, as it stands.
    pub async fn record(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        let stored = self.inner.store.run(id).await;
        if let Some(run) = self.unsaved(id) {
            return Ok(completed(run, stored.ok().flatten()));
        }
        let run = stored?;
        run.ok_or_else(|| AppError::UnknownId {
            what: "benchmark",
            id: id.to_string(),
        })
    }

    /// A page of history.
    pub async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, AppError> {
        check_search(query)?;
        Ok(self.inner.store.history(query).await?)
    }

    /// Stops a run; what was measured stays. Answers with the record once it has stopped.
    /// A run that has ended already stays as it is.
    pub async fn cancel(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        if let Some(active) = self.active().get(id) {
            active.cancel.cancel();
        }
        let run = self.finished(id).await?;
        if !run.status.is_final() {
            let message = "another process runs this benchmark; stop it there".to_owned();
            return Err(AppError::Conflict(message));
        }
        Ok(run)
    }

    /// The same request again.
    pub async fn rerun(&self, id: &RunId) -> Result<BenchmarkResponse, AppError> {
        let run = self.record(id).await?;
        self.start(run.request).await
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), AppError> {
        Ok(self.inner.store.ready().await?)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, Active>> {
        self.inner
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the text that is looked for is one that anybody would type.
fn check_search(query: &HistoryQuery) -> Result<(), AppError> {
    let is_long = |text: &String| text.chars().count() > LONGEST_SEARCH;
    if query.q.as_ref().is_some_and(is_long) {
        let message = format!("at most {LONGEST_SEARCH} characters");
        return Err(AppError::invalid("/q", message));
    }
    Ok(())
}

/// A record that the database lacks, with those results that it has.
fn completed(mut run: BenchmarkResponse, stored: Option<BenchmarkResponse>) -> BenchmarkResponse {
    let stored = stored.map(|it| it.results).unwrap_or_default();
    for (result, whole) in run.results.iter_mut().zip(stored) {
        *result = whole;
    }
    run
}

/// Tells what this machine does, for runs on another one, until `shutdown` is done.
pub async fn serve_agent(
    config: &Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let machine = Arc::new(Machine::new(config.nvml_library()));
    agent::server::serve(machine, config.api_token.clone(), listener, shutdown).await
}

async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let DatabaseConfig {
        max_connections,
        connect_timeout,
        statement_timeout,
    } = config.database;
    let options = ServerOptions {
        max_connections,
        connect_timeout: Duration::from_secs_f64(connect_timeout),
        statement_timeout: Duration::from_secs_f64(statement_timeout),
        restart_grace: RESTART_GRACE,
    };
    Store::open(&config.database_url(), options).await
}

/// Marks runs whose process is gone, and computes what follows from what is stored of them.
async fn mark_interrupted(store: &Store, config: &Config) -> Result<(), StoreError> {
    for id in store.interrupt_unfinished().await? {
        if let Some(mut run) = store.run(&id).await? {
            conclude(&mut run, &[], &[], price(config).as_ref());
            store_state(store, &run).await?;
            tracing::warn!(%id, "the run was interrupted by the end of an earlier process");
        }
    }
    Ok(())
}

/// What energy costs, where that is set.
fn price(config: &Config) -> Option<Price> {
    let energy = &config.energy;
    (energy.price_per_kwh > 0.0).then(|| Price {
        per_kwh: energy.price_per_kwh,
        currency: energy.currency.clone(),
    })
}

fn bounds(config: &Config) -> Bounds {
    let seconds = Duration::from_secs_f64;
    Bounds {
        deadlines: Deadlines {
            connect: seconds(config.timeouts.connect),
            first_byte: seconds(config.timeouts.first_byte),
            idle: seconds(config.timeouts.idle),
            total: seconds(config.timeouts.request),
        },
        max_line_bytes: config.limits.max_line_bytes,
        max_response_bytes: config.limits.max_response_bytes,
    }
}
