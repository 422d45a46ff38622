//! Temperature and energy of the processor packages, as the kernel's drivers list them.

use std::path::{Path, PathBuf};

use super::files;

/// Where the kernel lists sensors.
const SENSORS: &str = "/sys/class/hwmon";
/// Where it lists meters of energy.
const METERS: &str = "/sys/class/powercap";

/// Drivers whose first temperature is that of the processor.
const PROCESSORS: [&str; 5] = [
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu_thermal",
    "soc_thermal",
];

/// Thermometers of the processor packages.
pub struct Thermometers {
    files: Vec<PathBuf>,
}

impl Thermometers {
    pub fn find() -> Self {
        Self::under(Path::new(SENSORS))
    }

    fn under(folder: &Path) -> Self {
        let chips = files::entries(folder).into_iter().filter(|chip| {
            let name = files::text(&chip.join("name")).unwrap_or_default();
            PROCESSORS.contains(&name.as_str())
        });
        let files = chips.map(|chip| chip.join("temp1_input"));
        Self {
            files: files.filter(|file| file.exists()).collect(),
        }
    }

    /// The hottest package, °C.
    pub fn read(&self) -> Result<f64, String> {
        let Some(first) = self.files.first() else {
            return Err("no thermometer of the processor is listed".to_owned());
        };
        let read = self.files.iter().filter_map(|it| files::number(it).ok());
        match read.reduce(f64::max) {
            Some(thousandths) => Ok(super::rounded(thousandths / 1000.0, 0.1)),
            None => files::number(first),
        }
    }
}

/// Meters of the processor packages' energy.
pub struct Meters {
    meters: Vec<Meter>,
    /// Why there are none.
    reason: String,
}

/// One meter: it counts up to a bound, then from zero again.
struct Meter {
    file: PathBuf,
    bound: f64,
    last: Option<f64>,
    /// So much since it was first read, µJ.
    sum: f64,
}

impl Meters {
    pub fn find() -> Self {
        Self::under(Path::new(METERS))
    }

    fn under(folder: &Path) -> Self {
        // Zones within a package have a second number and are counted in it.
        let zones = files::entries(folder).into_iter().filter(|zone| {
            let number = files::name(zone).strip_prefix("intel-rapl:");
            let kind = files::text(&zone.join("name")).unwrap_or_default();
            number.is_some_and(|number| !number.contains(':')) && kind.starts_with("package")
        });
        let meters: Vec<Meter> = zones
            .map(|zone| Meter {
                bound: files::number(&zone.join("max_energy_range_uj")).unwrap_or(0.0),
                file: zone.join("energy_uj"),
                last: None,
                sum: 0.0,
            })
            .collect();
        Self {
            reason: if folder.exists() {
                "the kernel lists no meter of a processor package".to_owned()
            } else {
                format!("{} is not there", folder.display())
            },
            meters,
        }
    }

    /// Energy of all packages since the first reading, J.
    pub fn read(&mut self) -> Result<f64, String> {
        if self.meters.is_empty() {
            return Err(self.reason.clone());
        }
        let mut sum = 0.0;
        for meter in &mut self.meters {
            sum += meter.read()?;
        }
        Ok(super::rounded(sum / 1e6, 0.001))
    }
}

impl Meter {
    fn read(&mut self) -> Result<f64, String> {
        let now = files::number(&self.file)?;
        if let Some(last) = self.last.replace(now) {
            let grown = now - last;
            self.sum += if grown < 0.0 {
                grown + self.bound
            } else {
                grown
            };
        }
        Ok(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_package_counts() {
        let folder = tempfile::tempdir().unwrap();
        files::write(
            folder.path(),
            &[
                ("hwmon0/name", "nvme"),
                ("hwmon0/temp1_input", "90000"),
                ("hwmon1/name", "coretemp"),
                ("hwmon1/temp1_input", "61500"),
                ("hwmon2/name", "coretemp"),
                ("hwmon2/temp1_input", "58000"),
            ],
        );
        assert_eq!(Thermometers::under(folder.path()).read(), Ok(61.5));
        let none = Thermometers::under(&folder.path().join("none"));
        assert!(none.read().is_err());
    }

    #[test]
    fn a_meter_that_wraps_around_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let set = |first: &str, second: &str| {
            files::write(
                folder.path(),
                &[
                    ("intel-rapl:0/name", "package-0"),
                    ("intel-rapl:0/energy_uj", first),
                    ("intel-rapl:0/max_energy_range_uj", "10000000"),
                    ("intel-rapl:1/name", "package-1"),
                    ("intel-rapl:1/energy_uj", second),
                    ("intel-rapl:1/max_energy_range_uj", "10000000"),
                    ("intel-rapl:0:0/name", "core"),
                    ("intel-rapl:0:0/energy_uj", "777"),
                    ("intel-rapl:2/name", "psys"),
                    ("intel-rapl:2/energy_uj", "888"),
                ],
            );
        };
        set("9000000", "100");
        let mut meters = Meters::under(folder.path());
        assert_eq!(meters.read(), Ok(0.0));
        set("9500000", "100");
        assert_eq!(meters.read(), Ok(0.5));
        set("500000", "250100");
        assert_eq!(meters.read(), Ok(1.75));
        std::fs::remove_file(folder.path().join("intel-rapl:1/energy_uj")).unwrap();
        assert!(meters.read().unwrap_err().contains("is not there"));
        let none = Meters::under(&folder.path().join("none")).read();
        assert!(none.unwrap_err().ends_with("is not there"));
    }
}
