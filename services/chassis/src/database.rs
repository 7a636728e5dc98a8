//! A service's own database: a SQLite file in the data folder, or a schema of a PostgreSQL server.
//!
//! The engine is chosen by one setting, `database.url`; everything above sees one [`Database`], one
//! [`Query`] and one [`Transaction`]. Whatever the engine, committed means on the disk, and a
//! transaction sees what the one before it left. Statements are the same text where both engines take
//! it, and stand side by side in a [`Text`] where they do not.

mod config;
mod connection;
mod list;
mod postgres;
mod query;
mod sqlite;
mod transaction;

use std::borrow::Cow;
use std::path::Path;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

pub use crate::database::config::Config;
pub use crate::database::connection::Held;
pub use crate::database::list::List;
pub use crate::database::query::{Query, Row, Text, Value, query};
pub use crate::database::transaction::{BreaksOff, Transaction, again, is_worth_another_try};

use crate::StartError;
use crate::database::postgres::Postgres;
use crate::database::sqlite::Sqlite;

/// A step of a schema: its number, its name and its statements, which are never changed once
/// shipped.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Rises by one.
    pub number: i64,
    /// What it is about.
    pub name: &'static str,
    /// The statements, in both dialects.
    pub sql: Text,
}

/// What a service keeps.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// What it is called on a server that several services share.
    pub name: &'static str,
    /// How it came to be what it is.
    pub steps: &'static [Step],
}

/// An open database. Clones share it.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of this process alone.
    Sqlite(Sqlite),
    /// A schema that replicas of the service share.
    Postgres(Postgres),
}

impl Database {
    /// Opens what `config` says, `file` of the data folder if it names no server, and brings it to the
    /// newest step of `schema`.
    pub async fn open(config: &Config, file: &Path, schema: &Schema) -> Result<Self, StartError> {
        match config.server()? {
            Some(server) => Ok(Self::Postgres(Postgres::open(server, config, schema).await?)),
            None => Ok(Self::Sqlite(Sqlite::open(file, schema).await?)),
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        self.fetch_optional(query("SELECT 1")).await.map(|_| ())
    }

    /// Closes every connection, after what they are doing.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Every row that `query` finds.
    pub async fn fetch_all(&self, query: Query<'_>) -> Result<Vec<Row>, sqlx::Error> {
        self.reader().await?.fetch_all(query).await
    }

    /// The row that `query` finds, if there is one.
    pub async fn fetch_optional(&self, query: Query<'_>) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Runs a statement that is a transaction by itself; says how many rows it changed.
    pub async fn execute(&self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        self.writer().await?.execute(query).await
    }
}

fn migrator(schema: &Schema, dialect: impl Fn(Text) -> &'static str) -> Migrator {
    let migrations = schema.steps.iter().map(|step| {
        let name = Cow::Borrowed(step.name);
        let sql = dialect(step.sql).into_sql_str();
        Migration::new(step.number, name, MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests;
