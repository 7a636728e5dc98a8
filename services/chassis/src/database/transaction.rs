//! A transaction that writes.

use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres as PostgresEngine;
use sqlx::sqlite::Sqlite as SqliteEngine;

use super::{Database, Query, Row, query};

/// SQLSTATE of a transaction that another one would have contradicted.
const SERIALIZATION_FAILURE: &str = "40001";
/// SQLSTATE of one of two that waited for each other.
const DEADLOCK_DETECTED: &str = "40P01";
/// How often work is tried that the engine gave up in favour of others.
const TRIES_MAX: u32 = 5;

const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// What a transaction may see of those beside it. SQLite has one writer at a time, whatever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// As if it were alone: the engine may break it off for that, see [`is_worth_another_try`].
    Serializable,
    /// What others commit, each statement anew: for those who lock what they rely on.
    Locking,
}

/// A transaction. Dropped before its end it leaves no trace, and its connection is closed: after a
/// commit that failed nobody can say whether a transaction is still open on it.
#[derive(Debug)]
pub struct Transaction {
    connection: Connection,
    stage: Stage,
}

#[derive(Debug)]
enum Connection {
    Sqlite(PoolConnection<SqliteEngine>),
    Postgres(PoolConnection<PostgresEngine>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Ended,
}

impl Database {
    /// Begins to write. On SQLite it takes the right to at once: what is looked up still holds when
    /// it is used.
    pub async fn begin(&self, isolation: Isolation) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(sqlite) => {
                let connection = Connection::Sqlite(sqlite.writer.acquire().await?);
                Transaction::begun(connection, "BEGIN IMMEDIATE").await
            }
            Self::Postgres(postgres) => {
                let text = match isolation {
                    Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
                    Isolation::Locking => "BEGIN ISOLATION LEVEL READ COMMITTED",
                };
                let connection = Connection::Postgres(postgres.writers.acquire().await?);
                Transaction::begun(connection, text).await
            }
        }
    }

    /// Does `work` in a transaction of its own, as if alone, and again when the engine broke it off for
    /// others. `work` is done anew each time.
    pub async fn alone<T, E: From<sqlx::Error> + BreaksOff>(
        &self,
        mut work: impl AsyncFnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tries = 1;
        loop {
            let done = self.try_alone(&mut work).await;
            match done {
                Err(error) if tries < TRIES_MAX && error.was_broken_off() => tries += 1,
                done => return done,
            }
        }
    }

    async fn try_alone<T, E: From<sqlx::Error>>(
        &self,
        work: &mut impl AsyncFnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut transaction = self.begin(Isolation::Serializable).await?;
        let done = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }
}

/// Does `work`, which begins a transaction and commits it, and does it anew when the engine broke it off
/// for others: one of two that wait for each other, one that another contradicted.
pub async fn again<T, E: BreaksOff, F: Future<Output = Result<T, E>>>(
    work: impl Fn() -> F,
) -> Result<T, E> {
    let mut tries = 1;
    loop {
        match work().await {
            Err(error) if tries < TRIES_MAX && error.was_broken_off() => tries += 1,
            done => return done,
        }
    }
}

/// An error that may mean that the engine gave a transaction up in favour of others.
pub trait BreaksOff {
    /// Whether it does.
    fn was_broken_off(&self) -> bool;
}

/// Whether the engine gave a transaction up in favour of others, so that it may work when it is tried
/// again.
#[must_use]
pub fn is_worth_another_try(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
}

impl Transaction {
    async fn begun(connection: Connection, text: &'static str) -> Result<Self, sqlx::Error> {
        let mut transaction = Self { connection, stage: Stage::Open };
        transaction.execute(query(text)).await?;
        Ok(transaction)
    }

    /// Every row that `query` finds.
    pub async fn fetch_all(&mut self, query: Query<'_>) -> Result<Vec<Row>, sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => query.all_of_sqlite(&mut **connection).await,
            Connection::Postgres(connection) => query.all_of_postgres(&mut **connection).await,
        }
    }

    /// The row that `query` finds, if there is one.
    pub async fn fetch_optional(&mut self, query: Query<'_>) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Runs a statement; says how many rows it changed.
    pub async fn execute(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => query.run_on_sqlite(&mut **connection).await,
            Connection::Postgres(connection) => query.run_on_postgres(&mut **connection).await,
        }
    }

    /// Makes it last. When this returns, the disk has it.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.end(COMMIT).await
    }

    /// Gives it up.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.end(ROLLBACK).await
    }

    async fn end(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.execute(query(text)).await?;
        self.stage = Stage::Ended;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.stage == Stage::Open {
            match &mut self.connection {
                Connection::Sqlite(connection) => connection.close_on_drop(),
                Connection::Postgres(connection) => connection.close_on_drop(),
            }
        }
    }
}
