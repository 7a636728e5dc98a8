//! What a password has to be (NIST SP 800-63B-4 section 3.1.1.2): long enough, and not one that is
//! guessed first. No composition, no expiry, nothing cut off.

use std::fmt;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization as _;

use super::common;
use crate::account::{Account, Email};
use crate::faults::Faults;

/// Most characters: what goes beyond is no password but an attack. The standard asks for 64 at least.
pub(crate) const LENGTH_MAX: usize = 256;

/// What an installation asks of passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Fewest characters.
    pub(crate) length_min: usize,
    pub(crate) common: Common,
}

/// What becomes of passwords that are guessed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "bool")]
pub(crate) enum Common {
    Allowed,
    Refused,
}

impl From<bool> for Common {
    fn from(blocklist: bool) -> Self {
        if blocklist { Self::Refused } else { Self::Allowed }
    }
}

/// A password that may be set, in the one form that the same keys give everywhere. Never printed.
#[derive(Clone)]
pub(crate) struct Password(String);

/// What an account is called: the first guesses of whoever knows its owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) username: &'a str,
    pub(crate) email: &'a str,
}

impl<'a> Names<'a> {
    pub(crate) fn of(account: &'a Account) -> Self {
        let email = account.email.as_ref().map_or("", Email::as_str);
        Self { username: account.username.as_str(), email }
    }

    fn contain(self, password: &str) -> bool {
        let local = self.email.split('@').next().unwrap_or_default();
        [self.username, self.email, local].iter().any(|name| password.eq_ignore_ascii_case(name))
    }
}

impl Rules {
    /// The password that `text`, which came as `field`, is for an account of these `names`.
    pub(crate) fn read(
        self,
        faults: &mut Faults,
        field: &str,
        text: &str,
        names: Names<'_>,
    ) -> Option<Password> {
        // Each code point is one character, whatever the form it came in.
        let password = normal(text);
        if !(self.length_min..=LENGTH_MAX).contains(&password.chars().count()) {
            let rule = format!("must be {} to {LENGTH_MAX} characters", self.length_min);
            faults.add(field, &rule);
            return None;
        }
        let is_guessed = common::contains(&password) || names.contain(&password);
        if self.common == Common::Refused && is_guessed {
            faults.add(field, "is one of those that are guessed first; choose another");
            return None;
        }
        Some(Password(password))
    }
}

impl Password {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// The form in which passwords are hashed (Unicode Standard Annex 15, NFKC): keyboards differ in how
/// they put an `é` together.
pub(super) fn normal(text: &str) -> String {
    text.nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Names<'_> = Names { username: "ada.lovelace", email: "countess@example.com" };

    fn is_taken(length_min: usize, common: Common, text: &str) -> bool {
        let mut faults = Faults::default();
        Rules { length_min, common }.read(&mut faults, "password", text, ADA).is_some()
    }

    #[test]
    fn a_password_is_measured_in_characters_and_never_printed() {
        for good in ["12345678", "ßßßßßßßß", &"x".repeat(256), "pass phrase with spaces"] {
            assert!(is_taken(8, Common::Allowed, good), "{good}");
        }
        for bad in ["", "1234567", "ßßßßßßß", &"x".repeat(257)] {
            assert!(!is_taken(8, Common::Allowed, bad), "{bad}");
        }
        assert!(!is_taken(15, Common::Allowed, "12345678901234"));
        assert!(!format!("{:?}", Password("correct horse".to_owned())).contains("horse"));
    }

    #[test]
    fn what_is_guessed_first_is_refused_where_the_installation_says_so() {
        for guessed in ["Password123", "Ada.Lovelace", "countess@EXAMPLE.com", "Countess"] {
            assert!(is_taken(8, Common::Allowed, guessed), "{guessed}");
            assert!(!is_taken(8, Common::Refused, guessed), "{guessed}");
        }
        assert!(is_taken(8, Common::Refused, "countess of lovelace"));
    }

    #[test]
    fn the_same_characters_are_the_same_password_however_they_are_composed() {
        assert_eq!(normal("caf\u{e9}"), normal("cafe\u{301}"));
    }
}
