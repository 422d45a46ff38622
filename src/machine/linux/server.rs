//! The processes of model servers: the one that listens on a backend's port, and all that it
//! started. What it finds depends on what this program may see of others' processes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use procfs::net::TcpState;
use procfs::process::{FDTarget, ProcState, Process, Stat, all_processes};

use super::container::{ContainerEye, Limits, limits_of};
use super::window::Window;
use crate::machine::target::{Lookup, Target};
use crate::record::{ServerSample, ServerState};

/// A server that was not found, or is gone, is looked for after so long, and then ever more seldom:
/// going through all files of all processes takes tens of milliseconds.
const SEARCH_AFTER: Duration = Duration::from_secs(2);
const SEARCH_AT_LAST_EVERY: Duration = Duration::from_secs(32);

/// New processes are looked for so often: a runner is started for each model.
const GROW_EVERY: Duration = Duration::from_millis(100);

/// Programs that listen in place of a server in a container.
const PROXIES: [&str; 3] = ["docker-proxy", "rootlesskit", "rootlessport"];

/// Looks at the processes of some model servers.
pub struct ServerEye {
    trees: Vec<Tree>,
    /// Every process that was there at the last look, of whomever.
    known: HashSet<i32>,
    grown: Option<Instant>,
    cores: f64,
}

/// The processes of one server.
struct Tree {
    target: Target,
    root: Option<i32>,
    members: BTreeSet<i32>,
    searched: Instant,
    /// From one search to the next.
    patience: Duration,
    counters: Window<HashMap<i32, Counters>>,
    container: ContainerEye,
}

/// What one process has used, by the kernel's counters.
#[derive(Clone, Copy, Debug)]
struct Counters {
    ticks: u64,
    major_faults: u64,
}

impl From<&Stat> for Counters {
    fn from(stat: &Stat) -> Self {
        Self {
            ticks: stat.utime + stat.stime,
            major_faults: stat.majflt,
        }
    }
}

/// What a tree did since the look before.
struct Difference {
    ticks: u64,
    major_faults: u64,
    time: Duration,
}

impl ServerEye {
    /// Looks for the servers of these backends.
    pub fn new(targets: Vec<Target>, at: Instant) -> Self {
        let processes = all_stats();
        let trees = targets.into_iter().map(|target| {
            let mut tree = Tree {
                target,
                root: None,
                members: BTreeSet::new(),
                searched: at,
                patience: SEARCH_AFTER,
                counters: Window::new(at, HashMap::new()),
                container: ContainerEye::new(Limits::default(), at),
            };
            tree.search(&processes, at);
            tree
        });
        Self {
            trees: trees.collect(),
            known: processes.iter().map(|stat| stat.pid).collect(),
            grown: Some(at),
            cores: std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64),
        }
    }

    /// With so many cores a percent is a hundredth of all of them.
    pub fn set_cores(&mut self, cores: usize) {
        self.cores = cores.max(1) as f64;
    }

    /// Numbers of all processes of all servers.
    pub fn pids(&self) -> BTreeSet<u32> {
        let members = self.trees.iter().flat_map(|tree| &tree.members);
        members.filter_map(|pid| u32::try_from(*pid).ok()).collect()
    }

    /// Processor time of all servers in a look, percent; one that has two names counts once.
    pub fn used(&self, servers: &[ServerSample]) -> Option<f64> {
        let mut roots = BTreeSet::new();
        let mut sum = 0.0;
        for server in servers {
            let mut trees = self.trees.iter();
            let tree = trees.find(|tree| tree.target.backend == server.backend)?;
            if tree.root.is_some_and(|root| roots.insert(root)) {
                sum += server.cpu_percent?;
            }
        }
        (!roots.is_empty()).then_some(sum)
    }

    /// What the servers do. One that was never found is left out.
    pub fn look(&mut self, at: Instant) -> Vec<ServerSample> {
        if self.trees.is_empty() {
            return Vec::new();
        }
        self.grow(at);
        let cores = self.cores;
        let looks = self.trees.iter_mut();
        looks.filter_map(|tree| tree.look(at, cores)).collect()
    }

    /// Adds processes that the known ones have started since.
    fn grow(&mut self, at: Instant) {
        if self
            .grown
            .is_some_and(|last| at.saturating_duration_since(last) < GROW_EVERY)
        {
            return;
        }
        self.grown = Some(at);
        let lost = self.trees.iter().any(|tree| tree.is_due(at));
        if lost {
            let processes = all_stats();
            for tree in self.trees.iter_mut().filter(|tree| tree.is_due(at)) {
                tree.search(&processes, at);
            }
        }
        let now = pids();
        // In the order of their numbers a parent comes before its children, except after a wrap.
        let mut new: Vec<i32> = now.difference(&self.known).copied().collect();
        new.sort_unstable();
        for pid in new {
            if let Some(stat) = stat(pid) {
                for tree in &mut self.trees {
                    if tree.members.contains(&stat.ppid) {
                        tree.members.insert(pid);
                    }
                }
            }
        }
        self.known = now;
    }
}

