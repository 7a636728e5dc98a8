//! Texts that people write, parsed at the border: who holds one of these types knows that its
//! rules hold.

use std::str::FromStr;

use contract::message::CONTENT_CHARS_MAX;

/// Most characters of a message type.
const MESSAGE_TYPE_CHARS_MAX: usize = 32;
/// Most characters of a room's name.
const NAME_CHARS_MAX: usize = 80;
/// Most characters of a room's description.
const DESCRIPTION_CHARS_MAX: usize = 500;

/// What the text has to be, as its writer may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadText(&'static str);

/// What a message says: 1 to 8,000 characters, not all of them blank, none of them NUL (which no
/// database keeps as text). Kept as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content(String);

impl Content {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Content {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, BadText> {
        let fits = text.chars().nth(CONTENT_CHARS_MAX).is_none();
        if fits && !text.trim().is_empty() && !text.contains('\0') {
            Ok(Self(text))
        } else {
            Err(BadText("must be 1 to 8000 characters, not all blank, without NUL"))
        }
    }
}

/// What kind of text a message is: 1 to 32 characters of `a-z0-9_.-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageType(String);

impl MessageType {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MessageType {
    fn default() -> Self {
        Self("text".to_owned())
    }
}

impl TryFrom<String> for MessageType {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, BadText> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
        if (1..=MESSAGE_TYPE_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text))
        } else {
            Err(BadText("must be 1 to 32 characters of a-z0-9_.-"))
        }
    }
}

/// A room's name: 1 to 80 characters, no control characters, trimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomName(String);

impl From<RoomName> for String {
    fn from(name: RoomName) -> Self {
        name.0
    }
}

impl FromStr for RoomName {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().nth(NAME_CHARS_MAX).is_none();
        if fits && !text.contains(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadText("must be 1 to 80 characters, without control characters"))
        }
    }
}

/// What a room is about: at most 500 characters, trimmed, no control characters but line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description(String);

impl From<Description> for String {
    fn from(description: Description) -> Self {
        description.0
    }
}

impl FromStr for Description {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let text = text.trim();
        let odd = |c: char| c.is_control() && c != '\n';
        if text.chars().nth(DESCRIPTION_CHARS_MAX).is_none() && !text.contains(odd) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadText("must be at most 500 characters, without control characters"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: impl Into<String>) -> Result<Content, BadText> {
        Content::try_from(text.into())
    }

    #[test]
    fn content_is_refused_when_empty_blank_too_long_or_with_nul() {
        for bad in ["", " \n\t", "\u{2003}", "a\0b"] {
            assert!(content(bad).is_err(), "{bad:?}");
        }
        assert!(content("ü".repeat(8_001)).is_err());
    }

    #[test]
    fn content_is_counted_in_characters_and_kept_as_sent() {
        assert!(content("ü".repeat(8_000)).is_ok());
        assert_eq!(content("  hi \n").unwrap().as_str(), "  hi \n");
    }

    #[test]
    fn a_message_type_is_a_short_plain_word() {
        for good in ["text", "a", "image.png", "x-1_2", &"t".repeat(32)] {
            assert!(MessageType::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "Text", "a b", "ü", &"t".repeat(33)] {
            assert!(MessageType::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_room_name_is_trimmed_and_free_of_control_characters() {
        assert_eq!(String::from("  Tea  ".parse::<RoomName>().unwrap()), "Tea");
        for bad in ["", "  ", "a\nb", "a\0", &"x".repeat(81)] {
            assert!(bad.parse::<RoomName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_description_may_have_lines() {
        assert!("one\ntwo".parse::<Description>().is_ok());
        assert!("a\u{7}".parse::<Description>().is_err());
        assert!("x".repeat(501).parse::<Description>().is_err());
    }
}
