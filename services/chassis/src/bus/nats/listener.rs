//! Hears what comes in and tells everybody of this process. What is not ours is counted and dropped.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::warn;

use super::link::Link;
use super::wire;
use crate::Stop;

/// Between two lines of the log about what cannot be read.
const COMPLAINT_PAUSE: Duration = Duration::from_mins(1);

/// What is heard by it.
#[derive(Debug)]
pub(super) enum Ear {
    Events(Subscriber),
    Revoked(Subscriber),
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) link: Arc<Link>,
    pub(super) prefix: String,
    pub(super) payload_bytes_max: usize,
    /// Proofs of our own.
    pub(super) inbox: Subscriber,
    pub(super) echoes: watch::Sender<u64>,
    /// Where events and what was revoked come in, from when somebody listens.
    pub(super) handover: mpsc::Receiver<Ear>,
    pub(super) events: Option<Subscriber>,
    pub(super) revoked: Option<Subscriber>,
    pub(super) stop: Stop,
    /// Until when the log hears nothing more about what cannot be read.
    pub(super) quiet_until: Option<Instant>,
}

impl Listener {
    /// Listens until the bus has ended.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.link.missed.notified() => self.link.tell_gap(),
                Some(proof) = self.inbox.next() => self.note(&proof),
                Some(ear) = self.handover.recv() => match ear {
                    Ear::Events(events) => self.events = Some(events),
                    Ear::Revoked(revoked) => self.revoked = Some(revoked),
                },
                Some(message) = next(&mut self.events) => self.hear(&message),
                Some(message) = next(&mut self.revoked) => self.hear_revoked(&message),
            }
        }
    }

    fn note(&self, proof: &Message) {
        let text = std::str::from_utf8(&proof.payload).unwrap_or_default();
        if let Ok(number) = text.parse() {
            self.echoes.send_replace(number);
        }
    }

    fn hear(&mut self, message: &Message) {
        let (subject, bytes_max) = (&message.subject, self.payload_bytes_max);
        match wire::decode(&self.prefix, subject, &message.payload, bytes_max) {
            Ok(event) => self.link.tell(event),
            Err(wire::Unreadable) => self.drop_unreadable(),
        }
    }

    fn hear_revoked(&mut self, message: &Message) {
        match wire::decode_revoked(&message.payload, self.payload_bytes_max) {
            Ok(stretch) => self.link.tell_revoked(stretch),
            Err(wire::Unreadable) => self.drop_unreadable(),
        }
    }

    fn drop_unreadable(&mut self) {
        self.link.tally.unreadable.add(1);
        let now = Instant::now();
        if self.quiet_until.is_none_or(|until| now >= until) {
            self.quiet_until = Some(now + COMPLAINT_PAUSE);
            let count = self.link.tally.read().unreadable;
            warn!(count, "NATS carries something on our subjects that is not ours");
        }
    }
}

/// What comes next, if there is anything to listen to.
async fn next(events: &mut Option<Subscriber>) -> Option<Message> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
