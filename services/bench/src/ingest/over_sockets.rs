//! The same through everything: senders on WebSockets through the gateway of a whole hubbub.

use std::time::Duration;

use harness::postgres::Server;
use tempfile::TempDir;

use super::Turn;
use super::kept::{Engine, cpu, database};
use crate::Outcome;
use crate::machine::Place;
use crate::program::Process;
use crate::sends::{hubbub, send};

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
        let url = format!("database.url={}", database(engine, server)?);
        let process = hubbub(folder.path(), (Place::Anywhere, Place::Anywhere), &[url])?;
        let server = server.id().filter(|_| engine == Engine::Postgres);
        Ok(Self { process, server, _folder: folder })
    }

    /// Lets `senders` talk for `span`.
    pub(crate) async fn turn(&self, senders: usize, span: Duration) -> Outcome<Turn> {
        let before = cpu(&self.process, self.server);
        let sends = send(self.process.line("gateway")?, senders, ROOMS, span).await?;
        let cpu = cpu(&self.process, self.server) - before;
        Ok(Turn { messages: sends.waits.len() as u64, waits: sends.waits, span: sends.span, cpu })
    }
}
