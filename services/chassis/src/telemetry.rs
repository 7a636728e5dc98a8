//! The log: one subscriber per process, put in place by `main` and by nobody else.

use std::io;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::TryInitError;

use crate::config::{Fault, Faults};

/// The one speaks of every attempt, and in its traces of passwords, where the bus itself says what matters;
/// the other passes on what PostgreSQL finds worth a notice. A filter that names them still gets them.
const QUIET: &str = "async_nats=off,sqlx::postgres::notice=warn";

/// `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The least level that is logged, or a filter such as `info,chat=debug`.
    pub level: String,
    /// How a line looks.
    pub format: Format,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Config {
    /// Refuses a filter that nobody can have meant: a word alone has to be a level.
    pub fn check(self) -> Result<Self, Faults> {
        let word = !self.level.contains(['=', ',']);
        let level = !self.level.is_empty() && self.level.parse::<LevelFilter>().is_ok();
        if EnvFilter::try_new(&self.level).is_ok() && (level || !word) {
            return Ok(self);
        }
        let message =
            "expected error, warn, info, debug, trace, off, or a filter as in \"info,chat=debug\"";
        let value = Some(format!("{:?}", self.level));
        Err(Faults(vec![Fault {
            key: "telemetry.level".to_owned(),
            value,
            layer: None,
            message: message.to_owned(),
        }]))
    }
}

/// Sends the log to standard error from now on.
pub fn install(config: &Config) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let level = format!("{QUIET},{}", config.level);
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.format {
        Format::Text => log.with_ansi(false).with_target(false).finish().try_init(),
        Format::Json => log.json().flatten_event(true).finish().try_init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_that_there_is_or_a_filter() {
        let check =
            |level: &str| Config { level: level.to_owned(), format: Format::Text }.check().is_ok();
        for good in ["info", "WARN", "off", "info,chat=debug", "chat=trace"] {
            assert!(check(good), "{good}");
        }
        for bad in ["verbose", "", "chat=loud"] {
            assert!(!check(bad), "{bad}");
        }
    }
}
