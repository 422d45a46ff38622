//! What the container that this program runs in allows, and how much of it is used. A limit holds
//! for a control group and all below it, so the tightest on the way up is the one that counts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use procfs::process::Process;

use super::files;
use super::memory::Amounts;
use super::window::Window;
use crate::record::Container;

/// Where the limits stand; each is the tightest there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    cpu: Option<(f64, Accounts)>,
    memory: Option<(u64, Accounts)>,
}

/// The folder of a control group, by the version of the interface.
#[derive(Clone, Debug, PartialEq)]
enum Accounts {
    Unified(PathBuf),
    /// With the folder of `cpuacct`, where usage is counted.
    Legacy(PathBuf, Option<PathBuf>),
}

/// A mounted hierarchy and this program's place in it.
struct Place {
    mount: PathBuf,
    group: PathBuf,
}

impl Place {
    /// The group and all above it, to the root of what is mounted.
    fn ancestry(&self) -> impl Iterator<Item = &Path> {
        let mount = self.mount.as_path();
        self.group
            .ancestors()
            .take_while(move |it| it.starts_with(mount))
    }
}

/// The limits of this program, as its control groups are mounted here.
pub fn limits(total_memory: u64) -> Limits {
    Process::myself().map_or_else(|_| Limits::default(), |own| limits_of(&own, total_memory))
}

/// The limits of a process, as far as its control groups can be seen from here.
pub fn limits_of(process: &Process, total_memory: u64) -> Limits {
    let legacy = |controller: &str| place(process, Some(controller));
    let found = unified(place(process, None));
    let (cpu, memory) = (legacy("cpu"), legacy("memory"));
    let accounts = legacy("cpuacct").map(|it| it.group);
    Limits {
        cpu: found.cpu.or_else(|| legacy_cpu(&cpu?, accounts.as_deref())),
        memory: found
            .memory
            .or_else(|| legacy_memory(&memory?))
            // Without a limit the largest number there is stands in the file.
            .filter(|(bytes, _)| *bytes < total_memory),
    }
}

/// Where a process is in the hierarchy of a controller, or in the unified one.
fn place(process: &Process, controller: Option<&str>) -> Option<Place> {
    let own = Process::myself().ok()?;
    let groups = process.cgroups().ok()?;
    let group = groups.into_iter().find(|it| match controller {
        None => it.hierarchy == 0,
        Some(name) => it.controllers.iter().any(|other| other == name),
    })?;
    let mounts = own.mountinfo().ok()?;
    let mount = mounts.into_iter().find(|mount| match controller {
        None => mount.fs_type == "cgroup2",
        Some(name) => mount.fs_type == "cgroup" && mount.super_options.contains_key(name),
    })?;
    // Of a container only its own part may be mounted.
    let below = group
        .pathname
        .strip_prefix(mount.root.trim_end_matches('/'));
    let below = below.unwrap_or_default().trim_start_matches('/');
    let group = mount.mount_point.join(below);
    let group = if group.is_dir() {
        group
    } else if process.pid() == own.pid() {
        // In a container the path may be one of the host's; then its own part is what is mounted.
        mount.mount_point.clone()
    } else {
        return None;
    };
    Some(Place {
        group,
        mount: mount.mount_point,
    })
}

fn unified(place: Option<Place>) -> Limits {
    let Some(place) = place else {
        return Limits::default();
    };
    let of = |folder: &Path| Accounts::Unified(folder.to_owned());
    let cores = place.ancestry().filter_map(|folder| {
        let text = files::text(&folder.join("cpu.max"))?;
        let (quota, period) = text.split_once(' ')?;
        let cores = quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?;
        Some((cores, of(folder)))
    });
    let bytes = place.ancestry().filter_map(|folder| {
        let text = files::text(&folder.join("memory.max"))?;
        Some((text.parse().ok()?, of(folder)))
    });
    Limits {
        cpu: cores.min_by(|a, b| a.0.total_cmp(&b.0)),
        memory: bytes.min_by_key(|it: &(u64, Accounts)| it.0),
    }
}

