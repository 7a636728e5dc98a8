//! A transaction that writes, and doing one again that the engine broke off.

use super::connection::{Connection, Held};
use super::{Database, Query, Row, Text, query};

/// SQLSTATE of a transaction that another one would have contradicted.
const SERIALIZATION_FAILURE: &str = "40001";
/// SQLSTATE of one of two that waited for each other.
const DEADLOCK_DETECTED: &str = "40P01";
/// How often work is tried that the engine gave up in favour of others.
const TRIES_MAX: u32 = 5;

/// SQLite has one writer at a time. PostgreSQL has many, who lock what they rely on (`FOR UPDATE`) and
/// then see what others left of it.
const BEGIN: Text =
    Text { sqlite: "BEGIN IMMEDIATE", postgres: "BEGIN ISOLATION LEVEL READ COMMITTED" };
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// A transaction. Dropped before its end it leaves no trace, and its connection is closed: after a
/// commit that failed nobody can say whether a transaction is still open on it.
#[derive(Debug)]
pub struct Transaction(Option<Connection>);

impl Database {
    /// Begins to write. On SQLite it takes the right to at once: what is looked up still holds when
    /// it is used.
    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Transaction::begun(self.writer().await?).await
    }

    /// Begins to write on the connection that is kept in `held`.
    pub async fn begin_on(&self, held: &mut Held) -> Result<Transaction, sqlx::Error> {
        Transaction::begun(self.take(held).await?).await
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
    async fn begun(connection: Connection) -> Result<Self, sqlx::Error> {
        let mut transaction = Self(Some(connection));
        transaction.execute(query(BEGIN)).await?;
        Ok(transaction)
    }

    /// Every row that `query` finds.
    pub async fn fetch_all(&mut self, query: Query<'_>) -> Result<Vec<Row>, sqlx::Error> {
        self.connection()?.fetch_all(query).await
    }

    /// The row that `query` finds, if there is one.
    pub async fn fetch_optional(&mut self, query: Query<'_>) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Runs a statement; says how many rows it changed.
    pub async fn execute(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        self.connection()?.execute(query).await
    }

    /// Makes it last. When this returns, the disk has it.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.end(COMMIT).await.map(drop)
    }

    /// Gives it up.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.end(ROLLBACK).await.map(drop)
    }

    /// Makes it last, and keeps its connection in `held`.
    pub async fn commit_on(mut self, held: &mut Held) -> Result<(), sqlx::Error> {
        if let Some(connection) = self.end(COMMIT).await? {
            held.keep(connection);
        }
        Ok(())
    }

    /// Gives it up, and keeps its connection in `held`.
    pub async fn rollback_on(mut self, held: &mut Held) -> Result<(), sqlx::Error> {
        if let Some(connection) = self.end(ROLLBACK).await? {
            held.keep(connection);
        }
        Ok(())
    }

    async fn end(&mut self, text: &'static str) -> Result<Option<Connection>, sqlx::Error> {
        self.execute(query(text)).await?;
        Ok(self.0.take())
    }

    /// There is one until the end, after which nobody has the transaction.
    fn connection(&mut self) -> Result<&mut Connection, sqlx::Error> {
        self.0.as_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}