impl Tree {
    fn is_due(&self, at: Instant) -> bool {
        self.root.is_none() && at.saturating_duration_since(self.searched) >= self.patience
    }

    fn search(&mut self, processes: &[Stat], at: Instant) {
        self.searched = at;
        self.root = root(&self.target.lookup, processes);
        let Some(root) = self.root else {
            self.patience = (2 * self.patience).min(SEARCH_AT_LAST_EVERY);
            return;
        };
        self.patience = SEARCH_AFTER;
        self.members = family(root, processes);
        let counters = processes.iter().filter(|it| self.members.contains(&it.pid));
        let counters = counters.map(|it| (it.pid, Counters::from(it))).collect();
        self.counters = Window::new(at, counters);
        // Only its processor time is of interest, so any limit of memory will do.
        let limits = Process::new(root).map(|process| limits_of(&process, u64::MAX));
        self.container = ContainerEye::new(limits.unwrap_or_default(), at);
    }

    fn look(&mut self, at: Instant, cores: f64) -> Option<ServerSample> {
        let was_found = !self.members.is_empty() || self.root.is_some();
        if !was_found {
            return None;
        }
        let stats: Vec<Stat> = self.members.iter().filter_map(|pid| stat(*pid)).collect();
        self.members = stats.iter().map(|stat| stat.pid).collect();
        let backend = self.target.backend.clone();
        if self.root.is_none_or(|root| !self.members.contains(&root)) {
            // What it started may live on, but it does not serve.
            self.root = None;
            self.members.clear();
            self.members.insert(GONE);
            return Some(ServerSample {
                backend,
                state: ServerState::Gone,
                ..ServerSample::default()
            });
        }
        let now = stats.iter().map(|it| (it.pid, Counters::from(it)));
        let found = self.counters.advance(at, now.collect(), difference);
        let pages: u64 = stats.iter().map(|stat| stat.rss).sum();
        Some(ServerSample {
            backend,
            state: state(&stats, found.as_ref().is_some_and(|it| it.ticks > 0)),
            processes: u32::try_from(stats.len()).unwrap_or(u32::MAX),
            cpu_percent: found.as_ref().map(|it| {
                let seconds = it.ticks as f64 / procfs::ticks_per_second() as f64;
                let share = seconds / (it.time.as_secs_f64() * cores);
                super::rounded((100.0 * share).min(100.0), 0.1)
            }),
            memory_bytes: Some(pages.saturating_mul(procfs::page_size())),
            major_faults: found.as_ref().map(|it| it.major_faults),
            throttled_percent: self.container.cpu(at).map(|it| it.throttled),
        })
    }
}

/// Stands for a server that was there and is gone; no process has this number.
const GONE: i32 = -1;

