//! Statements about the audit. Rows are added and read, and deleted when their time is over.

use chassis::database::{Row, Transaction, query};
use contract::user::AuditEntry;
use contract::{Timestamp, UserId};

use super::{Error, Store, optional};
use crate::audit::Entry;

const INSERT: &str = "
    INSERT INTO audit (at, action, outcome, actor_id, account_id, address, detail, keep_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// The newest first. An absent bound is one that lies beyond every row.
const PAGE: &str = "
    SELECT seq, at, action, outcome, actor_id, account_id, address, detail FROM audit
    WHERE seq < $1 AND at >= $2 AND at < $3 ORDER BY seq DESC LIMIT $4";

const PAGE_OF_ONE: &str = "
    SELECT seq, at, action, outcome, actor_id, account_id, address, detail FROM audit
    WHERE seq < $1 AND at >= $2 AND at < $3 AND (actor_id = $5 OR account_id = $5)
    ORDER BY seq DESC LIMIT $4";

const SWEEP: &str = "
    DELETE FROM audit
    WHERE seq IN (SELECT seq FROM audit WHERE keep_until < $1 ORDER BY keep_until LIMIT $2)";

/// What a page of the audit is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    /// Rows before this one.
    pub(crate) before: u64,
    /// From this moment on,
    pub(crate) from: Timestamp,
    /// and before this one.
    pub(crate) to: Timestamp,
    /// What this account did, and what was done to it.
    pub(crate) user: Option<UserId>,
    /// Most rows.
    pub(crate) limit: u32,
}

impl Store {
    /// Adds `entries`.
    pub(crate) async fn record(&self, entries: &[Entry]) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        for entry in entries {
            self.audit(&mut transaction, entry).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Adds `entry` with whatever else `transaction` does.
    pub(super) async fn audit(
        &self,
        transaction: &mut Transaction,
        entry: &Entry,
    ) -> Result<(), Error> {
        let inserted = query(INSERT)
            .bind(entry.at.0)
            .bind(entry.action.as_str())
            .bind(entry.outcome.as_str())
            .bind(entry.actor.map(|id| id.to_string()))
            .bind(entry.account.map(|id| id.to_string()))
            .bind(entry.address.map(|address| address.to_string()))
            .bind(entry.detail.as_deref())
            .bind(entry.at.plus(self.audit_keep).0);
        transaction.execute(inserted).await?;
        Ok(())
    }

    /// A page of it, the newest first.
    pub(crate) async fn audit_page(&self, search: &Search) -> Result<Vec<AuditEntry>, Error> {
        let text = if search.user.is_some() { PAGE_OF_ONE } else { PAGE };
        let mut page = query(text)
            .bind(i64::try_from(search.before).unwrap_or(i64::MAX))
            .bind(search.from.0)
            .bind(search.to.0)
            .bind(search.limit);
        if let Some(user) = search.user {
            page = page.bind(user.to_string());
        }
        self.db.fetch_all(page).await?.iter().map(entry).collect()
    }

    /// Deletes up to `limit` rows whose time was over at `now`; says how many.
    pub(crate) async fn sweep_audit(&self, now: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(self.db.execute(query(SWEEP).bind(now.0).bind(limit)).await?)
    }
}

fn entry(row: &Row) -> Result<AuditEntry, Error> {
    let seq: i64 = row.get("seq")?;
    Ok(AuditEntry {
        id: u64::try_from(seq).map_err(|_| Error::Corrupt { column: "seq" })?,
        at: Timestamp(row.get("at")?),
        action: row.get::<&str>("action")?.to_owned(),
        outcome: row.get::<&str>("outcome")?.to_owned(),
        actor_id: optional(row, "actor_id")?,
        user_id: optional(row, "account_id")?,
        address: row.get("address")?,
        detail: row.get("detail")?,
    })
}