fn legacy_cpu(place: &Place, accounts: Option<&Path>) -> Option<(f64, Accounts)> {
    let cores = place.ancestry().filter_map(|folder| {
        let quota = files::number(&folder.join("cpu.cfs_quota_us")).ok()?;
        let period = files::number(&folder.join("cpu.cfs_period_us")).ok()?;
        let accounts = accounts.map(Path::to_owned);
        (quota > 0.0 && period > 0.0).then(|| {
            (
                quota / period,
                Accounts::Legacy(folder.to_owned(), accounts),
            )
        })
    });
    cores.min_by(|a, b| a.0.total_cmp(&b.0))
}

fn legacy_memory(place: &Place) -> Option<(u64, Accounts)> {
    let bytes = place.ancestry().filter_map(|folder| {
        let text = files::text(&folder.join("memory.limit_in_bytes"))?;
        Some((
            text.parse().ok()?,
            Accounts::Legacy(folder.to_owned(), None),
        ))
    });
    bytes.min_by_key(|it| it.0)
}

impl Limits {
    /// The same for a record; `None` where nothing is limited.
    pub fn container(&self) -> Option<Container> {
        let container = Container {
            cpu_cores: self.cpu.as_ref().map(|it| it.0),
            memory_bytes: self.memory.as_ref().map(|it| it.0),
        };
        (container != Container::default()).then_some(container)
    }

    /// Memory of the container; `None` where it has no limit.
    pub fn memory(&self) -> Option<Amounts> {
        let (total, accounts) = self.memory.as_ref()?;
        let (folder, usage, inactive) = match accounts {
            Accounts::Unified(folder) => (folder, "memory.current", "inactive_file"),
            Accounts::Legacy(folder, _) => (folder, "memory.usage_in_bytes", "total_inactive_file"),
        };
        let usage: u64 = files::text(&folder.join(usage))?.parse().ok()?;
        // Files that nobody has touched of late go first when memory is wanted.
        let idle = field(&folder.join("memory.stat"), inactive).unwrap_or_default();
        Some(Amounts {
            total: *total,
            available: total.saturating_sub(usage.saturating_sub(idle)),
            swap_used: files::text(&folder.join("memory.swap.current"))
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
        })
    }

    fn counters(&self) -> Option<Counters> {
        let (_, accounts) = self.cpu.as_ref()?;
        match accounts {
            Accounts::Unified(folder) => {
                let stat = folder.join("cpu.stat");
                Some(Counters {
                    used: Duration::from_micros(field(&stat, "usage_usec")?),
                    throttled: Duration::from_micros(field(&stat, "throttled_usec").unwrap_or(0)),
                })
            }
            Accounts::Legacy(folder, accounts) => {
                let used = files::text(&accounts.as_ref()?.join("cpuacct.usage"))?;
                let throttled = field(&folder.join("cpu.stat"), "throttled_time").unwrap_or(0);
                Some(Counters {
                    used: Duration::from_nanos(used.parse().ok()?),
                    throttled: Duration::from_nanos(throttled),
                })
            }
        }
    }
}

/// A field of a file of names and numbers.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let mut named = lines.filter(|(key, _)| *key == name);
    named.next()?.1.trim().parse().ok()
}

#[derive(Debug)]
struct Counters {
    used: Duration,
    throttled: Duration,
}

/// Looks at the processor time of the container.
pub struct ContainerEye {
    limits: Limits,
    counters: Option<(f64, Window<Counters>)>,
}

/// Processor time of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Used {
    /// Of what it may have, percent.
    pub percent: f64,
    /// Time in which its limit held its work up, percent.
    pub throttled: f64,
}

impl ContainerEye {
    pub fn new(limits: Limits, at: Instant) -> Self {
        let cores = limits.cpu.as_ref().map(|it| it.0);
        let counters = limits.counters().map(|it| Window::new(at, it));
        Self {
            counters: cores.zip(counters),
            limits,
        }
    }

    /// Its memory, where that has a limit.
    pub fn memory(&self) -> Option<Amounts> {
        self.limits.memory()
    }

