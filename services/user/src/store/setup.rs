//! Statements about the set-up code.

use contract::Timestamp;
use sqlx::Row as _;

use super::sessions::{self, NewSession};
use super::{Error, Store, accounts};
use crate::account::Account;
use crate::setup::CodeHash;

const FIND: &str = "SELECT code_hash, used_at FROM setup WHERE id = 1";

const OFFER: &str = "
    INSERT INTO setup (id, code_hash) VALUES (1, $1)
    ON CONFLICT (id) DO UPDATE SET code_hash = excluded.code_hash WHERE setup.used_at IS NULL";

/// Of two that use the code, the first alone changes a row.
const USE: &str = "UPDATE setup SET used_at = $1 WHERE id = 1 AND used_at IS NULL";

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
        let Some(row) = sqlx::query(FIND).fetch_optional(&self.db.reader).await? else {
            return Ok(None);
        };
        if row.try_get::<Option<i64>, _>("used_at")?.is_some() {
            return Ok(Some(Setup::Used));
        }
        let hash: Vec<u8> = row.try_get("code_hash")?;
        let hash = hash.try_into().map_err(|_| Error::Corrupt { column: "code_hash" })?;
        Ok(Some(Setup::Offered(hash)))
    }

    /// Makes `hash` the code's digest, unless the code was used.
    pub(crate) async fn offer_setup(&self, hash: &CodeHash) -> Result<(), Error> {
        sqlx::query(OFFER).bind(hash.as_slice()).execute(&self.db.writer).await?;
        Ok(())
    }

    /// Uses the code for `account`, in one transaction with storing it.
    pub(crate) async fn register_first(
        &self,
        account: &Account,
        password: &str,
        session: &NewSession,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        let used = sqlx::query(USE).bind(now.0).execute(&mut *transaction).await?;
        if used.rows_affected() == 0 {
            return Err(Error::SetupUsed);
        }
        accounts::insert(&mut transaction, account, password).await?;
        sessions::insert(&mut transaction, account.id, session).await?;
        Ok(transaction.commit().await?)
    }
}
