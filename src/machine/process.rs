//! This process: what it has used, and what it may use. On Linux only; elsewhere nothing is known
//! and nothing changed.

use std::time::Duration;

#[cfg(target_os = "linux")]
pub use linux::{allow_many_files, own_cpu_time, own_process, use_one_core};
#[cfg(not(target_os = "linux"))]
pub use other::{allow_many_files, own_cpu_time, own_process, use_one_core};

/// What this process takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnProcess {
    /// Processor time of all threads so far.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Address space, bytes.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets; `None` where they cannot be counted.
    pub open_files: Option<usize>,
    /// Most that there may be; `None` where there is no bound.
    pub most_files: Option<u64>,
    /// When it was started, s since 1970.
    pub started: Option<f64>,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
    use nix::sys::time::TimeValLike;
    use nix::unistd::Pid;
    use procfs::process::{LimitValue, Process};

    use super::OwnProcess;

    /// This thread, as `sched_setaffinity(2)` calls it.
    const THIS_THREAD: Pid = Pid::from_raw(0);

    /// Processor time of all threads of this process so far.
    pub fn own_cpu_time() -> Option<Duration> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let time = usage.user_time() + usage.system_time();
        u64::try_from(time.num_microseconds())
            .ok()
            .map(Duration::from_micros)
    }

    /// What this process takes now. A few small files of the kernel are read.
    pub fn own_process() -> Option<OwnProcess> {
        let own = Process::myself().ok()?;
        let stat = own.stat().ok()?;
        let most_files = match own.limits().ok()?.max_open_files.soft_limit {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        };
        let ticks = procfs::ticks_per_second();
        let booted = procfs::boot_time_secs().ok();
        Some(OwnProcess {
            cpu: own_cpu_time()?,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads.unsigned_abs(),
            open_files: own.fd_count().ok(),
            most_files,
            started: booted.map(|at| at as f64 + stat.starttime as f64 / ticks as f64),
        })
    }

    /// Keeps this thread, and those that it starts from now on, to one core: the last one that it
    /// may use. Where there is only one, or the system refuses, nothing changes.
    pub fn use_one_core() {
        let Ok(allowed) = sched_getaffinity(THIS_THREAD) else {
            return;
        };
        let last = (0..CpuSet::count()).rfind(|cpu| allowed.is_set(*cpu).unwrap_or(false));
        let mut one = CpuSet::new();
        if let Some(last) = last
            && one.set(last).is_ok()
        {
            let _ = sched_setaffinity(THIS_THREAD, &one);
        }
    }

    /// Lets this process have as many files and sockets open as the system grants it; often it
    /// starts with leave for a thousand.
    pub fn allow_many_files() {
        if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
            && soft < hard
        {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn working_uses_processor_time() {
            let before = own_cpu_time().unwrap();
            let mut sum = 0_u64;
            while own_cpu_time().unwrap() < before + Duration::from_millis(20) {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
        }

        #[test]
        fn this_process_knows_what_it_takes() {
            let own = own_process().unwrap();
            assert!(own.resident_bytes > 1 << 20 && own.virtual_bytes >= own.resident_bytes);
            assert!(own.threads >= 1 && own.open_files.unwrap() >= 3);
            let now = std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_secs_f64();
            assert!((now - 86_400.0..=now + 1.0).contains(&own.started.unwrap()));
        }

        #[test]
        fn a_thread_can_be_kept_to_one_core() {
            std::thread::spawn(|| {
                use_one_core();
                let allowed = sched_getaffinity(THIS_THREAD).unwrap();
                let cores = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap());
                assert_eq!(cores.count(), 1);
            })
            .join()
            .unwrap();
        }

        #[test]
        fn as_many_files_as_the_system_grants() {
            allow_many_files();
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            assert_eq!(soft, hard);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::time::Duration;

    use super::OwnProcess;

    /// Not known.
    pub fn own_process() -> Option<OwnProcess> {
        None
    }

    /// Not known.
    pub fn own_cpu_time() -> Option<Duration> {
        None
    }

    /// Nothing changes.
    pub fn use_one_core() {}

    /// Nothing changes.
    pub fn allow_many_files() {}
}
