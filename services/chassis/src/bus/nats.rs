//! The bus between processes: core subjects of NATS. The server may go and come; ringing never waits
//! for it, and whoever may have missed something is told so.
//!
//! ```text
//! publish -> outbox -> speaker ==NATS==> listener -> everybody of this process who listens
//!                         └ proof ==NATS==> └ it is back: all before it has arrived
//! ```
//!
//! Own events come back like everybody's. Listeners hear a gap when a connection is in force, when the
//! server says that it leaves (lame duck), when the client had to drop something (slow consumer), and
//! when they lag behind themselves.

mod access;
mod count;
mod link;
mod listener;
mod outbox;
pub(super) mod servers;
mod speaker;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use contract::Event;
use contract::revocation::Revocations;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::config::Broker;
use super::{Counts, Fans, Subscription};
use crate::{Random, StartError, Stop};
use link::{Interest, Link, Status};
use listener::Listener;
use outbox::{Outbox, Outboxes};
use speaker::{PROOF_WINDOW, Speaker};

/// Commands that wait for the client; more wait in the outbox, where there is an order to them.
const COMMANDS_MAX: usize = 1_024;
/// Stretches of revocations that wait to be sent in order; beyond them the newest waits, which says that
/// others were missed.
const REVOKED_QUEUE_MAX: usize = 64;
/// How long sending what is left may take when the bus is closed.
const CLOSE_WINDOW: Duration = Duration::from_millis(500);

/// A connection to NATS that mends itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nats {
    link: Arc<Link>,
    stop: Stop,
    /// How long it may take until a server has answered.
    window: Duration,
}

impl Nats {
    /// Reads the files, and begins to look for the server; what comes in goes to `fans`.
    pub(super) async fn open(
        broker: &Broker,
        fans: Fans,
        name: &str,
        random: &Random,
    ) -> Result<Self, StartError> {
        let servers = broker.servers()?;
        let outboxes = Outboxes {
            events: Outbox::new(broker.queue_events_max.get(), broker.held_channels_max.get()),
            revoked: Outbox::new(REVOKED_QUEUE_MAX, 1),
        };
        let link = Arc::new(Link::new(outboxes, fans, servers.to_string()));
        let told = link.clone();
        let options = access::options(broker, &servers.sign_in, random)?
            .name(name)
            .client_capacity(COMMANDS_MAX)
            .event_callback(move |event| {
                told.learn(&event);
                std::future::ready(())
            });
        let client = options.connect(servers.addresses).await;
        let client = client.map_err(|error| StartError::Other(error.into()))?;
        let window = broker.connect_timeout.saturating_add(PROOF_WINDOW);
        let nats = Self { link, stop: Stop::new(), window };
        nats.start(client, broker).await?;
        Ok(nats)
    }

    async fn start(&self, client: Client, broker: &Broker) -> Result<(), StartError> {
        let inbox = client.new_inbox();
        let proofs = client.subscribe(inbox.clone()).await;
        let proofs = proofs.map_err(|error| StartError::Other(error.into()))?;
        let (echo, echoes) = watch::channel(0);
        let (give, take) = mpsc::channel(2);
        let listener = Listener {
            link: self.link.clone(),
            prefix: broker.prefix.clone(),
            payload_bytes_max: broker.payload_bytes_max,
            inbox: proofs,
            echoes: echo,
            handover: take,
            events: None,
            revoked: None,
            stop: self.stop.clone(),
            quiet_until: None,
        };
        let speaker = Speaker {
            client,
            link: self.link.clone(),
            prefix: broker.prefix.clone(),
            inbox,
            echoes,
            handover: give,
            stop: self.stop.clone(),
            hearing: Interest::default(),
            pending: None,
            silent: None,
        };
        self.stop.spawn(listener.run());
        self.stop.spawn(speaker.run());
        Ok(())
    }

    pub(super) fn publish(&self, event: Arc<Event>) {
        self.link.push(event);
    }

    pub(super) fn publish_revoked(&self, stretch: Arc<Revocations>) {
        self.link.push_revoked(stretch);
    }

    pub(super) fn subscribe(&self) -> Subscription {
        self.link.listen()
    }

    pub(super) fn subscribe_revoked(&self) -> Subscription<Revocations> {
        self.link.listen_revoked()
    }

    pub(super) async fn settled(&self) {
        let mut status = self.link.watch();
        // Whoever goes on too early is told of a gap later.
        timeout(self.window, status.wait_for(Status::is_settled)).await.ok();
    }

    pub(super) fn counts(&self) -> Counts {
        self.link.tally.read()
    }

    pub(super) async fn close(&self) {
        self.stop.drain();
        self.stop.tracker().close();
        if timeout(CLOSE_WINDOW, self.stop.tracker().wait()).await.is_err() {
            self.stop.cancel();
        }
    }
}
