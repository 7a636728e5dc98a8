//! The service's part of the configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chassis::config::{Faults, Layers, Settings};
use chassis::secret::Secret;
use chassis::tokens::KeyKind;
use chassis::{StartError, database, identity, serve};
use serde::Deserialize;

use crate::address::Proxies;
use crate::external;
use crate::grpc;
use crate::link::Url;
use crate::password::rules::{Common, LENGTH_MAX, Rules};
use crate::session::Lives;
use crate::token::Spans;
use crate::{mail, phone_code};

/// The fewest characters that any installation may ask of a password (NIST SP 800-63B-4 section
/// 3.1.1.2, where it is one of two factors).
const LENGTH_MIN: usize = 8;
/// Fewest characters of a configured set-up code.
const SETUP_CODE_LENGTH_MIN: usize = 6;

/// Everything that the service reads.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) section: Section,
    pub(crate) identity: identity::Config,
    pub(crate) database: database::Config,
}

/// `[user]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    pub(crate) listen: SocketAddr,
    /// Where gRPC is; nowhere when empty.
    pub(crate) grpc_listen: grpc::Listen,
    /// For SQLite; seen from the data folder.
    #[serde(rename = "database")]
    pub(crate) database_file: PathBuf,
    setup_code: Secret<String>,
    /// Read when `setup_code` is empty.
    setup_code_file: PathBuf,
    #[serde(with = "chassis::config::span")]
    pub(crate) access_token_life: Duration,
    #[serde(with = "chassis::config::span")]
    pub(crate) sweep_interval: Duration,
    /// How long an entry of the audit is kept.
    #[serde(with = "chassis::config::span")]
    pub(crate) audit_keep: Duration,
    /// How often it is looked whether something ended that was not told.
    #[serde(with = "chassis::config::span")]
    pub(crate) feed_interval: Duration,
    /// Accounts, and as many addresses, whose failed sign-ins are remembered.
    pub(crate) attempts_entries_max: usize,
    /// Machine keys that an account may have.
    pub(crate) keys_per_account_max: u32,
    /// Tickets of a session that are good at a time.
    pub(crate) tickets_per_session_max: u32,
    /// As the public sees the call that trades refresh tokens: where the cookie goes.
    pub(crate) cookie_path: String,
    /// Who may say for whom a call is forwarded.
    pub(crate) trusted_proxies: Proxies,
    pub(crate) tokens: Tokens,
    /// Where people reach the gateway, for links in mails.
    pub(crate) public_url: Url,
    /// What an external issuer is that does not say so itself: merged into each of `issuers` before, and
    /// here for its faults to be found.
    #[serde(rename = "issuer_defaults")]
    _issuer_defaults: external::Written,
    /// External issuers, by name.
    issuers: BTreeMap<String, external::Written>,
    pub(crate) passwords: Passwords,
    pub(crate) sessions: Lives,
    pub(crate) mail: mail::Config,
    pub(crate) phone_codes: phone_code::Config,
    pub(crate) server: serve::Config,
    pub(crate) grpc: grpc::Config,
}

/// `[user.tokens]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    /// What new keys are for.
    pub(crate) algorithm: KeyKind,
    /// Between two looks at the folder of keys.
    #[serde(with = "chassis::config::span")]
    pub(crate) keys_interval: Duration,
    /// From a key's making to its first signature.
    #[serde(with = "chassis::config::span")]
    pub(crate) publish_ahead: Duration,
}

/// `[user.passwords]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passwords {
    /// Fewest characters.
    pub(crate) length_min: usize,
    /// Whether the commonest are refused.
    pub(crate) blocklist: Common,
    /// Hashed at once, 19 MiB each.
    pub(crate) parallel: usize,
    /// Waiting for that; beyond them callers are refused.
    pub(crate) waiting_max: usize,
}

impl Config {
    /// The code of the first administrator, where the operator chose one.
    pub(crate) fn setup_code(&self) -> Result<Option<Secret<String>>, StartError> {
        let Section { setup_code, setup_code_file, .. } = &self.section;
        if !setup_code.expose().trim().is_empty() {
            return Ok(Some(setup_code.clone()));
        }
        if setup_code_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let code = Secret::from_file(setup_code_file)?;
        if is_long_enough(&code) {
            Ok(Some(code))
        } else {
            let message = "expected a file with at least 6 characters";
            Err(StartError::Config(Faults::one("user.setup_code_file", message)))
        }
    }

