//! Records of runs that have ended and that the database did not take, as when its disk is full.
//! They are kept here and tried again until they are stored or the program ends.

use std::sync::PoisonError;
use std::time::Duration;

use tracing::Instrument;

use super::App;
use super::execution::store_whole;
use crate::record::{BenchmarkResponse, RunId};

/// Between two tries.
const INTERVAL: Duration = Duration::from_secs(10);

impl App {
    /// Whether the database lacks the end of this run.
    pub fn is_unsaved(&self, id: &RunId) -> bool {
        self.unsaved(id).is_some()
    }

    /// The record that the database lacks.
    pub(super) fn unsaved(&self, id: &RunId) -> Option<BenchmarkResponse> {
        let unsaved = self.inner.unsaved.lock();
        let unsaved = unsaved.unwrap_or_else(PoisonError::into_inner);
        unsaved.get(id).cloned()
    }

    /// How many records the database lacks.
    pub(super) fn unsaved_count(&self) -> usize {
        let unsaved = self.inner.unsaved.lock();
        unsaved.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Keeps a record and goes on trying to store it.
    pub(super) fn keep_unsaved(&self, run: BenchmarkResponse) {
        let id = run.id.clone();
        let unsaved = self.inner.unsaved.lock();
        unsaved
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), run);
        let app = self.clone();
        let work = async move {
            while app.is_unsaved(&id) {
                let is_last = tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => false,
                    () = app.inner.stopping.cancelled() => true,
                };
                app.settle(&id).await;
                if is_last {
                    return;
                }
            }
        };
        self.inner.runs.spawn(work.in_current_span());
    }

    /// Forgets a record, since it is stored or deleted.
    pub(super) fn forget_unsaved(&self, id: &RunId) {
        let unsaved = self.inner.unsaved.lock();
        unsaved.unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Tries to store a record that the database lacks.
    async fn settle(&self, id: &RunId) {
        let Some(run) = self.unsaved(id) else {
            return;
        };
        match store_whole(self, &run).await {
            Ok(()) => {
                self.forget_unsaved(id);
                tracing::info!("the run is stored now");
            }
            Err(error) => tracing::warn!(%error, "the run still cannot be stored"),
        }
    }
}
