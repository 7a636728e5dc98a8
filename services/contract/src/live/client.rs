//! What a client may say.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Position;
use crate::{ClientId, MessageId};

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
    /// At most [`super::CHANNELS_MAX`].
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
    /// Most events to recover: [`super::RECOVERED_EVENTS_DEFAULT`] when absent.
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
    /// At most [`super::HISTORY_ITEMS_MAX`]; 50 when absent.
    pub limit: Option<u32>,
}