    /// How long a key of access tokens is published before and after it signs.
    pub(crate) const fn key_spans(&self) -> Spans {
        Spans {
            publish_ahead: self.section.tokens.publish_ahead,
            token_life: self.section.access_token_life,
        }
    }

    /// People reach the gateway at `url`, unless the configuration names another place.
    pub fn reached_at(&mut self, url: &str) {
        self.section.public_url = self.section.public_url.or(url);
    }

    /// The rules for external issuers, whose tokens are exchanged.
    pub(crate) fn external_issuers(&self) -> Result<Vec<external::Rules>, Faults> {
        external::read(&self.section.issuers, &self.identity.issuer)
    }

    pub(crate) const fn password_rules(&self) -> Rules {
        let Passwords { length_min, blocklist, .. } = self.section.passwords;
        Rules { length_min, common: blocklist }
    }
}

impl Settings for Config {
    fn read(layers: &Layers) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let layers = &layers.filled("user.issuers", "user.issuer_defaults");
        let section = faults.take(layers.section::<Section>("user"));
        let identity = faults.take(layers.section::<identity::Config>("identity"));
        let database = faults.take(database::Config::read(layers));
        if let Some(section) = &section {
            check(section, &mut faults);
            section.mail.check(&mut faults);
            section.phone_codes.check(&mut faults);
        }
        if let Some(identity) = &identity {
            faults.take(identity.token_secret());
        }
        if let Some((section, identity)) = section.as_ref().zip(identity.as_ref()) {
            faults.take(external::read(&section.issuers, &identity.issuer));
        }
        let all = section.zip(identity).zip(database);
        faults.or(all.map(|((section, identity), database)| Self { section, identity, database }))
    }
}

/// What would end the attribute, or the field, is no path (RFC 6265bis section 4.1.1).
fn is_cookie_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b';')
}

fn is_long_enough(code: &Secret<String>) -> bool {
    code.expose().trim().chars().count() >= SETUP_CODE_LENGTH_MIN
}

