//! Statements about one-time tokens. Whoever uses one locks its account first, and reads it again then:
//! of two that use it, one wins.

use chassis::database::{Row, Text, Transaction, again, query};
use contract::revocation::Revocations;
use contract::{Timestamp, UserId};

use super::ends::Ends;
use super::{Error, Store, accounts, ends, feed, finish, required};
use crate::account::{Account, Email};
use crate::audit::Entry;
use crate::one_time::{Purpose, TokenHash};

const INSERT: &str = "
    INSERT INTO one_time_tokens (hash, account_id, purpose, email_key, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6)";

/// The newest stay, whichever mail is read first.
const TRIM: &str = "
    DELETE FROM one_time_tokens
    WHERE account_id = $1 AND purpose = $2 AND hash NOT IN (
        SELECT hash FROM one_time_tokens WHERE account_id = $1 AND purpose = $2
        ORDER BY created_at DESC, hash LIMIT $3)";

const FIND: &str = "
    SELECT account_id, email_key, expires_at, used_at FROM one_time_tokens
    WHERE hash = $1 AND purpose = $2";

const END_KEYS: &str = "DELETE FROM api_keys WHERE account_id = $1";

const FORGET_IDENTITIES: &str = "DELETE FROM external_identities WHERE account_id = $1";

const FORGET_PHONE: &str = "UPDATE accounts SET phone = NULL, phone_verified = FALSE WHERE id = $1";

const SPEND_ALL: &str = "
    UPDATE one_time_tokens SET used_at = $3
    WHERE account_id = $1 AND purpose = $2 AND used_at IS NULL";

const VERIFY: &str = "UPDATE accounts SET email_verified = $2, updated_at = $3 WHERE id = $1";

const SWEEP: Text = Text {
    sqlite: "
        DELETE FROM one_time_tokens
        WHERE hash IN (
            SELECT hash FROM one_time_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    postgres: "
        DELETE FROM one_time_tokens
        WHERE hash = ANY (ARRAY (
            SELECT hash FROM one_time_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED))",
};

/// Tokens of one account for one purpose.
const PER_ACCOUNT_MAX: u32 = 5;

/// A token about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewToken {
    pub(crate) hash: TokenHash,
    pub(crate) purpose: Purpose,
    pub(crate) of: UserId,
    /// Where it is sent.
    pub(crate) email: Email,
    pub(crate) now: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// What is known of a token.
#[derive(Debug)]
pub(crate) enum Found<T> {
    Good(T),
    /// It was used, its time is over, or its account has another address now.
    Spent,
    /// It was never given out, or is forgotten.
    Unknown,
}

impl<T> Found<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Good(value) => Found::Good(change(value)),
            Self::Spent => Found::Spent,
            Self::Unknown => Found::Unknown,
        }
    }
}

impl Store {
    /// Stores `token`, when its account still has that address.
    pub(crate) async fn issue_token(&self, token: &NewToken, entry: &Entry) -> Result<bool, Error> {
        transact!(self, |transaction| {
            let account = accounts::lock(transaction, token.of).await?;
            let email = account.and_then(|account| account.email);
            if email.as_ref().map(Email::key) != Some(token.email.key()) {
                return Ok(false);
            }
            let insert = query(INSERT)
                .bind(token.hash.as_slice())
                .bind(token.of.to_string())
                .bind(token.purpose.as_str())
                .bind(token.email.key())
                .bind(token.now.0)
                .bind(token.expires_at.0);
            transaction.execute(insert).await?;
            let trim = query(TRIM).bind(token.of.to_string()).bind(token.purpose.as_str());
            transaction.execute(trim.bind(PER_ACCOUNT_MAX)).await?;
            self.audit(transaction, entry).await?;
            Ok(true)
        })
    }

