//! Bodies about messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ClientId, MessageId, RoomId, Timestamp, UserId};

/// Most characters of a message's content.
pub const CONTENT_CHARS_MAX: usize = 8_000;

/// `POST /api/messages`; without `roomId`, which is in the path there,
/// `POST /api/chat/rooms/{id}/messages`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// The room, judged as text so that one of the wrong form is an unknown one.
    pub room_id: Option<String>,
    /// 1 to [`CONTENT_CHARS_MAX`] characters.
    pub content: String,
    /// Makes sending again harmless.
    pub client_id: Option<ClientId>,
    /// `text` when absent; 1 to 32 characters of `a-z0-9_.-`.
    pub message_type: Option<String>,
    /// The message in the same room that this one answers.
    pub parent_id: Option<MessageId>,
    /// When to send it. Scheduling is not served yet: present is refused.
    pub deliver_at: Option<Value>,
}

/// How far a message has come, for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageStatus {
    /// Stored.
    Sent,
}

/// A message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Where it was sent to.
    pub room_id: RoomId,
    /// Its number among all durable events of the room.
    pub seq: u64,
    /// Its number among the messages of the room, without gaps.
    pub n: u64,
    /// Who sent it.
    pub user_id: UserId,
    /// The sender's name at that time.
    pub username: String,
    /// The text.
    pub content: String,
    /// What the text is.
    pub message_type: String,
    /// The message that it answers.
    pub parent_id: Option<MessageId>,
    /// What its sender called it.
    pub client_id: Option<ClientId>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// Whether its content is gone.
    pub deleted: bool,
    /// Who reacted with what: empty until reactions are kept.
    pub reactions: Vec<Value>,
    /// How far it has come.
    pub status: MessageStatus,
}
