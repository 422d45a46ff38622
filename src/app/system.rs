//! This machine and the model servers, now: what every open page asks for every few seconds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::{App, AppError};
use crate::backend::Backend;
use crate::machine;
use crate::record::{
    BackendState, BenchmarkRequest, DatabaseState, Environment, FieldError, Location, Sample,
    SystemInfo, SystemNow,
};

/// How long a backend may take to say that it is there.
const TIMEOUT: Duration = Duration::from_secs(2);
/// So long its answer is not asked for again, however many pages are open.
const KEPT: Duration = Duration::from_secs(2);

/// So long the size of the database is not asked for again: to count a million runs takes its time.
const SIZE_KEPT: Duration = Duration::from_secs(10);

/// What each backend answered, and when.
pub(super) type States = Mutex<HashMap<String, (Instant, BackendState)>>;

impl App {
    /// This machine and the backends, now.
    pub async fn system(&self) -> SystemNow {
        let (backends, system_info, sample, database) = tokio::join!(
            self.states(),
            self.known_system_info(),
            self.sample(),
            self.database()
        );
        let load = self.inner.queue.load();
        SystemNow {
            system_info,
            sample,
            backends,
            database,
            running: u32::try_from(load.running).unwrap_or(u32::MAX),
            queued: u32::try_from(load.waiting).unwrap_or(u32::MAX),
        }
    }

    /// The database and its size, as it was a moment ago; without its size where it does not answer.
    async fn database(&self) -> DatabaseState {
        let mut known = self.inner.database.lock().await;
        if let Some((asked, state)) = &*known
            && asked.elapsed() < SIZE_KEPT
        {
            return state.clone();
        }
        let store = &self.inner.store;
        let state = match tokio::time::timeout(TIMEOUT, store.state()).await {
            Ok(Ok(state)) => state,
            _ => store.whereabouts(),
        };
        *known = Some((Instant::now(), state.clone()));
        state
    }

    /// Bytes of the database, as they were a moment ago; `None` where it does not answer.
    pub(super) async fn database_bytes(&self) -> Option<u64> {
        let mut known = self.inner.database_bytes.lock().await;
        if let Some((asked, bytes)) = *known
            && asked.elapsed() < SIZE_KEPT
        {
            return bytes;
        }
        let asked = tokio::time::timeout(TIMEOUT, self.inner.store.bytes()).await;
        let bytes = asked.ok().and_then(Result::ok);
        *known = Some((Instant::now(), bytes));
        bytes
    }

    /// This machine: drivers are asked, which may take a while.
    pub(super) async fn system_info(&self) -> SystemInfo {
        let machine = Arc::clone(&self.inner.engine.machine);
        let asked = tokio::task::spawn_blocking(move || machine.info()).await;
        asked.unwrap_or_default()
    }

    /// The same, as it was a moment ago: every open page asks for it.
    async fn known_system_info(&self) -> SystemInfo {
        let mut known = self.inner.system_info.lock().await;
        match &*known {
            Some((asked, info)) if asked.elapsed() < KEPT => info.clone(),
            _ => {
                let info = self.system_info().await;
                *known = Some((Instant::now(), info.clone()));
                info
            }
        }
    }

