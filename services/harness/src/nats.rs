//! NATS: a server of its own for each case, since it starts in no time.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Error, free_port, programs, watched};

/// How long a server that listens may take for its greeting.
const GREETING_WINDOW: Duration = Duration::from_secs(5);
/// Looks at whether a server lets clients in, before it is given up: ten seconds.
const LOOKS_MAX: u32 = 1000;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(10);

/// A server, ended when dropped. It keeps its port when it is stopped.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one that lets everybody in.
    ///
    /// # Errors
    /// When NATS is missing, or does not start.
    pub fn start() -> Result<Self, Error> {
        Self::start_with("")
    }

    /// Starts one with `config` as its configuration file, for accounts, TLS and limits.
    ///
    /// # Errors
    /// When NATS is missing, or does not start.
    pub fn start_with(config: &str) -> Result<Self, Error> {
        let here = std::env::temp_dir();
        let fault = |source| Error::Path { path: here.clone(), source };
        let folder = tempfile::Builder::new().prefix("hubbub-nats-").tempdir().map_err(fault)?;
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, config).map_err(fault)?;
        let port = free_port().map_err(fault)?;
        let address = Ipv4Addr::LOCALHOST.to_string();
        let options = ["-a", &address, "-p", &port.to_string(), "-c", &file.to_string_lossy()];
        let options = options.map(str::to_owned).to_vec();
        let mut server = Self { folder, port, options, child: None };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it where it was.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_again(&mut self) -> Result<(), Error> {
        let mut command = Command::new(programs::nats_server()?);
        command.args(&self.options);
        self.child =
            Some(watched::start(&command, self.folder.path(), std::process::id(), "KILL")?);
        self.wait_until_ready()
    }

    /// Ends it at once, without a last word to its clients.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            watched::end(&mut child);
        }
    }

    /// Sends the server itself `signal`; `USR2` makes it a lame duck.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: &str) -> Result<(), Error> {
        let watcher = self.child.as_ref().map(Child::id).unwrap_or_default().to_string();
        programs::run(Command::new("pkill").args([
            "-x",
            "--signal",
            signal,
            "-P",
            &watcher,
            "nats-server",
        ]))
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its folder, for keys and certificates.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// It greets whoever it lets in (`INFO`).
    fn wait_until_ready(&self) -> Result<(), Error> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        for _ in 0..LOOKS_MAX {
            if greets(address) {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        let log = std::fs::read_to_string(watched::log(self.folder.path())).unwrap_or_default();
        Err(Error::NotReady { program: "nats-server", log })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, GREETING_WINDOW) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(GREETING_WINDOW)).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && &greeting == b"INFO"
}
