//! The account of somebody who comes from an external issuer for the first time: whatever the token
//! says about its subject that keeps our rules, and nothing that the issuer does not vouch for.

use chassis::Random;
use contract::{Timestamp, UserId};
use unicode_normalization::UnicodeNormalization as _;

use super::claims::Claims;
use super::rules::{Dialect, Rules};
use crate::account::{About, Account, Email, Phone, Standing, Username};

/// Longest name before the digits; with them it is as long as a username may be.
const STEM_MAX: usize = 25;
/// Shortest stem that stands for somebody.
const STEM_MIN: usize = 3;
/// The name of those of whom nothing is known.
const NOBODY: &str = "user";
/// How many numbers there are for the end of a name.
const NUMBERS: u64 = 1_000_000;

/// How a name is written: as it is at first, and with a number when that belongs to another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spelling {
    Plain,
    Numbered,
}

/// The account that these claims make; `None` when no name comes out, which other numbers may mend.
pub(super) fn account(
    rules: &Rules,
    claims: &Claims,
    spelling: Spelling,
    now: Timestamp,
    random: &Random,
) -> Option<Account> {
    let email: Option<Email> = claims.verified_email();
    let phone = phone(rules, claims);
    Some(Account {
        id: UserId(random.uuid_v7(now)),
        username: username(claims, email.as_ref(), spelling, random)?,
        email_verified: email.is_some(),
        email,
        phone_verified: phone.is_some(),
        phone,
        about: About {
            display_name: claims.name.parse(),
            first_name: claims.given_name.parse(),
            last_name: claims.family_name.parse(),
            avatar_url: claims.picture.parse(),
            ..About::default()
        },
        // Whatever roles the token has: they are roles elsewhere.
        standing: Standing::customer(),
        created_at: now,
        tokens_from: 0,
    })
}

/// Firebase has no word for a verified number: one gets into a token by the code that was sent to it.
fn phone(rules: &Rules, claims: &Claims) -> Option<Phone> {
    match rules.dialect {
        Dialect::OpenId => claims.verified_phone(),
        Dialect::Firebase => claims.phone(),
    }
}

fn username(
    claims: &Claims,
    email: Option<&Email>,
    spelling: Spelling,
    random: &Random,
) -> Option<Username> {
    let names = [claims.preferred_username.text(), claims.name.text(), email.map(Email::as_str)];
    let stem = names.into_iter().flatten().find_map(stem);
    let number = || format!("{:06}", random.below(NUMBERS));
    let name = match (stem, spelling) {
        (Some(stem), Spelling::Plain) => stem,
        (Some(stem), Spelling::Numbered) => format!("{stem}-{}", number()),
        (None, Spelling::Plain | Spelling::Numbered) => format!("{NOBODY}-{}", number()),
    };
    name.parse().ok()
}

/// What a username may be made of `name`: letters without their marks, dots in the place of spaces, and
/// of an address what stands before the `@`.
fn stem(name: &str) -> Option<String> {
    let name = name.split('@').next().unwrap_or_default().trim();
    let spelled = name.nfkd().filter_map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => Some(c),
        c if c.is_whitespace() => Some('.'),
        _ => None,
    });
    let stem: String = spelled.take(STEM_MAX).collect();
    let stem = stem.trim_matches(['.', '-', '_']);
    (stem.len() >= STEM_MIN).then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn name(said: &Value, spelling: Spelling) -> String {
        let mut claims = json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1, "iat": 1});
        for (name, value) in said.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims: Claims = serde_json::from_value(claims).unwrap();
        let email: Option<Email> = claims.verified_email();
        let name = username(&claims, email.as_ref(), spelling, &Random::seeded(1));
        name.unwrap().as_str().to_owned()
    }

    #[test]
    fn a_username_is_made_of_the_first_name_that_gives_one() {
        for (said, made) in [
            (json!({"preferred_username": "ada.l", "name": "Ada"}), "ada.l"),
            (json!({"preferred_username": "ada.l@corp.example"}), "ada.l"),
            (json!({"name": "Ada Lovelace"}), "Ada.Lovelace"),
            (json!({"preferred_username": "??", "name": " Zoë  Ångström "}), "Zoe..Angstrom"),
            (json!({"preferred_username": 7, "name": "Ada King"}), "Ada.King"),
            (
                json!({"name": "李", "email": "li.wei@example.com", "email_verified": true}),
                "li.wei",
            ),
        ] {
            assert_eq!(name(&said, Spelling::Plain), made, "{said}");
        }
        let long = json!({"name": "x".repeat(5000)});
        assert_eq!(name(&long, Spelling::Plain).len(), STEM_MAX);
        assert_eq!(name(&long, Spelling::Numbered).len(), 32);
    }

    #[test]
    fn an_address_that_is_not_verified_gives_no_name() {
        let made = name(&json!({"email": "ada@example.com"}), Spelling::Plain);
        assert!(made.starts_with("user-") && made.len() == 11, "{made}");
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let made = name(&json!({"name": "Ada"}), Spelling::Numbered);
        assert!(made.starts_with("Ada-") && made.len() == 10, "{made}");
    }
}
