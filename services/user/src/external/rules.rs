//! What a token of one external issuer has to say for itself, once its signature holds: names (`OpenID`
//! Connect Core 1.0 section 3.1.3.7) and times. Pure.
//!
//! `nonce` is not looked at: it binds a token to a request that somebody made at the issuer, and that
//! was the client and not we. So a token can be exchanged again as long as it lives.

use std::time::Duration;

use chassis::tokens::{BadToken, CLOCK_SKEW, KeyKind};
use contract::Timestamp;
use serde::Deserialize;

use super::claims::{Claims, Seconds};

/// Longest subject in bytes (`OpenID` Connect Core 1.0 section 2).
const SUBJECT_MAX: usize = 255;
/// Longest id of a user of Firebase (Admin SDK, "Create a user").
const FIREBASE_SUBJECT_MAX: usize = 128;

/// The rules for one issuer.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// What the operator calls it.
    pub(crate) name: String,
    /// `iss`.
    pub(crate) issuer: String,
    pub(crate) jwks_url: String,
    /// Those that a token may be for.
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<KeyKind>,
    pub(crate) dialect: Dialect,
    pub(crate) linking: Linking,
    pub(crate) emails: Emails,
    /// Between two fetches of keys.
    pub(crate) cooldown: Duration,
    /// Keys that are older are fetched again.
    pub(crate) keys_age_max: Duration,
}

/// Which documents tell what its claims mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenId,
    Firebase,
}

/// Whether an identity may be put to an account that was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "bool")]
pub(crate) enum Linking {
    Never,
    /// When both sides know that its owner has the same e-mail address.
    ByVerifiedEmail,
}

impl From<bool> for Linking {
    fn from(link: bool) -> Self {
        if link { Self::ByVerifiedEmail } else { Self::Never }
    }
}

/// Whether a token has to come with an e-mail address that the issuer has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "bool")]
pub(crate) enum Emails {
    Optional,
    Required,
}

impl From<bool> for Emails {
    fn from(required: bool) -> Self {
        if required { Self::Required } else { Self::Optional }
    }
}

impl Rules {
    /// Whether `algorithm` is one that it signs with.
    pub(super) fn allow(&self, algorithm: &str) -> bool {
        self.algorithms.iter().any(|kind| kind.name() == algorithm)
    }

