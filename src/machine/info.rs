//! What the machine is.

use std::path::Path;

use sysinfo::System;

use crate::record::{Cpu, Memory, SystemInfo};

const GIB: f64 = (1u64 << 30) as f64;

/// The machine, as it is now.
pub fn system_info() -> SystemInfo {
    let Ok(mut system) = System::new() else {
        return SystemInfo {
            platform: platform(),
            ..SystemInfo::default()
        };
    };
    system.refresh_cpu_all();
    system.refresh_memory();
    let cpus = system.cpus();
    let clocks: Vec<f64> = cpus
        .iter()
        .map(|cpu| cpu.frequency() as f64)
        .filter(|clock| *clock > 0.0)
        .collect();
    let count = |number: usize| u32::try_from(number).ok();
    let brand = cpus
        .first()
        .map(|cpu| cpu.brand().trim().to_owned())
        .unwrap_or_default();
    SystemInfo {
        platform: platform(),
        processor: if brand.is_empty() {
            System::cpu_arch()
        } else {
            brand
        },
        benchmarker_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        cpu: Cpu {
            physical_cores: System::physical_core_count().ok().and_then(count),
            total_cores: count(cpus.len()),
            max_frequency: stated_clock("cpuinfo_max_freq"),
            min_frequency: stated_clock("cpuinfo_min_freq"),
            current_frequency: (!clocks.is_empty())
                .then(|| clocks.iter().sum::<f64>() / clocks.len() as f64),
        },
        memory: memory(&system),
        gpu: Vec::new(),
    }
}

/// Name of the machine in its network.
pub fn hostname() -> Option<String> {
    System::host_name().ok()
}

/// The machine and its system in words: enough to tell it from others.
pub fn description() -> String {
    let info = system_info();
    let cores = info.cpu.total_cores.unwrap_or_default();
    let name = hostname().unwrap_or_else(|| "no name".to_owned());
    format!(
        "{name}: {}, {cores} cores, {}",
        info.processor, info.platform
    )
}

fn platform() -> String {
    let name = System::name().unwrap_or_else(|_| std::env::consts::OS.to_owned());
    let os = System::os_version()
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    let kernel = System::kernel_version()
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    format!("{name}{os}{kernel} {}", System::cpu_arch())
}

/// A clock that the kernel states for the first core, MHz; it writes kHz.
fn stated_clock(file: &str) -> Option<f64> {
    let path = Path::new("/sys/devices/system/cpu/cpu0/cpufreq").join(file);
    let text = std::fs::read_to_string(path).ok()?;
    text.trim()
        .parse::<f64>()
        .ok()
        .map(|kilohertz| kilohertz / 1000.0)
}

fn memory(system: &System) -> Memory {
    let (total, used) = (system.total_memory(), system.used_memory());
    let available = system.available_memory();
    Memory {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_cores_and_memory() {
        let info = system_info();
        assert!(info.cpu.total_cores.is_some_and(|cores| cores > 0));
        assert!(info.memory.total > 0.0 && info.memory.percent_used <= 100.0);
        assert!(!info.platform.is_empty() && !info.processor.is_empty());
    }
}
