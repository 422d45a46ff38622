//! The machine: what it is, and what this program is connected to.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::Sample;

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
    /// The commit that this program was built from, with `-modified` where its sources were changed
    /// since; null where that is not known, as in older documents.
    pub benchmarker_commit: Option<String>,
    /// Processor cores and clocks.
    pub cpu: Cpu,
    /// Main memory.
    pub memory: Memory,
    /// Graphics processors; empty where there is none or none can be read.
    pub gpu: Vec<Gpu>,
    /// Whether it ran on its battery; null where it has none, or does not tell.
    pub on_battery: Option<bool>,
    /// Power profile that its firmware was set to, such as `low-power` or `balanced`.
    pub power_profile: Option<String>,
    /// The container that this program runs in, where that limits it.
    pub container: Option<Container>,
    /// What cannot be known here, and why.
    pub unavailable: Vec<UnknownFigure>,
}

/// A figure that cannot be known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct UnknownFigure {
    /// Which one, such as `cpu_energy_joules` or `gpu[0].power_watts`.
    pub field: String,
    /// Why, and what to do where something can be done.
    pub reason: String,
}

/// What a container lets its programs use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Container {
    /// Processor time, in logical cores; null without a limit.
    pub cpu_cores: Option<f64>,
    /// Memory, bytes; null without a limit.
    pub memory_bytes: Option<u64>,
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
    /// What decides the clock, such as `performance` or `powersave`.
    pub governor: Option<String>,
    /// The driver that it decides through, such as `intel_pstate`; with some, `powersave` is the usual
    /// governor and slows nothing down.
    pub frequency_driver: Option<String>,
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
    /// Who made it: `nvidia`, `amd`, `intel`.
    pub vendor: Option<String>,
    /// Its own id.
    pub uuid: Option<String>,
    /// All memory of the device, bytes.
    pub memory_total_bytes: Option<u64>,
    /// Version of its driver.
    pub driver_version: Option<String>,
    /// Highest CUDA version that the driver takes.
    pub cuda_version: Option<String>,
    /// Power that it may take, W.
    pub power_limit_watts: Option<f64>,
    /// Highest clock of its compute units, MHz.
    pub max_clock_mhz: Option<f64>,
    /// Place in this list of the device that this one is a part of (MIG); null of a whole device.
    pub part_of: Option<u32>,
    /// Processes that hold memory of it, as far as that can be seen.
    pub processes: Vec<GpuProcess>,
}

/// A process that holds memory of a graphics processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct GpuProcess {
    /// Number of the process.
    pub pid: u32,
    /// Name of the process; null where it cannot be seen.
    pub name: Option<String>,
    /// Memory that it holds, bytes.
    pub memory_bytes: Option<u64>,
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
    /// The database in use.
    pub database: DatabaseState,
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

/// The database: which one, where, and how large.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct DatabaseState {
    /// `sqlite` or `postgres`.
    pub kind: String,
    /// Its file, or the address of its server, without credentials.
    pub place: String,
    /// What it takes on the disk, bytes; null where it does not answer.
    pub bytes: Option<u64>,
    /// Of those, what deleted runs have left free, bytes; null where that is not known, as with Postgres.
    pub free_bytes: Option<u64>,
    /// Runs that are stored; null where it does not answer.
    pub runs: Option<u64>,
}
