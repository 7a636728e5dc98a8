//! The truth about conversations, on the disk. Every SQL statement stands here or in a file below,
//! as a constant; no rule of a conversation does, but for who may see a room, which lists have to
//! ask of the database.

pub(crate) mod batch;
mod log;
pub(crate) mod messages;
pub(crate) mod rooms;
mod row;

use std::sync::Arc;

use chassis::Random;
use chassis::database::{Sqlite, Step};
use sqlx::SqlitePool;

/// The schema, step by step.
pub(crate) const STEPS: &[Step] = &[Step {
    number: 1,
    name: "conversations",
    sql: include_str!("../migrations/sqlite/0001_conversations.sql"),
}];

/// SQLite has one writer, hence one shard.
const SHARD: i64 = 0;

const KEEP_EPOCH: &str =
    "INSERT INTO meta (key, value) VALUES ('epoch', $1) ON CONFLICT (key) DO NOTHING";
const EPOCH: &str = "SELECT value FROM meta WHERE key = 'epoch'";

/// An open database. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    sqlite: Sqlite,
    epoch: Arc<str>,
}

impl Store {
    /// The conversations of an open database, which gets its epoch here when it is new.
    pub(crate) async fn over(sqlite: Sqlite, random: &Random) -> Result<Self, Error> {
        let made = format!("{:08x}", u32::from_be_bytes(random.bytes()));
        sqlx::query(KEEP_EPOCH).bind(made).execute(&sqlite.writer).await?;
        let epoch: String = sqlx::query_scalar(EPOCH).fetch_one(&sqlite.writer).await?;
        Ok(Self { sqlite, epoch: epoch.into() })
    }

    /// Closes every connection, after what they are doing.
    pub(crate) async fn close(&self) {
        self.sqlite.close().await;
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    fn reader(&self) -> &SqlitePool {
        &self.sqlite.reader
    }
}

/// Why the store did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The database cannot be reached, or will not.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A row holds what we never write.
    #[error("the column {0} cannot be read")]
    Corrupt(&'static str),
    /// A list cannot be written as JSON.
    #[error("a list cannot be encoded")]
    Encoding(#[source] serde_json::Error),
    /// A room's head is not where the transaction found it.
    #[error("a head moved under the batch")]
    Raced,
}

impl Error {
    /// Whether a single command may be at fault while the database is well, so that those beside it
    /// deserve another try.
    pub(crate) fn may_be_one_commands_fault(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                !matches!(error.kind(), sqlx::error::ErrorKind::Other)
            }
            Self::Raced | Self::Corrupt(_) | Self::Encoding(_) => true,
            Self::Database(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
