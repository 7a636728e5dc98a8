//! Writes to people by e-mail: through an SMTP server, or into a folder where there is none. No caller
//! ever waits for it. What a letter says, and to whom, never reaches the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::config::Faults;
use chassis::secret::Secret;
use chassis::{StartError, Stop};
use lettre::message::Mailbox;
use serde::Deserialize;

use crate::errands::{Bounds, Fault};
use crate::link::{Url, is_loopback};

mod files;
mod letter;
mod smtp;

pub(crate) use letter::Letter;

use files::Files;
use smtp::Smtp;

/// `[user.mail]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Of the server; empty: letters become files.
    host: String,
    port: u16,
    tls: Tls,
    /// PEM, believed beside the system's authorities.
    tls_ca_file: PathBuf,
    username: String,
    password: Secret<String>,
    /// Read when `password` is empty.
    password_file: PathBuf,
    from: From,
    /// For each thing that is said to the server.
    #[serde(with = "chassis::config::span")]
    timeout: Duration,
    /// Seen from the data folder.
    folder: PathBuf,
    /// Files that are kept there.
    files_max: usize,
    #[serde(with = "chassis::config::span")]
    pub(crate) verify_life: Duration,
    #[serde(with = "chassis::config::span")]
    pub(crate) reset_life: Duration,
    /// The page that sets a new password; empty: the gateway's own.
    pub(crate) reset_url: Url,
    pub(crate) sending: Bounds,
}

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tls {
    /// From the second command on (RFC 3207), or not at all.
    Starttls,
    /// From the first byte on (RFC 8314 section 3.3).
    Implicit,
    /// Not at all, to a server on this machine.
    None,
    /// Not at all, wherever the server is.
    Unprotected,
}

/// Who writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct From(Mailbox);

impl TryFrom<String> for From {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fault = "expected an address, as in \"Hubbub <hubbub@example.com>\"";
        text.parse().map(Self).map_err(|_| fault)
    }
}

impl Config {
    pub(crate) fn check(&self, faults: &mut Faults) {
        let mut require = |holds: bool, key: &str, message: &str| {
            if !holds {
                faults.0.extend(Faults::one(format!("user.mail.{key}"), message).0);
            }
        };
        let is_protected = self.tls != Tls::None || self.host.is_empty() || is_loopback(&self.host);
        require(
            is_protected,
            "tls",
            "expected \"starttls\" or \"implicit\": the server is elsewhere",
        );
        require(!self.timeout.is_zero(), "timeout", "expected more than 0s");
        require(!self.verify_life.is_zero(), "verify_life", "expected more than 0s");
        require(!self.reset_life.is_zero(), "reset_life", "expected more than 0s");
        require(self.files_max > 0, "files_max", "expected at least 1");
        require(self.sending.parallel > 0, "sending.parallel", "expected at least 1");
        require(self.sending.tries_max > 0, "sending.tries_max", "expected at least 1");
    }
}

/// The way that letters go.
#[derive(Debug)]
pub(crate) enum Sender {
    Smtp(Smtp),
    Files(Files),
}

impl Sender {
    pub(crate) fn open(config: &Config, data: &Path, stop: &Stop) -> Result<Self, StartError> {
        if config.host.is_empty() {
            let folder = data.join(&config.folder);
            let from = config.from.0.clone();
            return Ok(Self::Files(Files::new(folder, config.files_max, from, stop.clone())));
        }
        Ok(Self::Smtp(Smtp::open(config)?))
    }

    /// Hands `letter` over.
    pub(crate) async fn send(&self, letter: &Letter) -> Result<(), Fault> {
        match self {
            Self::Smtp(smtp) => smtp.send(letter).await,
            Self::Files(files) => files.write(letter).await,
        }
    }
}
