//! Sends what was rung, and proofs behind it. The only task that gives the client commands, so that
//! one that has to wait holds up nobody else.
//!
//! A proof is an empty-handed message to ourselves. When it is back, the server has taken in all that
//! was sent before it: events, and the wish to hear them. A server that does not let us send them is
//! believed after a while.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::link::{Interest, Line, Link, Proved, Status};
use super::listener::Ear;
use super::wire;
use crate::Stop;

/// Events that are sent before a proof is thought of.
const BATCH_EVENTS_MAX: usize = 256;
/// How long a proof may take, before the server is believed without.
pub(super) const PROOF_WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) client: Client,
    pub(super) link: Arc<Link>,
    pub(super) prefix: String,
    /// Where proofs come in.
    pub(super) inbox: String,
    /// The last proof that came back.
    pub(super) echoes: watch::Receiver<u64>,
    /// To whoever hears, once for each kind.
    pub(super) handover: mpsc::Sender<Ear>,
    pub(super) stop: Stop,
    /// To what the server was told that we listen.
    pub(super) hearing: Interest,
    pub(super) pending: Option<Pending>,
    /// The connection on which no proof came back.
    pub(super) silent: Option<u64>,
}

/// A proof that is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    number: u64,
    proves: Proved,
    late: Instant,
}

impl Speaker {
    /// Sends until the bus is closed, and then what is left.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.speak() => {}
        }
        stop.cancel();
    }

    async fn speak(&mut self) {
        loop {
            tokio::select! {
                () = self.stop.drain_began() => break,
                () = self.link.work.notified() => {}
                Ok(()) = self.echoes.changed() => {}
                () = lateness(self.pending) => {}
            }
            self.turn().await;
        }
        while self.link.outbox().has_mail() || self.pending.is_some() {
            self.turn().await;
            tokio::select! {
                Ok(()) = self.echoes.changed() => {}
                () = lateness(self.pending), if self.pending.is_some() => {}
                () = std::future::ready(()), if self.pending.is_none() => {}
            }
        }
        // A client that is gone has nothing left to send.
        self.client.drain().await.ok();
    }

    async fn turn(&mut self) {
        self.judge();
        let status = self.link.status();
        if status.line != Line::Up {
            return;
        }
        if status.interest != self.hearing {
            self.ask_for(status.interest).await;
        }
        self.send().await;
        self.prove(&status).await;
    }

    /// Looks whether the proof on its way is back, or late, or went with its connection.
    fn judge(&mut self) {
        let Some(Pending { number, proves, late }) = self.pending else { return };
        let is_back = *self.echoes.borrow_and_update() == number;
        let status = self.link.status();
        let is_gone = status.line != Line::Up || status.connection != proves.connection;
        if is_back {
            self.link.outbox().proved(number);
        } else if !is_gone {
            if Instant::now() < late {
                return;
            }
            self.silent = Some(proves.connection);
        }
        self.pending = None;
        if !is_gone {
            self.rely_on(proves);
        }
    }

    /// Whatever was rung before this moment may have passed us by.
    fn rely_on(&self, proves: Proved) {
        if self.link.status().proved != Some(proves) {
            self.link.tell_gap();
            self.link.prove(proves);
        }
    }

    async fn ask_for(&mut self, wanted: Interest) {
        if wanted.events && !self.hearing.events {
            let subscribed = self.client.subscribe(wire::subjects(&self.prefix)).await;
            if let Ok(subscriber) = subscribed {
                self.hearing.events = true;
                self.handover.send(Ear::Events(subscriber)).await.ok();
            }
        }
        if wanted.revoked && !self.hearing.revoked {
            let subscribed = self.client.subscribe(wire::revoked(&self.prefix)).await;
            if let Ok(subscriber) = subscribed {
                self.hearing.revoked = true;
                self.handover.send(Ear::Revoked(subscriber)).await.ok();
            }
        }
    }

    async fn send(&self) {
        // Few, and somebody's session lives until they are heard.
        let revoked = self.link.outbox().revoked.take(BATCH_EVENTS_MAX);
        for stretch in &revoked {
            self.publish(wire::revoked(&self.prefix), wire::encode_revoked(stretch)).await;
        }
        let events = self.link.outbox().events.take(BATCH_EVENTS_MAX);
        for event in &events {
            self.publish(wire::subject(&self.prefix, &event.channel), wire::encode(event)).await;
        }
        if self.link.outbox().has_mail() {
            self.link.work.notify_one();
        }
    }

    async fn publish(&self, subject: String, payload: Result<Bytes, serde_json::Error>) {
        let Ok(payload) = payload else { return self.link.tally.lost.add(1) };
        match self.client.publish(subject, payload).await {
            Ok(()) => self.link.tally.rung.add(1),
            // Too long for the server, or the client has ended.
            Err(_) => self.link.tally.lost.add(1),
        }
    }

    /// Sends a proof where one is wanted and none is on its way.
    async fn prove(&mut self, status: &Status) {
        let proves = Proved { connection: status.connection, interest: self.hearing };
        let is_silent = self.silent == Some(status.connection);
        let is_wanted =
            status.proved != Some(proves) || (!is_silent && self.link.outbox().has_doubts());
        if self.pending.is_some() || !is_wanted {
            return;
        }
        let number = self.link.outbox().next_proof();
        let payload = Bytes::from(number.to_string());
        if self.client.publish(self.inbox.clone(), payload).await.is_ok() {
            let late = Instant::now() + PROOF_WINDOW;
            self.pending = Some(Pending { number, proves, late });
        }
    }
}

/// Ends when the proof on its way is late; never without one.
async fn lateness(pending: Option<Pending>) {
    match pending {
        Some(pending) => sleep_until(pending.late).await,
        None => std::future::pending().await,
    }
}
