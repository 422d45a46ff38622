//! This machine and the model servers, now: what every open page asks for every few seconds.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::App;
use crate::backend::Backend;
use crate::machine;
use crate::record::{BackendState, SystemNow};

/// How long a backend may take to say that it is there.
const TIMEOUT: Duration = Duration::from_secs(2);
/// So long its answer is not asked for again, however many pages are open.
const KEPT: Duration = Duration::from_secs(2);

/// What each backend answered, and when.
pub(super) type States = Mutex<HashMap<String, (Instant, BackendState)>>;

impl App {
    /// This machine and the backends, now.
    pub async fn system(&self) -> SystemNow {
        let backends = self.states().await;
        let sample = self
            .inner
            .watch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .look();
        let load = self.inner.queue.load();
        SystemNow {
            system_info: machine::system_info(),
            sample,
            backends,
            database: self.inner.store.kind().to_owned(),
            running: u32::try_from(load.running).unwrap_or(u32::MAX),
            queued: u32::try_from(load.waiting).unwrap_or(u32::MAX),
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
