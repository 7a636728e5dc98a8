//! What an external issuer says in an ID token (`OpenID` Connect Core 1.0 sections 2 and 5.1), as far as
//! it is used here. Roles, groups and whatever else an issuer may add are not: what somebody may do
//! here is decided here.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use serde_json::{Number, Value};

use crate::account::Broken;

/// The last time that has words: the end of the year 9999 (RFC 3339).
const SECONDS_MAX: i64 = 253_402_300_799;

/// The claims. What a token's fate depends on is read strictly; what only tells about its subject is
/// left out where it is not of its form.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) exp: Seconds,
    pub(super) iat: Seconds,
    pub(super) nbf: Option<Seconds>,
    pub(super) auth_time: Option<Seconds>,
    pub(super) azp: Option<String>,
    #[serde(default)]
    email: Said,
    #[serde(default)]
    email_verified: Said,
    #[serde(default)]
    phone_number: Said,
    #[serde(default)]
    phone_number_verified: Said,
    #[serde(default)]
    pub(super) preferred_username: Said,
    #[serde(default)]
    pub(super) name: Said,
    #[serde(default)]
    pub(super) given_name: Said,
    #[serde(default)]
    pub(super) family_name: Said,
    #[serde(default)]
    pub(super) picture: Said,
}

impl Claims {
    /// The e-mail address, if the issuer says that it belongs to the subject. One that it does not say
    /// that of is as good as none: anybody may have typed it in there.
    pub(super) fn verified_email<T: FromStr<Err = Broken>>(&self) -> Option<T> {
        self.email_verified.is_true().then(|| self.email.parse()).flatten()
    }

    /// The telephone number, likewise.
    pub(super) fn verified_phone<T: FromStr<Err = Broken>>(&self) -> Option<T> {
        self.phone_number_verified.is_true().then(|| self.phone_number.parse()).flatten()
    }

    /// The telephone number, where having one means that it is verified.
    pub(super) fn phone<T: FromStr<Err = Broken>>(&self) -> Option<T> {
        self.phone_number.parse()
    }
}

/// A claim about a subject, whatever the issuer wrote there.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Said(Value);

impl Said {
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_str()
    }

    /// The text, if it keeps the rules for a `T`.
    pub(super) fn parse<T: FromStr<Err = Broken>>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// Some issuers, Apple among them, write their booleans as text.
    fn is_true(&self) -> bool {
        self.0 == Value::Bool(true) || self.text() == Some("true")
    }
}

/// One audience, or a list of them (RFC 7519 section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    More(Vec<String>),
}

impl Audience {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        }
    }
}

/// Seconds since the Unix epoch, of which there may be parts (RFC 7519 section 2); they are left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let text = number.to_string();
        let whole = text.split_once('.').map_or(&*text, |(whole, _)| whole);
        match whole.parse() {
            Ok(seconds) if (0..=SECONDS_MAX).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(de::Error::custom("no time")),
        }
    }
}
