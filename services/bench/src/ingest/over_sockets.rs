//! The same through everything: senders on WebSockets through the gateway of a whole hubbub.

use std::time::Duration;

use harness::postgres::Server;
use tempfile::TempDir;

use super::Turn;
use super::kept::{Engine, database};
use crate::Outcome;
use crate::machine::Place;
use crate::proc::{self, Cpu};
use crate::program::Process;
use crate::sends::send;

/// Rooms that they talk in.
pub(crate) const ROOMS: usize = 16;

/// A hubbub on one engine.
pub(crate) struct Hub {
    process: Process,
    server: Option<u32>,
    _folder: TempDir,
}

impl Hub {
    pub(crate) fn start(engine: Engine, server: &Server) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data").display().to_string();
        let mut arguments = vec!["--data".to_owned(), data];
        let url = format!("database.url={}", database(engine, server)?);
        for setting in [
            "gateway.listen=127.0.0.1:0",
            "gateway.admin_listen=127.0.0.1:0",
            "user.listen=127.0.0.1:0",
            "chat.listen=127.0.0.1:0",
            "message.listen=127.0.0.1:0",
            "gateway.quota.enabled=false",
            "gateway.access_log.to=access.log",
            "chat.ws.frames_per_second=1000000",
            "chat.ws.frames_burst=1000000",
            &url,
        ] {
            arguments.extend(["--set".to_owned(), setting.to_owned()]);
        }
        let process =
            Process::own("hubbub", Place::Anywhere, Place::Anywhere, &arguments, "Ctrl-C")?;
        let server = server.id().filter(|_| engine == Engine::Postgres);
        Ok(Self { process, server, _folder: folder })
    }

    /// Lets `senders` talk for `span`.
    pub(crate) async fn turn(&self, senders: usize, span: Duration) -> Outcome<Turn> {
        let before = self.cpu();
        let sends = send(self.process.line("gateway")?, senders, ROOMS, span).await?;
        let cpu = self.cpu() - before;
        Ok(Turn { messages: sends.waits.len() as u64, waits: sends.waits, span: sends.span, cpu })
    }

    fn cpu(&self) -> Cpu {
        let own = self.process.cpu();
        let servers = self.server.map(|id| proc::cpu(&proc::family(id))).unwrap_or_default();
        Cpu { user: own.user + servers.user, system: own.system + servers.system }
    }
}