    /// Whether these claims are for us, about somebody, and in force at `now`.
    pub(super) fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), BadToken> {
        if claims.iss != self.issuer || !self.is_for_us(claims) {
            return Err(BadToken::Foreign);
        }
        if !self.is_subject(&claims.sub) {
            return Err(BadToken::Malformed);
        }
        self.check_times(claims, now)
    }

    /// Every audience is one of ours, since another one could hand the token on; with several it says
    /// whom it was given to, and that is one of ours, too (rules 3 to 5 of the section).
    fn is_for_us(&self, claims: &Claims) -> bool {
        let is_ours = |name: &String| self.audiences.contains(name);
        let audiences = claims.aud.all();
        let party_fits = match &claims.azp {
            Some(party) => is_ours(party),
            None => audiences.len() == 1,
        };
        !audiences.is_empty() && audiences.iter().all(is_ours) && party_fits
    }

    /// Printable ASCII, which is what the section on ID tokens says and what any database keeps as it is.
    fn is_subject(&self, subject: &str) -> bool {
        let max = match self.dialect {
            Dialect::OpenId => SUBJECT_MAX,
            Dialect::Firebase => FIREBASE_SUBJECT_MAX,
        };
        (1..=max).contains(&subject.len()) && subject.bytes().all(|b| matches!(b, b' '..=b'~'))
    }

    /// What lies in the past may lie ahead of our clock by as much as clocks differ. The end has no such
    /// grace, as with our own tokens: it would only make every token live longer.
    fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<(), BadToken> {
        // Firebase: "auth_time must be in the past"; others need not say it.
        if self.dialect == Dialect::Firebase && claims.auth_time.is_none() {
            return Err(BadToken::Malformed);
        }
        if now.seconds() >= claims.exp.0 {
            return Err(BadToken::Expired);
        }
        let latest = now.plus(CLOCK_SKEW).seconds();
        let past = [Some(claims.iat), claims.nbf, claims.auth_time];
        if past.into_iter().flatten().any(|Seconds(time)| time > latest) {
            return Err(BadToken::NotYet);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn rules(dialect: Dialect) -> Rules {
        Rules {
            name: "ext".to_owned(),
            issuer: "https://issuer.example/".to_owned(),
            jwks_url: String::new(),
            audiences: vec!["web".to_owned(), "app".to_owned()],
            algorithms: vec![KeyKind::Rs256],
            dialect,
            linking: Linking::Never,
            emails: Emails::Optional,
            cooldown: Duration::ZERO,
            keys_age_max: Duration::ZERO,
        }
    }

    fn judged(dialect: Dialect, changes: &Value) -> Result<(), BadToken> {
        let now = NOW.seconds();
        let mut claims = json!({
            "iss": "https://issuer.example/", "sub": "ada", "aud": "web",
            "iat": now, "exp": now + 3600, "auth_time": now,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = serde_json::from_value(claims).map_err(|_| BadToken::Malformed)?;
        rules(dialect).check(&claims, NOW)
    }

    #[test]
    fn a_token_is_for_us_alone_and_says_whom_it_was_given_to() {
        for good in [
            json!({}),
            json!({"aud": ["web"]}),
            json!({"aud": "app", "azp": "app"}),
            json!({"aud": "web", "azp": "app"}),
            json!({"aud": ["web", "app"], "azp": "web"}),
        ] {
            assert_eq!(judged(Dialect::OpenId, &good), Ok(()), "{good}");
        }
        for bad in [
            json!({"aud": []}),
            json!({"aud": "Web"}),
            json!({"aud": ["web", "stranger"], "azp": "web"}),
            json!({"aud": ["web", "app"]}),
            json!({"aud": ["web", "app"], "azp": "stranger"}),
            json!({"aud": "web", "azp": "stranger"}),
            json!({"iss": "https://issuer.example"}),
        ] {
            assert_eq!(judged(Dialect::OpenId, &bad), Err(BadToken::Foreign), "{bad}");
        }
    }

    #[test]
    fn a_subject_is_short_and_printable() {
        let (long, longer) = ("x".repeat(128), "x".repeat(255));
        for (subject, openid, firebase) in [
            ("auth0|5f7c8ec7", true, true),
            (&*long, true, true),
            (&*longer, true, false),
            (&"x".repeat(256), false, false),
            ("", false, false),
            ("a\0b", false, false),
            ("ädä", false, false),
        ] {
            let said = json!({ "sub": subject });
            assert_eq!(judged(Dialect::OpenId, &said).is_ok(), openid, "{subject}");
            assert_eq!(judged(Dialect::Firebase, &said).is_ok(), firebase, "{subject}");
        }
    }

    #[test]
    fn times_lie_in_the_past_as_far_as_clocks_agree_and_the_end_in_the_future() {
        let at = |seconds: i64| NOW.seconds() + seconds;
        for name in ["iat", "nbf", "auth_time"] {
            let judged = |seconds| judged(Dialect::OpenId, &json!({ name: at(seconds) }));
            assert_eq!(judged(30), Ok(()), "{name}");
            assert_eq!(judged(31), Err(BadToken::NotYet), "{name}");
        }
        assert_eq!(judged(Dialect::OpenId, &json!({"exp": at(1)})), Ok(()));
        assert_eq!(judged(Dialect::OpenId, &json!({"exp": at(0)})), Err(BadToken::Expired));
    }

    #[test]
    fn firebase_says_when_somebody_signed_in_and_others_need_not() {
        let silent = json!({"auth_time": null});
        assert_eq!(judged(Dialect::OpenId, &silent), Ok(()));
        assert_eq!(judged(Dialect::Firebase, &silent), Err(BadToken::Malformed));
    }

    #[test]
    fn times_that_are_no_times_make_no_token() {
        for bad in [json!("1800000000"), json!(-1), json!(1e300), json!(null)] {
            let bad = json!({ "exp": bad });
            assert_eq!(judged(Dialect::OpenId, &bad), Err(BadToken::Malformed), "{bad}");
        }
        assert_eq!(judged(Dialect::OpenId, &json!({"iat": 1_799_999_999.5})), Ok(()));
    }
}
