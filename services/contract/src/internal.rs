//! Bodies of the calls between the parts, which the gateway never routes.

pub mod accounts;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::Message;
use crate::room::{MemberRole, RoomKind};
use crate::{Channel, Event, Problem, Timestamp};
use crate::{ClientId, EventKind, MessageId, SessionId, UserId};

/// Most items of one batch.
pub const BATCH_ITEMS_MAX: usize = 256;
/// Most channels of one question for heads.
pub const HEADS_CHANNELS_MAX: usize = 1_000;

/// `POST /internal/messages/batch`. Each item is read by itself, so that a bad one harms no other:
/// it is a [`BatchItem`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch<T = Box<RawValue>> {
    /// At most [`BATCH_ITEMS_MAX`].
    pub items: Vec<T>,
}

/// What an item wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchOp {
    /// A new message.
    Send,
}

/// One command of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItem {
    /// What to do.
    pub op: BatchOp,
    /// For whom.
    pub user_id: UserId,
    /// That user's name.
    pub username: String,
    /// That user's session.
    pub session_id: Option<SessionId>,
    /// Where, judged as text so that an id of the wrong form is an unknown room.
    pub room_id: String,
    /// Makes sending again harmless.
    pub client_id: Option<ClientId>,
    /// See [`crate::message::SendMessage::content`].
    pub content: String,
    /// See [`crate::message::SendMessage::message_type`].
    pub message_type: Option<String>,
    /// See [`crate::message::SendMessage::parent_id`].
    pub parent_id: Option<MessageId>,
    /// See [`crate::message::SendMessage::deliver_at`].
    pub deliver_at: Option<serde_json::Value>,
}

/// The answer to a batch, in the order of its items.
#[derive(Debug, Serialize, Deserialize)]
pub struct BatchResults {
    /// As many as there were items.
    pub results: Vec<BatchResult>,
}

/// What became of one item.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BatchResult {
    /// It is stored.
    Stored {
        /// 201 when it is new, 200 when it was there already.
        status: u16,
        /// The message as stored.
        message: Box<Message>,
        /// Its number among the events of the room.
        seq: u64,
        /// Its number among the messages of the room.
        n: u64,
        /// Whether it was there already.
        dup: bool,
    },
    /// It is not.
    Refused {
        /// The problem's status.
        status: u16,
        /// Why.
        problem: Box<Problem>,
    },
}

/// `POST /internal/heads`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeadsQuery {
    /// At most [`HEADS_CHANNELS_MAX`].
    pub channels: Vec<Channel>,
}

/// The newest position of every channel that was asked for and exists.
pub type Heads = BTreeMap<Channel, Head>;

/// The newest position of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which life of the log.
    pub epoch: String,
    /// The number of the newest event; 0 when there is none.
    pub head: u64,
}

/// Query of `GET /internal/log`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogQuery {
    /// Which log.
    pub channel: Channel,
    /// Events after this number.
    pub after: u64,
    /// The life of the log that `after` belongs to; absent: whatever it is now.
    pub epoch: Option<String>,
    /// Most events; 500 when absent, at most 2,000.
    pub limit: Option<u32>,
}

/// The answer: every change after the asked position, or none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Log {
    /// Which life of the log.
    pub epoch: String,
    /// The newest number, read before the events.
    pub head: u64,
    /// Whether `events` is everything after the asked position.
    pub recovered: bool,
    /// In order; empty when not recovered.
    pub events: Vec<LogEvent>,
}

/// An event inside an answer that already names the channel and the epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEvent {
    /// Its number.
    pub seq: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When it was stored.
    pub ts: Timestamp,
    /// The thing that it happened to.
    pub data: Box<RawValue>,
}

/// Query of `GET /internal/rooms/{id}/access`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessQuery {
    /// Whose access.
    pub user_id: UserId,
}

/// What a user may do with a room; a room that does not exist is 404.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Whether he or she is a member.
    pub member: bool,
    /// As what.
    pub role: Option<MemberRole>,
    /// What the room is for.
    pub kind: RoomKind,
    /// Whether it is hidden from everybody who is not a member.
    pub is_private: bool,
    /// Whether he or she was put out for good.
    pub banned: bool,
}

impl Access {
    /// Whether he or she may read and subscribe: a public room is open to whoever is not banned.
    #[must_use]
    pub const fn may_read(&self) -> bool {
        !self.banned && (self.member || !self.is_private)
    }
}

/// `POST /internal/rings`: events from a message service that shares no bus with the chat service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rings {
    /// At most [`BATCH_ITEMS_MAX`], in order.
    pub events: Vec<Event>,
}

/// The payload of the subjects `room.{id}` of NATS, which name the channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ring<'a> {
    /// Which life of the log.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    /// Its number in that log.
    pub seq: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When it was stored.
    pub ts: Timestamp,
    /// The thing that it happened to.
    #[serde(borrow)]
    pub data: &'a RawValue,
}
