//! Processor usage and clocks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use procfs::{CpuTime, CurrentSI, KernelStats};

use super::files;
use super::window::Window;

/// Reading a clock interrupts its core: it is not done more often.
const CLOCKS_EVERY: Duration = Duration::from_millis(100);

/// Where the kernel describes the cores.
const CORES: &str = "/sys/devices/system/cpu";

/// Looks at the cores.
pub struct CpuEye {
    counters: Window<Counters>,
    clocks: Vec<PathBuf>,
    last_clocks: Option<(Instant, Clocks)>,
}

/// What the cores did.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Of all cores, percent.
    pub total: f64,
    /// Of each core, percent.
    pub cores: Vec<f64>,
    /// Time that the host of a virtual machine gave to others, percent.
    pub steal: f64,
}

/// Lowest, mean and highest clock, MHz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clocks {
    /// Lowest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Highest.
    pub max: f64,
}

#[derive(Debug)]
struct Counters {
    total: Ticks,
    cores: Vec<Ticks>,
}

#[derive(Clone, Copy, Debug)]
struct Ticks {
    busy: u64,
    stolen: u64,
    all: u64,
}

impl From<&CpuTime> for Ticks {
    fn from(time: &CpuTime) -> Self {
        // Time of guests is in that of users already (proc_stat(5)).
        let interrupts = time.irq.unwrap_or_default() + time.softirq.unwrap_or_default();
        let busy = time.user + time.nice + time.system + interrupts;
        let stolen = time.steal.unwrap_or_default();
        Self {
            busy,
            stolen,
            all: busy + stolen + time.idle + time.iowait.unwrap_or_default(),
        }
    }
}

/// A share of the time between two states of counters, percent to a tenth.
fn share(part: u64, all: u64) -> f64 {
    if all == 0 {
        return 0.0;
    }
    super::rounded((100.0 * part as f64 / all as f64).min(100.0), 0.1)
}

impl Counters {
    fn read() -> Option<Self> {
        let stat = KernelStats::current().ok()?;
        Some(Self {
            total: Ticks::from(&stat.total),
            cores: stat.cpu_time.iter().map(Ticks::from).collect(),
        })
    }

    fn usage(before: &Self, after: &Self) -> Usage {
        // Idle time can be corrected backwards.
        let busy = |old: &Ticks, new: &Ticks| {
            share(
                new.busy.saturating_sub(old.busy),
                new.all.saturating_sub(old.all),
            )
        };
        let cores = before.cores.iter().zip(&after.cores);
        Usage {
            total: busy(&before.total, &after.total),
            cores: cores.map(|(old, new)| busy(old, new)).collect(),
            steal: share(
                after.total.stolen.saturating_sub(before.total.stolen),
                after.total.all.saturating_sub(before.total.all),
            ),
        }
    }
}

impl CpuEye {
    pub fn new(at: Instant) -> Option<Self> {
        let clocks = files::entries(Path::new(CORES)).into_iter().filter(|core| {
            let number = files::name(core).strip_prefix("cpu");
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let clocks = clocks.map(|core| core.join("cpufreq/scaling_cur_freq"));
        Some(Self {
            counters: Window::new(at, Counters::read()?),
            clocks: clocks.filter(|clock| clock.exists()).collect(),
            last_clocks: None,
        })
    }

    /// Usage since the look before.
    pub fn usage(&mut self, at: Instant) -> Option<Usage> {
        let now = Counters::read()?;
        self.counters
            .advance(at, now, |before, after, _| Counters::usage(before, after))
    }

    /// The clocks now, or a moment ago.
    pub fn clocks(&mut self, at: Instant) -> Option<Clocks> {
        match self.last_clocks {
            Some((taken, clocks)) if at.saturating_duration_since(taken) < CLOCKS_EVERY => {
                Some(clocks)
            }
            _ => {
                let clocks = clocks(&self.read_clocks())?;
                self.last_clocks = Some((at, clocks));
                Some(clocks)
            }
        }
    }

    fn read_clocks(&self) -> Vec<f64> {
        if self.clocks.is_empty() {
            let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            return megahertz(&text);
        }
        let kilohertz = self.clocks.iter().filter_map(|it| files::number(it).ok());
        kilohertz.map(|clock| clock / 1000.0).collect()
    }
}

/// The clocks in the text of `/proc/cpuinfo`; some architectures tell none.
fn megahertz(text: &str) -> Vec<f64> {
    let lines = text.lines().filter(|line| line.starts_with("cpu MHz"));
    lines
        .filter_map(|line| line.split_once(':')?.1.trim().parse().ok())
        .collect()
}

fn clocks(each: &[f64]) -> Option<Clocks> {
    let whole = |clock: f64| super::rounded(clock, 1.0);
    Some(Clocks {
        min: whole(each.iter().copied().reduce(f64::min)?),
        mean: whole(each.iter().sum::<f64>() / each.len() as f64),
        max: whole(each.iter().copied().reduce(f64::max)?),
    })
}

/// What decides the clock of the first core, and the driver that it decides through.
pub fn governor() -> (Option<String>, Option<String>) {
    let read = |file: &str| files::text(&Path::new(CORES).join("cpu0/cpufreq").join(file));
    (read("scaling_governor"), read("scaling_driver"))
}

/// A clock that the kernel states for the first core, MHz; it writes kHz.
pub fn stated_clock(file: &str) -> Option<f64> {
    let path = Path::new(CORES).join("cpu0/cpufreq").join(file);
    files::number(&path)
        .ok()
        .map(|kilohertz| kilohertz / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_what_was_not_idle() {
        let ticks = |busy: u64, stolen: u64, all: u64| Ticks { busy, stolen, all };
        let counters = |total: Ticks, cores: &[Ticks]| Counters {
            total,
            cores: cores.to_vec(),
        };
        let before = counters(ticks(100, 0, 200), &[ticks(50, 0, 100), ticks(50, 0, 100)]);
        let after = counters(
            ticks(130, 10, 300),
            &[ticks(80, 10, 150), ticks(50, 0, 150)],
        );
        let found = Counters::usage(&before, &after);
        assert_eq!((found.total, found.steal), (30.0, 10.0));
        assert_eq!(found.cores, [60.0, 0.0]);
        let same = Counters::usage(&before, &before);
        assert_eq!((same.total, same.cores), (0.0, vec![0.0, 0.0]));
    }

    #[test]
    fn clocks_are_read_where_there_are_any() {
        let text = "processor\t: 0\ncpu MHz\t\t: 2596.138\nprocessor\t: 1\ncpu MHz\t\t: 800.0\n";
        let found = clocks(&megahertz(text)).unwrap();
        assert_eq!((found.min, found.mean, found.max), (800.0, 1698.0, 2596.0));
        assert_eq!(clocks(&megahertz("BogoMIPS : 48.00\n")), None);
    }
}
