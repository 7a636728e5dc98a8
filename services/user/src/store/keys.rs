//! Statements about machine keys.

use std::time::Duration;

use chassis::database::{Row, Text, Transaction, Value, again, query};
use chassis::identity::UserCaller;
use contract::key::Key;
use contract::revocation::{Revocation, Revocations};
use contract::scope::{Scope, Scopes};
use contract::{SessionId, Timestamp, UserId};

use super::{Error, Store, accounts, feed, required};
use crate::audit::Entry;
use crate::keys::Digest;
use crate::visitor::is_of_service;

/// How long a key that has expired is still shown to its owner.
const EXPIRED_KEEP: Duration = Duration::from_hours(30 * 24);

const COUNT: &str = "
    SELECT COUNT(*) AS keys FROM api_keys
    WHERE account_id = $1 AND (expires_at IS NULL OR expires_at > $2)";

/// Of those that have expired, the ones that did so last stay.
const TRIM: &str = "
    DELETE FROM api_keys
    WHERE account_id = $1 AND expires_at <= $2 AND id NOT IN (
        SELECT id FROM api_keys WHERE account_id = $1 AND expires_at <= $2
        ORDER BY expires_at DESC, id DESC LIMIT $3)";

const INSERT: &str = "
    INSERT INTO api_keys (id, account_id, name, hash, scopes, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const OF_ACCOUNT: &str = "
    SELECT id, name, scopes, created_at, last_used_at, expires_at FROM api_keys
    WHERE account_id = $1 ORDER BY id DESC";

const DELETE: &str = "DELETE FROM api_keys WHERE id = $1 AND account_id = $2";

const BY_HASH: &str =
    "SELECT id, account_id, scopes, last_used_at, expires_at FROM api_keys WHERE hash = $1";

/// Of replicas that are asked at once, one writes.
const USE: &str = "
    UPDATE api_keys SET last_used_at = $2
    WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3)";

const SWEEP: Text = Text {
    sqlite: "
        DELETE FROM api_keys
        WHERE id IN (SELECT id FROM api_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    // What somebody else is at, another replica's sweep for one, is left to them.
    postgres: "
        DELETE FROM api_keys
        WHERE id = ANY (ARRAY (
            SELECT id FROM api_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED))",
};

const MAKER: &str = "
    SELECT device FROM sessions WHERE id = $1 AND account_id = $2 AND ended_at IS NULL";

/// A key as it is found by its secret.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: SessionId,
    pub(crate) account: UserId,
    pub(crate) scopes: Scopes,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// What became of a key about to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    Stored,
    /// The session that asks has ended.
    SessionOver,
    /// A service opened the session that asks.
    ServiceSession,
}

impl Store {
    /// Stores a key of the account of `caller`, which may have `max` that are alive, and as many that have
    /// expired.
    pub(crate) async fn add_key(
        &self,
        caller: &UserCaller,
        key: &Key,
        hash: &Digest,
        max: u32,
        entry: &Entry,
    ) -> Result<Added, Error> {
        let of = caller.person.id;
        again(|| async {
            let mut transaction = self.begin().await?;
            accounts::lock(&mut transaction, of).await?.ok_or(Error::AccountGone)?;
            let maker = query(MAKER).bind(caller.session.to_string()).bind(of.to_string());
            let Some(maker) = transaction.fetch_optional(maker).await? else {
                transaction.rollback().await?;
                return Ok(Added::SessionOver);
            };
            if is_of_service(maker.get("device")?) {
                transaction.rollback().await?;
                return Ok(Added::ServiceSession);
            }
            if alive(&mut transaction, of, entry.at).await? >= i64::from(max) {
                transaction.rollback().await?;
                return Err(Error::TooManyKeys);
            }
            insert(&mut transaction, of, key, hash).await?;
            let trim = query(TRIM).bind(of.to_string()).bind(entry.at.0).bind(max);
            transaction.execute(trim).await?;
            self.audit(&mut transaction, entry).await?;
            transaction.commit().await?;
            Ok(Added::Stored)
        })
        .await
    }

