//! The database of accounts and sessions. Every statement of the service is in here and in the
//! modules below; what is unique is turned into named errors here, and nowhere else.
//!
//! Replicas share one PostgreSQL database, so whoever reads what it then changes locks it first
//! (`FOR UPDATE`, where SQLite lets one write at a time anyway): an account stands for its profile,
//! its sessions and their tokens. Strangers never wait for each other, and nothing has to be done
//! over because a stranger's row lay near.

use chassis::database::{BreaksOff, Database, Transaction, is_worth_another_try};
use sqlx::error::DatabaseError;

pub(crate) mod accounts;
pub(crate) mod sessions;
pub(crate) mod setup;

/// What an account shares with no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unique {
    Username,
    Email,
    Phone,
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("another account has this {0:?}")]
    Taken(Unique),
    #[error("the set-up code was used meanwhile")]
    SetupUsed,
    #[error("a statement failed")]
    Statement(#[source] sqlx::Error),
    #[error("the column {column} holds what it cannot hold")]
    Corrupt { column: &'static str },
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(violated) {
            Some(unique) => Self::Taken(unique),
            None => Self::Statement(error),
        }
    }
}

impl BreaksOff for Error {
    fn was_broken_off(&self) -> bool {
        match self {
            Self::Statement(error) => is_worth_another_try(error),
            Self::Taken(_) | Self::SetupUsed | Self::Corrupt { .. } => false,
        }
    }
}

fn violated(error: &dyn DatabaseError) -> Option<Unique> {
    // SQLite names the column at the end of its message, PostgreSQL the constraint.
    const NAMES: [(Unique, &str, &str); 3] = [
        (Unique::Username, "accounts.username_key", "accounts_username_is_free"),
        (Unique::Email, "accounts.email_key", "accounts_email_is_free"),
        (Unique::Phone, "accounts.phone", "accounts_phone_is_free"),
    ];
    if !error.is_unique_violation() {
        return None;
    }
    let names = |(_, column, constraint): &(Unique, &str, &str)| match error.constraint() {
        Some(violated) => violated == *constraint,
        None => error.message().ends_with(column),
    };
    NAMES.into_iter().find(names).map(|(unique, ..)| unique)
}

/// The one way to the database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Database,
}

impl Store {
    pub(crate) const fn new(db: Database) -> Self {
        Self { db }
    }

    /// Begins to write, seeing what others commit until it locks what it relies on.
    async fn begin(&self) -> Result<Transaction, Error> {
        Ok(self.db.begin().await?)
    }
}

#[cfg(test)]
mod tests;