fn difference(
    before: &HashMap<i32, Counters>,
    after: &HashMap<i32, Counters>,
    time: Duration,
) -> Difference {
    // Of a process that was not there before, it is not known what it used since.
    let both = after
        .iter()
        .filter_map(|(pid, new)| Some((before.get(pid)?, new)));
    let (mut ticks, mut major_faults) = (0, 0);
    for (old, new) in both {
        ticks += new.ticks.saturating_sub(old.ticks);
        major_faults += new.major_faults.saturating_sub(old.major_faults);
    }
    Difference {
        ticks,
        major_faults,
        time,
    }
}

/// A process has the state of its first thread; that others compute shows in what they used.
fn state(stats: &[Stat], has_worked: bool) -> ServerState {
    let is_any = |states: &[ProcState]| {
        let mut known = stats.iter().filter_map(|stat| stat.state().ok());
        known.any(|state| states.contains(&state))
    };
    if is_any(&[ProcState::Stopped, ProcState::Tracing]) {
        ServerState::Stopped
    } else if is_any(&[ProcState::Waiting]) {
        ServerState::Blocked
    } else if has_worked || is_any(&[ProcState::Running]) {
        ServerState::Running
    } else {
        ServerState::Waiting
    }
}

fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).and_then(|process| process.stat()).ok()
}

fn all_stats() -> Vec<Stat> {
    let processes = all_processes().into_iter().flatten();
    processes
        .filter_map(|process| process.ok()?.stat().ok())
        .collect()
}