fn check(section: &Section, faults: &mut Faults) {
    let mut require = |holds: bool, key: &str, message: &str| {
        if !holds {
            faults.0.extend(Faults::one(format!("user.{key}"), message).0);
        }
    };
    let code = &section.setup_code;
    let code_fits = code.expose().trim().is_empty() || is_long_enough(code);
    require(code_fits, "setup_code", "expected at least 6 characters, or none");
    let cookie_path_fits = is_cookie_path(&section.cookie_path);
    require(cookie_path_fits, "cookie_path", "expected a path such as \"/api/auth/refresh-token\"");
    require(!section.access_token_life.is_zero(), "access_token_life", "expected more than 0s");
    require(!section.sweep_interval.is_zero(), "sweep_interval", "expected more than 0s");
    let lengths = LENGTH_MIN..=LENGTH_MAX / 2;
    let length_fits = lengths.contains(&section.passwords.length_min);
    require(length_fits, "passwords.length_min", "expected 8 to 128");
    require(!section.audit_keep.is_zero(), "audit_keep", "expected more than 0s");
    require(!section.feed_interval.is_zero(), "feed_interval", "expected more than 0s");
    require(section.tickets_per_session_max > 0, "tickets_per_session_max", "expected at least 1");
    let tokens = &section.tokens;
    require(!tokens.keys_interval.is_zero(), "tokens.keys_interval", "expected more than 0s");
    require(
        tokens.publish_ahead > tokens.keys_interval,
        "tokens.publish_ahead",
        "expected more than user.tokens.keys_interval",
    );
    require(section.grpc.streams_max > 0, "grpc.streams_max", "expected at least 1");
    require(section.grpc.message_bytes_max > 0, "grpc.message_bytes_max", "expected at least 1");
    for (span, key) in [
        (section.grpc.preface_timeout, "grpc.preface_timeout"),
        (section.grpc.call_timeout, "grpc.call_timeout"),
        (section.grpc.ping_interval, "grpc.ping_interval"),
        (section.grpc.ping_timeout, "grpc.ping_timeout"),
        (section.grpc.health_interval, "grpc.health_interval"),
    ] {
        require(!span.is_zero(), key, "expected more than 0s");
    }
    require(section.passwords.parallel > 0, "passwords.parallel", "expected at least 1");
    require(
        section.sessions.per_account_max > 0,
        "sessions.per_account_max",
        "expected at least 1",
    );
    require(!section.sessions.idle_max.is_zero(), "sessions.idle_max", "expected more than 0s");
    require(!section.sessions.age_max.is_zero(), "sessions.age_max", "expected more than 0s");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_safe() {
        let config = Config::read(&Layers::defaults()).unwrap();
        assert!(config.section.listen.ip().is_loopback());
        assert_eq!(config.password_rules(), Rules { length_min: 8, common: Common::Refused });
        assert_eq!(config.section.access_token_life, Duration::from_mins(15));
        assert!(config.setup_code().unwrap().is_none());
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let mut layers = Layers::defaults();
        for setting in [
            "user.listen=nowhere",
            "user.access_token_life=15",
            "user.passwords.typo=1",
            "user.trusted_proxies=[\"10.0.0.0/99\"]",
        ] {
            layers.command_line(setting);
        }
        assert_eq!(Config::read(&layers).unwrap_err().0.len(), 4);
    }

    #[test]
    fn what_would_not_work_is_refused() {
        let mut layers = Layers::defaults();
        layers.command_line("user.setup_code=12345");
        layers.command_line("user.passwords.parallel=0");
        let faults = Config::read(&layers).unwrap_err();
        let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["user.setup_code", "user.passwords.parallel"]);
    }

    #[test]
    fn what_lets_people_in_leaves_this_machine_encrypted_unless_it_is_said_that_it_need_not() {
        let faulty = |settings: &[&str]| {
            let mut layers = Layers::defaults();
            for setting in settings {
                layers.command_line(setting);
            }
            let faults = Config::read(&layers).err().map_or(Vec::new(), |faults| faults.0);
            faults.into_iter().map(|fault| fault.key).collect::<Vec<_>>()
        };
        let (elsewhere, plain) = ("user.mail.host=mail.example.com", "user.mail.tls=none");
        assert_eq!(faulty(&[elsewhere, plain]), ["user.mail.tls"]);
        assert!(faulty(&[elsewhere, "user.mail.tls=unprotected"]).is_empty());
        assert!(faulty(&["user.mail.host=127.0.0.1", plain]).is_empty());
        let webhook = "user.phone_codes.provider=webhook";
        for url in ["", "http://sms.example.com", "http://127.0.0.1.example.com"] {
            let url = format!("user.phone_codes.url={url}");
            assert_eq!(faulty(&[webhook, &url]), ["user.phone_codes.url"], "{url}");
        }
        for url in ["https://sms.example.com/send", "http://[::1]:9/", "http://localhost:9"] {
            assert!(faulty(&[webhook, &format!("user.phone_codes.url={url}")]).is_empty(), "{url}");
        }
    }

    #[test]
    fn a_set_up_code_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        let mut layers = Layers::defaults();
        layers.put("user.setup_code_file", path.to_str().unwrap());
        let code = |layers: &Layers| Config::read(layers).unwrap().setup_code();
        let absent = code(&layers).unwrap_err().to_string();
        assert!(absent.contains(path.to_str().unwrap()), "{absent}");
        for short in ["", "12345\n"] {
            std::fs::write(&path, short).unwrap();
            let refused = code(&layers).unwrap_err().to_string();
            assert!(refused.contains("user.setup_code_file") && !refused.contains("12345"));
        }
        std::fs::write(&path, "open-sesame\n").unwrap();
        assert_eq!(code(&layers).unwrap().unwrap().expose(), "open-sesame");
        layers.put("user.setup_code", "123456");
        assert_eq!(code(&layers).unwrap().unwrap().expose(), "123456");
    }
}
