//! Statements about what ended before its time. A cursor is taken last in its transaction: the row of
//! the newest one is locked until the commit, so that cursors are seen in their order.

use chassis::database::{Row, Transaction, query};
use contract::revocation::{FEED_ITEMS_MAX, Revocation, Revocations, Revoked};
use contract::{Timestamp, UserId};

use super::{Error, Store, optional};

const TAKE: &str = "UPDATE feed SET cursor = cursor + $1 WHERE id = 1 RETURNING cursor";

const INSERT: &str = "
    INSERT INTO revocations (cursor, session_id, account_id, not_before, until)
    VALUES ($1, $2, $3, $4, $5)";

const HEAD: &str = "SELECT cursor FROM feed WHERE id = 1";

const AFTER: &str = "
    SELECT cursor, session_id, account_id, not_before, until FROM revocations
    WHERE cursor > $1 AND cursor <= $2 AND until > $3 ORDER BY cursor LIMIT $4";

const SWEEP: &str = "
    DELETE FROM revocations
    WHERE cursor IN (
        SELECT cursor FROM revocations WHERE until < $1 ORDER BY until LIMIT $2)";

const INSERT_DELETED: &str =
    "INSERT INTO deleted_accounts (account_id, cursor, deleted_at) VALUES ($1, $2, $3)";

impl Store {
    /// The newest cursor; 0 before the first item.
    pub(crate) async fn feed_head(&self) -> Result<u64, Error> {
        let row = self.db.fetch_optional(query(HEAD)).await?;
        row.as_ref().map_or(Ok(0), cursor)
    }

    /// What came after `after` and is not over at `now`, at most [`FEED_ITEMS_MAX`]. Whoever is ahead
    /// of the feed, which was set back then, gets it from its beginning.
    pub(crate) async fn feed_after(
        &self,
        after: u64,
        now: Timestamp,
    ) -> Result<Revocations, Error> {
        let head = self.feed_head().await?;
        let after = if after > head { 0 } else { after };
        let limit = u32::try_from(FEED_ITEMS_MAX).unwrap_or(u32::MAX);
        let found = query(AFTER).bind(signed(after)).bind(signed(head)).bind(now.0).bind(limit);
        let rows = self.db.fetch_all(found).await?;
        let items = rows.iter().map(item).collect::<Result<Vec<_>, _>>()?;
        let cursor = match rows.last() {
            Some(last) if rows.len() >= FEED_ITEMS_MAX => cursor(last)?,
            Some(_) | None => head,
        };
        Ok(Revocations { after, cursor, items })
    }

    /// Deletes up to `limit` items that were over at `now`; says how many.
    pub(crate) async fn sweep_feed(&self, now: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(self.db.execute(query(SWEEP).bind(now.0).bind(limit)).await?)
    }
}

/// Adds `items` to the feed, as the last thing that `transaction` does.
pub(super) async fn revoke(
    transaction: &mut Transaction,
    items: Vec<Revocation>,
) -> Result<Revocations, Error> {
    let count = items.len() as u64;
    let taken = transaction.fetch_optional(query(TAKE).bind(signed(count))).await?;
    let newest = taken.as_ref().map_or(Err(Error::Corrupt { column: "cursor" }), cursor)?;
    let after = newest.saturating_sub(count);
    for (item, cursor) in items.iter().zip(after + 1..) {
        let (session, account) = match item.what {
            Revoked::Session { sid } => (Some(sid.to_string()), None),
            Revoked::User { user_id } => (None, Some(user_id.to_string())),
        };
        let inserted = query(INSERT)
            .bind(signed(cursor))
            .bind(session)
            .bind(account)
            .bind(item.not_before.0)
            .bind(item.until.0);
        transaction.execute(inserted).await?;
    }
    Ok(Revocations { after, cursor: newest, items })
}

/// Keeps that the account `of` was deleted with the feed at `cursor`.
pub(super) async fn keep_deleted(
    transaction: &mut Transaction,
    of: UserId,
    cursor: u64,
    now: Timestamp,
) -> Result<(), Error> {
    let kept = query(INSERT_DELETED).bind(of.to_string()).bind(signed(cursor)).bind(now.0);
    transaction.execute(kept).await?;
    Ok(())
}

fn item(row: &Row) -> Result<Revocation, Error> {
    let session = optional(row, "session_id")?.map(|sid| Revoked::Session { sid });
    let user = optional(row, "account_id")?.map(|user_id| Revoked::User { user_id });
    Ok(Revocation {
        what: session.or(user).ok_or(Error::Corrupt { column: "session_id" })?,
        not_before: Timestamp(row.get("not_before")?),
        until: Timestamp(row.get("until")?),
    })
}

fn cursor(row: &Row) -> Result<u64, Error> {
    u64::try_from(row.get::<i64>("cursor")?).map_err(|_| Error::Corrupt { column: "cursor" })
}

fn signed(cursor: u64) -> i64 {
    i64::try_from(cursor).unwrap_or(i64::MAX)
}
