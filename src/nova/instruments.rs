//! Looking at the machines while agents work: one look for all turns that go on, begun with the first of
//! them and ended a while after the last, so that no turn waits for it to begin.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::machine::MachineError;
use crate::run::engine::{Engine, Instrument, Machines};

/// So long after the last turn the machines are still looked at: who reads an answer often asks again.
const LINGER: Duration = Duration::from_secs(20);

/// What looks at the machines, as long as somebody needs it.
pub struct Instruments {
    engine: Arc<Engine>,
    current: tokio::sync::Mutex<Weak<Shared>>,
}

struct Shared {
    instrument: Instrument,
    backends: BTreeSet<String>,
    machines: Mutex<Option<Machines>>,
}

/// A look at the machines, held as long as it is needed.
pub struct Lent(Arc<Shared>);

impl Instruments {
    /// Nobody looks yet. The engine must look without a baseline: turns do not wait for one.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            current: tokio::sync::Mutex::new(Weak::new()),
        }
    }

    /// What looks at the machines of these backends, begun where nothing does.
    pub async fn lend(&self, backends: &BTreeSet<String>) -> Result<Lent, MachineError> {
        let mut current = self.current.lock().await;
        let mut wanted = backends.clone();
        if let Some(shared) = current.upgrade() {
            if shared.backends.is_superset(backends) {
                return Ok(Lent(shared));
            }
            wanted.extend(shared.backends.iter().cloned());
        }
        let engine = Arc::clone(&self.engine);
        let cancel = CancellationToken::new();
        let (instrument, machines) =
            Instrument::start(engine, &wanted, None, cancel, |_, _| ()).await?;
        let shared = Arc::new(Shared {
            instrument,
            backends: wanted,
            machines: Mutex::new(Some(machines)),
        });
        *current = Arc::downgrade(&shared);
        Ok(Lent(shared))
    }
}

impl Lent {
    /// What measures.
    pub fn instrument(&self) -> &Instrument {
        &self.0.instrument
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.0);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                drop(shared);
            });
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let machines = self.machines.lock();
        let machines = machines.unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(machines), Ok(runtime)) = (machines, tokio::runtime::Handle::try_current()) {
            runtime.spawn(machines.stop());
        }
    }
}
