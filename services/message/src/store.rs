//! The truth about conversations, on the disk. Every SQL statement stands here or in a file below,
//! as a constant; no rule of a conversation does, but for who may see a room, which lists have to
//! ask of the database.

mod append;
pub(crate) mod batch;
mod days;
pub(crate) mod departed;
mod log;
pub(crate) mod messages;
pub(crate) mod rooms;
mod row;

use std::sync::Arc;

use chassis::Random;
use chassis::database::{Database, Schema, Step, Text, is_worth_another_try, query};
use contract::RoomId;

/// What this service keeps.
pub(crate) const SCHEMA: Schema = Schema {
    name: "hubbub_message",
    steps: &[
        Step {
            number: 1,
            name: "conversations",
            sql: Text {
                sqlite: include_str!("../migrations/sqlite/0001_conversations.sql"),
                postgres: include_str!("../migrations/postgres/0001_conversations.sql"),
            },
        },
        Step {
            number: 2,
            name: "departed",
            sql: Text {
                sqlite: include_str!("../migrations/sqlite/0002_departed.sql"),
                postgres: include_str!("../migrations/postgres/0002_departed.sql"),
            },
        },
    ],
};

const KEEP_EPOCH: &str =
    "INSERT INTO meta (key, value) VALUES ('epoch', $1) ON CONFLICT (key) DO NOTHING";
const EPOCH: &str = "SELECT value FROM meta WHERE key = 'epoch'";
const SHARDS: &str = "SELECT shard FROM shards ORDER BY shard";

/// A sequence of commits, written by one writer at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard(i64);

/// An open database. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
    epoch: Arc<str>,
    shards: Arc<[Shard]>,
}

impl Store {
    /// The conversations of an open database, which gets its epoch here when it is new.
    pub(crate) async fn over(database: Database, random: &Random) -> Result<Self, Error> {
        let made = format!("{:08x}", u32::from_be_bytes(random.bytes()));
        database.execute(query(KEEP_EPOCH).bind(made)).await?;
        let kept = database.fetch_optional(query(EPOCH)).await?;
        let epoch: String = kept.ok_or(Error::Corrupt("value"))?.get("value")?;
        let found = database.fetch_all(query(SHARDS)).await?;
        let shards: Result<Vec<_>, _> =
            found.iter().map(|row| row.get("shard").map(Shard)).collect();
        let shards: Arc<[Shard]> = shards?.into();
        if shards.is_empty() {
            return Err(Error::Corrupt("shard"));
        }
        Ok(Self { database, epoch: epoch.into(), shards })
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(crate) const fn is_a_file(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }

    /// The sequences that rooms are spread over.
    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }
}

/// Which of `count` shards a room belongs to: the same in every replica, whatever its version (FNV-1a
/// of the id).
pub(crate) fn place(room: &RoomId, count: usize) -> usize {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let hash = room.as_str().bytes().fold(BASIS, step);
    usize::try_from(hash % (count.max(1) as u64)).unwrap_or_default()
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
    /// Whether another writer got in between, so that the same batch may well be stored when it looks
    /// again.
    pub(crate) fn is_a_race(&self) -> bool {
        let is_late = |error: &sqlx::Error| {
            let said = error.as_database_error();
            let is_unique = said.is_some_and(sqlx::error::DatabaseError::is_unique_violation);
            // A day of the log was made under a batch that was on its way outside.
            let is_moved = said.is_some_and(sqlx::error::DatabaseError::is_check_violation);
            is_unique || is_moved || is_worth_another_try(error)
        };
        match self {
            Self::Database(error) => is_late(error) || self.is_a_moved_head(),
            Self::Raced => true,
            Self::Corrupt(_) | Self::Encoding(_) => false,
        }
    }

    /// Whether a room was not where it was believed to be.
    pub(crate) fn is_a_moved_head(&self) -> bool {
        match self {
            Self::Raced => true,
            Self::Database(error) => {
                let said = error.as_database_error();
                let code = said.and_then(sqlx::error::DatabaseError::code);
                code.as_deref() == Some(append::STALE)
            }
            Self::Corrupt(_) | Self::Encoding(_) => false,
        }
    }

    /// Whether a single command may be at fault while the database is well, so that those beside it
    /// deserve another try.
    pub(crate) fn may_be_one_commands_fault(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                let is_rule = !matches!(error.kind(), sqlx::error::ErrorKind::Other);
                // SQLSTATE class 22: a value that the database cannot take.
                is_rule || error.code().is_some_and(|code| code.starts_with("22"))
            }
            Self::Raced | Self::Corrupt(_) | Self::Encoding(_) => true,
            Self::Database(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
