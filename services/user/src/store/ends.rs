//! Statements that end sessions, and what of an account ends them: each is one transaction with its
//! entry in the audit and its place in the feed. The account is locked first, the feed last.

use chassis::database::{Row, Transaction, again, query};
use contract::revocation::{Revocation, Revocations};
use contract::user::OpenSession;
use contract::{SessionId, Timestamp, UserId};

use super::{Error, Store, accounts, feed, finish, one_time, required};
use crate::account::Account;
use crate::audit::Entry;
use crate::one_time::Purpose;

const ALIVE: &str = "
    SELECT id, device, address, created_at, last_used_at, expires_at FROM sessions
    WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2
    ORDER BY last_used_at DESC, id DESC";

const END: &str = "
    UPDATE sessions SET ended_at = $3
    WHERE id = $1 AND account_id = $2 AND ended_at IS NULL AND expires_at > $3";

const END_OTHERS: &str = "
    UPDATE sessions SET ended_at = $3
    WHERE account_id = $1 AND id <> $2 AND ended_at IS NULL RETURNING id";

const END_ALL: &str = "
    UPDATE sessions SET ended_at = $2 WHERE account_id = $1 AND ended_at IS NULL RETURNING id";

const SET_TOKENS_FROM: &str = "UPDATE accounts SET tokens_from = $2 WHERE id = $1";

/// A password about to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPassword<'a> {
    /// The PHC string that the one so far was checked against.
    pub(crate) checked: &'a str,
    /// The PHC string of the new one.
    pub(crate) hash: &'a str,
    /// The session that goes on.
    pub(crate) keep: SessionId,
}

/// What is told of things that end, by the clock of the moment at which it is asked: an account is
/// locked by then, so that whatever it was given before is told of.
pub(crate) trait Ends {
    /// Of the tokens of one session.
    fn session(&self, id: SessionId) -> Revocation;

    /// Of the tokens that a locked account was given so far.
    fn user(&self, account: &Account) -> Revocation;
}

impl Store {
    /// Tells of `item` alone.
    pub(crate) async fn revoke(&self, item: Revocation) -> Result<Revocations, Error> {
        transact!(self, |transaction| { feed::revoke(transaction, vec![item]).await })
    }

    /// The sessions of `of` that are alive at `now`, the most recently used first; `current` asks.
    pub(crate) async fn open_sessions(
        &self,
        of: UserId,
        current: SessionId,
        now: Timestamp,
    ) -> Result<Vec<OpenSession>, Error> {
        let found = self.db.fetch_all(query(ALIVE).bind(of.to_string()).bind(now.0)).await?;
        found.iter().map(|row| open_session(row, current)).collect()
    }

    /// Ends the session `id` of `of`; `None` when it has no such session that is alive.
    pub(crate) async fn end_session(
        &self,
        of: UserId,
        id: SessionId,
        item: &Revocation,
        entry: &Entry,
    ) -> Result<Option<Revocations>, Error> {
        transact!(self, |transaction| {
            accounts::lock(transaction, of).await?.ok_or(Error::AccountGone)?;
            let end = query(END).bind(id.to_string()).bind(of.to_string()).bind(entry.at.0);
            if transaction.execute(end).await? == 0 {
                return Ok(None);
            }
            self.audit(transaction, entry).await?;
            let told = feed::revoke(transaction, vec![*item]).await?;
            Ok(Some(told))
        })
    }

    /// Ends every session of `of`.
    pub(crate) async fn end_all_sessions(
        &self,
        of: UserId,
        end: &impl Ends,
        entry: &Entry,
    ) -> Result<Revocations, Error> {
        transact!(self, |transaction| {
            let account = accounts::lock(transaction, of).await?.ok_or(Error::AccountGone)?;
            let items = end_all(transaction, &account, end, entry.at).await?;
            self.audit(transaction, entry).await?;
            feed::revoke(transaction, items).await
        })
    }

    /// Changes the password of `of`, and ends its sessions but the one that did it.
    pub(crate) async fn change_password(
        &self,
        of: UserId,
        new: NewPassword<'_>,
        entry: &Entry,
        end: impl Fn(SessionId) -> Revocation,
    ) -> Result<Revocations, Error> {
        transact!(self, |transaction| {
            accounts::lock(transaction, of).await?.ok_or(Error::AccountGone)?;
            accounts::expect_password(transaction, of, new.checked).await?;
            accounts::set_password(transaction, of, new.hash, entry.at).await?;
            one_time::spend_all(transaction, of, Purpose::Reset, entry.at).await?;
            let others = query(END_OTHERS).bind(of.to_string()).bind(new.keep.to_string());
            let ended = transaction.fetch_all(others.bind(entry.at.0)).await?;
            let ended = ended.iter().map(|row| Ok(end(required(row, "id")?)));
            let ended = ended.collect::<Result<Vec<_>, Error>>()?;
            self.audit(transaction, entry).await?;
            let told = feed::revoke(transaction, ended).await?;
            Ok(told)
        })
    }
}

/// Ends every session of the locked account `of`, and every access token that it was given; gives what
/// is told of it. The sessions are named too, so that no replica's clock keeps a token alive.
pub(super) async fn end_all(
    transaction: &mut Transaction,
    of: &Account,
    end: &impl Ends,
    now: Timestamp,
) -> Result<Vec<Revocation>, Error> {
    let ended = query(END_ALL).bind(of.id.to_string()).bind(now.0);
    let ended = transaction.fetch_all(ended).await?;
    let item = end.user(of);
    end_tokens(transaction, of.id, &item).await?;
    let sessions = ended.iter().map(|row| Ok(end.session(required(row, "id")?)));
    std::iter::once(Ok(item)).chain(sessions).collect()
}

/// Sees to it that the next access token of the locked account `of` is not one of those that `item`
/// ends.
pub(super) async fn end_tokens(
    transaction: &mut Transaction,
    of: UserId,
    item: &Revocation,
) -> Result<(), Error> {
    let from = query(SET_TOKENS_FROM).bind(of.to_string()).bind(item.not_before.seconds());
    transaction.execute(from).await?;
    Ok(())
}

fn open_session(row: &Row, current: SessionId) -> Result<OpenSession, Error> {
    let id = required(row, "id")?;
    Ok(OpenSession {
        id,
        device: row.get("device")?,
        address: row.get("address")?,
        created_at: Timestamp(row.get("created_at")?),
        last_used_at: Timestamp(row.get("last_used_at")?),
        expires_at: Timestamp(row.get("expires_at")?),
        current: id == current,
    })
}
