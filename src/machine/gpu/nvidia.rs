//! NVIDIA's devices through NVML.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use super::{Counter, Teller};
use crate::machine::rounded;
use crate::record::{Gpu, GpuProcess, GpuSample};

/// Where the library is: in containers only the name with the number is there, and on Windows'
/// Linux it lies apart.
#[cfg(not(windows))]
const LIBRARIES: [&str; 3] = [
    "libnvidia-ml.so.1",
    "libnvidia-ml.so",
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",
];
#[cfg(windows)]
const LIBRARIES: [&str; 1] = ["nvml.dll"];

/// Longest name of a process that is read, bytes.
const LONGEST_NAME: usize = 256;

/// NVIDIA's library, opened.
pub struct Nvidia {
    nvml: Nvml,
}

impl Nvidia {
    /// Opens the library, or tells why it cannot be used.
    pub fn open(library: Option<&Path>) -> Result<Self, String> {
        let open = |name: &OsStr| Nvml::builder().lib_path(name).init();
        if let Some(path) = library {
            let opened = open(path.as_os_str());
            return opened
                .map(|nvml| Self { nvml })
                .map_err(|error| format!("{} cannot be used: {}", path.display(), reason(&error)));
        }
        let mut why = String::new();
        for name in LIBRARIES {
            match open(OsStr::new(name)) {
                Ok(nvml) => return Ok(Self { nvml }),
                // The first that is there says more than those that are not.
                Err(NvmlError::LibloadingError(_)) => {}
                Err(error) if why.is_empty() => why = reason(&error),
                Err(_) => {}
            }
        }
        Err(if why.is_empty() {
            "no NVIDIA driver is installed: its management library (NVML) was not found".to_owned()
        } else {
            format!("NVIDIA's management library cannot be used: {why}")
        })
    }

    /// The driver is still there.
    pub fn answers(&self) -> bool {
        self.nvml.device_count().is_ok()
    }
}

fn reason(error: &NvmlError) -> String {
    match error {
        NvmlError::FailedToLoadSymbol(_) => "the driver is too old for it".to_owned(),
        // The library's words hold a misspelling.
        NvmlError::GpuLost => "the device fell off its bus".to_owned(),
        NvmlError::NotSupported => "the device does not tell".to_owned(),
        NvmlError::NoPermission => "this user may not read it".to_owned(),
        NvmlError::DriverNotLoaded => "the NVIDIA driver is not loaded".to_owned(),
        NvmlError::Uninitialized => "the NVIDIA driver was unloaded".to_owned(),
        other => other.to_string(),
    }
}

/// Which device: a whole one, or an instance of one (MIG).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Whole(u32),
    Instance { of: u32, number: u32 },
}

/// One device.
pub struct Device {
    nvidia: Arc<Nvidia>,
    place: Place,
    /// Place in the list of the device that this is a part of.
    part_of: Option<u32>,
    energy: Counter,
}

type Handle<'a> = nvml_wrapper::Device<'a>;

/// Every device and, after each, its instances.
pub fn devices(nvidia: &Arc<Nvidia>) -> Vec<Device> {
    let mut found: Vec<Device> = Vec::new();
    let device = |place, part_of| Device {
        nvidia: Arc::clone(nvidia),
        place,
        part_of,
        energy: Counter::default(),
    };
    for index in 0..nvidia.nvml.device_count().unwrap_or(0) {
        let whole = u32::try_from(found.len()).ok();
        found.push(device(Place::Whole(index), None));
        // Of places that are not taken there is no handle.
        let Ok(handle) = nvidia.nvml.device_by_index(index) else {
            continue;
        };
        for number in 0..instances(&handle) {
            if handle.mig_device_by_index(number).is_ok() {
                found.push(device(Place::Instance { of: index, number }, whole));
            }
        }
    }
    found
}

fn instances(handle: &Handle) -> u32 {
    let is_on = handle.mig_mode().is_ok_and(|mode| mode.current == 1);
    if is_on {
        handle.mig_device_count().unwrap_or(0)
    } else {
        0
    }
}

