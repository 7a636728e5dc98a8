//! What the kernel knows of processes: who belongs together, the time that they took, their memory.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use crate::Outcome;

/// Clock ticks per second in `/proc` (`USER_HZ`, the same on every Linux).
pub(crate) const TICKS_PER_SECOND: u64 = 100;

/// CPU time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }
}

/// Memory of one or more processes, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident; pages that processes share count for each.
    pub(crate) rss: u64,
    /// Resident; pages that processes share are divided among them.
    pub(crate) pss: u64,
}

/// The process `root` and everything that descends from it, parents first.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, stat(id)?.parent)))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    family
}

/// CPU time of `family` so far. Who ended takes its time along.
pub(crate) fn cpu(family: &[u32]) -> Cpu {
    let times = family.iter().filter_map(|id| stat(*id)).map(|stat| stat.cpu);
    times.fold(Cpu::default(), |sum, cpu| Cpu {
        user: sum.user + cpu.user,
        system: sum.system + cpu.system,
    })
}

/// CPU time of the process `root` and everything that descends or descended from it, so far.
pub(crate) fn cpu_with_ended(root: u32) -> Duration {
    let stats = family(root).into_iter().filter_map(stat);
    stats.map(|stat| stat.cpu.total() + stat.ended).sum()
}

/// Memory of `family` now.
pub(crate) fn memory(family: &[u32]) -> Outcome<Memory> {
    let mut sum = Memory::default();
    for id in family {
        let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        let one = parse_memory(&text).ok_or("smaps_rollup is not as expected")?;
        sum = Memory { rss: sum.rss + one.rss, pss: sum.pss + one.pss };
    }
    Ok(sum)
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    cpu: Cpu,
    /// CPU time of its children that ended.
    ended: Duration,
}

fn stat(id: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Reads `/proc/<id>/stat`. The name in brackets may hold anything, so fields count from its end.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let time = |place: usize| {
        let ticks: u64 = fields.get(place)?.parse().ok()?;
        Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    };
    // The first of these fields is the third of the line (proc_pid_stat(5)).
    let cpu = Cpu { user: time(11)?, system: time(12)? };
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu, ended: time(13)? + time(14)? })
}

fn parse_memory(rollup: &str) -> Option<Memory> {
    let kib = |label: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(label))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { rss: kib("Rss:")?, pss: kib("Pss:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_its_name_whatever_that_is() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 150 250 50 60 20 0 1 0 99 1 2";
        let cpu = Cpu { user: Duration::from_millis(1500), system: Duration::from_millis(2500) };
        assert_eq!(
            parse_stat(line),
            Some(Stat { parent: 7, cpu, ended: Duration::from_millis(1100) })
        );
        assert_eq!(cpu.total(), Duration::from_secs(4));
        assert_eq!(parse_stat("42 (short) S 7"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn time_between_two_looks_is_their_difference() {
        let at = |user, system| Cpu {
            user: Duration::from_millis(user),
            system: Duration::from_millis(system),
        };
        assert_eq!(at(50, 70) - at(20, 30), at(30, 40));
    }

    #[test]
    fn memory_is_read_by_its_labels() {
        let rollup = "00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss:    2048 kB\n\
                      Pss:     1024 kB\nPss_Dirty:   1 kB\n";
        assert_eq!(parse_memory(rollup), Some(Memory { rss: 2048, pss: 1024 }));
        assert_eq!(parse_memory("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_has_a_family_and_memory() {
        let family = family(std::process::id());
        assert_eq!(family.first(), Some(&std::process::id()));
        assert!(memory(&family[..1]).unwrap().rss > 0);
    }
}
