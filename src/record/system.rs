//! The machine: what it is, and what it was doing while a run went on.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// The machine that a run was measured on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct SystemInfo {
    /// Operating system, version and architecture.
    pub platform: String,
    /// Processor name.
    pub processor: String,
    /// Version of this program; older documents carry none.
    pub benchmarker_version: Option<String>,
    /// Processor cores and clocks.
    pub cpu: Cpu,
    /// Main memory.
    pub memory: Memory,
    /// Graphics processors; empty where there is none or none can be read.
    pub gpu: Vec<Gpu>,
    /// Whether it ran on its battery; null where it has none, or does not tell.
    pub on_battery: Option<bool>,
}

/// Processor cores and clocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Cpu {
    /// Physical cores.
    pub physical_cores: Option<u32>,
    /// Logical cores.
    pub total_cores: Option<u32>,
    /// Highest clock that the processor states, MHz.
    pub max_frequency: Option<f64>,
    /// Lowest clock that the processor states, MHz.
    pub min_frequency: Option<f64>,
    /// Mean clock of all cores when the run began, MHz.
    pub current_frequency: Option<f64>,
}

/// Main memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Memory {
    /// All of it, GiB.
    pub total: f64,
    /// What a new program could take, GiB.
    pub available: f64,
    /// In use, GiB.
    pub used: f64,
    /// In use, percent of all.
    pub percent_used: f64,
    /// All of it, bytes.
    pub total_bytes: Option<u64>,
    /// What a new program could take, bytes.
    pub available_bytes: Option<u64>,
    /// In use, bytes.
    pub used_bytes: Option<u64>,
}

/// A graphics processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Gpu {
    /// Device name.
    pub name: Option<String>,
    /// All memory of the device, bytes.
    pub memory_total_bytes: Option<u64>,
}

/// One look at the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Sample {
    /// Seconds since the run began; negative in the baseline window before it.
    pub offset: f64,
    /// Usage of all logical cores, percent 0–100.
    pub cpu_percent: f64,
    /// Usage of each logical core, percent 0–100.
    pub core_percent: Vec<f64>,
    /// Lowest clock of any core, MHz; null where the platform tells none.
    pub frequency_min_mhz: Option<f64>,
    /// Mean clock of all cores, MHz.
    pub frequency_mean_mhz: Option<f64>,
    /// Highest clock of any core, MHz.
    pub frequency_max_mhz: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used_bytes: u64,
    /// Memory that a new program could take, bytes.
    pub memory_available_bytes: u64,
    /// Memory in use, percent of all.
    pub memory_percent: f64,
    /// Swap in use, bytes.
    pub swap_used_bytes: u64,
    /// Load average over one minute; null where the platform has none.
    pub load_average: Option<f64>,
}

/// Every look at the machine during a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
pub struct Samples {
    /// Time between two samples, s; doubles when a long run would hold too many.
    pub interval: f64,
    /// The samples in order of time, baseline first.
    pub items: Vec<Sample>,
}

/// This machine and what this program is connected to, now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct SystemNow {
    /// The machine.
    pub system_info: SystemInfo,
    /// What it is doing; null until the first look.
    pub sample: Option<Sample>,
    /// The model servers.
    pub backends: Vec<BackendState>,
    /// The database in use, such as `sqlite`.
    pub database: String,
    /// Runs going on now.
    pub running: u32,
    /// Runs that wait.
    pub queued: u32,
}

/// A model server, as it answered just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct BackendState {
    /// Its name in the configuration.
    pub name: String,
    /// `ollama`, `openai` or `reference`.
    pub kind: String,
    /// Where it listens, without credentials.
    pub url: String,
    /// It answered.
    pub reachable: bool,
    /// Version that it states.
    pub version: Option<String>,
    /// Why it cannot be reached, and what to do.
    pub error: Option<String>,
}
