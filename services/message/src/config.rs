//! The section `[message]`, and what it shares with the other spokes.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use chassis::config::{Faults, Layers, Settings, span};
use chassis::revocation::feed_url;
use chassis::{database, identity, serve};
use serde::Deserialize;

use crate::{bell, writer};

/// The settings of the message service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Which engine keeps everything.
    pub database: database::Config,
    /// The database's file where that is SQLite, seen from the data folder.
    pub file: PathBuf,
    /// Limits of the listener.
    pub server: serve::Config,
    /// How commands are gathered.
    pub writer: writer::Config,
    /// How the chat service hears of what was stored.
    pub bell: bell::Way,
    /// How it hears by HTTP.
    pub rings: bell::Rings,
    /// The base URL of the service that keeps accounts; empty: nobody is asked who was deleted.
    pub user_url: String,
    /// The longest that one call there may take.
    pub user_timeout: Duration,
    /// Between two questions who was deleted, while nothing is heard.
    pub deleted_check_interval: Duration,
    /// How many days the change log goes back.
    pub log_days_max: NonZeroU32,
    /// Whom to believe.
    pub identity: identity::Config,
}

/// `[message]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    listen: SocketAddr,
    database: PathBuf,
    server: serve::Config,
    writer: writer::Config,
    bell: bell::Way,
    rings: bell::Rings,
    #[serde(deserialize_with = "feed_url")]
    user_url: String,
    #[serde(with = "span")]
    user_timeout: Duration,
    #[serde(with = "span")]
    deleted_check_interval: Duration,
    log_days_max: NonZeroU32,
}

impl Settings for Config {
    fn read(layers: &Layers) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let section = faults.take(layers.section::<Section>("message"));
        let identity = faults.take(layers.section::<identity::Config>("identity"));
        let database = faults.take(database::Config::read(layers));
        let ((section, identity), database) = faults.or(section.zip(identity).zip(database))?;
        Ok(Self {
            listen: section.listen,
            database,
            file: section.database,
            server: section.server,
            writer: section.writer,
            bell: section.bell,
            rings: section.rings,
            user_url: section.user_url,
            user_timeout: section.user_timeout,
            deleted_check_interval: section.deleted_check_interval,
            log_days_max: section.log_days_max,
            identity,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_whole() {
        let config = Config::read(&Layers::defaults()).unwrap();
        assert_eq!(config.listen.port(), 3003);
        assert!(config.listen.ip().is_loopback());
    }

    #[test]
    fn a_queue_without_places_and_a_bell_of_another_kind_are_faults() {
        let mut layers = Layers::defaults();
        layers.command_line("message.writer.queue_commands_max=0");
        layers.command_line("message.bell=trumpet");
        layers.command_line("message.nonsense=1");
        let faults = Config::read(&layers).unwrap_err();
        assert_eq!(faults.0.len(), 3, "{faults}");
    }
}
