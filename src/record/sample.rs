//! What the machine was doing while a run went on. Figures are rounded when they are read, to what a
//! reader can use; what is not known is null.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

/// One look at the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Sample {
    /// Seconds since the run began; negative in the baseline window before it.
    pub offset: f64,
    /// Usage of all logical cores since the look before, percent 0–100; where the container has a limit, of
    /// its share of the processor.
    pub cpu_percent: f64,
    /// Usage of each logical core of the machine, percent 0–100.
    pub core_percent: Vec<f64>,
    /// Lowest clock of any core, MHz; null where the platform tells none.
    pub frequency_min_mhz: Option<f64>,
    /// Mean clock of all cores, MHz.
    pub frequency_mean_mhz: Option<f64>,
    /// Highest clock of any core, MHz.
    pub frequency_max_mhz: Option<f64>,
    /// Temperature of the processor, °C.
    pub cpu_temperature_celsius: Option<f64>,
    /// Energy that the processor packages took since the first look, J.
    pub cpu_energy_joules: Option<f64>,
    /// Processor time that the host of this virtual machine gave to others, percent 0–100.
    pub steal_percent: Option<f64>,
    /// Time in which the container's limit held its work up, percent of the time.
    pub throttled_percent: Option<f64>,
    /// Memory in use, bytes; the container's where it has a limit.
    pub memory_used_bytes: u64,
    /// Memory that a new program could take, bytes.
    pub memory_available_bytes: u64,
    /// Memory in use, percent of all.
    pub memory_percent: f64,
    /// Swap in use, bytes.
    pub swap_used_bytes: u64,
    /// Read back from swap since the look before, bytes.
    pub swapped_in_bytes: Option<u64>,
    /// Written to swap since the look before, bytes.
    pub swapped_out_bytes: Option<u64>,
    /// Time since the look before in which some work waited for a resource.
    pub pressure: Option<Pressure>,
    /// Load average over one minute; null where the platform has none.
    pub load_average: Option<f64>,
    /// Processor time of this program, percent of all cores of the machine.
    pub own_cpu_percent: Option<f64>,
    /// Processor time of everything but this program and the model servers, percent of all cores of the
    /// machine; null where no model server's processes are known.
    pub other_cpu_percent: Option<f64>,
    /// The model servers of the run that were found on this machine.
    pub servers: Vec<ServerSample>,
    /// Graphics processors, in the order of the machine's list.
    pub gpus: Vec<GpuSample>,
}

impl Sample {
    /// The model server of a backend, where it was found.
    pub fn server(&self, backend: &str) -> Option<&ServerSample> {
        self.servers.iter().find(|it| it.backend == backend)
    }
}

/// Share of the time in which at least one task waited (Linux' pressure stall information, `some`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Pressure {
    /// For a processor, percent.
    pub cpu_percent: Option<f64>,
    /// For memory, percent.
    pub memory_percent: Option<f64>,
    /// For storage, percent.
    pub io_percent: Option<f64>,
}

/// The processes of one model server: the one that listens and all that it started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct ServerSample {
    /// The backend's name.
    pub backend: String,
    /// What its processes do.
    pub state: ServerState,
    /// How many processes it has.
    pub processes: u32,
    /// Processor time since the look before, percent of all cores of the machine.
    pub cpu_percent: Option<f64>,
    /// Resident memory, bytes; pages that its processes share count in each.
    pub memory_bytes: Option<u64>,
    /// Pages that had to be read from storage since the look before.
    pub major_faults: Option<u64>,
    /// Time in which the limit of its container held its work up, percent of the time; null where it has
    /// none, or that cannot be seen.
    pub throttled_percent: Option<f64>,
}

/// What the processes of a model server do; the first that is true of any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ServerState {
    /// It is not there any more.
    Gone,
    /// A signal or a debugger stopped it.
    Stopped,
    /// It waits for a device and cannot be interrupted.
    Blocked,
    /// It computes, or has since the look before.
    Running,
    /// It waits for work, for a graphics processor, or for another process.
    #[default]
    Waiting,
}

/// One look at a graphics processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct GpuSample {
    /// Time in which it computed, percent, as its driver tells (of the last second or less).
    pub utilization_percent: Option<f64>,
    /// Time in which its memory was read or written, percent.
    pub memory_activity_percent: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory that the processes of the model servers hold, bytes.
    pub server_memory_bytes: Option<u64>,
    /// Power that it takes, W.
    pub power_watts: Option<f64>,
    /// Temperature of the chip, °C.
    pub temperature_celsius: Option<f64>,
    /// Clock of the compute units, MHz.
    pub clock_mhz: Option<f64>,
    /// Clock of the memory, MHz.
    pub memory_clock_mhz: Option<f64>,
    /// What holds the clock down, by the field's names: `sw_power_cap`, `hw_thermal_slowdown`, …; null
    /// where that cannot be known.
    pub throttle_reasons: Option<Vec<String>>,
    /// Energy since the first look by the device's own counter, J.
    pub energy_joules: Option<f64>,
}

/// Every look at one machine during a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Samples {
    /// Time between two samples, s; doubles when a long run would hold too many.
    pub interval: f64,
    /// The samples in order of time, baseline first.
    pub items: Vec<Sample>,
    /// What could not be read any more, and from when on.
    pub remarks: Vec<SampleRemark>,
    /// What looking took; null of older runs.
    pub cost: Option<SamplerCost>,
}

/// A figure that ceased to be known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct SampleRemark {
    /// From when on, seconds since the run began.
    pub offset: f64,
    /// Which one, such as `gpus[0].power_watts`.
    pub field: String,
    /// Why.
    pub reason: String,
}

/// What looking at the machine took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct SamplerCost {
    /// How often it was looked at.
    pub looks: u64,
    /// Looks that were left out, since the machine was so late that they could not be made up for.
    pub missed_looks: u64,
    /// Processor time of the sampler's thread, s; null where the platform does not tell.
    pub cpu_seconds: Option<f64>,
    /// The same as a share of one core over the time of the run, percent.
    pub core_percent: Option<f64>,
    /// The longest look, s.
    pub longest_look: f64,
    /// The longest time by which a look came late, s.
    pub longest_delay: f64,
}

/// What the machine of a model server was doing, as the agent there told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct RemoteSamples {
    /// The backend whose models run there.
    pub backend: String,
    /// That machine.
    pub system_info: super::SystemInfo,
    /// Name of that machine in its network.
    pub host: Option<String>,
    /// That machine's wall clock − this one's, s; it has been taken out of the offsets.
    pub clock_offset: Option<f64>,
    /// How far that may be wrong, s: half the quickest round trip.
    pub clock_error: Option<f64>,
    /// What it was doing, on the time axis of the run.
    pub samples: Samples,
    /// Why there are no samples, or no more.
    pub error: Option<String>,
}
