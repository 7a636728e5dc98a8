//! A running program of ours: started on free ports, its summary read, killed at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::client::Client;
use super::eventually;

/// The set-up code of every hub that a case starts.
pub(crate) const SETUP_CODE: &str = "a-code-for-the-first-admin";

/// The binary under test.
pub(crate) fn hubbub() -> PathBuf {
    env!("CARGO_BIN_EXE_hubbub").into()
}

/// Another binary of the workspace, which stands beside it.
pub(crate) fn sibling(name: &str) -> PathBuf {
    let path = hubbub().with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace --bins", path.display());
    path
}

/// What keeps a free port from everybody else: ports are asked for with 0.
pub(crate) fn free_ports(command: &mut Command) {
    for listen in ["gateway.listen", "gateway.admin_listen", "user.grpc_listen"] {
        command.arg("--set").arg(format!("{listen}=127.0.0.1:0"));
    }
    for part in ["user", "chat", "message"] {
        command.arg("--set").arg(format!("{part}.listen=127.0.0.1:0"));
    }
}

/// A started program.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// What its summary says, by label.
    pub(crate) lines: BTreeMap<String, String>,
    /// What it printed to standard error.
    pub(crate) log: PathBuf,
}

impl Program {
    /// Starts `command` and waits for its summary; `log` takes its standard error.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut lines = BTreeMap::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line == "Ctrl-C stops it." {
                return Self { child, lines, log };
            }
            if let Some((label, text)) = line.trim().split_once(' ') {
                lines.insert(label.to_owned(), text.trim().to_owned());
            }
        }
        let status = child.wait().unwrap();
        let log = std::fs::read_to_string(&log).unwrap();
        panic!("{command:?} ended with {status} before it ran:\n{log}");
    }

    /// The address behind `label` in the summary.
    pub(crate) fn url(&self, label: &str) -> &str {
        self.lines.get(label).unwrap_or_else(|| panic!("no {label} in {:?}", self.lines))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a power cut would: without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop by `signal` (`INT`, `TERM`).
    pub(crate) fn signal(&self, signal: &str) {
        signal_process(self.child.id(), signal);
    }

    /// How it ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = std::cell::RefCell::new(&mut self.child);
        eventually("the program to end", || async { child.borrow_mut().try_wait().unwrap() }).await
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends `signal` to the process `id`.
pub(crate) fn signal_process(id: u32, signal: &str) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status();
    assert!(status.unwrap().success());
}

/// A whole installation in a folder of its own.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) program: Program,
    folder: TempDir,
    settings: Vec<String>,
}

impl Hub {
    /// Starts one with nothing in it.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with `settings` over the ordinary ones.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings: Vec<_> = settings.iter().map(|&text| text.to_owned()).collect();
        let program = launch(folder.path(), &settings);
        Self { program, folder, settings }
    }

    /// Starts the program again in the same folder, on new ports.
    pub(crate) fn start_again(&mut self) {
        self.program = launch(self.folder.path(), &self.settings);
    }

    pub(crate) fn base(&self) -> &str {
        self.program.url("gateway")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client without credentials.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.base())
    }
}

/// The command line of a hub whose folder is `folder`.
pub(crate) fn command(binary: &Path, folder: &Path, settings: &[String]) -> Command {
    let mut command = Command::new(binary);
    command.arg("--data").arg(folder.join("data"));
    free_ports(&mut command);
    command.arg("--set").arg("gateway.quota.enabled=false");
    command.arg("--set").arg(format!("user.setup_code={SETUP_CODE}"));
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    command
}

fn launch(folder: &Path, settings: &[String]) -> Program {
    Program::start(command(&hubbub(), folder, settings), folder.join("log"))
}

/// Time for a whole case, far above what it takes.
pub(crate) const STOP_WINDOW: Duration = Duration::from_secs(10);
