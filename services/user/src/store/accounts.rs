//! Statements about accounts.

use std::str::FromStr;

use contract::caller::Role;
use contract::{Timestamp, UserId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Error, Store, Unique};
use crate::account::{
    About, Account, AvatarUrl, Bio, DisplayName, Email, FirstName, LastName, Location, Phone,
    Username,
};

/// Separates the words in the column `roles`.
const ROLES_SEPARATOR: &str = ",";

const INSERT: &str = "
    INSERT INTO accounts (id, username, username_key, email, email_key, phone, password,
        display_name, first_name, last_name, avatar_url, bio, location, roles, created_at,
        updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)";

const UPDATE: &str = "
    UPDATE accounts
    SET email = $2, email_key = $3, email_verified = $4, phone = $5, phone_verified = $6,
        display_name = $7, first_name = $8, last_name = $9, avatar_url = $10, bio = $11,
        location = $12, updated_at = $13
    WHERE id = $1";

const BY_ID: &str = "SELECT * FROM accounts WHERE id = $1";
const BY_USERNAME: &str = "SELECT * FROM accounts WHERE username_key = $1";
const BY_EMAIL: &str = "SELECT * FROM accounts WHERE email_key = $1";
const BY_PHONE: &str = "SELECT * FROM accounts WHERE phone = $1";

const WHO_HAS: &str = "
    SELECT username_key = $1 AS username, COALESCE(email_key = $2, FALSE) AS email,
        COALESCE(phone = $3, FALSE) AS phone
    FROM accounts
    WHERE username_key = $1 OR email_key = $2 OR phone = $3";

const PAGE: &str = r"
    SELECT * FROM accounts
    WHERE username_key > $1
        AND (username_key LIKE $2 ESCAPE '\' OR lower(display_name) LIKE $2 ESCAPE '\')
        AND ($3 = '' OR ',' || roles || ',' LIKE '%,' || $3 || ',%')
    ORDER BY username_key
    LIMIT $4";

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
        let query = sqlx::query(BY_ID).bind(id.to_string());
        query.fetch_optional(&self.db.reader).await?.as_ref().map(account).transpose()
    }

    pub(crate) async fn find_credentials(&self, name: &Name) -> Result<Option<Credentials>, Error> {
        let query = match name {
            Name::Username(username) => sqlx::query(BY_USERNAME).bind(username.key()),
            Name::Email(email) => sqlx::query(BY_EMAIL).bind(email.key()),
            Name::Phone(phone) => sqlx::query(BY_PHONE).bind(phone.as_str().to_owned()),
        };
        let Some(row) = query.fetch_optional(&self.db.reader).await? else { return Ok(None) };
        Ok(Some(Credentials { account: account(&row)?, password: row.try_get("password")? }))
    }

    /// What other accounts have of this, so that all of it can be said at once. The answer may be
    /// out of date when the account is stored, which then fails by itself.
    pub(crate) async fn taken(
        &self,
        username: &Username,
        email: &Email,
        phone: Option<&Phone>,
    ) -> Result<Vec<Unique>, Error> {
        let query = sqlx::query(WHO_HAS)
            .bind(username.key())
            .bind(email.key())
            .bind(phone.map(Phone::as_str));
        let mut taken = Vec::new();
        for row in query.fetch_all(&self.db.reader).await? {
            let columns = [
                ("username", Unique::Username),
                ("email", Unique::Email),
                ("phone", Unique::Phone),
            ];
            for (column, unique) in columns {
                if row.try_get::<bool, _>(column)? {
                    taken.push(unique);
                }
            }
        }
        Ok(taken)
    }

    /// Changes what the account's owner may change, in one transaction with reading it. `None` when
    /// there is no such account.
    pub(crate) async fn change_account(
        &self,
        id: UserId,
        now: Timestamp,
        change: impl FnOnce(&mut Account),
    ) -> Result<Option<Account>, Error> {
        let mut transaction = self.begin().await?;
        let Some(mut account) = find(&mut transaction, id).await? else { return Ok(None) };
        change(&mut account);
        update(&mut transaction, &account, now).await?;
        transaction.commit().await?;
        Ok(Some(account))
    }

    /// A page of the directory, by username.
    pub(crate) async fn search(&self, search: &Search) -> Result<Vec<Account>, Error> {
        let query = sqlx::query(PAGE)
            .bind(&search.after)
            .bind(pattern(&search.part))
            .bind(search.role.map_or("", Role::as_str))
            .bind(i64::from(search.limit));
        query.fetch_all(&self.db.reader).await?.iter().map(account).collect()
    }
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    account: &Account,
    password: &str,
) -> Result<(), Error> {
    let about = &account.about;
    sqlx::query(INSERT)
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
        .bind(roles_text(&account.roles))
        .bind(account.created_at.0)
        .execute(connection)
        .await?;
    Ok(())
}

async fn update(
    connection: &mut SqliteConnection,
    account: &Account,
    now: Timestamp,
) -> Result<(), Error> {
    let about = &account.about;
    sqlx::query(UPDATE)
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
        .execute(connection)
        .await?;
    Ok(())
}

/// The account `id`, as the transaction sees it.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: UserId,
) -> Result<Option<Account>, Error> {
    let query = sqlx::query(BY_ID).bind(id.to_string());
    query.fetch_optional(connection).await?.as_ref().map(account).transpose()
}

fn account(row: &SqliteRow) -> Result<Account, Error> {
    Ok(Account {
        id: required(row, "id")?,
        username: required(row, "username")?,
        email: optional(row, "email")?,
        email_verified: row.try_get("email_verified")?,
        phone: optional(row, "phone")?,
        phone_verified: row.try_get("phone_verified")?,
        about: About {
            display_name: optional(row, "display_name")?,
            first_name: optional(row, "first_name")?,
            last_name: optional(row, "last_name")?,
            avatar_url: optional(row, "avatar_url")?,
            bio: optional(row, "bio")?,
            location: optional(row, "location")?,
        },
        roles: roles(row.try_get("roles")?)?,
        store_id: row.try_get("store_id")?,
        operator_group: row.try_get("operator_group")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

fn required<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, Error> {
    optional(row, column)?.ok_or(Error::Corrupt { column })
}

fn optional<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<Option<T>, Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|_| Error::Corrupt { column })).transpose()
}

fn roles(text: &str) -> Result<Vec<Role>, Error> {
    const ALL: [Role; 4] = [Role::Customer, Role::Operator, Role::Staff, Role::Admin];
    let role = |word| ALL.into_iter().find(|role| role.as_str() == word);
    text.split(ROLES_SEPARATOR)
        .map(|word| role(word).ok_or(Error::Corrupt { column: "roles" }))
        .collect()
}

fn roles_text(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(ROLES_SEPARATOR)
}

/// Fits whatever contains `part`, in which no character means more than itself.
fn pattern(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
