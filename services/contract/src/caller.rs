//! How a caller is named on the wire: header names, and the claims inside tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::scope::Scopes;
use crate::{SessionId, UserId};

/// The verified user, set by the gateway alone. A spoke believes the token beside it, not this.
pub const USER_ID: &str = "x-user-id";
/// The verified user's name, set by the gateway alone.
pub const USER_NAME: &str = "x-user-name";
/// The verified user's roles, comma-separated, set by the gateway alone.
pub const USER_ROLES: &str = "x-user-roles";
/// The verified session, set by the gateway alone.
pub const SESSION_ID: &str = "x-session-id";
/// Every header by which a gateway names a caller: removed from whatever comes from outside.
pub const IDENTITY_HEADERS: [&str; 4] = [USER_ID, USER_NAME, USER_ROLES, SESSION_ID];
/// A machine key, in place of a token.
pub const API_KEY: &str = "x-api-key";
/// Names one request through every hop: 1 to 64 characters of `A-Za-z0-9._-`.
pub const REQUEST_ID: &str = "x-request-id";
/// The W3C trace context (Trace Context section 3.2).
pub const TRACEPARENT: &str = "traceparent";

/// What an account may be. A new account is a customer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everybody.
    Customer,
    /// Answers support conversations.
    Operator,
    /// Works for a store.
    Staff,
    /// Administers the installation.
    Admin,
}

impl Role {
    /// The word in tokens and columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Operator => "operator",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }
}

/// Claims of a user's access token (RFC 7519 section 4.1 and ours).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserClaims {
    /// The issuer inside: the user service.
    pub iss: String,
    /// The account.
    pub sub: UserId,
    /// For whom the token is.
    pub aud: String,
    /// Seconds since the epoch from which on it is dead.
    pub exp: i64,
    /// Seconds since the epoch before which it is not yet alive.
    pub nbf: i64,
    /// Seconds since the epoch at which it was made.
    pub iat: i64,
    /// Names this very token.
    pub jti: String,
    /// The session that it belongs to.
    pub sid: SessionId,
    /// The username.
    pub name: String,
    /// What the account may be.
    pub roles: Vec<Role>,
    /// Whether the account's e-mail address was confirmed.
    pub email_verified: bool,
    /// What a machine key allows; absent: everything that the account may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scopes>,
}

/// Claims of a service token: one part calling another, if need be for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceClaims {
    /// The calling service.
    pub iss: String,
    /// The called service.
    pub aud: String,
    /// Seconds since the epoch from which on it is dead.
    pub exp: i64,
    /// Seconds since the epoch before which it is not yet alive.
    pub nbf: i64,
    /// Seconds since the epoch at which it was made.
    pub iat: i64,
    /// Names this very token.
    pub jti: String,
    /// The user on whose behalf; absent where the items of the call carry users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<UserId>,
    /// That user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// That user's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
}
