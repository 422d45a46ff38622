//! How the program stands, for those who watch it from outside.

use std::sync::Arc;

use super::App;
use crate::backend::Backends;
use crate::config::{Config, Endpoint};
use crate::machine::{self, OwnProcess};
use crate::record::{BenchmarkResponse, NovaTurn};
use crate::run::queue::Load;
use crate::store::PoolState;
use crate::telemetry::{
    Format, Metrics, Open, Pool, Process, ServedBy, Servers, Snapshot, Watched, Work,
};

/// What serves the models of each backend.
pub(super) fn servers(backends: &Backends, config: &Config) -> Servers {
    let each = backends.values().map(|backend| {
        let settings = config.backends.get(backend.name());
        let endpoint = settings.map_or(Endpoint::Default, |it| it.endpoint);
        let is_chat = match endpoint {
            Endpoint::Chat => true,
            Endpoint::Generate | Endpoint::Completions => false,
            Endpoint::Default => backend.kind() == "openai",
        };
        let operation = if is_chat { "chat" } else { "text_completion" };
        let provider = backend.kind();
        let uri = backend.url().parse::<hyper::Uri>().unwrap_or_default();
        let standard = match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        };
        let served = ServedBy {
            provider,
            operation,
            address: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().or(standard),
        };
        (backend.name().to_owned(), served)
    });
    each.collect()
}

impl App {
    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// Counts the end of a run, `seconds` after it had started where it had, and tells it to a collector.
    pub(super) fn told_run_ended(&self, run: &BenchmarkResponse, seconds: Option<f64>) {
        self.inner.metrics.run_ended(run, seconds);
        self.inner.traces.run_ended(run);
    }

    /// The same of a turn of agents.
    pub(super) fn told_turn_ended(&self, turn: &NovaTurn) {
        self.inner.metrics.turn_ended(turn);
        self.inner.traces.turn_ended(turn);
    }

    /// Counts somebody who watches events, until the guard is dropped.
    pub fn watching(&self, watched: Watched) -> Open {
        self.inner.metrics.stream_opened(watched)
    }

    /// Every figure as a text. No query of the database goes with its size.
    pub async fn metrics_text(&self, format: Format) -> String {
        let _turn = self.inner.scraping.lock().await;
        let snapshot = self.snapshot().await;
        let metrics = Arc::clone(&self.inner.metrics);
        // Counting open files takes its time where there are thousands, and so does writing.
        let written = tokio::task::spawn_blocking(move || {
            let process = machine::own_process().map(process);
            let snapshot = Snapshot {
                process,
                ..snapshot
            };
            metrics.text(&snapshot, format)
        });
        written.await.unwrap_or_default()
    }

    async fn snapshot(&self) -> Snapshot {
        let inner = &self.inner;
        let [runs, calls] = inner.queue.loads().map(work);
        let unsaved_runs = self.unsaved_count();
        let waiting_results = self
            .active()
            .values()
            .map(super::Active::waiting_results)
            .sum();
        Snapshot {
            runs,
            calls,
            turns: inner.agents.count(),
            waiting_results,
            unsaved_runs,
            pools: inner.store.pools().into_iter().map(pool).collect(),
            database: inner.store.kind(),
            database_bytes: self.database_bytes().await,
            process: None,
        }
    }
}

fn work(load: Load) -> Work {
    Work {
        running: load.running,
        waiting: load.waiting,
    }
}

fn pool(state: PoolState) -> Pool {
    Pool {
        name: state.name,
        used: state.open - state.idle,
        idle: state.idle,
        most: state.most,
        waiting: state.waiting,
    }
}

fn process(own: OwnProcess) -> Process {
    Process {
        cpu_seconds: own.cpu.as_secs_f64(),
        resident_bytes: own.resident_bytes,
        virtual_bytes: own.virtual_bytes,
        threads: own.threads,
        open_files: own.open_files,
        most_files: own.most_files,
        started: own.started,
    }
}
