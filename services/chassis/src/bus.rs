//! Where events are rung. The store is the truth, the bus is a doorbell: a subscriber hears an
//! event, or that it missed some, and then reads the store.
//!
//! Inside one process that is a channel of this process; between several it is NATS. Both
//! keep the same promises: ringing never waits, what one publisher rings in a channel is heard in
//! that order, and whoever may have missed something is told so.

mod config;
mod nats;

use std::sync::Arc;

use contract::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::{Random, StartError};

pub use config::Config;
use nats::Nats;

/// Carries events from those who store them to those who show them. Never waits for a listener.
#[derive(Debug, Clone)]
pub enum Bus {
    /// Inside one process.
    Local(broadcast::Sender<Heard>),
    /// Between processes. Made by [`Bus::open`] alone.
    Nats(Nats),
}

/// Whom a bus reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Parts of this process.
    Process,
    /// Every process that is on it.
    Network,
}

impl Bus {
    /// A bus within this process, on which a listener may lag by `capacity` events.
    #[must_use]
    pub fn local(capacity: usize) -> Self {
        Self::Local(broadcast::Sender::new(capacity.max(1)))
    }

    /// The bus that `config` names, with the same `capacity`; `name` is what the server's operator
    /// reads of this process. A server that is away is no error: the bus goes on looking for it.
    pub async fn open(
        config: &Config,
        capacity: usize,
        name: &str,
        random: &Random,
    ) -> Result<Self, StartError> {
        match config.broker() {
            None => Ok(Self::local(capacity)),
            Some(broker) => {
                let fan = broadcast::Sender::new(capacity.max(1));
                Nats::open(broker, fan, name, random).await.map(Self::Nats)
            }
        }
    }

    /// Rings `event`. It is lost when nobody listens: the store has it. Never waits.
    pub fn publish(&self, event: Arc<Event>) {
        match self {
            Self::Local(sender) => {
                sender.send(Heard::Event(event)).ok();
            }
            Self::Nats(nats) => nats.publish(event),
        }
    }

    /// Listens from now on; between processes from when [`Bus::settled`] ends, or else a gap tells
    /// of the moment.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        match self {
            Self::Local(sender) => Subscription(sender.subscribe()),
            Self::Nats(nats) => Subscription(nats.subscribe()),
        }
    }

    /// Waits until what was subscribed to is in force, or the server is known to be away; a bounded
    /// time. Safe to drop.
    pub async fn settled(&self) {
        match self {
            Self::Local(_) => {}
            Self::Nats(nats) => nats.settled().await,
        }
    }

    /// Whom it reaches.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        match self {
            Self::Local(_) => Reach::Process,
            Self::Nats(_) => Reach::Network,
        }
    }

    /// What it has done so far; nothing is counted inside one process.
    #[must_use]
    pub fn counts(&self) -> Counts {
        match self {
            Self::Local(_) => Counts::default(),
            Self::Nats(nats) => nats.counts(),
        }
    }

    /// Sends what still waits and ends; a bounded time.
    pub async fn close(&self) {
        match self {
            Self::Local(_) => {}
            Self::Nats(nats) => nats.close().await,
        }
    }
}

/// What a bus between processes has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that came about.
    pub connections: u64,
    /// Connections that were lost.
    pub outages: u64,
    /// Events that were handed to the connection, those of a second try among them.
    pub rung: u64,
    /// Events of channels for which there was no place any more while the server was away, and those
    /// that it would not take for their size.
    pub lost: u64,
    /// Events that came in.
    pub heard: u64,
    /// What came in and was no event.
    pub unreadable: u64,
    /// What the server complained about.
    pub complaints: u64,
    /// How often listeners were told that they may have missed something.
    pub gaps: u64,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// This happened.
    Event(Arc<Event>),
    /// Something was missed: read the store.
    Gap,
}

/// One listener.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Heard>);

impl Subscription {
    /// The next thing heard; `None` when the bus is gone. Safe to drop: nothing is lost by it.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(_)) => Some(Heard::Gap),
            Err(RecvError::Closed) => None,
        }
    }
}
