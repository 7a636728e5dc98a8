//! The section `[database]`: which engine keeps what must be kept, and how long it may take.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

use crate::StartError;
use crate::config::{Faults, Layers};
use crate::secret::Secret;

/// `[database]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A PostgreSQL server and a database on it; empty: a SQLite file in the data folder.
    pub url: Secret<String>,
    /// A file with that URL, read when `url` is empty.
    pub url_file: PathBuf,
    /// Connections of a service that write.
    pub writers_max: u32,
    /// Connections of a service that read.
    pub readers_max: u32,
    /// How long a caller waits for a connection.
    #[serde(with = "crate::config::span")]
    pub acquire_timeout: Duration,
    /// How long a statement may take.
    #[serde(with = "crate::config::span")]
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock.
    #[serde(with = "crate::config::span")]
    pub lock_timeout: Duration,
    /// How long a transaction may do nothing.
    #[serde(with = "crate::config::span")]
    pub idle_transaction_timeout: Duration,
    /// How long a service that starts waits for the server.
    #[serde(with = "crate::config::span")]
    pub start_window: Duration,
}

impl Config {
    /// The section, and what its shape does not show.
    pub fn read(layers: &Layers) -> Result<Self, Faults> {
        let config: Self = layers.section("database")?;
        let mut faults = Faults::default();
        let mut require = |holds: bool, key: &str, message: &str| {
            if !holds {
                faults.0.extend(Faults::one(format!("database.{key}"), message).0);
            }
        };
        let url = config.url.expose();
        require(url.is_empty() || parse(url).is_some(), "url", EXPECTED);
        require(config.writers_max > 0, "writers_max", "expected at least 1");
        require(config.readers_max > 0, "readers_max", "expected at least 1");
        for (window, key) in [
            (config.acquire_timeout, "acquire_timeout"),
            (config.statement_timeout, "statement_timeout"),
            (config.lock_timeout, "lock_timeout"),
            (config.idle_transaction_timeout, "idle_transaction_timeout"),
        ] {
            require(!window.is_zero(), key, "expected more than 0s");
        }
        faults.or(Some(config))
    }

    /// Where the server is; `None` for SQLite.
    pub(super) fn server(&self) -> Result<Option<PgConnectOptions>, StartError> {
        let url = if self.url.expose().is_empty() && !self.url_file.as_os_str().is_empty() {
            Secret::from_file(&self.url_file)?
        } else {
            self.url.clone()
        };
        match url.expose().as_str() {
            "" => Ok(None),
            text => parse(text)
                .map(Some)
                .ok_or_else(|| StartError::Config(Faults::one("database.url_file", EXPECTED))),
        }
    }
}

const EXPECTED: &str = "expected a URL as in \"postgres://user:password@host:5432/database\"";

fn parse(url: &str) -> Option<PgConnectOptions> {
    let is_ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
    is_ours.then(|| PgConnectOptions::from_str(url).ok()).flatten()
}
