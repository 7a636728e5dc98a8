//! Bodies about rooms and their members.

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::{RoomId, Timestamp, UserId};

/// What a room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoomKind {
    /// Any number of people.
    Group,
}

impl RoomKind {
    /// The word in bodies and columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
        }
    }
}

/// What a member may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Everything; the creator is one.
    Owner,
    /// Keeps order.
    Moderator,
    /// Talks.
    Member,
}

impl MemberRole {
    /// The word in bodies and columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Moderator => "moderator",
            Self::Member => "member",
        }
    }
}

/// `POST /api/chat/rooms`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRoom {
    /// The id, when the creator wants to choose it; judged as text so that the fault can be named.
    pub id: Option<String>,
    /// 1 to 80 characters.
    pub name: String,
    /// At most 500 characters.
    pub description: Option<String>,
    /// Hidden from everybody who is not a member.
    #[serde(default)]
    pub is_private: bool,
    /// Who is a member from the start, beside the creator.
    #[serde(default)]
    pub members: Vec<UserId>,
}

/// A room as its reader sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// What it is for.
    pub kind: RoomKind,
    /// Who made it.
    pub creator_id: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it is hidden from everybody who is not a member.
    pub is_private: bool,
    /// How many members it has.
    pub member_count: u64,
    /// How many people have it open; the message service, which has no sockets, leaves it `null`.
    pub online_members: Option<u64>,
    /// The number of its newest durable event.
    pub last_seq: u64,
    /// Messages that the caller has not read; `null` until receipts are kept.
    pub unread: Option<u64>,
    /// Its newest message; in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// Its members; where one room is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Member>>,
}

/// A member of a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// The username at the time of joining; `null` for one who was added by id.
    pub username: Option<String>,
    /// What he or she may do.
    pub role: MemberRole,
    /// Since when.
    pub joined_at: Timestamp,
    /// Whether he or she has the room open; the message service leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
}

/// `data` of `member.left`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberLeft {
    /// Who.
    pub user_id: UserId,
}

/// The answer to a command on a room that has nothing better to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// In plain words.
    pub message: String,
    /// The changed room, where there is one to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
}
