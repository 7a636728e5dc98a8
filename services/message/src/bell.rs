//! Tells those who show conversations that something was stored. A bell, not a promise: whoever
//! misses a ring notices by its number, or by the head check, and reads the log.

pub(crate) mod http;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chassis::Bus;
use contract::Event;
use serde::Deserialize;

use crate::bell::http::Ringer;

/// `message.bell`: which way rings go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Over the bus that this process shares with the chat service.
    Bus,
    /// To the chat service by HTTP, unless there is a bus between the processes.
    Http,
}

/// `[message.rings]`: rings by HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rings {
    /// Where the chat service is.
    pub chat_url: String,
    /// Rings that wait while the chat service is slow or away; one more is lost.
    pub queue_events_max: NonZeroUsize,
    /// How long one call may take.
    #[serde(with = "chassis::config::span")]
    pub window: Duration,
    /// How often a call is made before its rings are given up.
    pub tries_max: u32,
    /// From a call that failed to the next try.
    #[serde(with = "chassis::config::span")]
    pub pause: Duration,
}

/// What is rung after a commit.
#[derive(Debug, Clone)]
pub(crate) enum Bell {
    /// A bus that the chat service shares.
    Bus(Bus),
    /// The chat service itself, by HTTP.
    Http(Ringer),
}

impl Bell {
    /// Rings; never waits.
    pub(crate) fn ring(&self, event: Event) {
        match self {
            Self::Bus(bus) => bus.publish(Arc::new(event)),
            Self::Http(ringer) => ringer.ring(event),
        }
    }
}
