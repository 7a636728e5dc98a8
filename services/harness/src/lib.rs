//! Real servers for tests: PostgreSQL and NATS from this machine, on free ports, in folders of
//! their own, stopped when the tests are over, however they end.
//!
//! A server is looked for where its variable points (`HUBBUB_TEST_POSTGRES`: a folder with
//! `postgres` and `initdb`; `HUBBUB_TEST_NATS`: the program), then on the `PATH`, then where Debian
//! puts it. One that is missing fails the test with the line that installs it.
//!
//! ```text
//! Engine::Postgres.fresh()     a database of its own on a server that the whole run shares
//! postgres::Server::start()    a server of its own, which a test may stop and start again
//! nats::Server::start()        likewise
//! schema::assert_alike(..)     whether both engines made the same of a schema
//! ```

pub mod nats;
pub mod postgres;
mod programs;
pub mod schema;
mod watched;

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use crate::postgres::Database;

/// Ports that servers of tests listen on. Linux gives out those from 32768 on by itself.
const FIRST_PORT: u16 = 15_000;
const PORTS: u16 = 17_000;

/// Why a server cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not on this machine.
    #[error("{program} is missing. Install it with: sudo apt-get install {package}")]
    Missing {
        /// What was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It was told to be ready and is not.
    #[error("{program} did not get ready; it said:\n{log}")]
    NotReady {
        /// Which one.
        program: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A program beside it failed.
    #[error("{command} failed: {said}")]
    Failed {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Path {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a case of a store runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in the folder of the case.
    Sqlite,
    /// A database on the server of the run.
    Postgres,
}

impl Engine {
    /// An empty database for one case; `None` is a file, which the case makes itself.
    ///
    /// # Panics
    /// When there is no server, with the line that installs it.
    #[must_use]
    pub fn fresh(self) -> Option<Database> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(Database::fresh().unwrap_or_else(|error| panic!("{error}"))),
        }
    }
}

/// Runs every case that is named once on each engine. A case is `async fn name(engine: Engine)`.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* $case:ident),* $(,)?) => {
        mod on_sqlite {
            $($(#[$attribute])* #[tokio::test]
            async fn $case() {
                Box::pin(super::$case($crate::Engine::Sqlite)).await;
            })*
        }
        mod on_postgres {
            $($(#[$attribute])* #[tokio::test]
            async fn $case() {
                Box::pin(super::$case($crate::Engine::Postgres)).await;
            })*
        }
    };
}

/// A port that is free now, below those that the system gives to outgoing connections: what begins to
/// listen there a moment later finds it free still.
///
/// # Errors
/// When none of many is.
pub fn free_port() -> io::Result<u16> {
    const TRIES_MAX: u32 = 100;
    let mut free = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..TRIES_MAX {
        let [low, high, ..] = uuid::Uuid::new_v4().into_bytes();
        let port = FIRST_PORT + u16::from_le_bytes([low, high]) % PORTS;
        free = TcpListener::bind(("127.0.0.1", port)).map(|_| port);
        if free.is_ok() {
            break;
        }
    }
    free
}
