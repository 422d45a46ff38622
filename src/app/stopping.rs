//! The end of the program: what runs is cancelled and stored, and nothing that is away is waited for
//! without end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::App;

/// How long runs may take to store what they measured, from when the program is told to end.
const RUNS_END: Duration = Duration::from_secs(4);
/// How long everything may take, from the same moment: platforms wait for ten seconds, some for five.
const ALL_ENDS: Duration = Duration::from_millis(4500);

impl App {
    /// Cancelled as soon as the program is about to end.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stopping.clone()
    }

    /// Cancels what runs, and tells since when the program is about to end.
    pub fn begin_to_stop(&self) -> Instant {
        let told = self.inner.told_to_stop.get_or_init(Instant::now);
        self.inner.stopping.cancel();
        *told
    }

    /// Cancels what runs, waits until it is stored, closes the database.
    pub async fn shutdown(&self) {
        let told = self.begin_to_stop();
        self.inner.runs.close();
        let runs = self.inner.runs.wait();
        if timeout_at((told + RUNS_END).into(), runs).await.is_err() {
            tracing::error!(
                "some runs could not be stored in time; they will be marked at the next start"
            );
        }
        // One that does not answer finds out by itself.
        let store = self.inner.store.close();
        if timeout_at((told + ALL_ENDS).into(), store).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        let traces = Arc::clone(&self.inner.traces);
        let left = ALL_ENDS.saturating_sub(told.elapsed());
        let closed = tokio::task::spawn_blocking(move || traces.close(left)).await;
        if let Err(error) = closed {
            tracing::debug!(%error, "the last traces were not exported");
        }
    }
}
