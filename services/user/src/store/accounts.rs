//! Statements about accounts.

use chassis::database::{Query, Row, Text, Transaction, again, query};
use contract::caller::Role;
use contract::{Timestamp, UserId};

use super::{Error, Store, Unique, finish, optional, required};
use crate::account::{
    About, Account, AvatarUrl, Bio, DisplayName, Email, FirstName, LastName, Location, Phone,
    Standing, Username,
};
use crate::audit::Entry;
use crate::session::RefreshHash;

/// Separates the words in the column `roles`.
const ROLES_SEPARATOR: &str = ",";

const INSERT: &str = "
    INSERT INTO accounts (id, username, username_key, email, email_key, phone, password,
        display_name, first_name, last_name, avatar_url, bio, location, roles, store_id,
        operator_group, created_at, updated_at, display_key)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, $18)";

const UPDATE: &str = "
    UPDATE accounts
    SET email = $2, email_key = $3, email_verified = $4, phone = $5, phone_verified = $6,
        display_name = $7, first_name = $8, last_name = $9, avatar_url = $10, bio = $11,
        location = $12, updated_at = $13, display_key = $14
    WHERE id = $1";

/// Column by column: a statement that PostgreSQL has prepared fails when a newer version adds one to `*`.
macro_rules! accounts {
    ($which:literal) => {
        concat!(
            "SELECT id, username, email, email_verified, phone, phone_verified, password, \
             display_name, first_name, last_name, avatar_url, bio, location, roles, store_id, \
             operator_group, created_at, tokens_from FROM accounts ",
            $which
        )
    };
}

pub(super) use accounts;

const BY_ID: &str = accounts!("WHERE id = $1");
pub(super) const BY_USERNAME: &str = accounts!("WHERE username_key = $1");
const BY_EMAIL: &str = accounts!("WHERE email_key = $1");
pub(super) const BY_PHONE: &str = accounts!("WHERE phone = $1");

const LOCK_BY_ID: Text = Text { sqlite: BY_ID, postgres: accounts!("WHERE id = $1 FOR UPDATE") };

const PASSWORD: &str = "SELECT password FROM accounts WHERE id = $1";

const SET_PASSWORD: &str = "UPDATE accounts SET password = $2, updated_at = $3 WHERE id = $1";

const LOCK_BY_TOKEN: Text = Text {
    sqlite: accounts!(
        "WHERE id = (
            SELECT account_id FROM sessions
            WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1))"
    ),
    postgres: accounts!(
        "WHERE id = (
            SELECT account_id FROM sessions
            WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1))
        FOR UPDATE"
    ),
};

const WHO_HAS: &str = "
    SELECT username_key = $1 AS username, COALESCE(email_key = $2, FALSE) AS email,
        COALESCE(phone = $3, FALSE) AS phone
    FROM accounts
    WHERE username_key = $1 OR email_key = $2 OR phone = $3";

/// What has to be looked at one by one is in an index alone; accounts are read when they were found. No
/// role's word is part of another's.
const PAGE: &str = accounts!(
    r"WHERE username_key IN (
        SELECT username_key FROM accounts
        WHERE username_key > $1
            AND (username_key LIKE $2 ESCAPE '\' OR display_key LIKE $2 ESCAPE '\')
            AND roles LIKE $3
        ORDER BY username_key
        LIMIT $4)
    ORDER BY username_key"
);

/// How an account is named by whoever wants in.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    Username(Username),
    Email(Email),
    Phone(Phone),
}

/// An account and what its password is checked against.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) account: Account,
    pub(crate) password: Option<String>,
}

/// What a page of the directory is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Part of the username or the display name; everybody when empty.
    pub(crate) part: String,
    /// Those with this role alone.
    pub(crate) role: Option<Role>,
    /// Usernames after this one, in lower case.
    pub(crate) after: String,
    /// Most accounts to return.
    pub(crate) limit: u32,
}

impl Store {
    pub(crate) async fn find_account(&self, id: UserId) -> Result<Option<Account>, Error> {
        let found = self.db.fetch_optional(query(BY_ID).bind(id.to_string())).await?;
        found.as_ref().map(account).transpose()
    }

