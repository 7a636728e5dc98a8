//! What a machine key may be used for: a closed set of scopes, written as OAuth does (RFC 6749 section
//! 3.3), in the `scope` claim (RFC 8693 section 4.2).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// One thing that a machine key may be allowed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
pub enum Scope {
    /// Read the directory of accounts.
    #[serde(rename = "users:read")]
    UsersRead,
    /// Read rooms, who is in them, who is online.
    #[serde(rename = "rooms:read")]
    RoomsRead,
    /// Make, join, leave and change rooms.
    #[serde(rename = "rooms:write")]
    RoomsWrite,
    /// Read messages, as history and live.
    #[serde(rename = "messages:read")]
    MessagesRead,
    /// Send, change and delete messages.
    #[serde(rename = "messages:write")]
    MessagesWrite,
    /// Watch a store's updates.
    #[serde(rename = "store:read")]
    StoreRead,
    /// Publish a store's updates.
    #[serde(rename = "store:publish")]
    StorePublish,
    /// What administrators alone may do.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 8] = [
        Self::UsersRead,
        Self::RoomsRead,
        Self::RoomsWrite,
        Self::MessagesRead,
        Self::MessagesWrite,
        Self::StoreRead,
        Self::StorePublish,
        Self::Admin,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::RoomsRead => "rooms:read",
            Self::RoomsWrite => "rooms:write",
            Self::MessagesRead => "messages:read",
            Self::MessagesWrite => "messages:write",
            Self::StoreRead => "store:read",
            Self::StorePublish => "store:publish",
            Self::Admin => "admin",
        }
    }
}

/// The text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a scope")]
pub struct NoScope;

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(NoScope)
    }
}

/// A set of scopes; one text with spaces in claims. Words that this version does not know allow
/// nothing and are read over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(pub BTreeSet<Scope>);

impl Scopes {
    /// Whether `scope` is among them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|scope| scope.as_str()).collect();
        f.write_str(&words.join(" "))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.split(' ').filter_map(|word| word.parse().ok()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_one_word_everywhere() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
    }

    #[test]
    fn scopes_are_one_text_and_unknown_words_allow_nothing() {
        let read: Scopes = serde_json::from_str(r#""messages:write  later rooms:read""#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), r#""rooms:read messages:write""#);
        assert!(!read.contains(Scope::Admin));
    }
}