    /// The account whose token this is, without using it.
    pub(crate) async fn find_token(
        &self,
        hash: &TokenHash,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Found<Account>, Error> {
        let find = query(FIND).bind(hash.as_slice()).bind(purpose.as_str());
        let Some(row) = self.db.fetch_optional(find).await? else { return Ok(Found::Unknown) };
        match self.find_account(required(&row, "account_id")?).await? {
            Some(account) => judge(&row, account, now),
            None => Ok(Found::Unknown),
        }
    }

    /// Uses the token: its account's address counts as confirmed.
    pub(crate) async fn verify_email(
        &self,
        hash: &TokenHash,
        entry: impl Fn(UserId) -> Entry,
        now: Timestamp,
    ) -> Result<Found<()>, Error> {
        transact!(self, |transaction| {
            let found = spend(transaction, hash, Purpose::Verify, now).await?;
            if let Found::Good(account) = &found {
                verify(transaction, account.id, now).await?;
                self.audit(transaction, &entry(account.id)).await?;
            }
            Ok(found.map(|_| ()))
        })
    }

    /// Uses the token: its account gets the password behind `phc`, every session ends, and the address
    /// counts as confirmed, for its owner read what was sent there.
    pub(crate) async fn reset_password(
        &self,
        hash: &TokenHash,
        phc: &str,
        entry: impl Fn(UserId) -> Entry,
        end: &impl Ends,
        now: Timestamp,
    ) -> Result<Found<Revocations>, Error> {
        transact!(self, |transaction| {
            let found = match spend(transaction, hash, Purpose::Reset, now).await? {
                Found::Good(account) => {
                    let entry = entry(account.id);
                    Found::Good(self.reset(transaction, phc, &account, &entry, end).await?)
                }
                Found::Spent => Found::Spent,
                Found::Unknown => Found::Unknown,
            };
            Ok(found)
        })
    }

    /// Does it to the locked `account`. Whoever reads its mail gets it back from whoever else may have
    /// had it: machine keys end, too, and an address that was never confirmed belonged to nobody, so
    /// that every other way in is that of whoever claimed it.
    async fn reset(
        &self,
        transaction: &mut Transaction,
        phc: &str,
        account: &Account,
        entry: &Entry,
        end: &impl Ends,
    ) -> Result<Revocations, Error> {
        let of = account.id;
        accounts::set_password(transaction, of, phc, entry.at).await?;
        transaction.execute(query(END_KEYS).bind(of.to_string())).await?;
        if !account.email_verified {
            for statement in [FORGET_IDENTITIES, FORGET_PHONE] {
                transaction.execute(query(statement).bind(of.to_string())).await?;
            }
        }
        verify(transaction, of, entry.at).await?;
        let items = ends::end_all(transaction, account, end, entry.at).await?;
        self.audit(transaction, entry).await?;
        feed::revoke(transaction, items).await
    }

    /// Deletes up to `limit` tokens whose time was over before `now`; says how many.
    pub(crate) async fn sweep_tokens(&self, now: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(self.db.execute(query(SWEEP).bind(now.0).bind(limit)).await?)
    }
}

/// Uses the token, and all others of its account and purpose with it.
async fn spend(
    transaction: &mut Transaction,
    hash: &TokenHash,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Found<Account>, Error> {
    let find = || query(FIND).bind(hash.as_slice()).bind(purpose.as_str());
    let Some(row) = transaction.fetch_optional(find()).await? else { return Ok(Found::Unknown) };
    let of = required(&row, "account_id")?;
    let Some(account) = accounts::lock(transaction, of).await? else { return Ok(Found::Unknown) };
    let Some(row) = transaction.fetch_optional(find()).await? else { return Ok(Found::Unknown) };
    let found = judge(&row, account, now)?;
    if let Found::Good(account) = &found {
        spend_all(transaction, account.id, purpose, now).await?;
    }
    Ok(found)
}

/// What was sent to the locked account `of` for `purpose` so far is good for nothing.
pub(super) async fn spend_all(
    transaction: &mut Transaction,
    of: UserId,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(), Error> {
    let spend = query(SPEND_ALL).bind(of.to_string()).bind(purpose.as_str()).bind(now.0);
    transaction.execute(spend).await?;
    Ok(())
}

fn judge(row: &Row, account: Account, now: Timestamp) -> Result<Found<Account>, Error> {
    let sent_to: &str = row.get("email_key")?;
    let is_unused = row.get::<Option<i64>>("used_at")?.is_none();
    let is_alive = Timestamp(row.get("expires_at")?) > now;
    let is_there = account.email.as_ref().is_some_and(|email| email.key() == sent_to);
    Ok(if is_unused && is_alive && is_there { Found::Good(account) } else { Found::Spent })
}

async fn verify(transaction: &mut Transaction, of: UserId, now: Timestamp) -> Result<(), Error> {
    transaction.execute(query(VERIFY).bind(of.to_string()).bind(true).bind(now.0)).await?;
    Ok(())
}