impl Device {
    fn handle(&self) -> Result<Handle<'_>, String> {
        let nvml = &self.nvidia.nvml;
        let handle = match self.place {
            Place::Whole(index) => nvml.device_by_index(index),
            Place::Instance { of, number } => nvml
                .device_by_index(of)
                .and_then(|whole| whole.mig_device_by_index(number)),
        };
        handle.map_err(|error| reason(&error))
    }

    /// What is fixed about it.
    pub fn describe(&self) -> Gpu {
        let nvml = &self.nvidia.nvml;
        let cuda = nvml.sys_cuda_driver_version().ok().map(|version| {
            let (major, minor) = (version / 1000, version % 1000 / 10);
            format!("{major}.{minor}")
        });
        let mut gpu = Gpu {
            vendor: Some("nvidia".to_owned()),
            driver_version: nvml.sys_driver_version().ok(),
            cuda_version: cuda,
            part_of: self.part_of,
            ..Gpu::default()
        };
        let Ok(handle) = self.handle() else {
            return gpu;
        };
        gpu.name = handle.name().ok();
        gpu.uuid = handle.uuid().ok();
        gpu.memory_total_bytes = handle.memory_info().ok().map(|memory| memory.total);
        let limit = handle.power_management_limit();
        gpu.power_limit_watts = limit.ok().map(|milliwatts| f64::from(milliwatts) / 1000.0);
        gpu.max_clock_mhz = handle.max_clock_info(Clock::SM).ok().map(f64::from);
        gpu.processes = processes(&handle)
            .unwrap_or_default()
            .iter()
            .map(|process| GpuProcess {
                pid: process.pid,
                name: nvml.sys_process_name(process.pid, LONGEST_NAME).ok(),
                memory_bytes: memory(process),
            })
            .collect();
        gpu
    }

    /// What it does now.
    pub fn look(&mut self, servers: &BTreeSet<u32>, tell: &mut Teller) -> GpuSample {
        let mut sample = GpuSample::default();
        let energy = match self.handle() {
            Ok(handle) => {
                fill(&mut sample, &handle, servers, tell);
                let energy = handle.total_energy_consumption();
                tell.value("energy_joules", told(energy))
            }
            Err(reason) => {
                tell.lost(reason);
                None
            }
        };
        sample.energy_joules = energy.map(|millijoules| {
            let since = self.energy.since_first(millijoules as f64);
            rounded(since / 1000.0, 0.001)
        });
        sample
    }
}

fn told<T>(read: Result<T, NvmlError>) -> Result<T, String> {
    read.map_err(|error| reason(&error))
}

fn fill(sample: &mut GpuSample, handle: &Handle, servers: &BTreeSet<u32>, tell: &mut Teller) {
    let usage = tell.value("utilization_percent", told(handle.utilization_rates()));
    sample.utilization_percent = usage.as_ref().map(|usage| f64::from(usage.gpu));
    sample.memory_activity_percent = usage.map(|usage| f64::from(usage.memory));
    let memory_info = tell.value("memory_used_bytes", told(handle.memory_info()));
    sample.memory_used_bytes = memory_info.map(|memory| memory.used);
    let power = tell.value("power_watts", told(handle.power_usage()));
    sample.power_watts = power.map(|milliwatts| rounded(f64::from(milliwatts) / 1000.0, 0.01));
    let temperature = handle.temperature(TemperatureSensor::Gpu);
    sample.temperature_celsius = tell
        .value("temperature_celsius", told(temperature))
        .map(f64::from);
    let clock = tell.value("clock_mhz", told(handle.clock_info(Clock::SM)));
    sample.clock_mhz = clock.map(f64::from);
    let clock = tell.value("memory_clock_mhz", told(handle.clock_info(Clock::Memory)));
    sample.memory_clock_mhz = clock.map(f64::from);
    let reasons = tell.value("throttle_reasons", told(handle.current_throttle_reasons()));
    sample.throttle_reasons = reasons.map(|reasons| {
        let names = reasons.iter_names();
        names.map(|(name, _)| name.to_lowercase()).collect()
    });
    if !servers.is_empty() {
        let all = tell.value("server_memory_bytes", told(processes(handle)));
        sample.server_memory_bytes = all.and_then(|all| {
            let own = all.iter().filter(|process| servers.contains(&process.pid));
            own.map(memory)
                .reduce(|sum, one| Some(sum? + one?))
                .flatten()
        });
    }
}

/// Those that compute on it; graphics of a desktop are not of interest here.
fn processes(handle: &Handle) -> Result<Vec<ProcessInfo>, NvmlError> {
    handle.running_compute_processes()
}

fn memory(process: &ProcessInfo) -> Option<u64> {
    match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    }
}