    /// Its processor time since the look before, where that has a limit.
    pub fn cpu(&mut self, at: Instant) -> Option<Used> {
        let now = self.limits.counters()?;
        let (cores, window) = self.counters.as_mut()?;
        window.advance(at, now, |before, after, time| {
            let share = |old: Duration, new: Duration, all: f64| {
                let part = new.saturating_sub(old).as_secs_f64();
                super::rounded((100.0 * part / all).min(100.0), 0.1)
            };
            Used {
                percent: share(before.used, after.used, time.as_secs_f64() * *cores),
                // Each thread that waits counts; of several the sum can exceed the time.
                throttled: share(before.throttled, after.throttled, time.as_secs_f64()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn place(root: &Path) -> Place {
        Place {
            mount: root.to_owned(),
            group: root.join("pod/box"),
        }
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        files::write(
            root,
            &[
                ("pod/cpu.max", "150000 100000"),
                ("pod/cpu.stat", "usage_usec 1000000\nthrottled_usec 0"),
                ("pod/memory.max", "4294967296"),
                ("pod/box/cpu.max", "max 100000"),
                ("pod/box/memory.max", "2147483648"),
                ("pod/box/memory.current", "1610612736"),
                ("pod/box/memory.stat", "anon 1\ninactive_file 536870912"),
                ("pod/box/memory.swap.current", "4096"),
            ],
        );
        let limits = unified(Some(place(root)));
        assert_eq!(
            limits.container(),
            Some(Container {
                cpu_cores: Some(1.5),
                memory_bytes: Some(2 * GIB),
            })
        );
        assert_eq!(
            limits.memory(),
            Some(Amounts {
                total: 2 * GIB,
                available: GIB,
                swap_used: 4096,
            })
        );
        let begin = Instant::now();
        let mut eye = ContainerEye::new(limits, begin);
        files::write(
            root,
            &[("pod/cpu.stat", "usage_usec 1750000\nthrottled_usec 400000")],
        );
        assert_eq!(
            eye.cpu(begin + Duration::from_secs(1)),
            Some(Used {
                percent: 50.0,
                throttled: 40.0,
            })
        );
    }

    #[test]
    fn the_older_interface_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        files::write(
            root,
            &[
                ("cpu.cfs_quota_us", "-1"),
                ("cpu.cfs_period_us", "100000"),
                ("pod/box/cpu.cfs_quota_us", "50000"),
                ("pod/box/cpu.cfs_period_us", "100000"),
                ("pod/box/cpu.stat", "nr_throttled 3\nthrottled_time 0"),
                ("pod/box/cpuacct.usage", "1000000000"),
                ("memory.limit_in_bytes", "9223372036854771712"),
                ("pod/box/memory.limit_in_bytes", "1073741824"),
                ("pod/box/memory.usage_in_bytes", "536870912"),
                ("pod/box/memory.stat", "total_inactive_file 0"),
            ],
        );
        let place = place(root);
        let limits = Limits {
            cpu: legacy_cpu(&place, Some(&place.group)),
            memory: legacy_memory(&place),
        };
        assert_eq!(limits.cpu.as_ref().map(|it| it.0), Some(0.5));
        assert_eq!(limits.memory().map(|it| it.available), Some(GIB / 2));
        let begin = Instant::now();
        let mut eye = ContainerEye::new(limits, begin);
        files::write(root, &[("pod/box/cpuacct.usage", "1100000000")]);
        let used = eye.cpu(begin + Duration::from_secs(1)).unwrap();
        assert_eq!(used.percent.to_string(), "20");
    }

    #[test]
    fn without_limits_there_is_no_container() {
        let folder = tempfile::tempdir().unwrap();
        files::write(
            folder.path(),
            &[
                ("pod/box/cpu.max", "max 100000"),
                ("pod/box/memory.max", "max"),
            ],
        );
        assert_eq!(unified(Some(place(folder.path()))).container(), None);
        assert_eq!(unified(None), Limits::default());
        // Whatever this machine is, it can be asked.
        let _ = limits(u64::MAX);
    }
}
