//! What is known about the connection: whether it is there, and from when on it can be relied on.
//! Learns it from the client's events; waits for nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{ClientError, Event as ClientEvent};
use contract::Event;
use contract::revocation::Revocations;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::count::Tally;
use super::outbox::{Kept, Outboxes};
use crate::bus::{Fans, Heard, Subscription};

/// Everything that the tasks of the bus and those who ring it share.
#[derive(Debug)]
pub(super) struct Link {
    outbox: Mutex<Outboxes>,
    /// To everybody of this process who listens.
    fans: Fans,
    status: watch::Sender<Status>,
    /// Rung when there is something to send.
    pub(super) work: Notify,
    /// Rung when listeners may have missed something.
    pub(super) missed: Notify,
    pub(super) tally: Tally,
    /// Where the servers are, for the log.
    place: String,
}

/// What is known about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) line: Line,
    /// How many connections there have been, this one counted in.
    pub(super) connection: u64,
    pub(super) interest: Interest,
    /// For what the server has answered.
    pub(super) proved: Option<Proved>,
    /// Whether the log has heard of a complaint about this connection.
    complaint: Told,
}

/// Whether there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The first one is not there yet.
    Opening,
    Up,
    /// There is none; the log may have heard why.
    Away(Told),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    No,
}

/// To what anybody listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Interest {
    pub(super) events: bool,
    pub(super) revoked: bool,
}

/// A connection on which the server has answered, and to what it knew by then that we listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proved {
    pub(super) connection: u64,
    pub(super) interest: Interest,
}

impl Status {
    /// Whether there is nothing to wait for: all is in force, or nothing can be.
    pub(super) fn is_settled(&self) -> bool {
        let all = Proved { connection: self.connection, interest: self.interest };
        match self.line {
            Line::Opening => false,
            Line::Up => self.proved == Some(all),
            Line::Away(_) => true,
        }
    }
}

impl Link {
    pub(super) fn new(outbox: Outboxes, fans: Fans, place: String) -> Self {
        let status = Status {
            line: Line::Opening,
            connection: 0,
            interest: Interest::default(),
            proved: None,
            complaint: Told::No,
        };
        Self {
            outbox: Mutex::new(outbox),
            fans,
            status: watch::Sender::new(status),
            work: Notify::new(),
            missed: Notify::new(),
            tally: Tally::default(),
            place,
        }
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outboxes> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Puts `event` where it is sent from.
    pub(super) fn push(&self, event: Arc<Event>) {
        if self.outbox().events.push(event) == Kept::No {
            self.tally.lost.add(1);
        }
        self.work.notify_one();
    }

    /// The same for what was revoked.
    pub(super) fn push_revoked(&self, stretch: Arc<Revocations>) {
        if self.outbox().revoked.push(stretch) == Kept::No {
            self.tally.lost.add(1);
        }
        self.work.notify_one();
    }

    /// Somebody listens to events from now on.
    pub(super) fn listen(&self) -> Subscription {
        let subscription = self.fans.subscribe();
        self.status.send_modify(|status| status.interest.events = true);
        self.work.notify_one();
        subscription
    }

    /// Somebody listens to what is revoked from now on.
    pub(super) fn listen_revoked(&self) -> Subscription<Revocations> {
        let subscription = self.fans.subscribe_revoked();
        self.status.send_modify(|status| status.interest.revoked = true);
        self.work.notify_one();
        subscription
    }

    /// Tells everybody who listens. It is nobody's loss when nobody does.
    pub(super) fn tell(&self, event: Arc<Event>) {
        self.tally.heard.add(1);
        self.fans.tell(Heard::Event(event));
    }

    /// The same for what was revoked.
    pub(super) fn tell_revoked(&self, stretch: Arc<Revocations>) {
        self.tally.heard.add(1);
        self.fans.tell_revoked(Heard::Event(stretch));
    }

    /// Tells everybody that something may have been missed.
    pub(super) fn tell_gap(&self) {
        self.tally.gaps.add(1);
        self.fans.tell(Heard::Gap);
        self.fans.tell_revoked(Heard::Gap);
    }

    /// The server has answered.
    pub(super) fn prove(&self, proved: Proved) {
        self.status.send_modify(|status| status.proved = Some(proved));
    }

    /// Takes in what the client says. Never waits: the client's own task is calling.
    pub(super) fn learn(&self, event: &ClientEvent) {
        match event {
            ClientEvent::Connected => self.rise(),
            ClientEvent::Disconnected => self.fall(),
            ClientEvent::LameDuckMode | ClientEvent::SlowConsumer(_) => self.missed.notify_one(),
            ClientEvent::ServerError(error) => self.complain(&error.to_string()),
            ClientEvent::ClientError(error) => self.fail(error),
            // We ask for both, when we end.
            ClientEvent::Draining | ClientEvent::Closed => {}
        }
    }

    fn rise(&self) {
        if self.status().line == Line::Up {
            // The client drops events of its own when it has many: this one's end was among them.
            self.fall();
        }
        self.outbox().rise();
        self.tally.connections.add(1);
        self.status.send_modify(|status| {
            status.line = Line::Up;
            status.connection += 1;
            status.complaint = Told::No;
        });
        info!(bus.servers = self.place, "Connected to NATS");
        self.work.notify_one();
    }

    fn fall(&self) {
        let lost = self.outbox().fall();
        self.tally.lost.add(lost);
        self.tally.outages.add(1);
        self.status.send_modify(|status| status.line = Line::Away(Told::No));
        warn!(bus.servers = self.place, "NATS is away: live push pauses, messages are kept");
    }

    /// A connection did not come about. The log hears the first reason of an outage.
    fn fail(&self, error: &ClientError) {
        let is_news = self.status.send_if_modified(|status| {
            let is_news = matches!(status.line, Line::Opening | Line::Away(Told::No));
            if is_news {
                status.line = Line::Away(Told::Yes);
            }
            is_news
        });
        if is_news {
            let (cause, place) = (error.to_string(), &self.place);
            warn!(
                cause,
                bus.servers = place,
                "NATS cannot be reached; it is tried again and again"
            );
        }
    }

    /// The log hears the first complaint about a connection.
    fn complain(&self, complaint: &str) {
        self.tally.complaints.add(1);
        let is_news = self.status.send_if_modified(|status| {
            let is_news = status.complaint == Told::No;
            status.complaint = Told::Yes;
            is_news
        });
        if is_news {
            warn!(complaint, bus.servers = self.place, "NATS complains");
        }
    }
}

#[cfg(test)]
mod tests {
    use async_nats::ServerError;

