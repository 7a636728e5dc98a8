//! Statements about sessions and their refresh tokens. How sessions end stands in `ends`.

use std::net::IpAddr;

use chassis::database::{Text, Transaction, again, query};
use contract::revocation::{Revocation, Revocations};
use contract::{SessionId, Timestamp, UserId};

use super::external::{self, Identity};
use super::{Error, Store, accounts, feed, finish, required};
use crate::account::{Account, Standing};
use crate::audit::Entry;
use crate::session::{Family, RefreshHash};
use crate::visitor::Visitor;

const INSERT_SESSION: &str = "
    INSERT INTO sessions (id, account_id, created_at, last_used_at, expires_at, device, address)
    VALUES ($1, $2, $3, $3, $4, $5, $6)";

const INSERT_TOKEN: &str = "
    INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)";

/// Of two that spend one token, the first alone gets a row.
const SPEND: &str = "
    UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL
    RETURNING session_id";

const SPENT_BEFORE: &str = "SELECT session_id FROM refresh_tokens WHERE hash = $1";

const SESSION: &str = "SELECT id, created_at, expires_at, ended_at FROM sessions WHERE id = $1";

/// Dead ones stay until they are swept, and trimming bounds how many there are.
const ADDRESSES: &str =
    "SELECT DISTINCT address FROM sessions WHERE account_id = $1 AND address IS NOT NULL";

const END: &str = "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";

const RENEW: &str = "
    UPDATE sessions SET last_used_at = $2, expires_at = $3, device = $4, address = $5 WHERE id = $1";

/// Those that have ended go first, then the least recently used. The one just opened stays, even if it looks older than others: it
/// may, when replicas do not agree on the time.
const TRIM: &str = "
    DELETE FROM sessions
    WHERE account_id = $1 AND id <> $2 AND id NOT IN (
        SELECT id FROM sessions WHERE account_id = $1 AND id <> $2
        ORDER BY ended_at IS NOT NULL, last_used_at DESC, id DESC LIMIT $3)
    RETURNING id, ended_at";

const SWEEP_SESSIONS: Text = Text {
    sqlite: "
        DELETE FROM sessions
        WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    // What somebody else is at, another replica's sweep for one, is left to them.
    postgres: "
        DELETE FROM sessions
        WHERE id = ANY (ARRAY (
            SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED))",
};

const SWEEP_TOKENS: Text = Text {
    sqlite: "
        DELETE FROM refresh_tokens
        WHERE hash IN (
            SELECT hash FROM refresh_tokens
            WHERE created_at < $1 AND used_at IS NOT NULL ORDER BY created_at LIMIT $2)",
    postgres: "
        DELETE FROM refresh_tokens
        WHERE hash = ANY (ARRAY (
            SELECT hash FROM refresh_tokens
            WHERE created_at < $1 AND used_at IS NOT NULL ORDER BY created_at LIMIT $2
            FOR UPDATE SKIP LOCKED))",
};

/// A session and its first token, about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) hash: RefreshHash,
    pub(crate) now: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Sessions that its account may have, this one counted.
    pub(crate) per_account_max: u32,
    /// Who opens it.
    pub(crate) by: Visitor,
}

/// What an account's owner was checked by, which has to hold still when the session is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Proof<'a> {
    /// The password behind this PHC string.
    Password(&'a str),
    /// A service's word. It stands for customers alone, and pushes nobody's session out.
    Service,
    /// The word of an external issuer.
    External(&'a Identity),
}

/// A spent token's successor, about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    pub(crate) hash: RefreshHash,
    pub(crate) now: Timestamp,
    /// Who renews.
    pub(crate) by: Visitor,
}

/// What became of a refresh token.
#[derive(Debug)]
pub(crate) enum Spent {
    /// It was alive; its successor is stored.
    Renewed { session: SessionId, account: Box<Account> },
    /// It was spent before: its session has ended with this.
    Reused { session: SessionId, account: UserId, told: Revocations },
    /// Its session had ended.
    Ended,
    /// Its session was not used for too long, or is too old.
    Expired,
    /// It was never given out, or so long ago that it is forgotten.
    Unknown,
}

impl Store {
    /// Stores a session of the account `of`, whose owner was just checked by `proof`; gives the account
    /// as it is now, and the sessions that had to make room.
    pub(crate) async fn open_session(
        &self,
        of: UserId,
        proof: Proof<'_>,
        session: &NewSession,
        entry: &Entry,
        end: impl Fn(SessionId) -> Revocation,
    ) -> Result<(Account, Revocations), Error> {
        transact!(self, |transaction| {
            let account = accounts::lock(transaction, of).await?.ok_or(Error::AccountGone)?;
            match proof {
                Proof::Password(checked) => {
                    accounts::expect_password(transaction, of, checked).await?;
                }
                Proof::Service if account.standing != Standing::customer() => {
                    return Err(Error::NotForServices(of));
                }
                Proof::External(identity) => {
                    external::expect(transaction, of, identity, entry.at).await?;
                }
                Proof::Service => {}
            }
            insert(transaction, of, session).await?;
            self.audit(transaction, entry).await?;
            let ended = trim(transaction, of, session).await?;
            if matches!(proof, Proof::Service) && !ended.is_empty() {
                return Err(Error::NoPlace);
            }
            let ended = ended.into_iter().map(&end).collect();
            let told = feed::revoke(transaction, ended).await?;
            Ok((account, told))
        })
    }

    /// Stores a new account with its first session.
    pub(crate) async fn register(
        &self,
        account: &Account,
        password: &str,
        session: &NewSession,
        entry: &Entry,
    ) -> Result<(), Error> {
        transact!(self, |transaction| {
            accounts::insert(transaction, account, Some(password)).await?;
            insert(transaction, account.id, session).await?;
            self.audit(transaction, entry).await?;
            Ok(())
        })
    }

