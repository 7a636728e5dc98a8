//! Processes under test. The benchmark's own binary, started under the name of a program, is that
//! program: nothing else has to be built or found.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use chassis::process::main as run;

use crate::{Outcome, upstream};

/// Clock ticks per second in `/proc` (`USER_HZ`, the same on every Linux).
const TICKS_PER_SECOND: u64 = 100;

/// The core of the load; what is under test has the other one.
pub(crate) const CORE_OF_LOAD: usize = 1;

/// Runs as the program whose name this process was started under; `None` when that is the
/// benchmark itself.
pub(crate) fn as_named() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    match name.as_str() {
        "gateway" => Some(run(gateway::PROGRAM, gateway::start)),
        "hubbub" => Some(run(embedded::PROGRAM, embedded::start)),
        "upstream" => Some(upstream::main()),
        _ => None,
    }
}

/// A process under test; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Vec<String>,
}

impl Process {
    /// Starts this binary as `name`, on the core `core` where cores can be chosen, and waits until
    /// it prints a line that begins with `ready`.
    pub(crate) fn start(
        name: &str,
        core: usize,
        arguments: &[String],
        ready: &str,
    ) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0(name).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A child begins on the core of its parent: one that counts cores sees the one it gets.
        pin(std::process::id(), core);
        let child = command.spawn();
        pin(std::process::id(), CORE_OF_LOAD);
        let mut child = child?;
        let mut lines = Vec::new();
        let output = child.stdout.take().ok_or("the process has no output")?;
        for line in BufReader::new(output).lines() {
            lines.push(line?);
            if lines.last().is_some_and(|line| line.starts_with(ready)) {
                return Ok(Self { child, lines });
            }
        }
        Err(format!("{name} ended before it was ready: {:?}", child.wait()?).into())
    }

    /// The text behind `label` in what it printed.
    pub(crate) fn line(&self, label: &str) -> Outcome<&str> {
        let told = self.lines.iter().filter_map(|line| line.strip_prefix("  "));
        let mut texts = told.filter_map(|line| line.split_once(' '));
        let found = texts.find(|(found, _)| *found == label);
        Ok(found.ok_or_else(|| format!("{label} was not printed"))?.1.trim())
    }

    /// CPU time that it has used, user and system.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = text.rsplit(')').next().unwrap_or_default();
        // Fields 14 and 15 of the line; the text begins with the third.
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Puts a process and its threads to come on one core; without `taskset` it stays free.
fn pin(id: u32, core: usize) {
    let mut command = Command::new("taskset");
    command.args(["-a", "-p", "-c", &core.to_string(), &id.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
}

/// A closed standard output is nobody's loss.
pub(crate) fn print(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}