    /// The keys of `of`, the newest first.
    pub(crate) async fn keys_of(&self, of: UserId) -> Result<Vec<Key>, Error> {
        self.db.fetch_all(query(OF_ACCOUNT).bind(of.to_string())).await?.iter().map(key).collect()
    }

    /// Deletes the key `id` of `of`; `None` when it has no such key.
    pub(crate) async fn delete_key(
        &self,
        of: UserId,
        id: SessionId,
        item: &Revocation,
        entry: &Entry,
    ) -> Result<Option<Revocations>, Error> {
        again(|| async {
            let mut transaction = self.begin().await?;
            accounts::lock(&mut transaction, of).await?.ok_or(Error::AccountGone)?;
            let delete = query(DELETE).bind(id.to_string()).bind(of.to_string());
            if transaction.execute(delete).await? == 0 {
                transaction.rollback().await?;
                return Ok(None);
            }
            self.audit(&mut transaction, entry).await?;
            let told = feed::revoke(&mut transaction, vec![*item]).await?;
            transaction.commit().await?;
            Ok(Some(told))
        })
        .await
    }

    /// The key whose secret has this digest.
    pub(crate) async fn find_key(&self, hash: &Digest) -> Result<Option<Found>, Error> {
        let found = self.db.fetch_optional(query(BY_HASH).bind(hash.as_slice())).await?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(Found {
            id: required(&row, "id")?,
            account: required(&row, "account_id")?,
            scopes: scopes(&row)?,
            last_used_at: moment(&row, "last_used_at")?,
            expires_at: moment(&row, "expires_at")?,
        }))
    }

    /// Keeps that the key `id` was used at `now`, unless it is known to have been since `before`.
    pub(crate) async fn use_key(
        &self,
        id: SessionId,
        now: Timestamp,
        before: Timestamp,
    ) -> Result<(), Error> {
        self.db.execute(query(USE).bind(id.to_string()).bind(now.0).bind(before.0)).await?;
        Ok(())
    }

    /// Deletes up to `limit` keys that had expired long before `now`; says how many.
    pub(crate) async fn sweep_keys(&self, now: Timestamp, limit: u32) -> Result<u64, Error> {
        let keep = i64::try_from(EXPIRED_KEEP.as_millis()).unwrap_or(i64::MAX);
        let before = now.0.saturating_sub(keep);
        Ok(self.db.execute(query(SWEEP).bind(before).bind(limit)).await?)
    }
}

async fn insert(
    transaction: &mut Transaction,
    of: UserId,
    key: &Key,
    hash: &Digest,
) -> Result<(), Error> {
    let inserted = query(INSERT)
        .bind(key.id.to_string())
        .bind(of.to_string())
        .bind(key.name.as_str())
        .bind(hash.as_slice())
        .bind(Scopes(key.scopes.iter().copied().collect()).to_string())
        .bind(key.created_at.0)
        .bind(Value::Integer(key.expires_at.map(|at| at.0)));
    transaction.execute(inserted).await?;
    Ok(())
}

/// How many keys of the locked account `of` are alive.
async fn alive(transaction: &mut Transaction, of: UserId, now: Timestamp) -> Result<i64, Error> {
    let count = query(COUNT).bind(of.to_string()).bind(now.0);
    let counted = transaction.fetch_optional(count).await?;
    counted.as_ref().map_or(Ok(0), |row| Ok(row.get("keys")?))
}

fn key(row: &Row) -> Result<Key, Error> {
    Ok(Key {
        id: required::<SessionId>(row, "id")?.0,
        name: row.get::<&str>("name")?.to_owned(),
        scopes: scopes(row)?.0.into_iter().collect(),
        created_at: Timestamp(row.get("created_at")?),
        last_used_at: moment(row, "last_used_at")?,
        expires_at: moment(row, "expires_at")?,
    })
}

fn scopes(row: &Row) -> Result<Scopes, Error> {
    let words = row.get::<&str>("scopes")?.split_ascii_whitespace();
    let scopes: Result<_, _> = words.map(str::parse::<Scope>).collect();
    scopes.map(Scopes).map_err(|_| Error::Corrupt { column: "scopes" })
}

fn moment(row: &Row, column: &str) -> Result<Option<Timestamp>, Error> {
    Ok(row.get::<Option<i64>>(column)?.map(Timestamp))
}
