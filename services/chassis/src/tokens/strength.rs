//! The secret that signs tokens where an operator chose one (HS256), and whether it is one.
//!
//! Whoever has a single token can try secrets against it at leisure, so a secret that can be guessed lets
//! everybody be anybody (RFC 8725 section 3.5).

use crate::secret::Secret;

/// Fewest bytes of a secret: as many as the hash has (RFC 7518 section 3.2).
const BYTES_MIN: usize = 32;
/// Fewest different bytes; 32 random hexadecimal digits have fewer once in a hundred million times.
const DISTINCT_MIN: usize = 8;
/// The longest piece whose repetition is noticed.
const PERIOD_MAX: usize = 16;

/// What stands in examples, documentation and tutorials, or says of itself that it should be replaced; in
/// small letters, without what is neither letter nor digit. A random secret has none of it.
const EXAMPLES: [&str; 26] = [
    "0123456789abcdef0123",
    "abcdefghijklmnop",
    "atleast256bits",
    "atleast32",
    "averysecret",
    "changein",
    "changeit",
    "changeme",
    "changethis",
    "defaultsecret",
    "devsecret",
    "donttell",
    "example",
    "hubbub",
    "insecure",
    "jwtsecret",
    "mysecret",
    "mysupersecret",
    "placeholder",
    "replaceme",
    "replacethis",
    "secretkey",
    "supersecret",
    "your256bit",
    "yoursecret",
    "yoursuper",
];
/// Short ones, which are refused for their length, too; named so that the reason is told.
const WHOLE_EXAMPLES: [&str; 8] =
    ["secret", "password", "test", "dev", "development", "jwt", "key", "admin"];

/// A secret that issuer and spokes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSecret(Secret<String>);

impl TokenSecret {
    /// Takes a secret as it is; whether it is any good is to be asked.
    #[must_use]
    pub const fn new(secret: Secret<String>) -> Self {
        Self(secret)
    }

    /// Why it can be guessed, in words that do not tell it; `None` when nothing speaks against it.
    #[must_use]
    pub fn weakness(&self) -> Option<&'static str> {
        let bytes = self.bytes();
        let plain: String =
            self.0.expose().to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
        let is_example = WHOLE_EXAMPLES.contains(&plain.as_str())
            || EXAMPLES.iter().any(|example| plain.contains(example));
        let mut distinct = bytes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if is_example {
            Some("it is a well-known example")
        } else if bytes.len() < BYTES_MIN {
            Some("it is shorter than 32 bytes")
        } else if distinct.len() < DISTINCT_MIN || repeats(bytes) {
            Some("it repeats a few characters")
        } else {
            None
        }
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// Whether the whole is one short piece over and over.
fn repeats(bytes: &[u8]) -> bool {
    (1..=PERIOD_MAX).any(|period| {
        bytes.len() >= 2 * period
            && bytes.iter().zip(bytes.iter().skip(period)).all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weakness(text: &str) -> Option<&'static str> {
        TokenSecret::new(Secret::new(text.to_owned())).weakness()
    }

    #[test]
    fn what_can_be_guessed_is_weak_and_why_is_told_without_it() {
        for weak in [
            "",
            "x",
            "secret",
            "changeme",
            "CHANGE_ME",
            "your-256-bit-secret",
            "a-string-secret-at-least-256-bits-long",
            "your-super-secret-jwt-token-with-at-least-32-characters-long",
            "your_super_secret_jwt_key_change_this_in_production",
            "please-replace-me-with-32-random-bytes-of-yours",
            "JWT_SECRET_JWT_SECRET_JWT_SECRET_JWT_SECRET",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "ababcababcababcababcababcababcababc",
            "12345678901234567890123456789012",
            "abcdefghijklmnopqrstuvwxyz012345",
            "qZ8_kLm2Vx9TfR4wYb7NcH1dGs6Jp3",
            "                                ",
        ] {
            let told = weakness(weak);
            assert!(told.is_some_and(|told| weak.len() < 8 || !told.contains(weak)), "{weak:?}");
        }
    }

    #[test]
    fn what_a_generator_made_is_not_weak() {
        for strong in [
            "9f8c2d7be1a04c5f93d6e7b8a1c2f405",
            "Zk3vWq8Jr5Tn1Xy7Lm4Pc9Hb2Gd6Fs0A",
            "hF7n3Yk0+2cQp9/LrV8sXw1tZb6MdGjU4aEoIuTyHkA=",
        ] {
            assert_eq!(weakness(strong), None, "{strong}");
        }
    }
}