    /// Spends the token `hash`, and stores its successor when it was alive; `expiry` says how long
    /// its session then lives, `end` what is told of one that was used twice.
    pub(crate) async fn spend(
        &self,
        hash: &RefreshHash,
        renewal: &Renewal,
        expiry: impl Fn(&Family) -> Timestamp,
        end: impl Fn(SessionId) -> Revocation,
    ) -> Result<Spent, Error> {
        transact!(self, |transaction| {
            let spent = spend(transaction, hash, renewal, &expiry, &end).await?;
            Ok(spent)
        })
    }

    /// Where the sessions of `of` that are not forgotten yet were used last.
    pub(crate) async fn session_addresses(&self, of: UserId) -> Result<Vec<IpAddr>, Error> {
        let found = self.db.fetch_all(query(ADDRESSES).bind(of.to_string())).await?;
        found.iter().map(|row| required(row, "address")).collect()
    }

    /// Deletes up to `limit` sessions that died before `now` and as many spent tokens older than
    /// `forget`; says how many it deleted.
    pub(crate) async fn sweep(
        &self,
        now: Timestamp,
        forget: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        let mut deleted = 0;
        for (statement, before) in [(SWEEP_SESSIONS, now), (SWEEP_TOKENS, forget)] {
            deleted += self.db.execute(query(statement).bind(before.0).bind(limit)).await?;
        }
        Ok(deleted)
    }
}

async fn spend(
    transaction: &mut Transaction,
    hash: &RefreshHash,
    renewal: &Renewal,
    expiry: impl Fn(&Family) -> Timestamp,
    end: impl Fn(SessionId) -> Revocation,
) -> Result<Spent, Error> {
    let now = renewal.now;
    let Some(account) = accounts::lock_by_token(transaction, hash).await? else {
        return Ok(Spent::Unknown);
    };
    let spent = query(SPEND).bind(hash.as_slice()).bind(now.0);
    let Some(row) = transaction.fetch_optional(spent).await? else {
        return spent_before(transaction, hash, account.id, now, end).await;
    };
    let Some(family) = find_family(transaction, row.get("session_id")?).await? else {
        return Ok(Spent::Unknown);
    };
    if family.ended {
        return Ok(Spent::Ended);
    }
    if family.expires_at <= now {
        return Ok(Spent::Expired);
    }
    insert_token(transaction, family.id, &renewal.hash, now).await?;
    let renewed = query(RENEW)
        .bind(family.id.to_string())
        .bind(now.0)
        .bind(expiry(&family).0)
        .bind(renewal.by.device.as_deref())
        .bind(renewal.by.address.to_string());
    transaction.execute(renewed).await?;
    Ok(Spent::Renewed { session: family.id, account: Box::new(account) })
}

/// A token that cannot be spent: whoever holds a spent one has stolen it, or was stolen from.
async fn spent_before(
    transaction: &mut Transaction,
    hash: &RefreshHash,
    account: UserId,
    now: Timestamp,
    end: impl Fn(SessionId) -> Revocation,
) -> Result<Spent, Error> {
    let found = transaction.fetch_optional(query(SPENT_BEFORE).bind(hash.as_slice())).await?;
    let Some(row) = found else { return Ok(Spent::Unknown) };
    let session: SessionId = required(&row, "session_id")?;
    let ended = query(END).bind(session.to_string()).bind(now.0);
    if transaction.execute(ended).await? == 0 {
        return Ok(Spent::Ended);
    }
    let told = feed::revoke(transaction, vec![end(session)]).await?;
    Ok(Spent::Reused { session, account, told })
}

/// Ends the least recently used sessions of `of` that make one too many with `session`; gives those that
/// were alive.
pub(super) async fn trim(
    transaction: &mut Transaction,
    of: UserId,
    session: &NewSession,
) -> Result<Vec<SessionId>, Error> {
    let others_max = session.per_account_max.saturating_sub(1);
    let trim = query(TRIM).bind(of.to_string()).bind(session.id.to_string()).bind(others_max);
    let rows = transaction.fetch_all(trim).await?;
    let mut alive = Vec::new();
    for row in &rows {
        if row.get::<Option<i64>>("ended_at")?.is_none() {
            alive.push(required(row, "id")?);
        }
    }
    Ok(alive)
}

async fn find_family(transaction: &mut Transaction, id: &str) -> Result<Option<Family>, Error> {
    let Some(row) = transaction.fetch_optional(query(SESSION).bind(id)).await? else {
        return Ok(None);
    };
    Ok(Some(Family {
        id: required(&row, "id")?,
        created_at: Timestamp(row.get("created_at")?),
        expires_at: Timestamp(row.get("expires_at")?),
        ended: row.get::<Option<i64>>("ended_at")?.is_some(),
    }))
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    of: UserId,
    session: &NewSession,
) -> Result<(), Error> {
    let inserted = query(INSERT_SESSION)
        .bind(session.id.to_string())
        .bind(of.to_string())
        .bind(session.now.0)
        .bind(session.expires_at.0)
        .bind(session.by.device.as_deref())
        .bind(session.by.address.to_string());
    transaction.execute(inserted).await?;
    insert_token(transaction, session.id, &session.hash, session.now).await
}

async fn insert_token(
    transaction: &mut Transaction,
    session: SessionId,
    hash: &RefreshHash,
    now: Timestamp,
) -> Result<(), Error> {
    let inserted = query(INSERT_TOKEN).bind(hash.as_slice()).bind(session.to_string()).bind(now.0);
    transaction.execute(inserted).await?;
    Ok(())
}