    /// What this machine is doing; `None` until there are two looks.
    async fn sample(&self) -> Option<Sample> {
        let app = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let engine = &app.inner.engine;
            let targets = || {
                let settings = engine.settings.iter();
                settings
                    .filter_map(|(name, settings)| machine::local(name, settings))
                    .collect()
            };
            let mut watch = app
                .inner
                .watch
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            watch.look(&engine.machine, targets)
        });
        // A name that is looked up for ever must not hold up the page.
        let looked = tokio::time::timeout(TIMEOUT, looked).await;
        looked.ok()?.ok().flatten()
    }

    /// Settings of the model servers of a run that are on this machine, by backend.
    pub(super) async fn server_settings(
        &self,
        environment: &Environment,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let engine = Arc::clone(&self.inner.engine);
        let backends: BTreeSet<String> = environment
            .models
            .iter()
            .map(|model| model.backend.clone())
            .collect();
        let looked = tokio::task::spawn_blocking(move || {
            let found = backends.into_iter().filter_map(|name| {
                let target = machine::local(&name, engine.settings.get(&name)?)?;
                let settings = engine.machine.server_settings(&target);
                Some((name, settings.into_iter().collect()))
            });
            found.collect()
        });
        looked.await.unwrap_or_default()
    }

    /// A pause until it is cool needs a thermometer.
    pub(super) async fn check_cooldown(
        &self,
        request: &BenchmarkRequest,
        environment: &Environment,
    ) -> Result<(), AppError> {
        let is_asked = request
            .cooldown
            .is_some_and(|it| it.temperature_celsius.is_some());
        if !is_asked {
            return Ok(());
        }
        let wrong = |message: String| {
            let pointer = "/cooldown/temperature_celsius".to_owned();
            Err(AppError::Invalid(vec![FieldError { pointer, message }]))
        };
        let engine = &self.inner.engine;
        let (watched, others): (Vec<_>, Vec<_>) = environment.models.iter().partition(|model| {
            let settings = engine.settings.get(&model.backend);
            settings.is_some_and(|it| !it.agent_url.trim().is_empty())
        });
        if let Some(model) = others.iter().find(|it| it.location == Location::Remote) {
            return wrong(format!(
                "the machine of {} is not looked at: run `ollama-benchmarker agent` there, or give seconds",
                model.backend
            ));
        }
        let machine = Arc::clone(&engine.machine);
        let has = tokio::task::spawn_blocking(move || machine.has_thermometer()).await;
        if watched.is_empty() && !has.unwrap_or(false) {
            return wrong("no temperature can be read on this machine; give seconds".to_owned());
        }
        Ok(())
    }

    /// Where the server of a backend is, seen from here.
    pub(super) async fn location(&self, backend: &str) -> Location {
        let Some(settings) = self.inner.engine.settings.get(backend).cloned() else {
            return Location::Local;
        };
        if !settings.process.trim().is_empty() {
            return Location::Local;
        }
        // Names are asked for, which may take a while.
        let asked = tokio::task::spawn_blocking(move || machine::is_local(&settings.url)).await;
        match asked.ok().flatten() {
            Some(true) => Location::Local,
            Some(false) => Location::Remote,
            None => Location::Unknown,
        }
    }

    /// A server that is being measured is left in peace: of it the last answer is told.
    async fn states(&self) -> Vec<BackendState> {
        let backends = &self.inner.engine.backends;
        let measured = self.inner.queue.backends_in_use();
        let mut known = self.inner.states.lock().await;
        let is_due = |name: &str| match known.get(name) {
            None => true,
            Some((asked, _)) => asked.elapsed() >= KEPT && !measured.contains(name),
        };
        let due = backends.values().filter(|it| is_due(it.name()));
        for state in join_all(due.map(|it| ask(it.as_ref()))).await {
            known.insert(state.name.clone(), (Instant::now(), state));
        }
        let states = backends.keys().filter_map(|name| known.get(name));
        states.map(|(_, state)| state.clone()).collect()
    }
}

async fn ask(backend: &dyn Backend) -> BackendState {
    let answer = tokio::time::timeout(TIMEOUT, backend.version()).await;
    let (version, error) = match answer {
        Ok(Ok(version)) => (version, None),
        Ok(Err(error)) => (None, Some(error.to_string())),
        Err(_) => (None, Some(format!("no answer within {TIMEOUT:?}"))),
    };
    BackendState {
        name: backend.name().to_owned(),
        kind: backend.kind().to_owned(),
        url: backend.url(),
        reachable: error.is_none(),
        version,
        error,
    }
}
