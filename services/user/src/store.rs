//! The database of accounts and sessions. Every statement of the service is in here and in the
//! modules below; what is unique is turned into named errors here, and nowhere else.
//!
//! Replicas share one PostgreSQL database, so whoever reads what it then changes locks it first
//! (`FOR UPDATE`, where SQLite lets one write at a time anyway): an account stands for its profile,
//! its sessions and their tokens. Strangers never wait for each other, and nothing has to be done
//! over because a stranger's row lay near.

use std::str::FromStr;
use std::time::Duration;

use chassis::database::{BreaksOff, Database, Row, Transaction, is_worth_another_try};
use contract::UserId;
use sqlx::error::DatabaseError;

/// Does the block in one transaction, which it has as `&mut Transaction`: what it did lasts when it is
/// content, and leaves no trace when it is not, whatever its reason. Done anew when the engine broke
/// it off for others. A macro, since the future of an async closure that borrows cannot be shown to be
/// `Send`.
macro_rules! transact {
    ($store:expr, |$transaction:ident| $work:block) => {
        again(|| async {
            let mut begun = $store.begin().await?;
            let $transaction = &mut begun;
            let done: Result<_, Error> = async { $work }.await;
            finish(begun, done).await
        })
        .await
    };
}

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod ends;
pub(crate) mod external;
pub(crate) mod feed;
pub(crate) mod keys;
pub(crate) mod one_time;
pub(crate) mod people;
pub(crate) mod phone_codes;
pub(crate) mod roles;
pub(crate) mod sessions;
pub(crate) mod setup;
pub(crate) mod tickets;

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
    #[error("there is no such account any more")]
    AccountGone,
    #[error("the password was changed meanwhile")]
    PasswordChanged,
    #[error("no administrator would be left")]
    LastAdmin,
    #[error("the external identity got an account meanwhile")]
    KnownMeanwhile,
    #[error("the account has as many keys as it may")]
    TooManyKeys,
    #[error("a service's word opens customers' accounts alone")]
    NotForServices(UserId),
    #[error("another session would have to end")]
    NoPlace,
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
            Self::Taken(_)
            | Self::SetupUsed
            | Self::AccountGone
            | Self::PasswordChanged
            | Self::LastAdmin
            | Self::KnownMeanwhile
            | Self::TooManyKeys
            | Self::NotForServices(_)
            | Self::NoPlace
            | Self::Corrupt { .. } => false,
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
    /// How long an entry of the audit is kept.
    audit_keep: Duration,
}

impl Store {
    pub(crate) const fn new(db: Database, audit_keep: Duration) -> Self {
        Self { db, audit_keep }
    }

    /// Begins to write, seeing what others commit until it locks what it relies on.
    async fn begin(&self) -> Result<Transaction, Error> {
        Ok(self.db.begin().await?)
    }
}

/// Without an orderly end the connection would have to go, and SQLite writes on one.
async fn finish<T>(transaction: Transaction, done: Result<T, Error>) -> Result<T, Error> {
    match done {
        Ok(done) => {
            transaction.commit().await?;
            Ok(done)
        }
        Err(error) => {
            // A connection on which this fails goes all the same.
            transaction.rollback().await.ok();
            Err(error)
        }
    }
}

fn required<T: FromStr>(row: &Row, column: &'static str) -> Result<T, Error> {
    optional(row, column)?.ok_or(Error::Corrupt { column })
}

fn optional<T: FromStr>(row: &Row, column: &'static str) -> Result<Option<T>, Error> {
    let text: Option<&str> = row.get(column)?;
    text.map(|text| text.parse().map_err(|_| Error::Corrupt { column })).transpose()
}

#[cfg(test)]
mod tests;
