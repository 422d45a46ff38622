//! What the computer is, and what it was doing while a run went on.
//! It knows nothing of runs: whoever samples says which instant is zero.

mod gpu;
mod info;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
mod process;
mod remarks;
mod sampler;
mod target;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::gpu::{GpuEye, Gpus};
#[cfg(target_os = "linux")]
use self::linux as platform;
#[cfg(not(target_os = "linux"))]
use self::portable as platform;
use self::remarks::Remarks;
use crate::record::{Sample, SystemInfo};

pub use info::{description, hostname};
pub use process::{OwnProcess, allow_many_files, own_cpu_time, own_process, use_one_core};
pub use sampler::{Sampler, Sampling, Series};
pub use target::{Lookup, Target, host_and_port, is_local, local, lookup};

/// Why the machine cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// No thread for the sampler.
    #[error("the sampler cannot start: {0}")]
    Thread(#[from] std::io::Error),
    /// The platform does not tell.
    #[error("the machine cannot be looked at: {0}")]
    Platform(#[from] sysinfo::Error),
    /// The kernel's file is not as it should be.
    #[error("the machine cannot be looked at: {0} cannot be read")]
    Unreadable(&'static str),
}

/// This machine.
pub struct Machine {
    gpus: Gpus,
}

impl Machine {
    /// `nvml` is NVIDIA's management library, where that is not in one of the usual places.
    pub fn new(nvml: Option<PathBuf>) -> Self {
        Self {
            gpus: Gpus::new(nvml),
        }
    }

    /// What it is, now. Asking the drivers can take a while.
    pub fn info(&self) -> SystemInfo {
        let (gpu, mut unavailable) = self.gpus.describe();
        unavailable.extend(platform::unavailable());
        SystemInfo {
            gpu,
            unavailable,
            ..info::system_info()
        }
    }

    /// Settings of a model server on this machine that its processes show.
    pub fn server_settings(&self, target: &Target) -> Vec<(String, String)> {
        platform::settings(target)
    }

    /// Whether a temperature can be read: of a graphics processor, or of the processor.
    pub fn has_thermometer(&self) -> bool {
        let Ok(mut eye) = self.eye(Vec::new()) else {
            return false;
        };
        hottest(&eye.look(Instant::now(), 0.0)).is_some()
    }

    /// Looks at it from now on.
    fn eye(&self, targets: Vec<Target>) -> Result<Eye, MachineError> {
        Ok(Eye {
            rest: platform::Eye::new(targets)?,
            gpus: self.gpus.eye(),
            remarks: Remarks::default(),
        })
    }
}

/// The hottest graphics processor, else the processor, °C.
pub fn hottest(sample: &Sample) -> Option<f64> {
    let gpus = sample.gpus.iter().filter_map(|it| it.temperature_celsius);
    gpus.reduce(f64::max).or(sample.cpu_temperature_celsius)
}

/// Looks at the machine. Usage is that since the look before.
struct Eye {
    rest: platform::Eye,
    gpus: GpuEye,
    remarks: Remarks,
}

impl Eye {
    fn look(&mut self, at: Instant, offset: f64) -> Sample {
        self.remarks.at(offset);
        let sample = self.rest.look(at, &mut self.remarks);
        let servers = self.rest.server_pids();
        Sample {
            offset,
            gpus: self.gpus.look(&servers, &mut self.remarks),
            ..sample
        }
    }
}

/// A figure in whole steps: digits beyond them would only take room.
fn rounded(value: f64, step: f64) -> f64 {
    // Dividing by a whole number gives the nearest decimal; multiplying by a tenth would not.
    let whole = (1.0 / step).round();
    (value * whole).round() / whole
}

/// The machine as it is now, for whoever asks now and then.
#[derive(Default)]
pub struct Watch {
    eye: Option<Eye>,
    last: Option<(Instant, Sample)>,
    opened: Option<Instant>,
}

impl Watch {
    /// Two looks closer than this tell nothing of usage.
    const SHORTEST: Duration = Duration::from_millis(200);
    /// Drivers and servers come and go: they are looked for anew after so long.
    const RENEWED: Duration = Duration::from_mins(1);

    /// What the machine is doing; `None` at the first look, which has none before it, and where
    /// the platform does not tell.
    pub fn look(
        &mut self,
        machine: &Machine,
        targets: impl FnOnce() -> Vec<Target>,
    ) -> Option<Sample> {
        let now = Instant::now();
        match &self.last {
            Some((at, sample)) if now.duration_since(*at) < Self::SHORTEST => {
                return Some(sample.clone());
            }
            _ => {}
        }
        let is_fresh = self
            .opened
            .is_some_and(|opened| now.duration_since(opened) < Self::RENEWED);
        let Some(eye) = self.eye.as_mut().filter(|_| is_fresh) else {
            self.eye = machine.eye(targets()).ok();
            self.opened = Some(now);
            return self.last.as_ref().map(|(_, sample)| sample.clone());
        };
        let sample = eye.look(now, 0.0);
        self.last = Some((now, sample.clone()));
        Some(sample)
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// What is read here against a library that reads it in its own way, while one thread works.
    #[test]
    fn another_tool_sees_the_same_load() {
        let working = Arc::new(AtomicBool::new(true));
        let worker = Arc::clone(&working);
        let thread = std::thread::spawn(move || {
            while worker.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let mut remarks = Remarks::default();
        let mut ours = linux::Eye::new(Vec::new()).unwrap();
        let mut theirs = portable::Eye::new(Vec::new()).unwrap();
        let mut look = || {
            let at = Instant::now();
            (ours.look(at, &mut remarks), theirs.look(at, &mut remarks))
        };
        look();
        let is_limited = linux::container().is_some();
        let mut differences = Vec::new();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(400));
            let (ours, theirs) = look();
            // Of a container the total would be that of its limit.
            let cores = &ours.core_percent;
            let all = cores.iter().sum::<f64>() / cores.len() as f64;
            differences.push((all - theirs.cpu_percent).abs());
            assert!(ours.own_cpu_percent.is_some_and(|own| own > 0.0));
            let apart = ours.memory_used_bytes.abs_diff(theirs.memory_used_bytes);
            assert!(
                is_limited || apart < ours.memory_used_bytes / 5 + (256 << 20),
                "{apart}"
            );
        }
        working.store(false, Ordering::Relaxed);
        thread.join().unwrap();
        differences.sort_by(f64::total_cmp);
        // Counters of a hundredth of a second that are read one after the other.
        assert!(differences[2] < 8.0, "{differences:?}");
    }

    #[test]
    fn digits_beyond_the_step_are_left_out() {
        assert_eq!(rounded(33.333_333, 0.1).to_string(), "33.3");
        assert_eq!(rounded(2596.138, 1.0).to_string(), "2596");
        assert_eq!(rounded(0.3, 0.1).to_string(), "0.3");
    }
}
