//! The database of accounts and sessions. Every statement of the service is in here and in the
//! modules below; what is unique is turned into named errors here, and nowhere else.

use chassis::database::{Sqlite, Write};

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
        match violated(&error) {
            Some(unique) => Self::Taken(unique),
            None => Self::Statement(error),
        }
    }
}

fn violated(error: &sqlx::Error) -> Option<Unique> {
    let error = error.as_database_error().filter(|error| error.is_unique_violation())?;
    let columns = [
        ("accounts.username_key", Unique::Username),
        ("accounts.email_key", Unique::Email),
        ("accounts.phone", Unique::Phone),
    ];
    columns.into_iter().find(|(column, _)| error.message().ends_with(column)).map(|found| found.1)
}

/// The one way to the database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Sqlite,
}

impl Store {
    pub(crate) const fn new(db: Sqlite) -> Self {
        Self { db }
    }

    async fn begin(&self) -> Result<Write, Error> {
        Ok(self.db.write().await?)
    }
}

#[cfg(test)]
mod tests;
