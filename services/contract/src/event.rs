//! What is rung on the bus and pushed to sockets: one durable event of one channel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::BadId;
use crate::{RoomId, Timestamp};

/// A log that can be subscribed to, written `room:<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Channel {
    /// A room's log.
    Room(RoomId),
}

impl Channel {
    /// The room, when this is a room's channel.
    #[must_use]
    pub const fn room(&self) -> &RoomId {
        let Self::Room(room) = self;
        room
    }
}

/// The channel of a room.
impl From<RoomId> for Channel {
    fn from(room: RoomId) -> Self {
        Self::Room(room)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "room:{room}"),
        }
    }
}

impl FromStr for Channel {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (class, id) = text.split_once(':').ok_or(BadId)?;
        match class {
            "room" => id.parse().map(Self::Room),
            _ => Err(BadId),
        }
    }
}

impl TryFrom<String> for Channel {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Channel> for String {
    fn from(channel: Channel) -> Self {
        channel.to_string()
    }
}

/// The closed set of durable events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// A message was sent; `data` is the message.
    #[serde(rename = "message.created")]
    MessageCreated,
    /// Somebody became a member; `data` is the member.
    #[serde(rename = "member.joined")]
    MemberJoined,
    /// Somebody is no member any more; `data` is who.
    #[serde(rename = "member.left")]
    MemberLeft,
}

impl EventKind {
    /// The word on the wire and in the log's column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageCreated => "message.created",
            Self::MemberJoined => "member.joined",
            Self::MemberLeft => "member.left",
        }
    }
}

impl FromStr for EventKind {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        [Self::MessageCreated, Self::MemberJoined, Self::MemberLeft]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(BadId)
    }
}

/// One durable event. `(epoch, seq)` is its position: `seq` starts at 1 and has no gaps, `epoch`
/// changes only when the log lost its tail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// The log that it stands in.
    pub channel: Channel,
    /// Which life of that log.
    pub epoch: String,
    /// Its number in that log.
    pub seq: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When it was stored.
    pub ts: Timestamp,
    /// The thing that it happened to, kept as the bytes that the store wrote.
    pub data: Box<RawValue>,
}
