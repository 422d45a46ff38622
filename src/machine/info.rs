//! What the machine is.

use std::path::Path;

use sysinfo::System;

use super::platform as here;
use crate::record::{Cpu, SystemInfo};
use crate::version::{COMMIT, VERSION};

/// The machine, as it is now, but for its graphics processors.
pub fn system_info() -> SystemInfo {
    let Ok(mut system) = System::new() else {
        return SystemInfo {
            platform: platform(),
            ..SystemInfo::default()
        };
    };
    system.refresh_cpu_all();
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
    let (governor, frequency_driver) = here::governor();
    SystemInfo {
        platform: platform(),
        processor: if brand.is_empty() {
            System::cpu_arch()
        } else {
            brand
        },
        benchmarker_version: Some(VERSION.to_owned()),
        benchmarker_commit: COMMIT.map(str::to_owned),
        cpu: Cpu {
            physical_cores: System::physical_core_count().ok().and_then(count),
            total_cores: count(cpus.len()),
            max_frequency: here::stated_clock("cpuinfo_max_freq"),
            min_frequency: here::stated_clock("cpuinfo_min_freq"),
            current_frequency: (!clocks.is_empty())
                .then(|| clocks.iter().sum::<f64>() / clocks.len() as f64),
            governor,
            frequency_driver,
        },
        memory: here::memory().unwrap_or_default(),
        gpu: Vec::new(),
        on_battery: on_battery(Path::new("/sys/class/power_supply")),
        power_profile: power_profile(Path::new("/sys/firmware/acpi/platform_profile")),
        container: here::container(),
        unavailable: Vec::new(),
    }
}

fn power_profile(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
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

/// Whether a battery of the machine discharges, as the kernel lists its power supplies. Batteries of
/// mice and the like have the scope `Device`.
fn on_battery(supplies: &Path) -> Option<bool> {
    let read = |supply: &Path, file: &str| {
        let text = std::fs::read_to_string(supply.join(file)).unwrap_or_default();
        text.trim().to_owned()
    };
    let supplies = std::fs::read_dir(supplies).ok()?;
    let batteries = supplies
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|supply| read(supply, "type") == "Battery" && read(supply, "scope") != "Device");
    batteries
        .map(|battery| read(&battery, "status") == "Discharging")
        .reduce(|one, other| one || other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_battery_is_told_from_the_mains_and_from_that_of_a_mouse() {
        let folder = tempfile::tempdir().unwrap();
        let supply = |name: &str, files: &[(&str, &str)]| {
            let place = folder.path().join(name);
            std::fs::create_dir_all(&place).unwrap();
            for (file, text) in files {
                std::fs::write(place.join(file), format!("{text}\n")).unwrap();
            }
        };
        assert_eq!(on_battery(&folder.path().join("none")), None);
        supply("AC", &[("type", "Mains"), ("online", "1")]);
        supply(
            "mouse",
            &[
                ("type", "Battery"),
                ("scope", "Device"),
                ("status", "Discharging"),
            ],
        );
        assert_eq!(on_battery(folder.path()), None);
        supply("BAT0", &[("type", "Battery"), ("status", "Charging")]);
        assert_eq!(on_battery(folder.path()), Some(false));
        supply("BAT0", &[("status", "Discharging")]);
        assert_eq!(on_battery(folder.path()), Some(true));
    }

    #[test]
    fn the_machine_has_cores_and_memory() {
        let info = system_info();
        assert!(info.cpu.total_cores.is_some_and(|cores| cores > 0));
        assert!(info.memory.total > 0.0 && info.memory.percent_used <= 100.0);
        assert!(!info.platform.is_empty() && !info.processor.is_empty());
    }
}
