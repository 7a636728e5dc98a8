//! Bodies about machine keys, and about tickets for sockets: what a caller holds instead of a password;
//! and the form of a key, by which everybody knows one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Timestamp;
use crate::hidden::hidden;
use crate::scope::Scope;

/// What every machine key begins with, so that scanners for lost secrets find one.
pub const KEY_PREFIX: &str = "hbk_";
/// Random bytes of a key.
pub const KEY_SECRET_BYTES: usize = 32;
/// Bytes behind them by which a mistyped key is known without a look into a store. They keep no secret:
/// who makes keys up can make them, too.
const CHECK_BYTES: usize = 4;

/// `secret` as a key: [`KEY_PREFIX`] and 48 characters, of which the last few check the others.
#[must_use]
pub fn written(secret: &[u8; KEY_SECRET_BYTES]) -> String {
    let text = URL_SAFE_NO_PAD.encode([secret.as_slice(), &check(secret)].concat());
    format!("{KEY_PREFIX}{text}")
}

/// Whether `key` has the form of one. Whether there is such a key is another question.
#[must_use]
pub fn is_well_formed(key: &str) -> bool {
    let bytes = key.strip_prefix(KEY_PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes
        .as_deref()
        .and_then(|bytes| bytes.split_at_checked(KEY_SECRET_BYTES))
        .is_some_and(|(secret, sum)| check(secret) == *sum)
}

fn check(secret: &[u8]) -> [u8; CHECK_BYTES] {
    let [one, two, three, four, ..] = <[u8; 32]>::from(Sha256::digest(secret));
    [one, two, three, four]
}

/// `POST /api/auth/api-keys`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    /// What its owner calls it: one line of 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80, example = "Till 3")]
    pub name: String,
    /// What it may be used for, at least one thing.
    #[schema(value_type = Vec<Scope>, min_items = 1)]
    pub scopes: Vec<String>,
    /// Seconds that it lives. Without this and `expiresAt` it lives until it is deleted.
    #[schema(minimum = 1, example = 2_592_000)]
    pub expires_in: Option<u64>,
    /// When it ends, instead of `expiresIn`.
    pub expires_at: Option<Timestamp>,
}

/// A machine key, without its secret: one of `GET /api/auth/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Its id, which stands as `sid` in the tokens that it is exchanged for.
    #[schema(value_type = String, format = "uuid", example = "01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b")]
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(required = true)]
    pub last_used_at: Option<Timestamp>,
    /// When it ends by itself.
    #[schema(required = true)]
    pub expires_at: Option<Timestamp>,
}

/// A machine key that was just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeKey {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub about: Key,
    /// The secret, which is never shown again.
    #[schema(pattern = "^hbk_")]
    pub key: String,
}

/// The answer of `POST /api/auth/ws-ticket`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// Opens one socket, once.
    #[schema(example = "o1fVv5JY6sBZc2n8m0uQXKf3tq9d7wGhLrEa4iUyTzM")]
    pub ticket: String,
    /// Its life in seconds.
    #[schema(example = 30)]
    pub expires_in: u64,
}

hidden! { MadeKey Ticket }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_key_is_seen() {
        let key = written(&[7; KEY_SECRET_BYTES]);
        assert_eq!(key.len(), KEY_PREFIX.len() + 48);
        assert!(is_well_formed(&key));
        let slip = key.replacen(&key[9..10], if &key[9..10] == "x" { "y" } else { "x" }, 1);
        for bad in [slip.as_str(), &key[..key.len() - 1], "hbk_", "", "hbk_AAAA", &key[4..]] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
