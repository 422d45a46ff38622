//! How well this machine can measure: found out, kept, and looked up.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{App, AppError};
use crate::clock::time_of_day;
use crate::machine;
use crate::record::{Calibration, CalibrationLevel, RunId};
use crate::reference;
use crate::run::calibration::{CalibrationError, Calibrator, Level};
use crate::version::VERSION;

/// A calibration that was asked for.
pub struct CalibrationPlan {
    /// Numbers of streams, in this order.
    pub streams: Vec<u32>,
    /// How long each of them writes; `None` takes what each needs.
    pub duration: Option<Duration>,
}

/// So long nothing else may have gone on before one is made unasked.
const IDLE: Duration = Duration::from_secs(5);
/// At a hundred chunks a second one stream needs so long for a 99th percentile.
const ALONE: Duration = Duration::from_secs(7);
/// Several have as many chunks sooner.
const TOGETHER: Duration = Duration::from_secs(3);

impl CalibrationPlan {
    /// What most runs need, in few seconds.
    pub fn automatic() -> Self {
        Self {
            streams: vec![1, 16],
            duration: None,
        }
    }

    fn levels(&self) -> Vec<Level> {
        let usual = |streams| if streams < 4 { ALONE } else { TOGETHER };
        let level = |streams: &u32| Level {
            streams: *streams,
            duration: self.duration.unwrap_or_else(|| usual(*streams)),
        };
        self.streams.iter().map(level).collect()
    }

    /// How long each number of streams takes.
    pub fn expected(&self) -> Vec<Duration> {
        self.levels().iter().map(Level::expected).collect()
    }
}

/// What is known of this machine, and whose turn it is.
#[derive(Default)]
pub(super) struct Calibrations {
    known: Mutex<Option<Arc<Calibration>>>,
    machine: OnceLock<String>,
    /// Held while one goes on unasked.
    turn: tokio::sync::Mutex<()>,
    /// Ends it.
    cancel: Mutex<CancellationToken>,
}

impl Calibrations {
    fn machine(&self) -> &str {
        self.machine.get_or_init(machine::description)
    }

    fn known(&self) -> Option<Arc<Calibration>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn learn(&self, calibration: &Calibration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::new(calibration.clone()));
    }
}

impl From<CalibrationError> for AppError {
    fn from(error: CalibrationError) -> Self {
        match error {
            CalibrationError::Backend(error) => Self::Backend(error),
            other => Self::Calibration(other.to_string()),
        }
    }
}

impl App {
    /// Finds out how well this machine can measure, and keeps it. Tells `done` of each part.
    pub async fn calibrate(
        &self,
        plan: &CalibrationPlan,
        cancel: &CancellationToken,
        done: impl FnMut(&CalibrationLevel),
    ) -> Result<Calibration, AppError> {
        let program = std::env::current_exe()
            .map_err(|error| AppError::Calibration(format!("this program's own file: {error}")))?;
        let calibrator = Calibrator {
            transport: self.inner.engine.transport.clone(),
            bounds: self.inner.engine.bounds,
        };
        let levels = calibrator
            .calibrate(program, &plan.levels(), cancel, done)
            .await?;
        let now = time_of_day();
        let calibration = Calibration {
            id: RunId::new(now),
            timestamp: now,
            benchmarker_version: VERSION.to_owned(),
            machine: self.inner.calibrations.machine().to_owned(),
            levels,
        };
        self.inner.store.save_calibration(&calibration).await?;
        self.inner.calibrations.learn(&calibration);
        Ok(calibration)
    }

    /// The newest calibration of this machine by this version of the program.
    pub async fn calibration(&self) -> Result<Option<Calibration>, AppError> {
        let machine = self.inner.calibrations.machine();
        Ok(self.inner.store.calibration(machine, VERSION).await?)
    }

    /// Whether one should be made before the first run: nobody forbade it, and there is none.
    pub async fn is_calibration_due(&self) -> bool {
        self.look_up_calibration().await;
        self.config.calibration.automatic && self.known_calibration().is_none()
    }

    /// Makes a calibration when nothing else goes on, where there is none for this machine. A run
    /// that comes meanwhile goes first.
    pub async fn calibrate_when_idle(&self) {
        let calibrations = &self.inner.calibrations;
        while self.is_calibration_due().await && !self.inner.stopping.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(IDLE) => {}
                () = self.inner.stopping.cancelled() => return,
            }
            let _turn = calibrations.turn.lock().await;
            let cancel = self.inner.stopping.child_token();
            *calibrations
                .cancel
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = cancel.clone();
            let load = self.inner.queue.load();
            if load.running + load.waiting > 0 {
                continue;
            }
            let outcome = self
                .calibrate(&CalibrationPlan::automatic(), &cancel, |_| ())
                .await;
            match outcome {
                Ok(_) => tracing::info!("found out how well this machine can measure"),
                Err(_) if cancel.is_cancelled() => {}
                Err(error) => {
                    tracing::warn!(%error, "how well this machine can measure is not known");
                    return;
                }
            }
        }
    }

    /// Ends a calibration that goes on unasked, and waits until it has.
    pub(super) async fn interrupt_calibration(&self) {
        let calibrations = &self.inner.calibrations;
        calibrations
            .cancel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancel();
        drop(calibrations.turn.lock().await);
    }

    /// Looks for what an earlier process found. Without it runs go on all the same.
    pub(super) async fn look_up_calibration(&self) {
        if self.inner.calibrations.known().is_some() {
            return;
        }
        match self.calibration().await {
            Ok(Some(calibration)) => self.inner.calibrations.learn(&calibration),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the calibration cannot be read"),
        }
    }

    /// What was looked up.
    pub(super) fn known_calibration(&self) -> Option<Arc<Calibration>> {
        self.inner.calibrations.known()
    }
}

/// Starts the built-in model server alone; `one_core` keeps it to one processor core.
pub fn start_reference(place: SocketAddr, one_core: bool) -> io::Result<reference::Server> {
    if one_core {
        machine::use_one_core();
    }
    reference::Server::start(place)
}
