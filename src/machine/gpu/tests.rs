//! NVIDIA's devices as a small library of our own acts them out, AMD's and Intel's as folders of files.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::machine::linux::files;

/// Builds the stand-in with these choices; they are told in its source.
fn library(folder: &Path, choices: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-nvml/nvml.c");
    let library = folder.join("libnvidia-ml.so");
    let choices = choices.iter().map(|choice| format!("-D{choice}"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .args(choices)
        .arg(source)
        .status();
    assert!(built.unwrap().success());
    library
}

/// A look at the machine that the stand-in acts out, the n-th one.
struct Seen {
    described: Vec<Gpu>,
    looks: Vec<Vec<GpuSample>>,
    remarks: Vec<(String, String)>,
    unavailable: Vec<UnknownFigure>,
}

fn seen(choices: &[&str], looks: u32) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let gpus = Gpus {
        // Whatever this machine has.
        cards: folder.path().join("none"),
        ..Gpus::new(Some(library(folder.path(), choices)))
    };
    let mut eye = gpus.eye();
    let mut remarks = Remarks::default();
    let looks = (0..looks).map(|number| {
        remarks.at(f64::from(number));
        eye.look(&BTreeSet::from([4242]), &mut remarks)
    });
    let looks = looks.collect();
    let (described, unavailable) = gpus.describe();
    let remarks = remarks.into_list().into_iter();
    Seen {
        described,
        looks,
        remarks: remarks.map(|it| (it.field, it.reason)).collect(),
        unavailable,
    }
}

fn fields(seen: &Seen) -> Vec<&str> {
    seen.remarks.iter().map(|it| it.0.as_str()).collect()
}

#[test]
fn every_figure_of_a_device_is_read() {
    let seen = seen(&[], 3);
    let gpu = &seen.described[0];
    assert_eq!(gpu.name.as_deref(), Some("Stand-in GPU"));
    assert_eq!(gpu.uuid.as_deref(), Some("GPU-0"));
    assert_eq!(gpu.memory_total_bytes, Some(80 << 30));
    assert_eq!(gpu.driver_version.as_deref(), Some("580.95.05"));
    assert_eq!(gpu.cuda_version.as_deref(), Some("13.0"));
    assert_eq!(gpu.power_limit_watts, Some(130.0));
    assert_eq!(gpu.max_clock_mhz, Some(2500.0));
    assert_eq!(gpu.processes.len(), 2);
    assert_eq!(gpu.processes[0].name.as_deref(), Some("/usr/bin/ollama"));
    assert_eq!(gpu.processes[1].name, None);
    assert_eq!(
        seen.looks[2],
        [GpuSample {
            utilization_percent: Some(93.0),
            memory_activity_percent: Some(71.0),
            memory_used_bytes: Some(3 << 30),
            server_memory_bytes: Some(2 << 30),
            power_watts: Some(121.5),
            temperature_celsius: Some(68.0),
            clock_mhz: Some(2175.0),
            memory_clock_mhz: Some(8750.0),
            throttle_reasons: Some(vec!["sw_power_cap".to_owned()]),
            energy_joules: Some(60.75),
        }]
    );
    assert_eq!((seen.remarks, seen.unavailable), (Vec::new(), Vec::new()));
}

#[test]
fn one_figure_that_is_not_told_leaves_the_others() {
    for (choice, field) in [
        ("NO_ENERGY", "gpus[0].energy_joules"),
        ("NO_POWER", "gpus[0].power_watts"),
        ("NO_THROTTLE", "gpus[0].throttle_reasons"),
        ("NO_PROCESSES", "gpus[0].server_memory_bytes"),
    ] {
        let seen = seen(&[choice], 2);
        assert_eq!(fields(&seen), [field]);
        assert_eq!(seen.remarks[0].1, "the device does not tell");
        assert_eq!(seen.looks[1][0].utilization_percent, Some(93.0));
    }
}

#[test]
fn a_driver_that_is_too_old_tells_what_it_can() {
    let seen = seen(&["OLD"], 1);
    assert_eq!(
        fields(&seen),
        ["gpus[0].memory_used_bytes", "gpus[0].server_memory_bytes"]
    );
    assert_eq!(seen.remarks[0].1, "the driver is too old for it");
    assert_eq!(seen.looks[0][0].power_watts, Some(121.5));
}

#[test]
fn several_devices_keep_their_places() {
    let seen = seen(&["DEVICES=3"], 1);
    assert_eq!((seen.described.len(), seen.looks[0].len()), (3, 3));
    assert_eq!(seen.described[2].uuid.as_deref(), Some("GPU-2"));
}

#[test]
fn instances_of_a_device_stand_behind_it() {
    let seen = seen(&["DEVICES=2", "MIG"], 1);
    let ids: Vec<(Option<&str>, Option<u32>)> = seen
        .described
        .iter()
        .map(|it| (it.uuid.as_deref(), it.part_of))
        .collect();
    assert_eq!(
        ids,
        [
            (Some("GPU-0"), None),
            (Some("MIG-0"), Some(0)),
            (Some("MIG-1"), Some(0)),
            (Some("GPU-1"), None),
        ]
    );
    let instance = &seen.looks[0][1];
    assert_eq!(instance.memory_used_bytes, Some(3 << 30));
    assert_eq!(instance.utilization_percent, None);
    assert!(fields(&seen).contains(&"gpus[1].utilization_percent"));
    assert!(
        !fields(&seen)
            .iter()
            .any(|field| field.starts_with("gpus[0]"))
    );
}

#[test]
fn a_device_that_is_lost_is_told_once_and_the_rest_goes_on() {
    let seen = seen(&["GONE_AFTER=2", "GONE=15"], 4);
    assert_eq!(seen.looks[1][0].power_watts, Some(121.5));
    assert_eq!(seen.looks[3][0], GpuSample::default());
    let lost = seen.remarks.iter().find(|it| it.0 == "gpus[0]").unwrap();
    assert_eq!(lost.1, "the device fell off its bus");
}

#[test]
fn a_driver_that_is_unloaded_is_told() {
    let seen = seen(&["GONE_AFTER=1", "GONE=1"], 3);
    assert_eq!(seen.looks[0][0].power_watts, Some(121.5));
    let lost = seen.remarks.iter().find(|it| it.0 == "gpus[0]").unwrap();
    assert_eq!(lost.1, "the NVIDIA driver was unloaded");
}

#[test]
fn a_library_that_cannot_start_is_told_with_its_reason() {
    for (code, words) in [
        ("INIT=9", "the NVIDIA driver is not loaded"),
        ("INIT=4", "this user may not read it"),
        ("INIT=18", "mismatch"),
    ] {
        let seen = seen(&[code], 1);
        assert_eq!((seen.described.len(), seen.looks[0].len()), (0, 0));
        assert_eq!(seen.unavailable[0].field, "gpu");
        assert!(
            seen.unavailable[0].reason.contains(words),
            "{:?}",
            seen.unavailable
        );
    }
    let nowhere = Gpus {
        cards: PathBuf::from("/nowhere"),
        ..Gpus::new(Some(PathBuf::from("/nowhere/libnvidia-ml.so")))
    };
    let (described, unavailable) = nowhere.describe();
    assert!(described.is_empty());
    assert!(unavailable[0].reason.contains("/nowhere/libnvidia-ml.so"));
}

#[test]
fn reasons_for_a_low_clock_have_the_field_s_names() {
    let seen = seen(&["HOT"], 1);
    assert_eq!(
        seen.looks[0][0].throttle_reasons.as_deref(),
        Some(
            &[
                "sw_thermal_slowdown".to_owned(),
                "hw_thermal_slowdown".to_owned()
            ][..]
        )
    );
}

#[test]
fn amd_s_devices_are_read_from_the_kernel_s_files() {
    let folder = tempfile::tempdir().unwrap();
    files::write(
        folder.path(),
        &[
            ("card1/device/vendor", "0x1002"),
            ("card1/device/device", "0x744c"),
            ("card1/device/product_name", "Radeon RX 7900 XTX"),
            ("card1/device/gpu_busy_percent", "97"),
            ("card1/device/mem_busy_percent", "55"),
            ("card1/device/mem_info_vram_total", "25753026560"),
            ("card1/device/mem_info_vram_used", "8000000000"),
            ("card1/device/hwmon/hwmon3/power1_average", "303500000"),
            ("card1/device/hwmon/hwmon3/power1_cap", "339000000"),
            ("card1/device/hwmon/hwmon3/temp1_input", "71000"),
            ("card1/device/hwmon/hwmon3/freq1_input", "2482000000"),
            ("card1/device/hwmon/hwmon3/freq2_input", "1249000000"),
            ("card1-DP-1/status", "connected"),
            ("card2/device/vendor", "0x1a03"),
        ],
    );
    let mut devices = drm::devices(folder.path());
    assert_eq!(devices.len(), 1);
    let described = devices[0].describe();
    assert_eq!(described.name.as_deref(), Some("Radeon RX 7900 XTX"));
    assert_eq!(described.power_limit_watts, Some(339.0));
    let mut remarks = Remarks::default();
    let mut tell = Teller {
        place: 0,
        remarks: &mut remarks,
    };
    assert_eq!(
        devices[0].look(&mut tell),
        GpuSample {
            utilization_percent: Some(97.0),
            memory_activity_percent: Some(55.0),
            memory_used_bytes: Some(8_000_000_000),
            power_watts: Some(303.5),
            temperature_celsius: Some(71.0),
            clock_mhz: Some(2482.0),
            memory_clock_mhz: Some(1249.0),
            ..GpuSample::default()
        }
    );
    assert_eq!(remarks.into_list(), []);
}

#[test]
fn intel_s_devices_tell_less_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    files::write(
        folder.path(),
        &[
            ("card0/device/vendor", "0x8086"),
            ("card0/gt_act_freq_mhz", "1450"),
            ("card0/gt_max_freq_mhz", "1550"),
            ("card0/gt/gt0/throttle_reason_status", "1"),
            ("card0/gt/gt0/throttle_reason_pl1", "1"),
            ("card0/gt/gt0/throttle_reason_thermal", "0"),
            ("card0/device/hwmon/hwmon1/energy1_input", "5000000"),
        ],
    );
    let mut devices = drm::devices(folder.path());
    let mut remarks = Remarks::default();
    let mut tell = Teller {
        place: 0,
        remarks: &mut remarks,
    };
    let first = devices[0].look(&mut tell);
    files::write(
        folder.path(),
        &[("card0/device/hwmon/hwmon1/energy1_input", "7500000")],
    );
    let second = devices[0].look(&mut tell);
    assert_eq!(
        (first.energy_joules, second.energy_joules),
        (Some(0.0), Some(2.5))
    );
    assert_eq!(second.clock_mhz, Some(1450.0));
    assert_eq!(second.throttle_reasons, Some(vec!["pl1".to_owned()]));
    let missing: Vec<String> = remarks.into_list().into_iter().map(|it| it.field).collect();
    assert_eq!(
        missing,
        [
            "gpus[0].memory_used_bytes",
            "gpus[0].temperature_celsius",
            "gpus[0].utilization_percent",
        ]
    );
}
