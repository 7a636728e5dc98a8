//! Statements about tickets for sockets. A ticket goes with its session, and is good once.

use chassis::database::{Row, Text, Transaction, again, query};
use contract::internal::accounts::Redeemed;
use contract::{SessionId, Timestamp, UserId};

use super::accounts::{self, roles, roles_text};
use super::{Error, Store, finish, required};
use crate::keys::Digest;
use crate::tickets::Drawn;

const ALIVE: &str = "
    SELECT 1 AS one FROM sessions WHERE id = $1 AND account_id = $2 AND ended_at IS NULL";

const INSERT: &str = "
    INSERT INTO tickets (hash, session_id, username, roles, issued_at, token_ends_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Those that end first go first; the one just made stays.
const TRIM: &str = "
    DELETE FROM tickets
    WHERE session_id = $1 AND hash <> $2 AND hash NOT IN (
        SELECT hash FROM tickets WHERE session_id = $1 AND hash <> $2
        ORDER BY expires_at DESC, hash LIMIT $3)";

/// Of two that redeem one ticket, the first alone gets a row.
const SPEND: &str = "
    DELETE FROM tickets WHERE hash = $1
    RETURNING session_id, username, roles, issued_at, token_ends_at, expires_at";

/// The account of a session that is alive.
const HOLDER: &str = "
    SELECT accounts.id AS id, accounts.tokens_from AS tokens_from
    FROM sessions JOIN accounts ON accounts.id = sessions.account_id
    WHERE sessions.id = $1 AND sessions.ended_at IS NULL";

const SWEEP: Text = Text {
    sqlite:
        "
        DELETE FROM tickets
        WHERE hash IN (SELECT hash FROM tickets WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    // What somebody else is at, another replica's sweep for one, is left to them.
    postgres: "
        DELETE FROM tickets
        WHERE hash = ANY (ARRAY (
            SELECT hash FROM tickets WHERE expires_at < $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED))",
};

impl Store {
    /// Stores a ticket of a session, which may have `max`; says whether that session is alive.
    pub(crate) async fn add_ticket(&self, drawn: &Drawn, max: u32) -> Result<Added, Error> {
        transact!(self, |transaction| {
            let of = drawn.of.user_id;
            accounts::lock(transaction, of).await?.ok_or(Error::AccountGone)?;
            let session = drawn.of.session_id.to_string();
            let alive = query(ALIVE).bind(session.as_str()).bind(of.to_string());
            if transaction.fetch_optional(alive).await?.is_none() {
                return Ok(Added::SessionOver);
            }
            insert(transaction, drawn).await?;
            let others = max.saturating_sub(1);
            let trim = query(TRIM).bind(session).bind(drawn.hash.as_slice()).bind(others);
            transaction.execute(trim).await?;
            Ok(Added::Stored)
        })
    }

    /// Uses the ticket `hash` up; says whom it was for, if it was good at `now`.
    pub(crate) async fn redeem_ticket(
        &self,
        hash: &Digest,
        now: Timestamp,
    ) -> Result<Option<Redeemed>, Error> {
        transact!(self, |transaction| {
            let spent = transaction.fetch_optional(query(SPEND).bind(hash.as_slice())).await?;
            let Some(row) = spent else {
                return Ok(None);
            };
            let session: SessionId = required(&row, "session_id")?;
            let holder = query(HOLDER).bind(session.to_string());
            let holder = transaction.fetch_optional(holder).await?;
            let Some(holder) = holder else { return Ok(None) };
            let of = redeemed(&row, session, required(&holder, "id")?)?;
            let is_good = now.0 < row.get::<i64>("expires_at")?
                && now < of.expires_at
                && of.issued_at.seconds() >= holder.get::<i64>("tokens_from")?;
            Ok(is_good.then_some(of))
        })
    }

    /// Deletes up to `limit` tickets that were over at `now`; says how many.
    pub(crate) async fn sweep_tickets(&self, now: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(self.db.execute(query(SWEEP).bind(now.0).bind(limit)).await?)
    }
}

/// What became of a ticket about to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    Stored,
    /// Its session has ended.
    SessionOver,
}

async fn insert(transaction: &mut Transaction, drawn: &Drawn) -> Result<(), Error> {
    let of = &drawn.of;
    let inserted = query(INSERT)
        .bind(drawn.hash.as_slice())
        .bind(of.session_id.to_string())
        .bind(of.username.as_str())
        .bind(roles_text(&of.roles))
        .bind(of.issued_at.0)
        .bind(of.expires_at.0)
        .bind(drawn.expires_at.0);
    transaction.execute(inserted).await?;
    Ok(())
}

fn redeemed(row: &Row, session_id: SessionId, user_id: UserId) -> Result<Redeemed, Error> {
    Ok(Redeemed {
        user_id,
        username: row.get::<&str>("username")?.to_owned(),
        session_id,
        roles: roles(row.get("roles")?)?,
        scope: None,
        issued_at: Timestamp(row.get("issued_at")?),
        expires_at: Timestamp(row.get("token_ends_at")?),
    })
}
