//! `[user.issuers.<name>]`: what an operator writes about an external issuer, read into rules that its
//! tokens are held against.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Uri;
use chassis::config::Faults;
use chassis::tokens::KeyKind;
use serde::Deserialize;

use super::rules::{Dialect, Emails, Linking, Rules};
use crate::link::is_loopback;

/// Most external issuers: each token is compared with all of them.
const ISSUERS_MAX: usize = 16;
/// Most audiences of one issuer.
const AUDIENCES_MAX: usize = 16;
/// Longest name of an issuer; it stands in the audit.
const NAME_MAX: usize = 32;
/// Before a project's id in `iss` (Firebase, "Verify ID tokens using a third-party JWT library").
const FIREBASE_ISSUER: &str = "https://securetoken.google.com/";
/// The keys of all projects, as a JWKS.
const FIREBASE_KEYS: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// One table as it is written. What is empty was not said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    /// `iss`, to the letter.
    issuer: String,
    jwks_url: String,
    audience: OneOrMore,
    /// A Firebase project's id, in the place of the first and the last of these, and mostly of all three.
    firebase_project: String,
    algorithms: Vec<KeyKind>,
    link_verified_email: Linking,
    require_email_verified: Emails,
    /// Between two fetches of keys.
    #[serde(with = "chassis::config::span")]
    jwks_cooldown: Duration,
    /// Keys that are older are fetched again.
    #[serde(with = "chassis::config::span")]
    jwks_age_max: Duration,
}

/// A text, or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn said(&self) -> Vec<String> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        };
        all.iter().filter(|text| !text.is_empty()).cloned().collect()
    }
}

/// The rules of every issuer, or everything that is wrong with them; `own` is the issuer of our own
/// tokens, which nobody may exchange: a session would live for ever by itself.
pub(crate) fn read(issuers: &BTreeMap<String, Written>, own: &str) -> Result<Vec<Rules>, Faults> {
    let mut faults = Faults::default();
    let mut all: Vec<Rules> = Vec::new();
    for (name, written) in issuers {
        let Some(rules) = faults.take(written.read(name)) else { continue };
        let is_known = all.iter().any(|other| other.issuer == rules.issuer);
        if rules.issuer == own {
            faults.0.extend(fault(name, "issuer", "expected another than identity.issuer"));
        } else if is_known {
            faults.0.extend(fault(name, "issuer", "expected one that no other table has"));
        }
        all.push(rules);
    }
    if issuers.len() > ISSUERS_MAX {
        faults.0.extend(Faults::one("user.issuers", "expected at most 16 issuers").0);
    }
    faults.or(Some(all))
}

impl Written {
    fn read(&self, name: &str) -> Result<Rules, Faults> {
        let mut faults = Faults::default();
        let mut require = |holds: bool, key: &str, message: &str| {
            if !holds {
                faults.0.extend(fault(name, key, message));
            }
        };
        require(is_name(name), "", "expected a name of a-z, 0-9 and '-', at most 32 characters");
        let rules = self.rules(name);
        let project = &self.firebase_project;
        if !project.is_empty() {
            require(is_project(project), "firebase_project", "expected a project's id");
            let is_alone = self.issuer.is_empty() && self.audience.said().is_empty();
            require(
                is_alone,
                "firebase_project",
                "expected neither `issuer` nor `audience` beside it",
            );
        }
        require(!rules.issuer.is_empty(), "issuer", "expected the `iss` of its tokens");
        let url_fits = is_safe_url(&rules.jwks_url);
        require(url_fits, "jwks_url", "expected an https address, or http to this machine");
        let audiences = (1..=AUDIENCES_MAX).contains(&rules.audiences.len());
        require(audiences, "audience", "expected 1 to 16 audiences");
        require(!rules.algorithms.is_empty(), "algorithms", "expected at least one algorithm");
        faults.or(Some(rules))
    }

    fn rules(&self, name: &str) -> Rules {
        let generic = Rules {
            name: name.to_owned(),
            issuer: self.issuer.clone(),
            jwks_url: self.jwks_url.clone(),
            audiences: self.audience.said(),
            algorithms: self.algorithms.clone(),
            dialect: Dialect::OpenId,
            linking: self.link_verified_email,
            emails: self.require_email_verified,
            cooldown: self.jwks_cooldown,
            keys_age_max: self.jwks_age_max,
        };
        if self.firebase_project.is_empty() {
            return generic;
        }
        let has_url = !self.jwks_url.is_empty();
        Rules {
            issuer: format!("{FIREBASE_ISSUER}{}", self.firebase_project),
            jwks_url: if has_url { generic.jwks_url } else { FIREBASE_KEYS.to_owned() },
            audiences: vec![self.firebase_project.clone()],
            // The same document knows no other.
            algorithms: vec![KeyKind::Rs256],
            dialect: Dialect::Firebase,
            ..generic
        }
    }
}