    pub(crate) async fn find_credentials(&self, name: &Name) -> Result<Option<Credentials>, Error> {
        let query = match name {
            Name::Username(username) => query(BY_USERNAME).bind(username.key()),
            Name::Email(email) => query(BY_EMAIL).bind(email.key()),
            Name::Phone(phone) => query(BY_PHONE).bind(phone.as_str()),
        };
        self.credentials(query).await
    }

    /// The account `id` with its password.
    pub(crate) async fn find_credentials_of(
        &self,
        id: UserId,
    ) -> Result<Option<Credentials>, Error> {
        self.credentials(query(BY_ID).bind(id.to_string())).await
    }

    async fn credentials(&self, query: Query<'_>) -> Result<Option<Credentials>, Error> {
        let Some(row) = self.db.fetch_optional(query).await? else { return Ok(None) };
        Ok(Some(Credentials { account: account(&row)?, password: row.get("password")? }))
    }

    /// What other accounts have of this, so that all of it can be said at once. The answer may be
    /// out of date when the account is stored, which then fails by itself.
    pub(crate) async fn taken(
        &self,
        username: &Username,
        email: &Email,
        phone: Option<&Phone>,
    ) -> Result<Vec<Unique>, Error> {
        let query =
            query(WHO_HAS).bind(username.key()).bind(email.key()).bind(phone.map(Phone::as_str));
        let mut taken = Vec::new();
        for row in self.db.fetch_all(query).await? {
            let columns = [
                ("username", Unique::Username),
                ("email", Unique::Email),
                ("phone", Unique::Phone),
            ];
            for (column, unique) in columns {
                if row.get::<bool>(column)? {
                    taken.push(unique);
                }
            }
        }
        Ok(taken)
    }

    /// Changes what the account's owner may change, in one transaction with reading it.
    pub(crate) async fn change_account(
        &self,
        id: UserId,
        entry: &Entry,
        change: impl Fn(&mut Account),
    ) -> Result<Account, Error> {
        transact!(self, |transaction| {
            let mut account = lock(transaction, id).await?.ok_or(Error::AccountGone)?;
            change(&mut account);
            update(transaction, &account, entry.at).await?;
            self.audit(transaction, entry).await?;
            Ok(account)
        })
    }

