//! Identifiers: the same bits get different types when they name different things.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The text is not an id of the wanted form. To a caller an id of the wrong form is an unknown id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the wanted form")]
pub struct BadId;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(Serialize, Deserialize, ToSchema)]
        #[schema(value_type = String, format = "uuid")]
        #[schema(example = "01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b")]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            /// Takes the hyphenated form alone, so that an id has one spelling.
            fn from_str(text: &str) -> Result<Self, BadId> {
                if text.len() != 36 {
                    return Err(BadId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| BadId)
            }
        }
    };
}

uuid_id! {
    /// An account, `UUIDv7`.
    UserId
}
uuid_id! {
    /// A family of refresh tokens: one login, `UUIDv7`.
    SessionId
}
uuid_id! {
    /// A message, `UUIDv7`.
    MessageId
}
uuid_id! {
    /// Chosen by a client for one command and unique per sender for the life of the history: the
    /// same one again is the same command.
    ClientId
}

/// A room: 1 to 64 characters of `A-Za-z0-9_-`, made by the server (`UUIDv7`) or chosen by its
/// creator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomId(Box<str>);

impl RoomId {
    /// Most characters that an id may have.
    pub const LENGTH_MAX: usize = 64;

    /// The id as it stands in paths, subjects and columns.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for RoomId {
    fn from(id: Uuid) -> Self {
        Self(id.hyphenated().to_string().into())
    }
}

impl FromStr for RoomId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits && plain { Ok(Self(text.into())) } else { Err(BadId) }
    }
}

impl TryFrom<String> for RoomId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<RoomId> for String {
    fn from(id: RoomId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_id_is_plain_text_of_bounded_length() {
        for good in ["a", "room-1", "General_2", &"x".repeat(64)] {
            assert!(good.parse::<RoomId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "..", "ü", &"x".repeat(65)] {
            assert_eq!(bad.parse::<RoomId>(), Err(BadId), "{bad}");
        }
    }

    #[test]
    fn a_uuid_id_has_one_spelling() {
        let text = "01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b";
        assert_eq!(text.parse::<MessageId>().unwrap().to_string(), text);
        assert_eq!(text.replace('-', "").parse::<MessageId>(), Err(BadId));
        assert_eq!(format!("{{{text}}}").parse::<MessageId>(), Err(BadId));
    }
}
