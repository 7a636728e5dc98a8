//! Bodies of the user service.

use serde::{Deserialize, Deserializer, Serialize};

use crate::caller::Role;
use crate::{Timestamp, UserId};

/// An account as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// 3 to 32 characters of `A-Za-z0-9_.-`, unique without regard to case.
    pub username: String,
    /// Unique without regard to case.
    pub email: Option<String>,
    /// Whether the address was confirmed.
    pub email_verified: bool,
    /// E.164.
    pub phone: Option<String>,
    /// What others read as the name.
    pub display_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// A picture's address.
    pub avatar_url: Option<String>,
    /// A few words.
    pub bio: Option<String>,
    /// A place.
    pub location: Option<String>,
    /// What the account may be.
    pub roles: Vec<Role>,
    /// The store that an operator or staff member works for.
    pub store_id: Option<String>,
    /// The group that an operator answers in.
    pub operator_group: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An account as everybody signed in sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicUser {
    /// Its id.
    pub id: UserId,
    /// See [`User::username`].
    pub username: String,
    /// See [`User::display_name`].
    pub display_name: Option<String>,
    /// See [`User::first_name`].
    pub first_name: Option<String>,
    /// See [`User::last_name`].
    pub last_name: Option<String>,
    /// See [`User::avatar_url`].
    pub avatar_url: Option<String>,
    /// See [`User::bio`].
    pub bio: Option<String>,
    /// See [`User::location`].
    pub location: Option<String>,
    /// See [`User::roles`].
    pub roles: Vec<Role>,
    /// See [`User::created_at`].
    pub created_at: Timestamp,
}

/// `POST /api/auth/register`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// See [`User::username`].
    pub username: String,
    /// See [`User::email`].
    pub email: String,
    /// 8 to 256 characters.
    pub password: String,
    /// See [`User::first_name`].
    pub first_name: Option<String>,
    /// See [`User::last_name`].
    pub last_name: Option<String>,
    /// See [`User::display_name`].
    pub display_name: Option<String>,
    /// See [`User::phone`].
    pub phone: Option<String>,
}

/// `POST /api/auth/setup`: makes the first administrator.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setup {
    /// The code that the first start printed.
    pub code: String,
    /// See [`User::username`].
    pub username: String,
    /// See [`User::email`].
    pub email: String,
    /// 8 to 256 characters.
    pub password: String,
}

/// `POST /api/auth/login`: exactly one way of naming the account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Login {
    /// By e-mail address,
    pub email: Option<String>,
    /// by username,
    pub username: Option<String>,
    /// or by telephone number.
    pub phone: Option<String>,
    /// The account's password.
    pub password: String,
}

/// `POST /api/auth/refresh-token`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// The newest refresh token of the session.
    pub refresh_token: String,
}

/// The answer to every way of signing in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// In plain words.
    pub message: String,
    /// Whose it is.
    pub user: User,
    /// The access token once more, for clients that look only here.
    pub token: String,
    /// The pair of tokens.
    pub tokens: Tokens,
}

/// An access token and what it is renewed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// A JWT.
    pub access_token: String,
    /// Opaque, used once.
    pub refresh_token: String,
    /// Always `Bearer` (RFC 6750).
    pub token_type: String,
    /// Life of the access token in seconds.
    pub expires_in: u64,
}

/// `GET /api/users/profile`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Profile {
    /// The caller's own account.
    pub user: User,
}

/// `PUT /api/users/profile`: what is absent stays, `null` clears.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileChange {
    /// See [`User::display_name`].
    pub display_name: Change,
    /// See [`User::first_name`].
    pub first_name: Change,
    /// See [`User::last_name`].
    pub last_name: Change,
    /// See [`User::avatar_url`].
    pub avatar_url: Change,
    /// See [`User::bio`].
    pub bio: Change,
    /// See [`User::location`].
    pub location: Change,
    /// See [`User::email`]; a changed one has to be confirmed again. Never cleared.
    pub email: Change,
    /// See [`User::phone`]; a changed one has to be confirmed again.
    pub phone: Change,
}

/// What to do with a field that may be absent, `null` or text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change {
    /// Absent: it stays as it is.
    #[default]
    Keep,
    /// `null`: it goes.
    Clear,
    /// Text: it becomes this.
    Set(String),
}

impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}