    use super::super::outbox::Outbox;
    use super::*;

    fn link() -> Link {
        let outboxes = Outboxes { events: Outbox::new(8, 8), revoked: Outbox::new(8, 1) };
        Link::new(outboxes, Fans::new(8), "here:4222".to_owned())
    }

    #[test]
    fn a_connection_counts_when_the_server_has_answered_to_all_that_is_wanted() {
        let link = link();
        assert!(!link.status().is_settled());
        link.learn(&ClientEvent::Connected);
        let answered = |interest| Proved { connection: link.status().connection, interest };
        link.prove(answered(Interest::default()));
        assert!(link.status().is_settled());
        drop(link.listen());
        assert!(!link.status().is_settled());
        link.prove(answered(Interest { events: true, revoked: false }));
        assert!(link.status().is_settled());
        drop(link.listen_revoked());
        assert!(!link.status().is_settled());
        link.prove(answered(Interest { events: true, revoked: true }));
        assert!(link.status().is_settled());
        link.learn(&ClientEvent::Disconnected);
        link.learn(&ClientEvent::Connected);
        assert!(!link.status().is_settled());
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_nothing_to_wait_for() {
        let link = link();
        link.learn(&ClientEvent::ClientError(ClientError::Other("refused".to_owned())));
        assert!(link.status().is_settled());
    }

    #[test]
    fn an_end_that_the_client_kept_to_itself_is_noticed_with_the_next_connection() {
        let link = link();
        link.learn(&ClientEvent::Connected);
        link.learn(&ClientEvent::Connected);
        let counts = link.tally.read();
        assert_eq!((counts.connections, counts.outages), (2, 1));
    }

    #[test]
    fn complaints_are_counted() {
        let link = link();
        for _ in 0..3 {
            let text = "Permissions Violation".to_owned();
            link.learn(&ClientEvent::ServerError(ServerError::Other(text)));
        }
        assert_eq!(link.tally.read().complaints, 3);
    }
}
