//! AMD's and Intel's devices through the files that their kernel drivers keep.

use std::path::{Path, PathBuf};

use super::{Counter, Teller};
use crate::machine::linux::files::{self, number};
use crate::machine::rounded;
use crate::record::{Gpu, GpuSample};

/// Where the kernel lists graphics cards.
pub(super) const CARDS: &str = "/sys/class/drm";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    Amd,
    Intel,
}

/// One device.
pub struct Device {
    vendor: Vendor,
    /// The card's folder.
    card: PathBuf,
    /// The folder of its sensors, where it has some.
    sensors: Option<PathBuf>,
    energy: Counter,
}

/// The devices of a folder of cards that are AMD's or Intel's.
pub fn devices(folder: &Path) -> Vec<Device> {
    let cards = files::entries(folder).into_iter().filter(|card| {
        let number = files::name(card).strip_prefix("card");
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    });
    cards
        .filter_map(|card| {
            // PCI's numbers of their makers.
            let vendor = match files::text(&card.join("device/vendor"))?.as_str() {
                "0x1002" => Vendor::Amd,
                "0x8086" => Vendor::Intel,
                _ => return None,
            };
            let sensors = files::entries(&card.join("device/hwmon"))
                .into_iter()
                .next();
            Some(Device {
                vendor,
                card,
                sensors,
                energy: Counter::default(),
            })
        })
        .collect()
}

impl Device {
    fn file(&self, name: &str) -> PathBuf {
        self.card.join(name)
    }

    /// The first of these files that is there.
    fn first(&self, names: &[&str]) -> Result<f64, String> {
        let mut files = names.iter().map(|name| self.file(name));
        match files.find(|file| file.exists()) {
            Some(file) => number(&file),
            None => Err("the driver does not tell".to_owned()),
        }
    }

    fn sensor(&self, names: &[&str]) -> Result<f64, String> {
        let folder = self.sensors.as_ref();
        let mut files = names.iter().filter_map(|name| Some(folder?.join(name)));
        match files.find(|file| file.exists()) {
            Some(file) => number(&file),
            None => Err("the driver does not tell".to_owned()),
        }
    }

    /// What is fixed about it.
    pub fn describe(&self) -> Gpu {
        let (name, vendor) = match self.vendor {
            Vendor::Amd => ("AMD graphics", "amd"),
            Vendor::Intel => ("Intel graphics", "intel"),
        };
        let product = files::text(&self.file("device/product_name"));
        let id = files::text(&self.file("device/device"));
        let named = id.map(|id| format!("{name} {id}"));
        let limit = self.sensor(&["power1_cap", "power1_max"]).ok();
        let clock = self.first(&["gt_max_freq_mhz", "device/tile0/gt0/freq0/max_freq"]);
        Gpu {
            name: product.or(named).or_else(|| Some(name.to_owned())),
            vendor: Some(vendor.to_owned()),
            uuid: files::text(&self.file("device/unique_id")),
            memory_total_bytes: self.bytes("device/mem_info_vram_total").ok(),
            driver_version: files::text(&self.file("device/driver/module/version")),
            power_limit_watts: limit.map(|microwatts| microwatts / 1e6),
            max_clock_mhz: clock.ok(),
            ..Gpu::default()
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are whole and not negative"
    )]
    fn bytes(&self, name: &str) -> Result<u64, String> {
        self.first(&[name]).map(|bytes| bytes.max(0.0) as u64)
    }

    /// What it does now.
    pub fn look(&mut self, tell: &mut Teller) -> GpuSample {
        let megahertz = |hertz: f64| rounded(hertz / 1e6, 1.0);
        let watts = |microwatts: f64| rounded(microwatts / 1e6, 0.01);
        let clock = match self.vendor {
            Vendor::Amd => self.sensor(&["freq1_input"]).map(megahertz),
            Vendor::Intel => self.first(&["gt_act_freq_mhz", "device/tile0/gt0/freq0/act_freq"]),
        };
        let energy = self.sensor(&["energy1_input"]);
        let power = self.sensor(&["power1_average", "power1_input"]).map(watts);
        // One of the two is enough.
        let has_energy = energy.is_ok();
        let has_power = power.is_ok();
        let energy = energy.map(|now| rounded(self.energy.since_first(now) / 1e6, 0.001));
        GpuSample {
            utilization_percent: tell.value(
                "utilization_percent",
                self.first(&["device/gpu_busy_percent"]),
            ),
            memory_activity_percent: self.first(&["device/mem_busy_percent"]).ok(),
            memory_used_bytes: tell
                .value("memory_used_bytes", self.bytes("device/mem_info_vram_used")),
            server_memory_bytes: None,
            power_watts: if has_energy {
                power.ok()
            } else {
                tell.value("power_watts", power)
            },
            temperature_celsius: tell.value(
                "temperature_celsius",
                self.sensor(&["temp1_input"])
                    .map(|thousandths| thousandths / 1000.0),
            ),
            clock_mhz: tell.value("clock_mhz", clock),
            memory_clock_mhz: self.sensor(&["freq2_input"]).map(megahertz).ok(),
            throttle_reasons: self.throttle_reasons(),
            energy_joules: if has_power {
                energy.ok()
            } else {
                tell.value("energy_joules", energy)
            },
        }
    }

    /// Intel's drivers keep a file for each; AMD's do not tell in text.
    fn throttle_reasons(&self) -> Option<Vec<String>> {
        let folders = [
            ("gt/gt0", "throttle_reason_"),
            ("device/tile0/gt0/freq0/throttle", "reason_"),
        ];
        folders.into_iter().find_map(|(folder, prefix)| {
            let files = files::entries(&self.file(folder));
            let named = files.iter().filter_map(|file| {
                let name = files::name(file).strip_prefix(prefix)?;
                Some((name.to_owned(), number(file).unwrap_or(0.0) > 0.0))
            });
            let all: Vec<(String, bool)> = named.filter(|(name, _)| name != "status").collect();
            (!all.is_empty()).then(|| {
                let set = all.into_iter().filter(|(_, is_set)| *is_set);
                set.map(|(name, _)| name).collect()
            })
        })
    }
}
