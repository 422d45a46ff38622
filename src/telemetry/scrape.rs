//! The figures that stand, and all of them as a text.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::metrics::{Metrics, OWN};

/// How the figures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own text, version 0.0.4.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0, which also states the units.
    OpenMetrics,
}

/// How things stand when somebody scrapes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Runs that go on and wait.
    pub runs: Work,
    /// Calls of agents that go on and wait.
    pub calls: Work,
    /// Turns of agents that go on.
    pub turns: usize,
    /// Results that are measured and wait for the database.
    pub waiting_results: usize,
    /// Runs whose end the database did not take.
    pub unsaved_runs: usize,
    /// Pools of connections to the database.
    pub pools: Vec<Pool>,
    /// Which database it is.
    pub database: &'static str,
    /// How large it is, bytes; `None` where it does not tell.
    pub database_bytes: Option<u64>,
    /// This process; `None` where nothing is known of it.
    pub process: Option<Process>,
}

/// Work that goes on and waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// So much goes on.
    pub running: usize,
    /// So much waits.
    pub waiting: usize,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Which one.
    pub name: &'static str,
    /// Connections that somebody uses.
    pub used: u32,
    /// Connections that nobody uses.
    pub idle: u32,
    /// Most that there can be.
    pub most: u32,
    /// Who waits for one.
    pub waiting: usize,
}

/// What this process takes, in the units of the names.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Processor time, s.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub open_files: Option<usize>,
    /// Most that there may be.
    pub most_files: Option<u64>,
    /// Start, s since 1970.
    pub started: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    kind: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    pool: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DatabaseLabel {
    kind: &'static str,
}

type Gauges<L> = Family<L, Gauge<u64, AtomicU64>>;

impl Metrics {
    /// Every figure. Its size goes with the number of routes and models, never with the history.
    pub fn text(&self, snapshot: &Snapshot, format: Format) -> String {
        let standing = snapshot.registered();
        let mut all = String::new();
        // Writing into a string cannot fail.
        let _ = match format {
            Format::Prometheus => prometheus_text::encode(&mut all, &standing)
                .and_then(|()| prometheus_text::encode(&mut all, &self.registry)),
            Format::OpenMetrics => text::encode_registry(&mut all, &standing)
                .and_then(|()| text::encode(&mut all, &self.registry)),
        };
        all
    }
}

impl Snapshot {
    fn registered(&self) -> Registry {
        let mut registry = Registry::default();
        if let Some(process) = &self.process {
            process.register(registry.sub_registry_with_prefix("process"));
        }
        let own = registry.sub_registry_with_prefix(OWN);
        let build = Gauges::<BuildLabels>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version }).set(1);
        own.register("build_info", "Which program this is; always 1", build);
        self.register_work(own);
        self.register_database(own);
        registry
    }

    fn register_work(&self, own: &mut Registry) {
        let queue = Gauges::<QueueLabels>::default();
        for (kind, work) in [("run", self.runs), ("call", self.calls)] {
            for (state, count) in [("running", work.running), ("waiting", work.waiting)] {
                queue
                    .get_or_create(&QueueLabels { kind, state })
                    .set(count as u64);
            }
        }
        own.register(
            "queue_entries",
            "Runs, and calls of agents, that go on and wait for their turn",
            queue,
        );
        own.register(
            "nova_turns_active",
            "Turns of agents that go on",
            ConstGauge::new(self.turns as u64),
        );
    }

    fn register_database(&self, own: &mut Registry) {
        let (connections, most, waiting) = (
            Gauges::<ConnectionLabels>::default(),
            Gauges::<PoolLabel>::default(),
            Gauges::<PoolLabel>::default(),
        );
        for it in &self.pools {
            let pool = it.name;
            for (state, count) in [("used", it.used), ("idle", it.idle)] {
                connections
                    .get_or_create(&ConnectionLabels { pool, state })
                    .set(count.into());
            }
            most.get_or_create(&PoolLabel { pool }).set(it.most.into());
            waiting
                .get_or_create(&PoolLabel { pool })
                .set(it.waiting as u64);
        }
        own.register(
            "database_connections",
            "Open connections to the database",
            connections,
        );
        own.register(
            "database_connections_max",
            "Most connections to the database that there can be",
            most,
        );
        own.register(
            "database_waiting",
            "Reads and writes that wait for a connection to the database",
            waiting,
        );
        own.register(
            "unstored_results",
            "Results that are measured and wait for the database, besides the one of each run that is being stored",
            ConstGauge::new(self.waiting_results as u64),
        );
        own.register(
            "unsaved_runs",
            "Runs whose end the database did not take; they are tried again",
            ConstGauge::new(self.unsaved_runs as u64),
        );
        if let Some(bytes) = self.database_bytes {
            let size = Gauges::<DatabaseLabel>::default();
            let kind = self.database;
            size.get_or_create(&DatabaseLabel { kind }).set(bytes);
            let help = "Size of the database, its log included";
            own.register_with_unit("database_size", help, Unit::Bytes, size);
        }
    }
}

impl Process {
    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "cpu",
            "Processor time of all threads",
            Unit::Seconds,
            ConstCounter::new(self.cpu_seconds),
        );
        registry.register_with_unit(
            "resident_memory",
            "Resident memory",
            Unit::Bytes,
            ConstGauge::new(self.resident_bytes),
        );
        registry.register_with_unit(
            "virtual_memory",
            "Address space",
            Unit::Bytes,
            ConstGauge::new(self.virtual_bytes),
        );
        registry.register("threads", "Threads", ConstGauge::new(self.threads));
        if let Some(files) = self.open_files {
            let help = "Open files and sockets";
            registry.register("open_fds", help, ConstGauge::new(files as u64));
        }
        if let Some(most) = self.most_files {
            let help = "Most files and sockets that may be open";
            registry.register("max_fds", help, ConstGauge::new(most));
        }
        if let Some(started) = self.started {
            let help = "Start of the process since 1970-01-01 in UTC";
            let started = ConstGauge::new(started);
            registry.register_with_unit("start_time", help, Unit::Seconds, started);
        }
    }
}
