//! Bodies of the user service.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::caller::Role;
use crate::hidden::hidden;
use crate::{SessionId, Timestamp, UserId};

/// An account as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// 3 to 32 characters of `A-Za-z0-9_.-`, unique without regard to case.
    #[schema(pattern = "^[A-Za-z0-9_.-]{3,32}$", example = "ada")]
    pub username: String,
    /// Unique without regard to case.
    #[schema(required = true, format = Email, max_length = 254, example = "ada@example.com")]
    pub email: Option<String>,
    /// Whether the address was confirmed.
    pub email_verified: bool,
    /// E.164.
    #[schema(required = true, pattern = r"^\+[1-9][0-9]{5,14}$", example = "+4930123456")]
    pub phone: Option<String>,
    /// What others read as the name.
    #[schema(required = true, max_length = 80, example = "Ada Lovelace")]
    pub display_name: Option<String>,
    /// Given name.
    #[schema(required = true, max_length = 80, example = "Ada")]
    pub first_name: Option<String>,
    /// Family name.
    #[schema(required = true, max_length = 80, example = "Lovelace")]
    pub last_name: Option<String>,
    /// A picture's address.
    #[schema(
        required = true,
        format = "uri",
        max_length = 2048,
        example = "https://example.com/ada.png"
    )]
    pub avatar_url: Option<String>,
    /// A few words.
    #[schema(required = true, max_length = 500)]
    pub bio: Option<String>,
    /// A place.
    #[schema(required = true, max_length = 100)]
    pub location: Option<String>,
    /// What the account may be.
    #[schema(min_items = 1)]
    pub roles: Vec<Role>,
    /// The store that an operator or staff member works for.
    #[schema(required = true)]
    pub store_id: Option<String>,
    /// The group that an operator answers in.
    #[schema(required = true)]
    pub operator_group: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An account as everybody signed in sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicUser {
    /// Its id.
    pub id: UserId,
    /// 3 to 32 characters of `A-Za-z0-9_.-`, unique without regard to case.
    #[schema(pattern = "^[A-Za-z0-9_.-]{3,32}$", example = "ada")]
    pub username: String,
    /// What others read as the name.
    #[schema(required = true, max_length = 80, example = "Ada Lovelace")]
    pub display_name: Option<String>,
    /// Given name.
    #[schema(required = true, max_length = 80, example = "Ada")]
    pub first_name: Option<String>,
    /// Family name.
    #[schema(required = true, max_length = 80, example = "Lovelace")]
    pub last_name: Option<String>,
    /// A picture's address.
    #[schema(
        required = true,
        format = "uri",
        max_length = 2048,
        example = "https://example.com/ada.png"
    )]
    pub avatar_url: Option<String>,
    /// A few words.
    #[schema(required = true, max_length = 500)]
    pub bio: Option<String>,
    /// A place.
    #[schema(required = true, max_length = 100)]
    pub location: Option<String>,
    /// What the account may be.
    #[schema(min_items = 1)]
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// `POST /api/auth/register`.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// 3 to 32 characters of `A-Za-z0-9_.-`, unique without regard to case.
    #[schema(pattern = "^[A-Za-z0-9_.-]{3,32}$", example = "ada")]
    pub username: String,
    /// Unique without regard to case.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    pub email: String,
    /// 8 to 256 characters, unless the installation asks for more.
    #[schema(format = Password, min_length = 8, max_length = 256, example = "correct horse battery")]
    pub password: String,
    /// Given name.
    #[schema(max_length = 80, example = "Ada")]
    pub first_name: Option<String>,
    /// Family name.
    #[schema(max_length = 80, example = "Lovelace")]
    pub last_name: Option<String>,
    /// What others read as the name.
    #[schema(max_length = 80, example = "Ada Lovelace")]
    pub display_name: Option<String>,
    /// E.164.
    #[schema(pattern = r"^(\+[1-9][0-9]{5,14})?$", example = "+4930123456")]
    pub phone: Option<String>,
}

/// `POST /api/auth/setup`: makes the first administrator.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Setup {
    /// The code that the first start printed.
    #[schema(example = "7K2QX-0M4ND-V9R1T-C8W5H")]
    pub code: String,
    /// 3 to 32 characters of `A-Za-z0-9_.-`, unique without regard to case.
    #[schema(pattern = "^[A-Za-z0-9_.-]{3,32}$", example = "ada")]
    pub username: String,
    /// Unique without regard to case.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    pub email: String,
    /// 8 to 256 characters, unless the installation asks for more.
    #[schema(format = Password, min_length = 8, max_length = 256, example = "correct horse battery")]
    pub password: String,
}

/// `POST /api/auth/login`: exactly one way of naming the account.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Login {
    /// By e-mail address.
    pub email: Option<String>,
    /// By username.
    #[schema(example = "ada")]
    pub username: Option<String>,
    /// By telephone number.
    pub phone: Option<String>,
    /// The account's password.
    #[schema(format = Password, example = "correct horse battery")]
    pub password: String,
}

/// `POST /api/auth/refresh-token`; without a body the cookie counts.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// The newest refresh token of the session.
    #[schema(example = "o1fVv5JY6sBZc2n8m0uQXKf3tq9d7wGhLrEa4iUyTzM")]
    pub refresh_token: Option<String>,
}

/// `POST /api/auth/token-exchange`: signs in.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenExchange {
    /// An ID token of an external issuer.
    pub subject_token: String,
}

/// The answer to every way of signing in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// In plain words.
    #[schema(example = "You are signed in.")]
    pub message: String,
    /// Whose it is.
    pub user: User,
    /// The access token once more, for clients that look only here.
    pub token: String,
    /// The pair of tokens.
    pub tokens: Tokens,
}

