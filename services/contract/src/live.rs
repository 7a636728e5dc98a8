//! Frames of the live protocol `chat.v1.json`: one JSON object per text frame, `op` says which.
//!
//! A request carries an `id` that its client chose and gets exactly one `ack` or `err` with it;
//! pushes carry none. Requests are read in two steps, so that a fault inside a frame can be
//! answered with its `id`: first the [`Envelope`], then the fields of its [`Op`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::internal::LogEvent;
use crate::message::Message;
use crate::{
    Channel, ClientId, EventKind, Kind, MessageId, RoomId, SessionId, Timestamp, UserId, event,
};

/// The subprotocol: the only one that is ever agreed to.
pub const SUBPROTOCOL: &str = "chat.v1.json";
/// Before the base64url of an access token among the subprotocols that a browser asks for.
pub const BEARER_PREFIX: &str = "bearer.";
/// The version that `hello` names.
pub const VERSION: u32 = 1;
/// Most bytes of a message from a client.
pub const INBOUND_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a frame to a client.
pub const OUTBOUND_BYTES_MAX: usize = 1024 * 1024;
/// Most channels of one socket, and of one `sub`.
pub const CHANNELS_MAX: usize = 256;
/// Most messages in one answer to `history`.
pub const HISTORY_ITEMS_MAX: u32 = 100;
/// Events that a recovery may bring when the client does not say.
pub const RECOVERED_EVENTS_DEFAULT: u32 = 500;
/// Events that a recovery may bring at most.
pub const RECOVERED_EVENTS_MAX: u32 = 2_000;

/// Why a socket was closed. 44xx: do not retry unchanged; 45xx: back off and resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// Nothing is wrong (RFC 6455 section 7.4.1, like the next three).
    Normal = 1000,
    /// The peer broke RFC 6455.
    Protocol = 1002,
    /// Text that is no UTF-8.
    NotUtf8 = 1007,
    /// More than [`INBOUND_BYTES_MAX`].
    TooBig = 1009,
    /// A binary frame.
    BadFrame = 4400,
    /// Not, or no longer, authenticated.
    Unauthenticated = 4401,
    /// Known, and not allowed.
    Forbidden = 4403,
    /// No such room, or none to be seen.
    NotFound = 4404,
    /// A subprotocol that is not spoken here.
    Subprotocol = 4406,
    /// The user has too many sockets open.
    TooManySockets = 4409,
    /// A fault of ours.
    Internal = 4500,
    /// This node is going away.
    Draining = 4503,
    /// Nothing was heard for too long.
    Silent = 4504,
    /// What was queued was not taken.
    SlowConsumer = 4508,
}

impl CloseCode {
    /// The number in the close frame.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self as u16
    }
}

/// Where a client stands in a channel's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which life of the log.
    pub epoch: String,
    /// The last event that was applied.
    pub seq: u64,
}

/// What every frame of a client has: read first.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// Chosen by the client, above zero; without it there is no answer to a success.
    pub id: Option<u64>,
    /// Which operation; judged as text so that an unknown one can be told from a broken frame.
    #[serde(borrow)]
    pub op: Option<Cow<'a, str>>,
}

/// What a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Says who is calling, or renews that: [`Auth`].
    Auth,
    /// Subscribes: [`Sub`].
    Sub,
    /// Unsubscribes: [`Unsub`].
    Unsub,
    /// Sends a message: [`Send`].
    Send,
    /// Reads a page of messages: [`History`].
    History,
    /// Asks for a `pong`.
    Ping,
    /// Answers a `ping`.
    Pong,
}

impl Op {
    /// The operation of that name, if there is one.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Some(match name {
            "auth" => Self::Auth,
            "sub" => Self::Sub,
            "unsub" => Self::Unsub,
            "send" => Self::Send,
            "history" => Self::History,
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            _ => return None,
        })
    }
}

/// `auth`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Auth {
    /// An access token.
    pub token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(***)")
    }
}

/// `sub`: many channels in `chs`, or one spelled out beside it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sub {
    /// At most [`CHANNELS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chs: Vec<SubChannel>,
    /// The one channel, when `chs` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ch: Option<String>,
    /// See [`SubChannel::since`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Position>,
    /// See [`SubChannel::limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// See [`SubChannel::with`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<With>,
}

/// One channel of a `sub`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SubChannel {
    /// Its name, judged as text so that one of the wrong form is an unknown one.
    pub ch: String,
    /// The position to go on from; absent: from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Position>,
    /// Most events to recover: [`RECOVERED_EVENTS_DEFAULT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// What to tell beside the events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<With>,
}

/// What a subscriber may want beside the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum With {
    /// Who is there.
    Presence,
    /// Who is typing.
    Typing,
    /// How far everybody has read.
    Receipts,
    /// Something that a newer client knows.
    #[serde(other)]
    Unknown,
}

/// `unsub`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Unsub {
    /// Which channel; may be left out on a room's own URL.
    pub ch: Option<String>,
}

