//! Statements for other services: accounts by what they know of them, made for them, and gone.

use chassis::database::{List, Query, Text, again, query};
use contract::caller::Role;
use contract::internal::accounts::{DeletedAccount, DeletedAccounts};
use contract::{Timestamp, UserId};

use super::accounts::{self, account, accounts, insert};
use super::{Error, Store, finish, required};
use crate::account::{Account, Phone, Username};
use crate::audit::Entry;

const BY_IDS: Text = Text {
    sqlite: accounts!("WHERE id IN (SELECT value FROM json_each($1)) ORDER BY username_key"),
    postgres: accounts!("WHERE id = ANY ($1) ORDER BY username_key"),
};

/// An absent narrowing is the empty text, which nobody's column holds.
const BY_ROLE: &str = accounts!(
    "WHERE ',' || roles || ',' LIKE '%,' || $1 || ',%'
        AND ($2 = '' OR store_id = $2) AND ($3 = '' OR operator_group = $3)
    ORDER BY username_key LIMIT $4"
);

const DELETED: &str = "
    SELECT account_id, cursor, deleted_at FROM deleted_accounts
    WHERE cursor > $1 ORDER BY cursor LIMIT $2";

/// Who is looked for.
#[derive(Debug, Clone)]
pub(crate) enum Whom {
    Ids(Vec<UserId>),
    Phone(Phone),
    Username(Username),
    /// At most so many.
    Role {
        role: Role,
        store_id: Option<String>,
        operator_group: Option<String>,
        limit: u32,
    },
}

impl Store {
    /// Those of `whom` who have accounts.
    pub(crate) async fn find_people(&self, whom: &Whom) -> Result<Vec<Account>, Error> {
        match whom {
            Whom::Ids(ids) => {
                let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
                let list = List::Texts(ids.iter().map(String::as_str).collect());
                self.people(query(BY_IDS).bind(list)).await
            }
            Whom::Phone(phone) => self.people(query(accounts::BY_PHONE).bind(phone.as_str())).await,
            Whom::Username(username) => {
                self.people(query(accounts::BY_USERNAME).bind(username.key())).await
            }
            Whom::Role { role, store_id, operator_group, limit } => {
                let found = query(BY_ROLE)
                    .bind(role.as_str())
                    .bind(store_id.as_deref().unwrap_or_default())
                    .bind(operator_group.as_deref().unwrap_or_default())
                    .bind(*limit);
                self.people(found).await
            }
        }
    }

    async fn people(&self, query: Query<'_>) -> Result<Vec<Account>, Error> {
        self.db.fetch_all(query).await?.iter().map(account).collect()
    }

    /// Stores an account that nobody can sign in to.
    pub(crate) async fn add_account(&self, account: &Account, entry: &Entry) -> Result<(), Error> {
        transact!(self, |transaction| {
            insert(transaction, account, None).await?;
            self.audit(transaction, entry).await?;
            Ok(())
        })
    }

    /// Up to `limit` accounts that were deleted after the cursor `after`. Whoever is ahead of the feed,
    /// which was set back then, gets them from the first one on.
    pub(crate) async fn deleted_after(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<DeletedAccounts, Error> {
        let after = if after > self.feed_head().await? { 0 } else { after };
        let from = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self.db.fetch_all(query(DELETED).bind(from).bind(limit)).await?;
        let (mut cursor, mut items) = (after, Vec::with_capacity(rows.len()));
        for row in &rows {
            let taken = u64::try_from(row.get::<i64>("cursor")?);
            cursor = taken.map_err(|_| Error::Corrupt { column: "cursor" })?;
            items.push(DeletedAccount {
                user_id: required(row, "account_id")?,
                deleted_at: Timestamp(row.get("deleted_at")?),
            });
        }
        Ok(DeletedAccounts { cursor, items })
    }
}
