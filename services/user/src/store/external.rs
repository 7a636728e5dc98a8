//! Statements about whom external issuers vouch for.

use chassis::database::{Transaction, again, query};
use contract::{Timestamp, UserId};

use super::sessions::{self, NewSession};
use super::{Error, Store, accounts, finish, required};
use crate::account::{Account, Email};
use crate::audit::Entry;

const FIND: &str = "SELECT account_id FROM external_identities WHERE issuer = $1 AND subject = $2";

/// Of two that come first, the second waits for the first and gets no row.
const INSERT: &str = "
    INSERT INTO external_identities (issuer, subject, account_id, created_at, last_used_at)
    VALUES ($1, $2, $3, $4, $4)
    ON CONFLICT (issuer, subject) DO NOTHING";

const USE: &str = "
    UPDATE external_identities SET last_used_at = $4
    WHERE issuer = $1 AND subject = $2 AND account_id = $3";

const SET_VERIFIED: &str =
    "UPDATE accounts SET email_verified = $2, phone_verified = $3 WHERE id = $1";

/// Somebody at an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `iss` of its tokens.
    pub(crate) issuer: String,
    /// `sub`.
    pub(crate) subject: String,
}

/// What became of a new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    New,
    /// The identity has an account by now; this one is not stored.
    KnownMeanwhile,
}

impl Store {
    /// Whose account the identity is.
    pub(crate) async fn find_external(&self, identity: &Identity) -> Result<Option<UserId>, Error> {
        let find = query(FIND).bind(identity.issuer.as_str()).bind(identity.subject.as_str());
        let found = self.db.fetch_optional(find).await?;
        found.map(|row| required(&row, "account_id")).transpose()
    }

    /// Stores a new account of `identity` with its first session.
    pub(crate) async fn register_external(
        &self,
        account: &Account,
        identity: &Identity,
        session: &NewSession,
        entry: &Entry,
    ) -> Result<Stored, Error> {
        let stored = transact!(self, |transaction| {
            accounts::insert(transaction, account, None).await?;
            let verified = query(SET_VERIFIED)
                .bind(account.id.to_string())
                .bind(account.email_verified)
                .bind(account.phone_verified);
            transaction.execute(verified).await?;
            if !insert(transaction, identity, account.id, entry.at).await? {
                return Err(Error::KnownMeanwhile);
            }
            sessions::insert(transaction, account.id, session).await?;
            self.audit(transaction, entry).await?;
            Ok(Stored::New)
        });
        match stored {
            Err(Error::KnownMeanwhile) => Ok(Stored::KnownMeanwhile),
            stored => stored,
        }
    }

    /// Puts `identity` to the account `to`, if that still has `email` and it is verified, and if the
    /// identity has no account yet. Otherwise nothing happens.
    pub(crate) async fn link_external(
        &self,
        identity: &Identity,
        email: &Email,
        entry: &Entry,
        to: UserId,
    ) -> Result<(), Error> {
        transact!(self, |transaction| {
            let Some(account) = accounts::lock(transaction, to).await? else { return Ok(()) };
            let has_email = account.email.is_some_and(|own| own.key() == email.key());
            if !has_email || !account.email_verified {
                return Ok(());
            }
            if insert(transaction, identity, to, entry.at).await? {
                self.audit(transaction, entry).await?;
            }
            Ok(())
        })
    }
}

/// Whether the identity had no account yet.
async fn insert(
    transaction: &mut Transaction,
    identity: &Identity,
    account: UserId,
    now: Timestamp,
) -> Result<bool, Error> {
    let inserted = query(INSERT)
        .bind(identity.issuer.as_str())
        .bind(identity.subject.as_str())
        .bind(account.to_string())
        .bind(now.0);
    Ok(transaction.execute(inserted).await? > 0)
}

/// Notes that `identity` was used at `now`; refuses when it is no longer that of `of`.
pub(super) async fn expect(
    transaction: &mut Transaction,
    of: UserId,
    identity: &Identity,
    now: Timestamp,
) -> Result<(), Error> {
    let used = query(USE)
        .bind(identity.issuer.as_str())
        .bind(identity.subject.as_str())
        .bind(of.to_string())
        .bind(now.0);
    let rows = transaction.execute(used).await?;
    if rows > 0 { Ok(()) } else { Err(Error::AccountGone) }
}
