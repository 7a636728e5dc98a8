//! Processes that take part. The benchmark's own binary, started under the name of a program, is
//! that program: nothing else of ours has to be built or found. Others come from the system.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use chassis::process::main as run;
use rustix::process::{Pid, Signal, kill_process};

use crate::machine::Place;
use crate::proc::{self, Cpu, Memory};
use crate::{Outcome, echo, upstream};

/// Where programs of the system are looked for, whoever calls.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// Runs as the program whose name this process was started under; `None` when that is the
/// benchmark itself.
pub(crate) fn as_named() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    match name.as_str() {
        "chat" => Some(run(chat::PROGRAM, chat::start)),
        "gateway" => Some(run(gateway::PROGRAM, gateway::start)),
        "hubbub" => Some(run(embedded::PROGRAM, embedded::start)),
        "message" => Some(run(message::PROGRAM, message::start)),
        "upstream" => Some(upstream::main()),
        "user" => Some(run(user::PROGRAM, user::start)),
        "echo" => Some(echo::main()),
        _ => None,
    }
}

/// A process that takes part, and everything that it starts; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Vec<String>,
}

impl Process {
    /// Starts this binary as `name` and waits until it prints a line that begins with `ready`.
    /// `load` is where the caller goes on.
    pub(crate) fn own(
        name: &str,
        place: Place,
        load: Place,
        arguments: &[String],
        ready: &str,
    ) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0(name).args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Self::start(command, place, load)?;
        let output = process.child.stdout.take().ok_or("the process has no output")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            let is_ready = line.starts_with(ready);
            process.lines.push(line);
            if is_ready {
                return Ok(process);
            }
        }
        Err(format!("{name} ended before it was ready: {:?}", process.child.wait()?).into())
    }

    /// Starts `command` in its place and goes on at the place of the load.
    pub(crate) fn start(mut command: Command, place: Place, load: Place) -> Outcome<Self> {
        command.stdin(Stdio::null());
        // A child begins on the core of its parent: one that counts cores sees the one it gets.
        place.take()?;
        let child = command.spawn();
        load.take()?;
        Ok(Self { child: child?, lines: Vec::new() })
    }

    /// The text behind `label` in what it printed.
    pub(crate) fn line(&self, label: &str) -> Outcome<&str> {
        let told = self.lines.iter().filter_map(|line| line.strip_prefix("  "));
        let mut texts = told.filter_map(|line| line.split_once(' '));
        let found = texts.find(|(found, _)| *found == label);
        Ok(found.ok_or_else(|| format!("{label} was not printed"))?.1.trim())
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_there(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time of all its processes so far.
    pub(crate) fn cpu(&self) -> Cpu {
        proc::cpu(&proc::family(self.child.id()))
    }

    /// Memory of all its processes now.
    pub(crate) fn memory(&self) -> Outcome<Memory> {
        proc::memory(&proc::family(self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Parents come first, so that none starts a new child for one that was killed.
        for id in proc::family(self.child.id()) {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            if let Some(id) = id {
                kill_process(id, Signal::KILL).ok();
            }
        }
        self.child.wait().ok();
    }
}

/// Where the program `name` of the system is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Fails with what would help when a program of the system that is named like its package is missing.
pub(crate) fn need(names: &[&str]) -> Outcome<()> {
    let missing: Vec<_> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    Err(format!("{} is missing: {line}", missing.join(", ")).into())
}

/// A closed standard output is nobody's loss.
pub(crate) fn print(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}
