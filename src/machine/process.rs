//! This process: what it has used, and what it may use. On Linux only; elsewhere nothing is known
//! and nothing changed.

#[cfg(target_os = "linux")]
pub use linux::{allow_many_files, own_cpu_time, use_one_core};
#[cfg(not(target_os = "linux"))]
pub use other::{allow_many_files, own_cpu_time, use_one_core};

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
    use nix::sys::time::TimeValLike;
    use nix::unistd::Pid;

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

    /// Not known.
    pub fn own_cpu_time() -> Option<Duration> {
        None
    }

    /// Nothing changes.
    pub fn use_one_core() {}

    /// Nothing changes.
    pub fn allow_many_files() {}
}
