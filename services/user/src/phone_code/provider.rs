//! Who brings codes to telephones: a file for whoever runs the machine, or somebody else's service.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use chassis::{StartError, Stop};
use contract::Timestamp;
use uuid::Uuid;

use super::file::CodeFile;
use super::webhook::Webhook;
use super::{Config, Kind};
use crate::account::Phone;
use crate::errands::Fault;

/// A code on its way. Never printed.
pub(crate) struct Message {
    pub(super) phone: Phone,
    pub(super) code: String,
    pub(super) life: Duration,
    pub(super) at: Timestamp,
    /// The same with every try.
    pub(super) id: Uuid,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(***)")
    }
}

impl Message {
    pub(super) const fn new(
        phone: Phone,
        code: String,
        life: Duration,
        (at, id): (Timestamp, Uuid),
    ) -> Self {
        Self { phone, code, life, at, id }
    }

    /// What its receiver reads.
    pub(super) fn text(&self) -> String {
        let minutes = self.life.as_secs().div_ceil(60);
        format!(
            "{} is your Hubbub code. It is good for {minutes} min. Tell it to nobody.",
            self.code
        )
    }
}

/// The one that is configured.
#[derive(Debug)]
pub(crate) enum Provider {
    File(CodeFile),
    Webhook(Webhook),
}

impl Provider {
    pub(crate) fn open(config: &Config, data: &Path, stop: &Stop) -> Result<Self, StartError> {
        Ok(match config.provider {
            Kind::File => {
                let path = data.join(&config.file);
                Self::File(CodeFile::new(path, config.file_bytes_max, stop.clone()))
            }
            Kind::Webhook => Self::Webhook(Webhook::open(config)?),
        })
    }

    /// Hands `message` over.
    pub(crate) async fn send(&self, message: &Message) -> Result<(), Fault> {
        match self {
            Self::File(file) => file.append(message).await,
            Self::Webhook(webhook) => webhook.post(message).await,
        }
    }
}
