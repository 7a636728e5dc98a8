//! One connection, whatever the engine, and one that its holder keeps.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgDatabaseError, PgSeverity, Postgres as PostgresEngine};
use sqlx::sqlite::Sqlite as SqliteEngine;
use tokio::time::{Instant, timeout};

use super::{Database, Query, Row, query};

/// A connection that was not used for so long is asked whether it still stands.
pub(super) const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A connection. One that was left in the middle of something is closed, and nobody gets it again: who
/// stopped waiting cannot say what became of it.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(PoolConnection<SqliteEngine>),
    /// With how long it may take to answer: a server whose machine is gone never does.
    Postgres(PoolConnection<PostgresEngine>, Duration),
}

/// Keeps a connection to a server between two uses, for one who writes all the time: to take one out of
/// a pool and give it back costs a question each time. SQLite has one connection that writes, which
/// nobody may keep from the others.
#[derive(Debug, Default)]
pub struct Held(Option<(Connection, Instant)>);

impl Database {
    /// Runs statements that begin and end a transaction by themselves on the connection that is kept
    /// in `held`; says how many rows they changed. After an error it is unknown whether they were
    /// committed, unless the database refused them.
    pub async fn execute_on(&self, held: &mut Held, what: Query<'_>) -> Result<u64, sqlx::Error> {
        let mut connection = self.take(held).await?;
        let done = connection.execute(what).await;
        let is_usable = match &done {
            Ok(_) => true,
            Err(error) => connection.is_usable_after(error).await,
        };
        if is_usable {
            held.keep(connection);
        } else {
            connection.close_on_drop();
        }
        done
    }

    pub(super) async fn writer(&self) -> Result<Connection, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(sqlite) => Connection::Sqlite(sqlite.writer.acquire().await?),
            Self::Postgres(postgres) => {
                Connection::Postgres(postgres.writers.acquire().await?, postgres.answer_timeout)
            }
        })
    }

    pub(super) async fn reader(&self) -> Result<Connection, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(sqlite) => Connection::Sqlite(sqlite.reader.acquire().await?),
            Self::Postgres(postgres) => {
                Connection::Postgres(postgres.readers.acquire().await?, postgres.answer_timeout)
            }
        })
    }

    /// The connection that is kept, or another if it no longer stands.
    pub(super) async fn take(&self, held: &mut Held) -> Result<Connection, sqlx::Error> {
        if let Some((mut connection, used)) = held.0.take() {
            if used.elapsed() < TRUSTED_FOR || connection.ping().await.is_ok() {
                return Ok(connection);
            }
            connection.close_on_drop();
        }
        self.writer().await
    }
}

impl Held {
    pub(super) fn keep(&mut self, connection: Connection) {
        self.0 = match connection {
            Connection::Sqlite(_) => None,
            Connection::Postgres(..) => Some((connection, Instant::now())),
        };
    }
}

/// Closes its connection when it is dropped before the use has come to its end.
struct Use<'c>(&'c mut Connection, Stage);

#[derive(PartialEq, Eq)]
enum Stage {
    Begun,
    Ended,
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        if self.1 == Stage::Begun {
            self.0.close_on_drop();
        }
    }
}

impl Connection {
    pub(super) async fn fetch_all(&mut self, query: Query<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let mut within = Use(self, Stage::Begun);
        let done = match &mut *within.0 {
            Self::Sqlite(connection) => query.all_of_sqlite(&mut **connection).await,
            Self::Postgres(connection, limit) => {
                in_time(*limit, query.all_of_postgres(&mut **connection)).await?
            }
        };
        within.1 = Stage::Ended;
        done
    }

    pub(super) async fn execute(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        let mut within = Use(self, Stage::Begun);
        let done = match &mut *within.0 {
            Self::Sqlite(connection) => query.run_on_sqlite(&mut **connection).await,
            Self::Postgres(connection, limit) => {
                in_time(*limit, query.run_on_postgres(&mut **connection)).await?
            }
        };
        within.1 = Stage::Ended;
        done
    }

    /// Nobody gets it any more.
    pub(super) fn close_on_drop(&mut self) {
        match self {
            Self::Sqlite(connection) => connection.close_on_drop(),
            Self::Postgres(connection, _) => connection.close_on_drop(),
        }
    }

    async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.execute(query("SELECT 1")).await.map(drop)
    }

    /// Whether statements that are a transaction by themselves, and failed, left it as it was before
    /// them.
    async fn is_usable_after(&mut self, error: &sqlx::Error) -> bool {
        let Some(said) = error.as_database_error() else { return false };
        match self {
            // The statements were refused, not the commit: their transaction is open still.
            Self::Sqlite(_) if !matches!(said.kind(), sqlx::error::ErrorKind::Other) => {
                self.execute(query("ROLLBACK")).await.is_ok()
            }
            Self::Sqlite(_) => false,
            // Whatever is less than fatal ends the statement and nothing else.
            Self::Postgres(..) => said
                .try_downcast_ref::<PgDatabaseError>()
                .is_some_and(|said| said.severity() == PgSeverity::Error),
        }
    }
}

/// What came within `limit`.
async fn in_time<T>(limit: Duration, what: impl Future<Output = T>) -> Result<T, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(limit, what).await.map_err(late)
}
