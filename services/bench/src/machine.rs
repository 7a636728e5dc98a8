//! The machine under the benchmark: which core does what, how much may be open, what it is.

use std::fs;

use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Outcome;

/// The core of what is under test, where cores are told apart.
const CORE_UNDER_TEST: usize = 0;
/// The core of load and upstream, likewise.
const CORE_OF_LOAD: usize = 1;

/// Who gets which core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// What is under test has one thread and core 0; load and upstream have core 1.
    Pinned,
    /// What is under test has two threads; nothing is bound to a core.
    Free,
}

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Core(usize),
    Anywhere,
}

impl Layout {
    /// Threads or processes of what is under test.
    pub(crate) const fn workers(self) -> usize {
        match self {
            Self::Pinned => 1,
            Self::Free => 2,
        }
    }

    /// Where what is under test runs.
    pub(crate) const fn under_test(self) -> Place {
        match self {
            Self::Pinned => Place::Core(CORE_UNDER_TEST),
            Self::Free => Place::Anywhere,
        }
    }

    /// Where the load and the upstream run.
    pub(crate) const fn load(self) -> Place {
        match self {
            Self::Pinned => Place::Core(CORE_OF_LOAD),
            Self::Free => Place::Anywhere,
        }
    }

    /// The set-up in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Pinned => "pinned: one worker on core 0, load and upstream on core 1",
            Self::Free => "free: two workers, nothing bound to a core",
        }
    }
}

impl Place {
    /// Moves this thread, and what it starts from now on, to this place.
    pub(crate) fn take(self) -> Outcome<()> {
        let mut cores = CpuSet::new();
        match self {
            Self::Core(core) => cores.set(core),
            Self::Anywhere => (0..CpuSet::MAX_CPU).for_each(|core| cores.set(core)),
        }
        let moved = sched_setaffinity(None, &cores);
        Ok(moved.map_err(|error| format!("two cores are needed ({self:?}: {error})"))?)
    }
}

/// Lets this process, and what it starts from now on, open so many files.
pub(crate) fn allow_files(count: u64) -> Outcome<()> {
    let now = getrlimit(Resource::Nofile);
    let maximum = now.maximum.map(|maximum| maximum.max(count));
    let wanted = Rlimit { current: Some(count), maximum };
    let raised = setrlimit(Resource::Nofile, wanted);
    Ok(raised.map_err(|error| format!("{count} open files are not allowed: {error}"))?)
}

/// What the machine is, in a line.
pub(crate) fn words() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<_> = cpus.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model =
        models.first().map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':']));
    let kernel = read("/proc/sys/kernel/osrelease");
    let control = read("/proc/sys/net/ipv4/tcp_congestion_control");
    format!("{} x {model}, Linux {}, TCP with {}", models.len(), kernel.trim(), control.trim())
}
