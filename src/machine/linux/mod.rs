//! Looking at a Linux machine through the kernel's files.

mod container;
mod cpu;
pub(super) mod files;
mod memory;
mod sensors;
mod server;
mod window;

use std::collections::BTreeSet;
use std::time::Instant;

use nix::sys::time::TimeValLike;

use self::container::{ContainerEye, limits};
use self::cpu::CpuEye;
use self::memory::{Amounts, WaitEye};
use self::sensors::{Meters, Thermometers};
use self::server::ServerEye;
use self::window::Window;
use super::process::own_cpu_time;
use super::remarks::Remarks;
use super::target::Target;
use super::{MachineError, rounded};
use crate::record::{Container, Memory, Sample, UnknownFigure};

pub use self::cpu::{governor, stated_clock};
pub use self::server::settings;

const GIB: f64 = (1_u64 << 30) as f64;

/// Looks at everything but graphics processors.
pub struct Eye {
    cpu: CpuEye,
    waits: WaitEye,
    container: ContainerEye,
    servers: ServerEye,
    thermometers: Thermometers,
    meters: Meters,
    own: Window<std::time::Duration>,
}

impl Eye {
    /// Looks for the servers as well.
    pub fn new(targets: Vec<Target>) -> Result<Self, MachineError> {
        let at = Instant::now();
        let total = Amounts::read()
            .ok_or(MachineError::Unreadable("/proc/meminfo"))?
            .total;
        Ok(Self {
            cpu: CpuEye::new(at).ok_or(MachineError::Unreadable("/proc/stat"))?,
            waits: WaitEye::new(at),
            container: ContainerEye::new(limits(total), at),
            servers: ServerEye::new(targets, at),
            thermometers: Thermometers::find(),
            meters: Meters::find(),
            own: Window::new(at, own_cpu_time().unwrap_or_default()),
        })
    }

    /// The machine now; what cannot be read is remarked.
    pub fn look(&mut self, at: Instant, remarks: &mut Remarks) -> Sample {
        let usage = self.cpu.usage(at).unwrap_or_default();
        let clocks = self.cpu.clocks(at);
        let container = self.container.cpu(at);
        let machine = Amounts::read().unwrap_or_default();
        let memory = self.container.memory().unwrap_or(machine);
        let used = memory.total.saturating_sub(memory.available);
        let waits = self.waits.look(at);
        let cores = usage.cores.len();
        self.servers.set_cores(cores);
        let servers = self.servers.look(at);
        let own = self.own_percent(at, cores);
        let other = self
            .servers
            .used(&servers)
            .zip(own)
            .map(|(known, own)| rounded((usage.total - known - own).max(0.0), 0.1));
        Sample {
            offset: 0.0,
            cpu_percent: container.map_or(usage.total, |it| it.percent),
            core_percent: usage.cores,
            frequency_min_mhz: clocks.map(|it| it.min),
            frequency_mean_mhz: clocks.map(|it| it.mean),
            frequency_max_mhz: clocks.map(|it| it.max),
            cpu_temperature_celsius: remarks
                .value("cpu_temperature_celsius", self.thermometers.read()),
            cpu_energy_joules: remarks.value("cpu_energy_joules", self.meters.read()),
            steal_percent: Some(usage.steal),
            throttled_percent: container.map(|it| it.throttled),
            memory_used_bytes: used,
            memory_available_bytes: memory.available,
            memory_percent: percent(used, memory.total),
            swap_used_bytes: memory.swap_used,
            swapped_in_bytes: waits.swapped_in,
            swapped_out_bytes: waits.swapped_out,
            pressure: waits.pressure,
            load_average: sysinfo::System::load_average().ok().map(|load| load.one),
            own_cpu_percent: own,
            other_cpu_percent: other,
            servers,
            gpus: Vec::new(),
        }
    }

    /// Numbers of the processes of all servers.
    pub fn server_pids(&self) -> BTreeSet<u32> {
        self.servers.pids()
    }

    fn own_percent(&mut self, at: Instant, cores: usize) -> Option<f64> {
        let now = own_cpu_time()?;
        self.own.advance(at, now, |before, after, time| {
            let share = after.saturating_sub(*before).as_secs_f64() / time.as_secs_f64();
            rounded((100.0 * share / cores.max(1) as f64).min(100.0), 0.1)
        })
    }
}

/// To a thousandth: of much memory a tenth of a percent is more than a small model.
fn percent(used: u64, total: u64) -> f64 {
    if total == 0 {
        return 0.0;
    }
    rounded(100.0 * used as f64 / total as f64, 0.001)
}

/// Memory now, of the container where that has a limit.
pub fn memory() -> Option<Memory> {
    let machine = Amounts::read()?;
    let amounts = limits(machine.total).memory().unwrap_or(machine);
    let used = amounts.total.saturating_sub(amounts.available);
    Some(Memory {
        total: amounts.total as f64 / GIB,
        available: amounts.available as f64 / GIB,
        used: used as f64 / GIB,
        percent_used: percent(used, amounts.total),
        total_bytes: Some(amounts.total),
        available_bytes: Some(amounts.available),
        used_bytes: Some(used),
    })
}

/// The limits of the container that this program runs in.
pub fn container() -> Option<Container> {
    limits(Amounts::read()?.total).container()
}

/// What of this machine cannot be known.
pub fn unavailable() -> Vec<UnknownFigure> {
    let reasons = [
        ("cpu_temperature_celsius", Thermometers::find().read().err()),
        ("cpu_energy_joules", Meters::find().read().err()),
    ];
    let known = reasons.into_iter();
    known
        .filter_map(|(field, reason)| {
            Some(UnknownFigure {
                field: field.to_owned(),
                reason: reason?,
            })
        })
        .collect()
}

/// Processor time of this thread so far.
pub fn thread_cpu_time() -> Option<std::time::Duration> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).ok()?;
    let time = usage.user_time() + usage.system_time();
    let micros = u64::try_from(time.num_microseconds()).ok()?;
    Some(std::time::Duration::from_micros(micros))
}
