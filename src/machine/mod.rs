//! What the computer is, and what it was doing while a run went on.
//! It knows nothing of runs: whoever samples says which instant is zero.

mod info;
mod process;
mod sampler;

use std::time::{Duration, Instant};

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

pub use info::{description, hostname, system_info};
pub use process::{allow_many_files, own_cpu_time, use_one_core};
pub use sampler::Sampler;

use crate::record::Sample;

/// Why the machine cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// No thread for the sampler.
    #[error("the sampler cannot start: {0}")]
    Thread(#[from] std::io::Error),
    /// The platform does not tell.
    #[error("the machine cannot be looked at: {0}")]
    Platform(#[from] sysinfo::Error),
}

/// Looks at processor and memory. Usage is that since the look before.
struct Eye {
    system: System,
}

impl Eye {
    fn new() -> Result<Self, MachineError> {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::everything())
            .with_memory(MemoryRefreshKind::everything());
        Ok(Self {
            system: System::new_with_specifics(wanted)?,
        })
    }

    fn look(&mut self, offset: f64) -> Sample {
        self.system.refresh_cpu_all();
        self.system.refresh_memory();
        let cpus = self.system.cpus();
        let clocks: Vec<f64> = cpus
            .iter()
            .map(|cpu| cpu.frequency() as f64)
            .filter(|clock| *clock > 0.0)
            .collect();
        let total = self.system.total_memory();
        let used = self.system.used_memory();
        Sample {
            offset,
            cpu_percent: f64::from(self.system.global_cpu_usage()),
            core_percent: cpus.iter().map(|cpu| f64::from(cpu.usage())).collect(),
            frequency_min_mhz: clocks.iter().copied().reduce(f64::min),
            frequency_mean_mhz: (!clocks.is_empty())
                .then(|| clocks.iter().sum::<f64>() / clocks.len() as f64),
            frequency_max_mhz: clocks.iter().copied().reduce(f64::max),
            memory_used_bytes: used,
            memory_available_bytes: self.system.available_memory(),
            memory_percent: if total > 0 {
                100.0 * used as f64 / total as f64
            } else {
                0.0
            },
            swap_used_bytes: self.system.used_swap(),
            load_average: System::load_average().ok().map(|load| load.one),
        }
    }
}

/// The machine as it is now, for whoever asks now and then.
#[derive(Default)]
pub struct Watch {
    eye: Option<Eye>,
    last: Option<(Instant, Sample)>,
}

impl Watch {
    /// Two looks closer than this tell nothing of usage.
    const SHORTEST: Duration = Duration::from_millis(200);

    /// What the machine is doing; `None` at the first look, which has none before it, and where
    /// the platform does not tell.
    pub fn look(&mut self) -> Option<Sample> {
        let now = Instant::now();
        match &self.last {
            Some((at, sample)) if now.duration_since(*at) < Self::SHORTEST => {
                return Some(sample.clone());
            }
            _ => {}
        }
        let Some(eye) = &mut self.eye else {
            self.eye = Eye::new().ok();
            return None;
        };
        let sample = eye.look(0.0);
        self.last = Some((now, sample.clone()));
        Some(sample)
    }
}
