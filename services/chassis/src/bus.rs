//! Where events are rung. The store is the truth, the bus is a doorbell: a subscriber hears an
//! event, or that it missed some, and then reads the store.
//!
//! Inside one process that is a channel of this process; between several it is NATS. Both
//! keep the same promises: ringing never waits, what one publisher rings in a channel is heard in
//! that order, and whoever may have missed something is told so.
//!
//! Beside the events of rooms it carries what was revoked, which is subscribed to by itself: neither
//! is looked at, or waited behind, by whoever wants the other.

mod config;
mod nats;

use std::sync::Arc;

use contract::Event;
use contract::revocation::Revocations;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::{Random, StartError};

pub use config::Config;
use nats::Nats;

/// Stretches of revocations that a listener may lag behind before it has to read the feed.
const REVOKED_LAG_MAX: usize = 64;

/// Carries events from those who store them to those who show them. Never waits for a listener.
#[derive(Debug, Clone)]
pub enum Bus {
    /// Inside one process.
    Local(Fans),
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
        Self::Local(Fans::new(capacity))
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
                let fans = Fans::new(capacity);
                Nats::open(broker, fans, name, random).await.map(Self::Nats)
            }
        }
    }

    /// Rings `event`. It is lost when nobody listens: the store has it. Never waits.
    pub fn publish(&self, event: Arc<Event>) {
        match self {
            Self::Local(fans) => fans.tell(Heard::Event(event)),
            Self::Nats(nats) => nats.publish(event),
        }
    }

    /// Tells what was revoked, a stretch of the feed. It is lost when nobody listens: the feed has it.
    /// While a server is away only the newest is kept, from which listeners see that they missed some.
    /// Never waits.
    pub fn publish_revoked(&self, stretch: Arc<Revocations>) {
        match self {
            Self::Local(fans) => fans.tell_revoked(Heard::Event(stretch)),
            Self::Nats(nats) => nats.publish_revoked(stretch),
        }
    }

    /// Listens from now on; between processes from when [`Bus::settled`] ends, or else a gap tells
    /// of the moment.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        match self {
            Self::Local(fans) => fans.subscribe(),
            Self::Nats(nats) => nats.subscribe(),
        }
    }

    /// Listens to what is revoked, likewise.
    #[must_use]
    pub fn subscribe_revoked(&self) -> Subscription<Revocations> {
        match self {
            Self::Local(fans) => fans.subscribe_revoked(),
            Self::Nats(nats) => nats.subscribe_revoked(),
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

/// To everybody of this process who listens.
#[derive(Debug, Clone)]
pub struct Fans {
    events: broadcast::Sender<Heard>,
    revoked: broadcast::Sender<Heard<Revocations>>,
}

impl Fans {
    fn new(capacity: usize) -> Self {
        Self {
            events: broadcast::Sender::new(capacity.max(1)),
            revoked: broadcast::Sender::new(REVOKED_LAG_MAX),
        }
    }

    /// It is nobody's loss when nobody listens.
    fn tell(&self, heard: Heard) {
        self.events.send(heard).ok();
    }

    fn tell_revoked(&self, heard: Heard<Revocations>) {
        self.revoked.send(heard).ok();
    }

    fn subscribe(&self) -> Subscription {
        Subscription(self.events.subscribe())
    }

    fn subscribe_revoked(&self) -> Subscription<Revocations> {
        Subscription(self.revoked.subscribe())
    }
}

/// What a bus between processes has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that came about.
    pub connections: u64,
    /// Connections that were lost.
    pub outages: u64,
    /// Events and revocations that were handed to the connection, those of a second try among them.
    pub rung: u64,
    /// Events of channels for which there was no place any more while the server was away, and those
    /// that it would not take for their size.
    pub lost: u64,
    /// Events and revocations that came in.
    pub heard: u64,
    /// What came in and was not ours.
    pub unreadable: u64,
    /// What the server complained about.
    pub complaints: u64,
    /// How often listeners were told that they may have missed something.
    pub gaps: u64,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard<T = Event> {
    /// This happened.
    Event(Arc<T>),
    /// Something was missed: read the store.
    Gap,
}

/// One listener.
#[derive(Debug)]
pub struct Subscription<T = Event>(broadcast::Receiver<Heard<T>>);

impl<T: Clone> Subscription<T> {
    /// The next thing heard; `None` when the bus is gone. Safe to drop: nothing is lost by it.
    pub async fn next(&mut self) -> Option<Heard<T>> {
        match self.0.recv().await {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(_)) => Some(Heard::Gap),
            Err(RecvError::Closed) => None,
        }
    }
}