fn fault(name: &str, key: &str, message: &str) -> Vec<chassis::config::Fault> {
    let table = format!("user.issuers.{name}");
    let key = if key.is_empty() { table } else { format!("{table}.{key}") };
    Faults::one(key, message).0
}

fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain && (1..=NAME_MAX).contains(&name.len())
}

fn is_project(id: &str) -> bool {
    id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b))
}

/// Whoever could change the keys on their way could sign anything: they come encrypted, or do not leave
/// this machine.
fn is_safe_url(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let Some(host) = url.host().filter(|host| !host.is_empty()) else { return false };
    let has_user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match url.scheme_str() {
        Some("https") => !has_user,
        Some("http") => !has_user && is_loopback(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use chassis::config::{Layers, Settings as _};

    use super::*;
    use crate::config::Config;

    fn read_with(settings: &[&str]) -> Result<Vec<Rules>, Vec<String>> {
        let mut layers = Layers::defaults();
        for setting in settings {
            layers.command_line(&format!("user.issuers.{setting}"));
        }
        let config = Config::read(&layers);
        let keys = |faults: Faults| faults.0.into_iter().map(|fault| fault.key).collect();
        config.map(|config| config.external_issuers().unwrap()).map_err(keys)
    }

    const GOOD: [&str; 3] = [
        "ext.issuer=https://issuer.example/",
        "ext.jwks_url=https://issuer.example/keys",
        "ext.audience=hub",
    ];

    #[test]
    fn nobody_is_believed_unless_the_operator_says_so() {
        assert!(read_with(&[]).unwrap().is_empty());
    }

    #[test]
    fn an_issuer_is_known_by_three_keys_and_careful_in_the_rest() {
        let rules = &read_with(&GOOD).unwrap()[0];
        assert_eq!(rules.issuer, "https://issuer.example/");
        assert_eq!(rules.audiences, ["hub"]);
        assert_eq!(rules.algorithms.len(), 3);
        assert_eq!((rules.linking, rules.emails), (Linking::Never, Emails::Optional));
    }

    #[test]
    fn firebase_is_known_by_the_project_alone() {
        let rules = &read_with(&["fire.firebase_project=my-project"]).unwrap()[0];
        assert_eq!(rules.issuer, "https://securetoken.google.com/my-project");
        assert_eq!(rules.audiences, ["my-project"]);
        assert_eq!(rules.algorithms, [KeyKind::Rs256]);
        assert!(rules.jwks_url.ends_with("/jwk/securetoken@system.gserviceaccount.com"));
        let url = "fire.jwks_url=http://127.0.0.1:9/keys";
        let rules = &read_with(&["fire.firebase_project=my-project", url]).unwrap()[0];
        assert_eq!(rules.jwks_url, "http://127.0.0.1:9/keys");
    }

    #[test]
    fn what_would_not_be_safe_is_refused() {
        for (key, setting) in [
            ("jwks_url", "ext.jwks_url=http://issuer.example/keys"),
            ("jwks_url", "ext.jwks_url=file:///etc/keys"),
            ("jwks_url", "ext.jwks_url=https://me:secret@issuer.example/keys"),
            ("jwks_url", "ext.jwks_url="),
            ("issuer", "ext.issuer="),
            ("issuer", "ext.issuer=hubbub"),
            ("audience", "ext.audience=[]"),
            ("audience", "ext.audience="),
            ("algorithms", "ext.algorithms=[]"),
            ("algorithms[0]", "ext.algorithms=[\"HS256\"]"),
            ("firebase_project", "ext.firebase_project=my-project"),
            ("typo", "ext.typo=1"),
        ] {
            let faults = read_with(&[GOOD.as_slice(), &[setting]].concat()).unwrap_err();
            assert_eq!(faults, [format!("user.issuers.ext.{key}")], "{setting}");
        }
    }

    #[test]
    fn two_tables_do_not_name_one_issuer() {
        let again = GOOD.map(|setting| setting.replace("ext.", "two."));
        let all: Vec<_> = GOOD.into_iter().chain(again.iter().map(String::as_str)).collect();
        assert_eq!(read_with(&all).unwrap_err(), ["user.issuers.two.issuer"]);
    }

    #[test]
    fn there_are_at_most_sixteen() {
        let project = |n| format!("p{n}.firebase_project=project-{n}");
        let all: Vec<_> = (0..17).map(project).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        assert!(read_with(&all[..16]).is_ok());
        assert_eq!(read_with(&all).unwrap_err(), ["user.issuers"]);
    }
}
