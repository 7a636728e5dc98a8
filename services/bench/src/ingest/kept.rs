//! A message service on one engine, with rooms in it.

use std::net::SocketAddr;

use chassis::identity::{Person, ServiceTokens};
use chassis::{Bus, Clock, Deps, Random};
use clap::ValueEnum;
use contract::UserId;
use harness::postgres::Server;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::Outcome;
use crate::machine::Place as Core;
use crate::proc::{self, Cpu};
use crate::program::Process;

/// What keeps the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Whoever sends.
pub(crate) const SENDER: UserId = UserId(Uuid::from_u128(1));

/// A running message service whose rooms [`SENDER`] has made.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    /// Of the database on the server, where there is one.
    pub(crate) url: String,
    tokens: ServiceTokens,
    process: Process,
    server: Option<u32>,
}

impl Place {
    /// Starts the service on an empty database and makes `rooms` rooms.
    pub(crate) async fn open(engine: Engine, server: &Server, rooms: usize) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let url = database(engine, server)?;
        let mut arguments = vec!["--data".to_owned(), data.display().to_string()];
        for setting in [
            "message.listen=127.0.0.1:0".to_owned(),
            "message.bell=bus".to_owned(),
            format!("database.url={url}"),
        ] {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let process =
            Process::own("message", Core::Anywhere, Core::Anywhere, &arguments, "Ctrl-C")?;
        let address = process.line("message")?.replacen("http://", "", 1).parse()?;
        let deps = Deps {
            bus: Bus::local(1),
            clock: Clock::System,
            random: Random::System,
            data: data.clone(),
        };
        let tokens = ServiceTokens::open("chat", &data.join("keys"), &deps)?;
        let server = server.id().filter(|_| engine == Engine::Postgres);
        let place = Self { address, folder, url, tokens, process, server };
        place.make(rooms).await?;
        Ok(place)
    }

    /// What every batch call begins with.
    pub(crate) fn head(&self) -> String {
        format!(
            "POST /internal/messages/batch HTTP/1.1\r\nhost: message\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\n",
            self.tokens.plain("message")
        )
    }

    /// Of the service and its server so far.
    pub(crate) fn cpu(&self) -> Cpu {
        cpu(&self.process, self.server)
    }

    async fn make(&self, rooms: usize) -> Outcome<()> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let person = Person { id: SENDER, name: "bench".into(), session: None };
        for room in 0..rooms {
            let token = self.tokens.on_behalf_of("message", &person);
            let body = json!({"id": name(room), "name": name(room)});
            let url = format!("http://{}/api/rooms", self.address);
            http.post(url).bearer_auth(token).json(&body).send().await?.error_for_status()?;
        }
        Ok(())
    }
}

/// CPU time of a process, and of the server with this id, so far.
pub(crate) fn cpu(process: &Process, server: Option<u32>) -> Cpu {
    let own = process.cpu();
    let servers = server.map(|id| proc::cpu(&proc::family(id))).unwrap_or_default();
    Cpu { user: own.user + servers.user, system: own.system + servers.system }
}

/// The id of a room.
pub(crate) fn name(room: usize) -> String {
    format!("bench-{room}")
}

/// The URL of an empty database; empty for SQLite.
pub(crate) fn database(engine: Engine, server: &Server) -> Outcome<String> {
    match engine {
        Engine::Sqlite => Ok(String::new()),
        Engine::Postgres => {
            let name = format!("bench_{}", Uuid::new_v4().simple());
            server.make(&name)?;
            Ok(server.url(&name))
        }
    }
}
