//! What an account's fields have to be: each rule is a type that is made by parsing alone, so that
//! whoever holds a value need not check it again.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::Random;
use contract::caller::Role;
use contract::{Timestamp, UserId};

mod email;
mod text;

pub(crate) use email::Email;
pub(crate) use text::{AvatarUrl, Bio, DisplayName, FirstName, KeyName, LastName, Location};

/// An account as it is stored, without its password.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: UserId,
    pub(crate) username: Username,
    pub(crate) email: Option<Email>,
    pub(crate) email_verified: bool,
    pub(crate) phone: Option<Phone>,
    pub(crate) phone_verified: bool,
    pub(crate) about: About,
    pub(crate) standing: Standing,
    pub(crate) created_at: Timestamp,
    /// Seconds since the epoch: access tokens made before are dead.
    pub(crate) tokens_from: i64,
}

/// What an account may be, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) roles: Vec<Role>,
    pub(crate) store_id: Option<String>,
    pub(crate) operator_group: Option<String>,
}

impl Standing {
    /// What every new account is.
    pub(crate) fn customer() -> Self {
        Self::of(vec![Role::Customer])
    }

    /// With `roles` that belong to no store.
    pub(crate) const fn of(roles: Vec<Role>) -> Self {
        Self { roles, store_id: None, operator_group: None }
    }
}

/// What an account says about its owner, all of it optional.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) display_name: Option<DisplayName>,
    pub(crate) first_name: Option<FirstName>,
    pub(crate) last_name: Option<LastName>,
    pub(crate) avatar_url: Option<AvatarUrl>,
    pub(crate) bio: Option<Bio>,
    pub(crate) location: Option<Location>,
}

/// A rule that a text breaks: says what the field has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) &'static str);

/// 3 to 32 characters of `A-Za-z0-9_.-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Username(String);

impl Username {
    const LENGTH_MIN: usize = 3;
    const LENGTH_MAX: usize = 32;
    /// Random bytes of one that nobody chose.
    const DRAWN_BYTES: usize = 9;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// One that nobody chose.
    pub(crate) fn draw(random: &Random) -> Self {
        Self(format!("user-{}", URL_SAFE_NO_PAD.encode(random.bytes::<{ Self::DRAWN_BYTES }>())))
    }

    /// What has to be unique: the lower-case form.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for Username {
    type Err = Broken;

    fn from_str(text: &str) -> Result<Self, Broken> {
        let fits = (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if fits && plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(Broken("must be 3 to 32 characters of A-Z, a-z, 0-9, '_', '.' and '-'"))
        }
    }
}

/// A telephone number as in E.164: `+` and 6 to 15 digits, the first not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phone(String);

impl Phone {
    const DIGITS_MIN: usize = 6;
    const DIGITS_MAX: usize = 15;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Phone {
    type Err = Broken;

    fn from_str(text: &str) -> Result<Self, Broken> {
        const RULE: Broken = Broken("must be a telephone number such as +4930123456 (E.164)");
        let digits = text.strip_prefix('+').ok_or(RULE)?;
        let fits = (Self::DIGITS_MIN..=Self::DIGITS_MAX).contains(&digits.len());
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        if fits && plain { Ok(Self(text.to_owned())) } else { Err(RULE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_plain_and_of_bounded_length() {
        for good in ["ada", "Ada.Lovelace", "a_b-c", "007", &"x".repeat(32)] {
            assert!(good.parse::<Username>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "a b c", "ada@home", "ädä", "ada\n", &"x".repeat(33)] {
            assert!(bad.parse::<Username>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_drawn_username_keeps_the_rules() {
        let random = Random::seeded(1);
        for _ in 0..100 {
            let drawn = Username::draw(&random);
            assert_eq!(drawn.as_str().parse().as_ref(), Ok(&drawn));
        }
    }

    #[test]
    fn usernames_that_differ_in_case_alone_have_one_key() {
        let spelled = "Ada".parse::<Username>().unwrap();
        assert_eq!(spelled.key(), "ADA".parse::<Username>().unwrap().key());
        assert_eq!(spelled.as_str(), "Ada");
    }

    #[test]
    fn a_phone_is_written_as_in_e164() {
        for good in ["+4930123456", "+123456", "+123456789012345"] {
            assert!(good.parse::<Phone>().is_ok(), "{good}");
        }
        for bad in ["", "+", "4930123456", "+0301234567", "+12345", "+1234567890123456", "+49 30 1"]
        {
            assert!(bad.parse::<Phone>().is_err(), "{bad}");
        }
    }
}
