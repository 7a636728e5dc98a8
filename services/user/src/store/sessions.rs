//! Statements about sessions and their refresh tokens.

use contract::{SessionId, Timestamp, UserId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Error, Store, accounts};
use crate::account::Account;
use crate::session::{Family, RefreshHash};

const INSERT_SESSION: &str = "
    INSERT INTO sessions (id, account_id, created_at, last_used_at, expires_at)
    VALUES ($1, $2, $3, $3, $4)";

const INSERT_TOKEN: &str = "
    INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)";

/// Of two that spend one token, the first alone gets a row.
const SPEND: &str = "
    UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL
    RETURNING session_id";

const SPENT_BEFORE: &str = "SELECT session_id FROM refresh_tokens WHERE hash = $1";

const SESSION: &str =
    "SELECT id, account_id, created_at, expires_at, ended_at FROM sessions WHERE id = $1";

const END: &str = "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";

const RENEW: &str = "UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1";

/// The least recently used go first.
const TRIM: &str = "
    DELETE FROM sessions
    WHERE account_id = $1 AND id NOT IN (
        SELECT id FROM sessions WHERE account_id = $1 ORDER BY last_used_at DESC, id DESC LIMIT $2)";

const SWEEP_SESSIONS: &str = "
    DELETE FROM sessions
    WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";

const SWEEP_TOKENS: &str = "
    DELETE FROM refresh_tokens
    WHERE hash IN (
        SELECT hash FROM refresh_tokens
        WHERE created_at < $1 AND used_at IS NOT NULL ORDER BY created_at LIMIT $2)";

/// A session and its first token, about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) hash: RefreshHash,
    pub(crate) now: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Sessions that its account may have, this one counted.
    pub(crate) per_account_max: u32,
}

/// A spent token's successor, about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    pub(crate) hash: RefreshHash,
    pub(crate) now: Timestamp,
}

/// What became of a refresh token.
#[derive(Debug)]
pub(crate) enum Spent {
    /// It was alive; its successor is stored.
    Renewed { session: SessionId, account: Box<Account> },
    /// It was spent before: its session has ended with this.
    Reused { session: SessionId },
    /// Its session had ended.
    Ended,
    /// Its session was not used for too long, or is too old.
    Expired,
    /// It was never given out, or so long ago that it is forgotten.
    Unknown,
}

impl Store {
    /// Stores a session of the account that was just checked.
    pub(crate) async fn open_session(&self, of: UserId, session: &NewSession) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        insert(&mut transaction, of, session).await?;
        sqlx::query(TRIM)
            .bind(of.to_string())
            .bind(i64::from(session.per_account_max))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Stores a new account with its first session.
    pub(crate) async fn register(
        &self,
        account: &Account,
        password: &str,
        session: &NewSession,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        accounts::insert(&mut transaction, account, password).await?;
        insert(&mut transaction, account.id, session).await?;
        Ok(transaction.commit().await?)
    }

    /// Spends the token `hash`, and stores its successor when it was alive; `expiry` says how long
    /// its session then lives.
    pub(crate) async fn spend(
        &self,
        hash: &RefreshHash,
        renewal: &Renewal,
        expiry: impl Fn(&Family) -> Timestamp,
    ) -> Result<Spent, Error> {
        let mut transaction = self.begin().await?;
        let spent = spend(&mut transaction, hash, renewal, expiry).await?;
        transaction.commit().await?;
        Ok(spent)
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
            let query = sqlx::query(statement).bind(before.0).bind(i64::from(limit));
            deleted += query.execute(&self.db.writer).await?.rows_affected();
        }
        Ok(deleted)
    }
}

async fn spend(
    connection: &mut SqliteConnection,
    hash: &RefreshHash,
    renewal: &Renewal,
    expiry: impl Fn(&Family) -> Timestamp,
) -> Result<Spent, Error> {
    let now = renewal.now;
    let query = sqlx::query(SPEND).bind(hash.as_slice()).bind(now.0);
    let Some(row) = query.fetch_optional(&mut *connection).await? else {
        return spent_before(connection, hash, now).await;
    };
    let Some(family) = find_family(connection, row.try_get("session_id")?).await? else {
        return Ok(Spent::Unknown);
    };
    if family.ended {
        return Ok(Spent::Ended);
    }
    if family.expires_at <= now {
        return Ok(Spent::Expired);
    }
    let Some(account) = accounts::find(connection, family.account).await? else {
        return Ok(Spent::Unknown);
    };
    insert_token(connection, family.id, &renewal.hash, now).await?;
    sqlx::query(RENEW)
        .bind(family.id.to_string())
        .bind(now.0)
        .bind(expiry(&family).0)
        .execute(connection)
        .await?;
    Ok(Spent::Renewed { session: family.id, account: Box::new(account) })
}

/// A token that cannot be spent: whoever holds a spent one has stolen it, or was stolen from.
async fn spent_before(
    connection: &mut SqliteConnection,
    hash: &RefreshHash,
    now: Timestamp,
) -> Result<Spent, Error> {
    let query = sqlx::query(SPENT_BEFORE).bind(hash.as_slice());
    let Some(row) = query.fetch_optional(&mut *connection).await? else {
        return Ok(Spent::Unknown);
    };
    let session: SessionId = parsed(&row, "session_id")?;
    sqlx::query(END).bind(session.to_string()).bind(now.0).execute(connection).await?;
    Ok(Spent::Reused { session })
}

async fn find_family(connection: &mut SqliteConnection, id: &str) -> Result<Option<Family>, Error> {
    let Some(row) = sqlx::query(SESSION).bind(id).fetch_optional(connection).await? else {
        return Ok(None);
    };
    Ok(Some(Family {
        id: parsed(&row, "id")?,
        account: parsed(&row, "account_id")?,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: Timestamp(row.try_get("expires_at")?),
        ended: row.try_get::<Option<i64>, _>("ended_at")?.is_some(),
    }))
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    of: UserId,
    session: &NewSession,
) -> Result<(), Error> {
    sqlx::query(INSERT_SESSION)
        .bind(session.id.to_string())
        .bind(of.to_string())
        .bind(session.now.0)
        .bind(session.expires_at.0)
        .execute(&mut *connection)
        .await?;
    insert_token(connection, session.id, &session.hash, session.now).await
}

async fn insert_token(
    connection: &mut SqliteConnection,
    session: SessionId,
    hash: &RefreshHash,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(INSERT_TOKEN)
        .bind(hash.as_slice())
        .bind(session.to_string())
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}

fn parsed<T: std::str::FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, Error> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| Error::Corrupt { column })
}
