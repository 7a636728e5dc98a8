//! One connection, whatever the engine, and one that its holder keeps.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres as PostgresEngine;
use sqlx::sqlite::Sqlite as SqliteEngine;
use tokio::time::Instant;

use super::{Database, Query, Row, query};

/// A connection that was not used for so long is asked whether it still stands.
pub(super) const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A connection that writes.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(PoolConnection<SqliteEngine>),
    Postgres(PoolConnection<PostgresEngine>),
}

/// Keeps a connection to a server between two uses, for one who writes all the time: to take one out of
/// a pool and give it back costs a question each time. SQLite has one connection that writes, which
/// nobody may keep from the others.
#[derive(Debug, Default)]
pub struct Held(Option<(Connection, Instant)>);

impl Database {
    /// Runs statements that begin and end a transaction by themselves on the connection that is kept
    /// in `held`; says how many rows they changed.
    pub async fn execute_on(&self, held: &mut Held, what: Query<'_>) -> Result<u64, sqlx::Error> {
        let mut connection = self.take(held).await?;
        let done = connection.execute(what).await;
        let is_usable = match &done {
            Ok(_) => true,
            // The statements were refused, not the commit: SQLite still has their transaction open.
            Err(error) if breaks_a_rule(error) => {
                connection.execute(query("ROLLBACK")).await.is_ok()
            }
            Err(_) => false,
        };
        if is_usable {
            held.keep(connection);
        } else {
            connection.close_on_drop();
        }
        done
    }

    pub(super) async fn writer(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(sqlite) => Ok(Connection::Sqlite(sqlite.writer.acquire().await?)),
            Self::Postgres(postgres) => Ok(Connection::Postgres(postgres.writers.acquire().await?)),
        }
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
            Connection::Postgres(_) => Some((connection, Instant::now())),
        };
    }
}

impl Connection {
    pub(super) async fn fetch_all(&mut self, query: Query<'_>) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => query.all_of_sqlite(&mut **connection).await,
            Self::Postgres(connection) => query.all_of_postgres(&mut **connection).await,
        }
    }

    pub(super) async fn execute(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => query.run_on_sqlite(&mut **connection).await,
            Self::Postgres(connection) => query.run_on_postgres(&mut **connection).await,
        }
    }

    /// Nobody gets it any more.
    pub(super) fn close_on_drop(&mut self) {
        match self {
            Self::Sqlite(connection) => connection.close_on_drop(),
            Self::Postgres(connection) => connection.close_on_drop(),
        }
    }

    async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.ping().await,
            Self::Postgres(connection) => connection.ping().await,
        }
    }
}

/// Whether a row broke a rule of its table.
fn breaks_a_rule(error: &sqlx::Error) -> bool {
    let said = error.as_database_error();
    said.is_some_and(|error| !matches!(error.kind(), sqlx::error::ErrorKind::Other))
}
