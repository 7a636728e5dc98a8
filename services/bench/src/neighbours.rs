//! Who else was on the machine while something was measured: with a neighbour on its core a proxy
//! is never as busy as it could be, and its figures are worth less.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::proc::{TICKS_PER_SECOND, cpu_with_ended};

/// A look at the clocks of the machine, to be compared with a later one.
#[derive(Debug)]
pub(crate) struct Neighbours {
    began: Instant,
    machine: Machine,
    ours: Duration,
}

/// Time of all cores together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    busy: Duration,
    /// What the host gave to somebody else.
    stolen: Duration,
}

impl Neighbours {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        Self { began: Instant::now(), machine: machine(), ours: cpu_with_ended(std::process::id()) }
    }

    /// What others took since then, in words. Whoever takes part has to be there still.
    pub(crate) fn words(&self) -> String {
        let span = self.began.elapsed().as_secs_f64();
        let now = machine();
        let ours = cpu_with_ended(std::process::id()).saturating_sub(self.ours);
        let others = now.busy.saturating_sub(self.machine.busy).saturating_sub(ours);
        let stolen = now.stolen.saturating_sub(self.machine.stolen);
        let [others, stolen] = [others, stolen].map(|time| time.as_secs_f64() / span);
        format!("Meanwhile other processes kept {others:.2} cores busy; the host took {stolen:.2}.")
    }
}

fn machine() -> Machine {
    parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// Reads the first line of `/proc/stat`; what is missing is zero.
fn parse(stat: &str) -> Machine {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)).
    let sum = |places: &[usize]| {
        let ticks: u64 = places.iter().filter_map(|place| ticks.get(*place)).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    };
    Machine { busy: sum(&[0, 1, 2, 5, 6]), stolen: sum(&[7]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stolen_time_is_not_busy() {
        let text = "cpu  100 10 200 9999 888 30 60 50 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let expected = Machine { busy: Duration::from_secs(4), stolen: Duration::from_millis(500) };
        assert_eq!(parse(text), expected);
        assert_eq!(parse(""), Machine { busy: Duration::ZERO, stolen: Duration::ZERO });
    }

    #[test]
    fn what_others_took_is_told_in_cores() {
        let words = Neighbours::watch().words();
        assert!(words.starts_with("Meanwhile other processes kept "), "{words}");
    }
}
