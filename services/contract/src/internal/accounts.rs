//! Bodies of the calls that other parts make to the user service.

use serde::{Deserialize, Serialize};

use crate::caller::Role;
use crate::hidden::hidden;
use crate::scope::Scopes;
use crate::{SessionId, Timestamp, UserId};

/// Most ids of one question for users.
pub const USERS_IDS_MAX: usize = 100;
/// Most users of an answer to a question for a role; whoever needs all of more narrows the question.
pub const USERS_FOUND_MAX: u32 = 1_000;
/// Most deleted accounts of one answer; the rest come with the next question.
pub const DELETED_ITEMS_MAX: u32 = 1_000;

/// `POST /internal/tickets/redeem`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Redeem {
    /// What `POST /api/auth/ws-ticket` gave.
    pub ticket: String,
}

/// Who a ticket is for: what the access token said that it was got with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redeemed {
    /// The account.
    pub user_id: UserId,
    /// Its username.
    pub username: String,
    /// The session.
    pub session_id: SessionId,
    /// What the account may be.
    pub roles: Vec<Role>,
    /// What that access token may be used for; absent: everything that the account may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scopes>,
    /// When that access token was made: decides whether it was revoked since.
    pub issued_at: Timestamp,
    /// Until when that access token holds.
    pub expires_at: Timestamp,
}

/// `POST /internal/keys/exchange`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Exchange {
    /// A machine key.
    pub key: String,
}

/// What a machine key is exchanged for.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchanged {
    /// An access token with the key's scopes.
    pub token: String,
    /// Its life in seconds.
    pub expires_in: u64,
}

/// Query of `GET /internal/users`: exactly one of `ids`, `phone`, `username` and `role`; the others
/// narrow `role`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsersQuery {
    /// Ids separated by commas, at most [`USERS_IDS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Without regard to case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Everybody with this role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Those of one store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// Those of one group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_group: Option<String>,
}

/// An account as other parts need it. Those that do not exist are left out of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MinimalUser {
    /// Its id.
    pub id: UserId,
    /// Its username.
    pub username: String,
    /// What others read as the name.
    pub display_name: Option<String>,
    /// What the account may be.
    pub roles: Vec<Role>,
    /// The store that it works for.
    pub store_id: Option<String>,
    /// The group that it answers in.
    pub operator_group: Option<String>,
}

/// `POST /internal/accounts`: an account without a password. Never an administrator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    /// As for registering.
    pub username: String,
    /// What others read as the name.
    pub display_name: Option<String>,
    /// E.164, not taken for confirmed.
    pub phone: Option<String>,
    /// A place.
    pub location: Option<String>,
    /// What the account may be; a customer when empty.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// The store that it works for.
    pub store_id: Option<String>,
    /// The group that it answers in.
    pub operator_group: Option<String>,
}

/// Query of `GET /internal/deleted`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletedQuery {
    /// Those after this cursor; absent: from the first one on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Most items, at most [`DELETED_ITEMS_MAX`]; as many when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Accounts that were deleted, for services that keep something in their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedAccounts {
    /// The cursor after the last item, to ask on with; the one that was asked with when there is none.
    pub cursor: u64,
    /// In the order in which they went.
    pub items: Vec<DeletedAccount>,
}

/// An account that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedAccount {
    /// The id that it had, which nobody gets again.
    pub user_id: UserId,
    /// When it went.
    pub deleted_at: Timestamp,
}

hidden! { Redeem Exchange Exchanged }
