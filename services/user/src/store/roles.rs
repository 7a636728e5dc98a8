//! Statements that change what an account may be, or that it is there at all.

use chassis::database::{Transaction, again, query};
use contract::UserId;
use contract::caller::Role;
use contract::revocation::Revocations;

use super::accounts::{self, roles_text};
use super::ends::Ends;
use super::{Error, Store, ends, feed, finish};
use crate::account::{Account, Standing};
use crate::audit::Entry;

const SET_STANDING: &str = "
    UPDATE accounts SET roles = $2, store_id = $3, operator_group = $4, updated_at = $5
    WHERE id = $1";

const DELETE: &str = "DELETE FROM accounts WHERE id = $1";

const HAS_ADMIN: &str =
    "SELECT 1 AS one FROM accounts WHERE ',' || roles || ',' LIKE '%,admin,%' LIMIT 1";

impl Store {
    /// Makes the account `id` what `standing` says, and ends its access tokens, which say otherwise.
    pub(crate) async fn change_standing(
        &self,
        id: UserId,
        standing: &Standing,
        end: &impl Ends,
        entry: &Entry,
    ) -> Result<(Account, Revocations), Error> {
        transact!(self, |transaction| {
            let mut account = accounts::lock(transaction, id).await?.ok_or(Error::AccountGone)?;
            let set = query(SET_STANDING)
                .bind(id.to_string())
                .bind(roles_text(&standing.roles))
                .bind(standing.store_id.as_deref())
                .bind(standing.operator_group.as_deref())
                .bind(entry.at.0);
            transaction.execute(set).await?;
            let item = end.user(&account);
            ends::end_tokens(transaction, id, &item).await?;
            self.audit(transaction, entry).await?;
            let told = feed::revoke(transaction, vec![item]).await?;
            keep_an_admin(transaction, &account).await?;
            account.standing = standing.clone();
            account.tokens_from = item.not_before.seconds();
            Ok((account, told))
        })
    }

    /// Deletes the account `id` with everything that was its own.
    pub(crate) async fn delete_account(
        &self,
        id: UserId,
        end: &impl Ends,
        entry: &Entry,
    ) -> Result<Revocations, Error> {
        transact!(self, |transaction| {
            let account = accounts::lock(transaction, id).await?.ok_or(Error::AccountGone)?;
            let items = ends::end_all(transaction, &account, end, entry.at).await?;
            transaction.execute(query(DELETE).bind(id.to_string())).await?;
            self.audit(transaction, entry).await?;
            let told = feed::revoke(transaction, items).await?;
            feed::keep_deleted(transaction, id, told.cursor, entry.at).await?;
            keep_an_admin(transaction, &account).await?;
            Ok(told)
        })
    }
}

/// Refuses when `before` was the last administrator: nobody could ever make another. Behind the feed's
/// lock, which two who go at once take in turn.
async fn keep_an_admin(transaction: &mut Transaction, before: &Account) -> Result<(), Error> {
    if !before.standing.roles.contains(&Role::Admin) {
        return Ok(());
    }
    let found = transaction.fetch_optional(query(HAS_ADMIN)).await?;
    found.map(|_| ()).ok_or(Error::LastAdmin)
}