    /// A page of the directory, by username.
    pub(crate) async fn search(&self, search: &Search) -> Result<Vec<Account>, Error> {
        let query = query(PAGE)
            .bind(search.after.as_str())
            .bind(pattern(&search.part))
            .bind(search.role.map_or("%".to_owned(), |role| format!("%{}%", role.as_str())))
            .bind(search.limit);
        self.db.fetch_all(query).await?.iter().map(account).collect()
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    account: &Account,
    password: Option<&str>,
) -> Result<(), Error> {
    let about = &account.about;
    let query = query(INSERT)
        .bind(account.id.to_string())
        .bind(account.username.as_str())
        .bind(account.username.key())
        .bind(account.email.as_ref().map(Email::as_str))
        .bind(account.email.as_ref().map(Email::key))
        .bind(account.phone.as_ref().map(Phone::as_str))
        .bind(password)
        .bind(about.display_name.as_ref().map(DisplayName::as_str))
        .bind(about.first_name.as_ref().map(FirstName::as_str))
        .bind(about.last_name.as_ref().map(LastName::as_str))
        .bind(about.avatar_url.as_ref().map(AvatarUrl::as_str))
        .bind(about.bio.as_ref().map(Bio::as_str))
        .bind(about.location.as_ref().map(Location::as_str))
        .bind(roles_text(&account.standing.roles))
        .bind(account.standing.store_id.as_deref())
        .bind(account.standing.operator_group.as_deref())
        .bind(account.created_at.0)
        .bind(about.display_name.as_ref().map(DisplayName::key));
    transaction.execute(query).await?;
    Ok(())
}

async fn update(
    transaction: &mut Transaction,
    account: &Account,
    now: Timestamp,
) -> Result<(), Error> {
    let about = &account.about;
    let query = query(UPDATE)
        .bind(account.id.to_string())
        .bind(account.email.as_ref().map(Email::as_str))
        .bind(account.email.as_ref().map(Email::key))
        .bind(account.email_verified)
        .bind(account.phone.as_ref().map(Phone::as_str))
        .bind(account.phone_verified)
        .bind(about.display_name.as_ref().map(DisplayName::as_str))
        .bind(about.first_name.as_ref().map(FirstName::as_str))
        .bind(about.last_name.as_ref().map(LastName::as_str))
        .bind(about.avatar_url.as_ref().map(AvatarUrl::as_str))
        .bind(about.bio.as_ref().map(Bio::as_str))
        .bind(about.location.as_ref().map(Location::as_str))
        .bind(now.0)
        .bind(about.display_name.as_ref().map(DisplayName::key));
    transaction.execute(query).await?;
    Ok(())
}

/// The account `id`, which nobody else changes before the transaction ends.
pub(super) async fn lock(
    transaction: &mut Transaction,
    id: UserId,
) -> Result<Option<Account>, Error> {
    let found = transaction.fetch_optional(query(LOCK_BY_ID).bind(id.to_string())).await?;
    found.as_ref().map(account).transpose()
}

/// Refuses when `id` has another password than the one that was `checked` before it was locked.
pub(super) async fn expect_password(
    transaction: &mut Transaction,
    id: UserId,
    checked: &str,
) -> Result<(), Error> {
    let found = transaction.fetch_optional(query(PASSWORD).bind(id.to_string())).await?;
    let row = found.ok_or(Error::AccountGone)?;
    let stored: Option<&str> = row.get("password")?;
    if stored == Some(checked) { Ok(()) } else { Err(Error::PasswordChanged) }
}

/// Makes the PHC string `hash` the password of `id`.
pub(super) async fn set_password(
    transaction: &mut Transaction,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<(), Error> {
    transaction.execute(query(SET_PASSWORD).bind(id.to_string()).bind(hash).bind(now.0)).await?;
    Ok(())
}

/// The account that the refresh token `hash` was given to, likewise.
pub(super) async fn lock_by_token(
    transaction: &mut Transaction,
    hash: &RefreshHash,
) -> Result<Option<Account>, Error> {
    let found = transaction.fetch_optional(query(LOCK_BY_TOKEN).bind(hash.as_slice())).await?;
    found.as_ref().map(account).transpose()
}

pub(super) fn account(row: &Row) -> Result<Account, Error> {
    Ok(Account {
        id: required(row, "id")?,
        username: required(row, "username")?,
        email: optional(row, "email")?,
        email_verified: row.get("email_verified")?,
        phone: optional(row, "phone")?,
        phone_verified: row.get("phone_verified")?,
        about: About {
            display_name: optional(row, "display_name")?,
            first_name: optional(row, "first_name")?,
            last_name: optional(row, "last_name")?,
            avatar_url: optional(row, "avatar_url")?,
            bio: optional(row, "bio")?,
            location: optional(row, "location")?,
        },
        standing: Standing {
            roles: roles(row.get("roles")?)?,
            store_id: row.get("store_id")?,
            operator_group: row.get("operator_group")?,
        },
        created_at: Timestamp(row.get("created_at")?),
        tokens_from: row.get("tokens_from")?,
    })
}

pub(super) fn roles(text: &str) -> Result<Vec<Role>, Error> {
    const ALL: [Role; 4] = [Role::Customer, Role::Operator, Role::Staff, Role::Admin];
    let role = |word| ALL.into_iter().find(|role| role.as_str() == word);
    text.split(ROLES_SEPARATOR)
        .map(|word| role(word).ok_or(Error::Corrupt { column: "roles" }))
        .collect()
}

pub(super) fn roles_text(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(ROLES_SEPARATOR)
}

/// Fits whatever contains `part`, in which no character means more than itself.
fn pattern(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.to_ascii_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
