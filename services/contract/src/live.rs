//! Frames of the live protocol `chat.v1.json`: one JSON object per text frame, `op` says which.
//!
//! A request carries an `id` that its client chose and gets exactly one `ack` or `err` with it;
//! pushes carry none. Requests are read in two steps, so that a fault inside a frame can be
//! answered with its `id`: first the [`Envelope`], then the fields of its [`Op`].

mod client;
mod server;

use serde::{Deserialize, Serialize};

pub use client::{Auth, Envelope, History, Op, Send, Sub, SubChannel, Unsub, With};
pub use server::{
    Ack, ByeReason, Done, Fault, Hello, Joined, Pushed, Reason, ServerFrame, Subscribed,
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
    /// The session was ended, or the machine key deleted.
    Revoked = 4410,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::{Channel, Kind, event};

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
