//! Statements about the set-up code.

use chassis::database::{again, query};

use super::sessions::{self, NewSession};
use super::{Error, Store, accounts, finish};
use crate::account::Account;
use crate::audit::Entry;
use crate::setup::CodeHash;

const FIND: &str = "SELECT code_hash, used_at FROM setup WHERE id = 1";

const OFFER: &str = "
    INSERT INTO setup (id, code_hash) VALUES (1, $1)
    ON CONFLICT (id) DO UPDATE SET code_hash = excluded.code_hash WHERE setup.used_at IS NULL";

/// Of replicas that start together, the first alone inserts a row.
const OFFER_FIRST: &str =
    "INSERT INTO setup (id, code_hash) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";

/// Of two that use the code, the first alone changes a row.
const USE: &str = "UPDATE setup SET used_at = $1 WHERE id = 1 AND used_at IS NULL";

/// Whose code is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The one that was just offered.
    Ours,
    /// One that was there before, good or used.
    Earlier,
}

/// What is known of the set-up code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Setup {
    /// It is still good, and this is its digest.
    Offered(CodeHash),
    /// It made an account.
    Used,
}

impl Store {
    pub(crate) async fn find_setup(&self) -> Result<Option<Setup>, Error> {
        let Some(row) = self.db.fetch_optional(query(FIND)).await? else { return Ok(None) };
        if row.get::<Option<i64>>("used_at")?.is_some() {
            return Ok(Some(Setup::Used));
        }
        let hash: &[u8] = row.get("code_hash")?;
        let hash = hash.try_into().map_err(|_| Error::Corrupt { column: "code_hash" })?;
        Ok(Some(Setup::Offered(hash)))
    }

    /// Makes `hash` the code's digest, unless the code was used.
    pub(crate) async fn offer_setup(&self, hash: &CodeHash) -> Result<(), Error> {
        self.db.execute(query(OFFER).bind(hash.as_slice())).await?;
        Ok(())
    }

    /// Makes `hash` the code's digest, unless there is one.
    pub(crate) async fn offer_first_setup(&self, hash: &CodeHash) -> Result<Offer, Error> {
        let inserted = self.db.execute(query(OFFER_FIRST).bind(hash.as_slice())).await?;
        Ok(if inserted == 0 { Offer::Earlier } else { Offer::Ours })
    }

    /// Uses the code for `account`, in one transaction with storing it.
    pub(crate) async fn register_first(
        &self,
        account: &Account,
        password: &str,
        session: &NewSession,
        entry: &Entry,
    ) -> Result<(), Error> {
        transact!(self, |transaction| {
            if transaction.execute(query(USE).bind(entry.at.0)).await? == 0 {
                return Err(Error::SetupUsed);
            }
            accounts::insert(transaction, account, Some(password)).await?;
            sessions::insert(transaction, account.id, session).await?;
            self.audit(transaction, entry).await?;
            Ok(())
        })
    }
}