fn pids() -> HashSet<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// A process and all that it started.
fn family(root: i32, processes: &[Stat]) -> BTreeSet<i32> {
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        for stat in processes {
            if found.contains(&stat.ppid) {
                found.insert(stat.pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The first process of a server.
fn root(lookup: &Lookup, processes: &[Stat]) -> Option<i32> {
    match lookup {
        Lookup::Pid(pid) => {
            let mut alive = processes.iter().map(|stat| stat.pid);
            alive.find(|it| it == pid)
        }
        Lookup::Name(name) => named(&[name], processes),
        Lookup::Listens {
            address,
            port,
            names,
        } => {
            let owner = owners(*address, *port)
                .into_iter()
                .filter_map(|pid| processes.iter().find(|stat| stat.pid == pid))
                .filter(|stat| !PROXIES.contains(&stat.comm.as_str()))
                .collect::<Vec<_>>();
            // Several may share a socket; the one that opened it started the others.
            let first = owner
                .iter()
                .find(|stat| !owner.iter().any(|other| other.pid == stat.ppid));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            first
                .map(|stat| stat.pid)
                .or_else(|| named(&names, processes))
        }
    }
}

/// The oldest process of one of these names that was not started by another of them.
fn named(names: &[&str], processes: &[Stat]) -> Option<i32> {
    // The kernel keeps the first 15 bytes of a name.
    let is_named = |stat: &Stat| {
        let mut names = names.iter();
        names.any(|name| !stat.comm.is_empty() && *stat.comm == name[..name.len().min(15)])
    };
    let found: Vec<&Stat> = processes.iter().filter(|stat| is_named(stat)).collect();
    let roots = found
        .iter()
        .filter(|stat| !found.iter().any(|other| other.pid == stat.ppid));
    roots.min_by_key(|stat| stat.starttime).map(|stat| stat.pid)
}

/// The processes that listen on a port at an address of this machine, as far as they can be seen.
fn owners(address: Option<IpAddr>, port: u16) -> Vec<i32> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let sockets: HashSet<u64> = tables
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
        .filter(|entry| {
            let ip = entry.local_address.ip().to_canonical();
            ip.is_unspecified() || address.is_none_or(|address| address.to_canonical() == ip)
        })
        .map(|entry| entry.inode)
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let holds = |process: &Process| {
        let files = process.fd().into_iter().flatten().filter_map(Result::ok);
        let mut inodes = files.filter_map(|file| match file.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        });
        inodes.any(|inode| sockets.contains(&inode))
    };
    let processes = all_processes().into_iter().flatten().filter_map(Result::ok);
    processes.filter(holds).map(|it| it.pid).collect()
}

/// Settings of a model server that its own API does not tell, read from the environment and the
/// command lines of its processes. Only names on these lists are looked at, for others may be secret.
pub fn settings(target: &Target) -> Vec<(String, String)> {
    let processes = all_stats();
    let Some(root) = root(&target.lookup, &processes) else {
        return Vec::new();
    };
    let mut found: Vec<(String, String)> = Vec::new();
    let environment = Process::new(root).and_then(|it| it.environ());
    for (name, value) in environment.unwrap_or_default() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if VARIABLES.contains(&name.as_ref()) {
            found.push((name.into_owned(), value.into_owned()));
        }
    }
    for pid in family(root, &processes) {
        let line = Process::new(pid).and_then(|it| it.cmdline());
        found.extend(flags(&line.unwrap_or_default()));
    }
    found.sort();
    found.dedup();
    found
}

/// Variables that change how fast a server is.
const VARIABLES: [&str; 20] = [
    "CUDA_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "OLLAMA_CONTEXT_LENGTH",
    "OLLAMA_FLASH_ATTENTION",
    "OLLAMA_GPU_OVERHEAD",
    "OLLAMA_INTEL_GPU",
    "OLLAMA_KEEP_ALIVE",
    "OLLAMA_KV_CACHE_TYPE",
    "OLLAMA_LLM_LIBRARY",
    "OLLAMA_LOAD_TIMEOUT",
    "OLLAMA_MAX_LOADED_MODELS",
    "OLLAMA_MAX_QUEUE",
    "OLLAMA_MULTIUSER_CACHE",
    "OLLAMA_NEW_ENGINE",
    "OLLAMA_NUM_PARALLEL",
    "OLLAMA_SCHED_SPREAD",
    "OMP_NUM_THREADS",
    "ROCR_VISIBLE_DEVICES",
];

/// Flags of llama.cpp's server, which Ollama starts as well, under their long names.
const FLAGS: [(&str, &str); 30] = [
    ("--batch-size", "--batch-size"),
    ("-b", "--batch-size"),
    ("--cache-type-k", "--cache-type-k"),
    ("-ctk", "--cache-type-k"),
    ("--cache-type-v", "--cache-type-v"),
    ("-ctv", "--cache-type-v"),
    ("--ctx-size", "--ctx-size"),
    ("-c", "--ctx-size"),
    ("--flash-attn", "--flash-attn"),
    ("-fa", "--flash-attn"),
    ("--gpu-layers", "--n-gpu-layers"),
    ("--n-gpu-layers", "--n-gpu-layers"),
    ("-ngl", "--n-gpu-layers"),
    ("--main-gpu", "--main-gpu"),
    ("-mg", "--main-gpu"),
    ("--mlock", "--mlock"),
    ("--no-mmap", "--no-mmap"),
    ("--numa", "--numa"),
    ("--parallel", "--parallel"),
    ("-np", "--parallel"),
    ("--split-mode", "--split-mode"),
    ("-sm", "--split-mode"),
    ("--tensor-split", "--tensor-split"),
    ("-ts", "--tensor-split"),
    ("--threads", "--threads"),
    ("-t", "--threads"),
    ("--threads-batch", "--threads-batch"),
    ("-tb", "--threads-batch"),
    ("--ubatch-size", "--ubatch-size"),
    ("-ub", "--ubatch-size"),
];

/// The known flags of a command line that is one of llama.cpp's server.
fn flags(line: &[String]) -> Vec<(String, String)> {
    let Some(program) = line.first() else {
        return Vec::new();
    };
    let program = program.rsplit('/').next().unwrap_or(program);
    if !(program.contains("llama") || program == "ollama") {
        return Vec::new();
    }
    let named = |word: &str| {
        let (flag, value) = word
            .split_once('=')
            .map_or((word, None), |(flag, value)| (flag, Some(value.to_owned())));
        let known = FLAGS.iter().find(|(short, _)| *short == flag)?;
        Some((known.1.to_owned(), value))
    };
    let words = line.iter().enumerate().skip(1);
    words
        .filter_map(|(place, word)| {
            let (name, value) = named(word)?;
            let next = line.get(place + 1).filter(|next| !next.starts_with('-'));
            let value = value.or_else(|| next.cloned());
            Some((name, value.unwrap_or_else(|| "on".to_owned())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn target(lookup: Lookup) -> Target {
        Target {
            backend: "ollama".into(),
            lookup,
        }
    }

    #[test]
    fn whoever_listens_is_found_with_what_it_started() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let lookup = Lookup::Listens {
            address: Some("127.0.0.1".parse().unwrap()),
            port: listener.local_addr().unwrap().port(),
            names: Vec::new(),
        };
        let begin = Instant::now();
        let mut eye = ServerEye::new(vec![target(lookup)], begin);
        let pids = eye.pids();
        assert!(pids.contains(&std::process::id()) && pids.contains(&child.id()));
        let seen = eye.look(begin + Duration::from_millis(250));
        assert_eq!(seen[0].backend, "ollama");
        assert!(seen[0].memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert_ne!(seen[0].state, ServerState::Gone);

        // One that is started later belongs to it as well.
        let mut later = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        eye.look(begin + Duration::from_millis(500));
        assert!(eye.pids().contains(&later.id()));
        for child in [&mut child, &mut later] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        eye.look(begin + Duration::from_millis(750));
        assert!(!eye.pids().contains(&later.id()));
    }

    #[test]
    fn a_server_that_stops_or_ends_is_told() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let begin = Instant::now();
        let mut eye = ServerEye::new(vec![target(Lookup::Pid(pid))], begin);
        let mut look = |milliseconds: u64| {
            let seen = eye.look(begin + Duration::from_millis(milliseconds));
            seen.first().map(|it| it.state)
        };
        let first = look(250);
        assert!(
            first.is_some_and(|it| !matches!(it, ServerState::Stopped | ServerState::Gone)),
            "{first:?}"
        );
        let signal = |name: &str| {
            let done = std::process::Command::new("kill")
                .args([name, &pid.to_string()])
                .status();
            assert!(done.unwrap().success());
        };
        signal("-STOP");
        let stopped = (1..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            look(500).filter(|state| *state == ServerState::Stopped)
        });
        assert_eq!(stopped, Some(ServerState::Stopped));
        signal("-KILL");
        child.wait().unwrap();
        assert_eq!(look(750), Some(ServerState::Gone));
        assert_eq!(look(1000), Some(ServerState::Gone));
    }

    #[test]
    fn what_is_not_there_is_not_told() {
        let nobody = target(Lookup::Name("no such program".into()));
        let mut eye = ServerEye::new(vec![nobody], Instant::now());
        assert_eq!(eye.look(Instant::now() + Duration::from_secs(1)), []);
    }

    #[test]
    fn only_known_flags_are_read() {
        let line: Vec<String> = "/usr/lib/ollama/llama-server --model /m --api-key secret -ngl 33 -c 4096 --flash-attn --threads=8"
            .split(' ')
            .map(str::to_owned)
            .collect();
        let found = flags(&line);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("--n-gpu-layers", "33"),
                ("--ctx-size", "4096"),
                ("--flash-attn", "on"),
                ("--threads", "8"),
            ]
        );
        assert_eq!(
            flags(&["sleep".to_owned(), "-c".to_owned(), "1".to_owned()]),
            []
        );
    }
}
