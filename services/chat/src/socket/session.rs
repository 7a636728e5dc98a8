//! A socket whose user is known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::identity::Person;
use chassis::refuse::Refusal;
use chassis::secret::Secret;
use contract::live::{
    Ack, ByeReason, CHANNELS_MAX, CloseCode, Done, Hello, INBOUND_BYTES_MAX, ServerFrame, VERSION,
};
use contract::scope::Scope;
use contract::{Channel, RoomId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Node;
use super::holder::{Holder, Warrant};
use super::inbox::Inbox;
use super::line::{Ending, Flushed, Line};
use super::ops::RequestId;
use super::rate::Bucket;
use super::roll::Enrolled;
use crate::hub::Seat;

/// The session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) node: Arc<Node>,
    pub(super) line: Arc<Line>,
    pub(super) person: Person,
    /// The room of the URL, for frames that name none.
    pub(super) room: Option<RoomId>,
    seats: Mutex<HashMap<Channel, Arc<Seat>>>,
    token: Mutex<Token>,
    pub(super) enrolled: Enrolled,
    /// Rung when the token was renewed.
    pub(super) renewed: Notify,
}

/// The session's newest token.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) warrant: Warrant,
    /// The machine key that the next one is got with; without it the client has to bring it.
    pub(super) key: Option<Secret<String>>,
    /// Whether the client was told that it ends soon, or need not be.
    pub(super) is_warned: bool,
}

impl Token {
    pub(super) const fn new(warrant: Warrant, key: Option<Secret<String>>) -> Self {
        let is_warned = key.is_some();
        Self { warrant, key, is_warned }
    }
}

impl Session {
    /// The session of the socket `number`, which from now on is found by what ends its token.
    pub(super) fn new(
        node: Arc<Node>,
        number: u64,
        line: Arc<Line>,
        holder: Holder,
        room: Option<RoomId>,
    ) -> Self {
        let Holder { person, warrant, key } = holder;
        let enrolled = node.roll.enter(number, warrant.standing, &line);
        let token = Mutex::new(Token::new(warrant, key));
        let (seats, renewed) = (Mutex::default(), Notify::new());
        Self { node, line, person, room, seats, token, enrolled, renewed }
    }

    /// Whether what it is held by has been revoked.
    pub(super) fn is_revoked(&self) -> bool {
        let standing = self.token().warrant.standing;
        standing.is_some_and(|standing| standing.is_revoked(self.node.identity.revocations()))
    }

    /// Refuses what its token is not for.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Refusal> {
        self.token().warrant.require(scope)
    }

    /// The machine key that it is held by, where it is.
    pub(super) fn key(&self) -> Option<Secret<String>> {
        self.token().key.clone()
    }

    pub(super) fn hello(&self) {
        let ws = &self.node.config.ws;
        self.line.say(&ServerFrame::Hello(Hello {
            v: VERSION,
            conn: format!("c_{:012x}", self.node.random.below(1 << 48)),
            user_id: self.person.id,
            session_id: self.person.session,
            server: self.node.name.clone(),
            ping_ms: millis(ws.ping_interval),
            pong_ms: millis(ws.pong_timeout),
            max_frame: INBOUND_BYTES_MAX,
            max_channels: CHANNELS_MAX,
            time: self.node.clock.now(),
        }));
    }

    /// Reads, keeps time and writes on until there is a reason to end.
    pub(super) async fn run(&self, inbox: &mut Inbox) -> Ending {
        tokio::select! {
            ending = self.read(inbox) => ending,
            ending = self.keep_time() => ending,
            ending = self.keep_key() => ending,
            ending = self.write_on() => ending,
            ending = self.depart() => ending,
        }
    }

    /// Says `ack` where the request had an `id`.
    pub(super) fn acknowledge(&self, id: RequestId, done: Done) {
        if let Some(id) = id {
            self.line.say(&ServerFrame::Ack(Ack { id, done }));
        }
    }

    pub(super) fn seats(&self) -> MutexGuard<'_, HashMap<Channel, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn token(&self) -> MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leave(&self, channel: &Channel) {
        let seat = self.seats().remove(channel);
        if let Some(seat) = seat {
            self.node.hub.leave(&seat);
        }
    }

    async fn read(&self, inbox: &mut Inbox) -> Ending {
        let ws = &self.node.config.ws;
        let mut bucket = Bucket::new(ws.frames_per_second, ws.frames_burst, Instant::now());
        loop {
            let text = match inbox.next().await {
                Ok(text) => text,
                Err(ending) => return ending,
            };
            match bucket.spend(Instant::now()) {
                Ok(()) => self.handle(&text).await,
                Err(wait) => self.refuse_for_rate(&text, wait),
            }
        }
    }

    /// Goes on writing where the peer took nothing, as long as it does within bounds.
    async fn write_on(&self) -> Ending {
        loop {
            self.line.blocked().await;
            match timeout(self.node.config.ws.slow_timeout, self.line.drain()).await {
                Ok(Flushed::Drained | Flushed::Blocked) => {}
                Ok(Flushed::Broken) => return Ending::Gone,
                Err(_) => return Ending::Close(CloseCode::SlowConsumer),
            }
        }
    }

    /// When the node goes away: each socket in its own moment, so that the others are not stormed.
    async fn depart(&self) -> Ending {
        self.node.stop.drain_began().await;
        let window = millis(self.node.config.drain_window);
        let random = &self.node.random;
        sleep(std::time::Duration::from_millis(random.below(window))).await;
        let reconnect_after_ms = random.below(window);
        self.line.say(&ServerFrame::Bye { reason: ByeReason::Drain, reconnect_after_ms });
        Ending::Close(CloseCode::Draining)
    }
}

/// Whatever ends a session, its places are given back: the hub holds the socket open by them.
impl Drop for Session {
    fn drop(&mut self) {
        let seats = std::mem::take(&mut *self.seats());
        for seat in seats.values() {
            self.node.hub.leave(seat);
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
