//! The service's part of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chassis::config::{Faults, Layers, Settings};
use chassis::secret::Secret;
use chassis::{StartError, database, identity, serve};
use serde::Deserialize;

use crate::address::Proxies;
use crate::register::Rules;
use crate::session::Lives;

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
    /// Accounts, and as many addresses, whose failed sign-ins are remembered.
    pub(crate) attempts_entries_max: usize,
    /// Who may say for whom a call is forwarded.
    pub(crate) trusted_proxies: Proxies,
    pub(crate) passwords: Passwords,
    pub(crate) sessions: Lives,
    pub(crate) server: serve::Config,
}

/// `[user.passwords]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passwords {
    /// Whether the commonest are refused.
    pub(crate) blocklist: bool,
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

    pub(crate) const fn password_rules(&self) -> Rules {
        if self.section.passwords.blocklist { Rules::UncommonPassword } else { Rules::AnyPassword }
    }
}

impl Settings for Config {
    fn read(layers: &Layers) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let section = faults.take(layers.section::<Section>("user"));
        let identity = faults.take(layers.section("identity"));
        let database = faults.take(database::Config::read(layers));
        if let Some(section) = &section {
            check(section, &mut faults);
        }
        let all = section.zip(identity).zip(database);
        faults.or(all.map(|((section, identity), database)| Self { section, identity, database }))
    }
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
    require(!section.access_token_life.is_zero(), "access_token_life", "expected more than 0s");
    require(!section.sweep_interval.is_zero(), "sweep_interval", "expected more than 0s");
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
        assert_eq!(config.password_rules(), Rules::UncommonPassword);
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
