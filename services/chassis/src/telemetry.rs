//! The log: one subscriber per process, put in place by `main` and by nobody else.

use std::io;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

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

/// Sends the log to standard error from now on.
pub fn install(config: &Config) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.format {
        Format::Text => log.with_ansi(false).with_target(false).finish().try_init(),
        Format::Json => log.json().flatten_event(true).finish().try_init(),
    }
}
