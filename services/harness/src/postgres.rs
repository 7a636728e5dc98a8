//! PostgreSQL: one server for a whole test run with a database for each case, or one of its own for
//! a case that stops it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use crate::{Error, free_port, programs, watched};

/// Looks at whether a server lets clients in, before it is given up: half a minute.
const LOOKS_MAX: u32 = 1500;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);
/// Clients of the server of a run: many cases run side by side.
const CONNECTIONS_MAX: u32 = 400;
/// The end of a log that is worth showing, in bytes.
const LOG_BYTES_SHOWN: usize = 4000;

/// How a server treats the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Every commit is synced, as in production.
    Synced,
    /// Nothing is: for the many cases that are not about power cuts.
    Hurried,
}

/// An empty database on the server of this run, gone when dropped.
#[derive(Debug)]
pub struct Database {
    port: u16,
    name: String,
}

impl Database {
    /// Makes one; the first in a run starts the server.
    ///
    /// # Errors
    /// When there is no server.
    pub fn fresh() -> Result<Self, Error> {
        let port = shared_server()?;
        let database = Self { port, name: format!("t_{}", Uuid::new_v4().simple()) };
        programs::run(tool("createdb", port)?.arg(&database.name))?;
        Ok(database)
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port, &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What is not dropped here goes with the server.
        if let Ok(mut command) = tool("dropdb", self.port) {
            programs::run(command.args(["--if-exists", "--force"]).arg(&self.name)).ok();
        }
    }
}

/// A server of its own, ended when dropped. It keeps its port and its data when it is stopped.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    disk: Disk,
    child: Option<Child>,
}

impl Server {
    /// Makes one and starts it.
    ///
    /// # Errors
    /// When PostgreSQL is missing, or does not start.
    pub fn start(disk: Disk) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("hubbub-pg-").tempdir();
        let here = std::env::temp_dir();
        let fault = |source| Error::Path { path: here.clone(), source };
        let folder = folder.map_err(fault)?;
        initialize(folder.path())?;
        let port = free_port().map_err(fault)?;
        let mut server = Self { folder, port, disk, child: None };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it where it was, with what it kept.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_again(&mut self) -> Result<(), Error> {
        let (folder, own) = (self.folder.path(), std::process::id());
        let command = server(folder, self.port, self.disk)?;
        self.child = Some(watched::start(&command, folder, own, "QUIT")?);
        wait_until_ready(folder, self.port)
    }

    /// Ends it at once, as if it had crashed: without a last word to its clients and without a last
    /// checkpoint.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            watched::end(&mut child);
        }
    }

    /// Makes an empty database `name`.
    ///
    /// # Errors
    /// When it is there already, or the server is not.
    pub fn make(&self, name: &str) -> Result<(), Error> {
        programs::run(tool("createdb", self.port)?.arg(name))
    }

    /// The process that everything of the server descends from, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where clients find its database `name`; `postgres` is always there.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        url(self.port, name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// A program of PostgreSQL that talks to the server at `port`.
fn tool(name: &str, port: u16) -> Result<Command, Error> {
    let mut command = Command::new(programs::postgres_folder()?.join(name));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]);
    Ok(command)
}

/// The port of the server of this run, started by whoever comes first.
fn shared_server() -> Result<u16, Error> {
    let (name, watched) = run();
    let base = std::env::temp_dir().join(format!("hubbub-tests-{name}"));
    fs::create_dir_all(&base).map_err(|source| Error::Path { path: base.clone(), source })?;
    let fault = |source| Error::Path { path: base.join("lock"), source };
    let lock = File::create(base.join("lock")).map_err(fault)?;
    lock.lock().map_err(fault)?;
    let told = base.join("port");
    if let Ok(Ok(port)) = fs::read_to_string(&told).map(|text| text.parse()) {
        return Ok(port);
    }
    initialize(&base)?;
    let port = free_port().map_err(fault)?;
    let command = server(&base, port, Disk::Hurried)?;
    watched::start(&command, &base, watched, "QUIT")?;
    wait_until_ready(&base, port)?;
    fs::write(&told, port.to_string()).map_err(fault)?;
    Ok(port)
}

/// What this run is called and the process that it ends with: the runner where it says so, which
/// starts a process for every case, else this process.
fn run() -> (String, u32) {
    #[expect(clippy::disallowed_methods, reason = "no settings of a part: which run this is")]
    let runner = std::env::var("NEXTEST_RUN_ID");
    match runner {
        Ok(run) => (run, std::os::unix::process::parent_id()),
        Err(_) => (std::process::id().to_string(), std::process::id()),
    }
}

fn initialize(folder: &Path) -> Result<(), Error> {
    programs::give_away(folder)?;
    let program = programs::postgres_folder()?.join("initdb");
    let mut command = programs::as_nobody_special(&program);
    command.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-N", "-D"]);
    programs::run(command.arg(data(folder)).current_dir(folder))
}

fn server(folder: &Path, port: u16, disk: Disk) -> Result<Command, Error> {
    let program = programs::postgres_folder()?.join("postgres");
    let mut command = programs::as_nobody_special(&program);
    command.arg("-D").arg(data(folder)).args(["-p", &port.to_string()]);
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={CONNECTIONS_MAX}"),
    ];
    if disk == Disk::Hurried {
        settings.extend(["fsync=off".to_owned(), "full_page_writes=off".to_owned()]);
    }
    for setting in settings {
        command.args(["-c", &setting]);
    }
    Ok(command)
}

fn wait_until_ready(folder: &Path, port: u16) -> Result<(), Error> {
    let probe = programs::postgres_folder()?.join("pg_isready");
    for _ in 0..LOOKS_MAX {
        let mut command = Command::new(&probe);
        command.args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]);
        if programs::run(&mut command).is_ok() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    let said = fs::read_to_string(watched::log(folder)).unwrap_or_default();
    let from = said.floor_char_boundary(said.len().saturating_sub(LOG_BYTES_SHOWN));
    let log = said.get(from..).unwrap_or_default().to_owned();
    Err(Error::NotReady { program: "postgres", log })
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}
