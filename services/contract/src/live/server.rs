//! What a client is told.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Position;
use crate::internal::LogEvent;
use crate::message::Message;
use crate::{Channel, EventKind, Kind, SessionId, Timestamp, UserId, event};

/// A frame to a client.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum ServerFrame {
    /// The first frame after authentication.
    Hello(Hello),
    /// On a room's own URL: it is subscribed.
    Subscribed {
        /// Shaped like the answer to `sub`.
        chs: Vec<Subscribed>,
    },
    /// It was done.
    Ack(Ack),
    /// It was not.
    Err(Fault),
    /// A durable event.
    Event(Pushed),
    /// Events of this channel were dropped: subscribe again from where you are.
    Lagged {
        /// Which channel.
        ch: Channel,
        /// Its newest event.
        head: u64,
    },
    /// The channel may not be read any more.
    Unsubscribed {
        /// Which channel.
        ch: Channel,
        /// Why.
        code: Kind,
    },
    /// The token dies soon: send `auth` with a fresh one.
    #[serde(rename_all = "camelCase")]
    TokenExpiring {
        /// How soon; 0 when it is dead already.
        in_ms: u64,
    },
    /// This node is going away.
    #[serde(rename_all = "camelCase")]
    Bye {
        /// Why.
        reason: ByeReason,
        /// How long to wait before connecting again.
        reconnect_after_ms: u64,
    },
    /// Asks for a `pong`.
    Ping {
        /// The newest event of each quiet channel, so that a lost one is noticed.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        heads: BTreeMap<Channel, u64>,
    },
    /// Answers a `ping`.
    Pong {
        /// The `id` of that `ping`.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
}

/// Why a node goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ByeReason {
    /// It is being stopped or replaced.
    Drain,
}

/// `hello`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`super::VERSION`].
    pub v: u32,
    /// Names this socket in logs.
    pub conn: String,
    /// As whom the caller is known.
    pub user_id: UserId,
    /// In which session; `null` for a service that acts for the user.
    pub session_id: Option<SessionId>,
    /// The node's name.
    pub server: String,
    /// How often `ping` comes.
    pub ping_ms: u64,
    /// How long after a `ping` silence is taken for death.
    pub pong_ms: u64,
    /// [`super::INBOUND_BYTES_MAX`].
    pub max_frame: usize,
    /// [`super::CHANNELS_MAX`].
    pub max_channels: usize,
    /// The node's clock.
    pub time: Timestamp,
}

/// `ack`.
#[derive(Debug, Serialize)]
pub struct Ack {
    /// The request's.
    pub id: u64,
    /// The fields of its operation.
    #[serde(flatten)]
    pub done: Done,
}

/// What an `ack` says, by operation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Done {
    /// To `auth`.
    Auth {
        /// When the token dies.
        exp: Timestamp,
    },
    /// To `sub`.
    Sub {
        /// In the order of the request.
        chs: Vec<Subscribed>,
    },
    /// To `send`: only after the commit that holds it.
    Send {
        /// As stored.
        message: Box<Message>,
        /// Its number among the events of the room.
        seq: u64,
        /// Its number among the messages of the room.
        n: u64,
        /// Whether it was there already.
        dup: bool,
    },
    /// To `history`.
    #[serde(rename_all = "camelCase")]
    History {
        /// Ascending.
        items: Vec<Message>,
        /// The channel's position, read before the messages: subscribe from here.
        as_of: Position,
        /// Whether there are more in the direction that was asked for.
        more: bool,
    },
    /// To what has nothing to say: `unsub`.
    Plain {},
}

/// What became of one channel of a `sub`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Subscribed {
    /// It is subscribed.
    Here(Box<Joined>),
    /// It is not.
    Refused {
        /// As the client spelled it.
        ch: String,
        /// Why not.
        err: Reason,
    },
}

/// A subscribed channel.
#[derive(Debug, Serialize)]
pub struct Joined {
    /// Which.
    pub ch: Channel,
    /// Which life of its log.
    pub epoch: String,
    /// The position from which events are pushed.
    pub head: u64,
    /// `null` when no position was given; `false`: load the history, nothing was recovered.
    pub recovered: Option<bool>,
    /// Every change after the given position, in order; none when not recovered.
    pub events: Vec<LogEvent>,
    /// How far everybody has read, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<BTreeMap<UserId, u64>>,
    /// How far everybody has received, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<BTreeMap<UserId, u64>>,
    /// Who is there, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Vec<Value>>,
}

/// Why one channel was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A kind of the problem catalogue.
    pub code: Kind,
    /// Its status.
    pub status: u16,
}

impl From<Kind> for Reason {
    fn from(code: Kind) -> Self {
        Self { code, status: code.status() }
    }
}

/// `err`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The request's; absent when it had none, or none that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// A kind of the problem catalogue.
    pub code: Kind,
    /// Its status.
    pub status: u16,
    /// What the caller can do about this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether the same frame may succeed later.
    pub retry: bool,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// `event`.
#[derive(Debug, Serialize)]
pub struct Pushed {
    /// Which channel.
    pub ch: Channel,
    /// Its number there.
    pub seq: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When it was stored.
    pub ts: Timestamp,
    /// The thing that it happened to.
    pub data: Box<serde_json::value::RawValue>,
}

impl From<&event::Event> for Pushed {
    fn from(event: &event::Event) -> Self {
        let event::Event { channel, epoch: _, seq, kind, ts, data } = event;
        Self { ch: channel.clone(), seq: *seq, kind: *kind, ts: *ts, data: data.clone() }
    }
}
