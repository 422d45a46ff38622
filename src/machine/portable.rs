//! Looking at a machine where there is no way of its own: usage, clocks and memory through one
//! library for all systems, model servers by their programs' names. On Linux the tests hold it
//! against what is read there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sysinfo::{
    CpuRefreshKind, MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System,
};

use super::remarks::Remarks;
use super::target::{Lookup, Target};
use super::{MachineError, rounded};
#[cfg(not(target_os = "linux"))]
use crate::record::{Container, Memory, UnknownFigure};
use crate::record::{Sample, ServerSample, ServerState};

#[cfg(not(target_os = "linux"))]
const GIB: f64 = (1_u64 << 30) as f64;

/// Processes are refreshed no more often: all of them are gone through.
const PROCESSES_EVERY: Duration = Duration::from_secs(1);

/// Looks at everything but graphics processors.
pub struct Eye {
    system: System,
    targets: Vec<Target>,
    refreshed: Option<Instant>,
    servers: Vec<ServerSample>,
    pids: BTreeSet<u32>,
}

impl Eye {
    /// Looks at the servers by name.
    pub fn new(targets: Vec<Target>) -> Result<Self, MachineError> {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::everything())
            .with_memory(MemoryRefreshKind::everything());
        Ok(Self {
            system: System::new_with_specifics(wanted)?,
            targets,
            refreshed: None,
            servers: Vec::new(),
            pids: BTreeSet::new(),
        })
    }

    /// The machine now. Usage is renewed by the library five times a second at most.
    pub fn look(&mut self, at: Instant, _remarks: &mut Remarks) -> Sample {
        self.system.refresh_cpu_all();
        self.system.refresh_memory();
        self.look_at_servers(at);
        let cpus = self.system.cpus();
        let clocks: Vec<f64> = cpus
            .iter()
            .map(|cpu| cpu.frequency() as f64)
            .filter(|clock| *clock > 0.0)
            .collect();
        let total = self.system.total_memory();
        let used = self.system.used_memory();
        let tenth = |percent: f32| rounded(f64::from(percent), 0.1);
        Sample {
            cpu_percent: tenth(self.system.global_cpu_usage()),
            core_percent: cpus.iter().map(|cpu| tenth(cpu.usage())).collect(),
            frequency_min_mhz: clocks.iter().copied().reduce(f64::min),
            frequency_mean_mhz: (!clocks.is_empty())
                .then(|| clocks.iter().sum::<f64>() / clocks.len() as f64),
            frequency_max_mhz: clocks.iter().copied().reduce(f64::max),
            memory_used_bytes: used,
            memory_available_bytes: self.system.available_memory(),
            memory_percent: if total > 0 {
                rounded(100.0 * used as f64 / total as f64, 0.001)
            } else {
                0.0
            },
            swap_used_bytes: self.system.used_swap(),
            load_average: System::load_average().ok().map(|load| load.one),
            servers: self.servers.clone(),
            ..Sample::default()
        }
    }

    /// Numbers of the processes of all servers.
    #[cfg(not(target_os = "linux"))]
    pub fn server_pids(&self) -> BTreeSet<u32> {
        self.pids.clone()
    }

    fn look_at_servers(&mut self, at: Instant) {
        let is_fresh = |last: Instant| at.saturating_duration_since(last) < PROCESSES_EVERY;
        if self.targets.is_empty() || self.refreshed.is_some_and(is_fresh) {
            return;
        }
        self.refreshed = Some(at);
        let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
        let cores = self.system.cpus().len().max(1) as f64;
        self.pids.clear();
        let (system, pids) = (&self.system, &mut self.pids);
        let servers = self.targets.iter().filter_map(|target| {
            let own: Vec<&sysinfo::Process> = system
                .processes()
                .values()
                .filter(|process| is_of(process, &target.lookup))
                .collect();
            pids.extend(own.iter().map(|process| process.pid().as_u32()));
            let used: f64 = own.iter().map(|it| f64::from(it.cpu_usage())).sum();
            (!own.is_empty()).then(|| ServerSample {
                backend: target.backend.clone(),
                state: ServerState::Running,
                processes: u32::try_from(own.len()).unwrap_or(u32::MAX),
                cpu_percent: Some(rounded(used / cores, 0.1)),
                memory_bytes: Some(own.iter().map(|it| it.memory()).sum()),
                major_faults: None,
                throttled_percent: None,
            })
        });
        self.servers = servers.collect();
    }
}

fn is_of(process: &sysinfo::Process, lookup: &Lookup) -> bool {
    let name = process.name().to_string_lossy();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    match lookup {
        Lookup::Pid(pid) => i64::from(process.pid().as_u32()) == i64::from(*pid),
        Lookup::Name(wanted) => name == wanted,
        Lookup::Listens { names, .. } => names.iter().any(|wanted| name == wanted),
    }
}

/// Memory now.
#[cfg(not(target_os = "linux"))]
pub fn memory() -> Option<Memory> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let (total, used) = (system.total_memory(), system.used_memory());
    let available = system.available_memory();
    Some(Memory {
        total: total as f64 / GIB,
        available: available as f64 / GIB,
        used: used as f64 / GIB,
        percent_used: if total > 0 {
            100.0 * used as f64 / total as f64
        } else {
            0.0
        },
        total_bytes: Some(total),
        available_bytes: Some(available),
        used_bytes: Some(used),
    })
}

/// Containers are Linux'.
#[cfg(not(target_os = "linux"))]
pub fn container() -> Option<Container> {
    None
}

/// What decides the clock is not told here.
#[cfg(not(target_os = "linux"))]
pub fn governor() -> (Option<String>, Option<String>) {
    (None, None)
}

/// Nor between which bounds.
#[cfg(not(target_os = "linux"))]
pub fn stated_clock(_file: &str) -> Option<f64> {
    None
}

/// Nor how a server was set.
#[cfg(not(target_os = "linux"))]
pub fn settings(_target: &Target) -> Vec<(String, String)> {
    Vec::new()
}

/// What cannot be known on this system.
#[cfg(not(target_os = "linux"))]
pub fn unavailable() -> Vec<UnknownFigure> {
    let fields = ["cpu_temperature_celsius", "cpu_energy_joules", "pressure"];
    let unknown = fields.map(|field| UnknownFigure {
        field: field.to_owned(),
        reason: "on this operating system it is not read".to_owned(),
    });
    unknown.to_vec()
}

/// Processor time of this thread is not told here.
#[cfg(not(target_os = "linux"))]
pub fn thread_cpu_time() -> Option<Duration> {
    None
}