/// An access token and what it is renewed with.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// A JWT.
    pub access_token: String,
    /// Opaque, used once; absent when it went into a cookie.
    #[schema(nullable = false, example = "o1fVv5JY6sBZc2n8m0uQXKf3tq9d7wGhLrEa4iUyTzM")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Always `Bearer` (RFC 6750).
    #[schema(pattern = "^Bearer$", example = "Bearer")]
    pub token_type: String,
    /// Life of the access token in seconds.
    #[schema(example = 900)]
    pub expires_in: u64,
}

/// `GET /api/users/profile`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// The caller's own account.
    pub user: User,
}

/// `PUT /api/users/profile`: what is absent stays, `null` clears.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileChange {
    /// What others read as the name.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 80, example = "Ada Lovelace")]
    pub display_name: Change,
    /// Given name.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 80, example = "Ada")]
    pub first_name: Change,
    /// Family name.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 80, example = "Lovelace")]
    pub last_name: Change,
    /// A picture's address.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 2048, example = "https://example.com/ada.png")]
    pub avatar_url: Change,
    /// A few words.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 500, example = "Counts.")]
    pub bio: Change,
    /// A place.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100, example = "London")]
    pub location: Change,
    /// Unique without regard to case; a changed one has to be confirmed again. Never cleared.
    #[serde(default)]
    #[schema(value_type = String, format = Email, max_length = 254, example = "ada@example.com")]
    pub email: Change,
    /// E.164; a changed one has to be confirmed again.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = r"^(\+[1-9][0-9]{5,14})?$", example = "+4930123456")]
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

/// The answer to a command that has nothing better to return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// In plain words.
    #[schema(example = "You are signed out.")]
    pub message: String,
}

impl Done {
    /// Says `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// One of `GET /api/auth/sessions`: a sign-in that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenSession {
    /// Its id.
    pub id: SessionId,
    /// What the client called itself (`User-Agent`) when it was last used.
    #[schema(required = true, max_length = 200, example = "Mozilla/5.0")]
    pub device: Option<String>,
    /// From where it was last used.
    #[schema(required = true, example = "192.0.2.7")]
    pub address: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last renewed.
    pub last_used_at: Timestamp,
    /// When it ends if it is not used again.
    pub expires_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// `PUT /api/auth/change-password`.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangePassword {
    /// The one so far.
    #[schema(format = Password, example = "correct horse battery")]
    pub current_password: String,
    /// 8 to 256 characters, unless the installation asks for more.
    #[schema(format = Password, min_length = 8, max_length = 256, example = "battery staple correct")]
    pub new_password: String,
}

/// `PUT /api/users/{id}/roles`: replaces what the account is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRoles {
    /// At least one.
    #[schema(min_items = 1)]
    pub roles: Vec<Role>,
    /// The store that it works for: operators and staff have one, others none.
    #[schema(pattern = "^[A-Za-z0-9_-]{0,64}$", example = "7")]
    pub store_id: Option<String>,
    /// The group that it answers in: operators have one, others none.
    #[schema(pattern = "^[A-Za-z0-9_-]{0,64}$", example = "sales")]
    pub operator_group: Option<String>,
}

/// The answer to a change of an account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// In plain words.
    #[schema(example = "The roles were changed.")]
    pub message: String,
    /// The account as it is now.
    pub user: User,
}

/// One of `GET /api/users/audit`: a refusal or a change, never altered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its number; later ones have higher numbers.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What was done, or wanted.
    #[schema(example = "log-in")]
    pub action: String,
    /// `done`, or the kind of the refusal.
    #[schema(example = "wrong-credentials")]
    pub outcome: String,
    /// Who did or wanted it, where that is known.
    #[schema(required = true)]
    pub actor_id: Option<UserId>,
    /// Whom it is about.
    #[schema(required = true)]
    pub user_id: Option<UserId>,
    /// From where.
    #[schema(required = true, example = "192.0.2.7")]
    pub address: Option<String>,
    /// More, in plain words.
    #[schema(required = true)]
    pub detail: Option<String>,
}

/// `POST /api/auth/verify-email`.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct VerifyEmail {
    /// What the mail's link has.
    #[schema(example = "o1fVv5JY6sBZc2n8m0uQXKf3tq9d7wGhLrEa4iUyTzM")]
    pub token: String,
}

/// `POST /api/auth/forgot-password`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ForgotPassword {
    /// Of the account, if there is one.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    pub email: String,
}

/// `POST /api/auth/reset-password`.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ResetPassword {
    /// What the mail's link has.
    #[schema(example = "o1fVv5JY6sBZc2n8m0uQXKf3tq9d7wGhLrEa4iUyTzM")]
    pub token: String,
    /// 8 to 256 characters, unless the installation asks for more.
    #[schema(format = Password, min_length = 8, max_length = 256, example = "correct horse battery")]
    pub password: String,
}

/// `POST /api/auth/otp`: sends a code.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct AskCode {
    /// Where to; E.164.
    #[schema(pattern = r"^\+[1-9][0-9]{5,14}$", example = "+4930123456")]
    pub phone: String,
}

/// `POST /api/auth/otp/verify`: signs in.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CheckCode {
    /// The number that the code went to; E.164.
    #[schema(pattern = r"^\+[1-9][0-9]{5,14}$", example = "+4930123456")]
    pub phone: String,
    /// Six digits.
    #[schema(example = "042137")]
    pub code: String,
}

hidden! {
    Register Setup Login Refresh TokenExchange Session Tokens ChangePassword VerifyEmail ResetPassword CheckCode
}