/// `send`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Send {
    /// Where to; may be left out on a room's own URL.
    pub ch: Option<String>,
    /// Makes sending again harmless; may be left out in the short form alone.
    pub client_id: Option<ClientId>,
    /// See [`crate::message::SendMessage::content`].
    pub content: Option<String>,
    /// The same, as older clients spell it in the short form.
    pub text: Option<String>,
    /// See [`crate::message::SendMessage::message_type`].
    pub message_type: Option<String>,
    /// See [`crate::message::SendMessage::parent_id`].
    pub parent_id: Option<MessageId>,
    /// See [`crate::message::SendMessage::deliver_at`].
    pub deliver_at: Option<Value>,
}

/// `history`: before or after an event, or the newest page.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct History {
    /// Which channel; may be left out on a room's own URL.
    pub ch: Option<String>,
    /// Messages with a smaller `seq`.
    pub before: Option<u64>,
    /// Messages with a larger `seq`.
    pub after: Option<u64>,
    /// At most [`HISTORY_ITEMS_MAX`]; 50 when absent.
    pub limit: Option<u32>,
}

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
    /// [`VERSION`].
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
    /// [`INBOUND_BYTES_MAX`].
    pub max_frame: usize,
    /// [`CHANNELS_MAX`].
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

/// The channel of a room.
impl From<RoomId> for Channel {
    fn from(room: RoomId) -> Self {
        Self::Room(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(frame: &ServerFrame) -> Value {
        serde_json::to_value(frame).unwrap()
    }

    #[test]
    fn a_request_is_read_in_two_steps() {
        let text = r#"{"id":1,"op":"sub","chs":[{"ch":"room:general",
            "since":{"epoch":"k3f9","seq":118},"with":["typing","presence","receipts","new"]},
            {"ch":"room:b"}],"extra":true}"#;
        let envelope: Envelope<'_> = serde_json::from_str(text).unwrap();
        assert_eq!((envelope.id, Op::find(&envelope.op.unwrap())), (Some(1), Some(Op::Sub)));
        let sub: Sub = serde_json::from_str(text).unwrap();
        assert_eq!(sub.chs.len(), 2);
        assert_eq!(sub.chs[0].since, Some(Position { epoch: "k3f9".to_owned(), seq: 118 }));
        assert_eq!(sub.chs[0].with, [With::Typing, With::Presence, With::Receipts, With::Unknown]);
        assert_eq!(Op::find("fly"), None);
    }

    #[test]
    fn an_ack_has_its_fields_beside_the_id() {
        let frame = ServerFrame::Ack(Ack { id: 3, done: Done::Plain {} });
        assert_eq!(json(&frame), serde_json::json!({"op": "ack", "id": 3}));
        let refused = Subscribed::Refused { ch: "x".to_owned(), err: Kind::NotFound.into() };
        let frame = ServerFrame::Ack(Ack { id: 1, done: Done::Sub { chs: vec![refused] } });
        assert_eq!(
            json(&frame),
            serde_json::json!({"op": "ack", "id": 1,
                "chs": [{"ch": "x", "err": {"code": "not-found", "status": 404}}]})
        );
    }

    #[test]
    fn a_channel_without_a_position_is_recovered_null() {
        let joined = Joined {
            ch: "room:a".parse().unwrap(),
            epoch: "e".to_owned(),
            head: 5,
            recovered: None,
            events: Vec::new(),
            reads: Some(BTreeMap::new()),
            delivered: Some(BTreeMap::new()),
            presence: None,
        };
        assert_eq!(
            json(&ServerFrame::Subscribed { chs: vec![Subscribed::Here(Box::new(joined))] }),
            serde_json::json!({"op": "subscribed", "chs": [{"ch": "room:a", "epoch": "e", "head": 5,
                "recovered": null, "events": [], "reads": {}, "delivered": {}}]})
        );
    }

    #[test]
    fn pushes_are_spelled_as_in_the_protocol() {
        let ch: Channel = "room:hot".parse().unwrap();
        assert_eq!(
            json(&ServerFrame::Lagged { ch: ch.clone(), head: 90_210 }),
            serde_json::json!({"op": "lagged", "ch": "room:hot", "head": 90_210})
        );
        assert_eq!(
            json(&ServerFrame::Bye { reason: ByeReason::Drain, reconnect_after_ms: 3471 }),
            serde_json::json!({"op": "bye", "reason": "drain", "reconnectAfterMs": 3471})
        );
        assert_eq!(
            json(&ServerFrame::TokenExpiring { in_ms: 60_000 }),
            serde_json::json!({"op": "tokenExpiring", "inMs": 60_000})
        );
        assert_eq!(
            json(&ServerFrame::Ping { heads: BTreeMap::from([(ch, 7)]) }),
            serde_json::json!({"op": "ping", "heads": {"room:hot": 7}})
        );
    }

    #[test]
    fn an_event_keeps_the_bytes_of_the_store() {
        let event: event::Event = serde_json::from_str(
            r#"{"channel":"room:a","epoch":"e","seq":2,"type":"message.created",
                "ts":"2026-11-20T17:00:00.123Z","data":{"z":1,"a":2}}"#,
        )
        .unwrap();
        let text = serde_json::to_string(&ServerFrame::Event((&event).into())).unwrap();
        assert_eq!(
            text,
            r#"{"op":"event","ch":"room:a","seq":2,"type":"message.created","ts":"2026-11-20T17:00:00.123Z","data":{"z":1,"a":2}}"#
        );
    }
}
