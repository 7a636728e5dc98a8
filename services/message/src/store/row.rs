//! Columns to contract types. What cannot be read is a broken store, never a guess.

use chassis::database::Row;
use contract::message::{Message, MessageStatus};
use contract::room::{Member, MemberRole, Room, RoomKind};
use contract::{ClientId, EventKind, MessageId, RoomId, Timestamp, UserId};
use uuid::Uuid;

use crate::store::Error;

/// The columns that [`message`] reads, of the table called `m`.
macro_rules! message_columns {
    () => {
        "m.id AS m_id, m.room_id AS m_room_id, m.seq AS m_seq, m.n AS m_n, \
         m.user_id AS m_user_id, m.username AS m_username, m.content AS m_content, \
         m.message_type AS m_message_type, m.parent_id AS m_parent_id, \
         m.client_id AS m_client_id, m.created_at AS m_created_at"
    };
}
pub(crate) use message_columns;

/// The columns that [`room`] reads, of the table called `r`.
macro_rules! room_columns {
    () => {
        "r.id AS r_id, r.name AS r_name, r.description AS r_description, r.kind AS r_kind, \
         r.creator_id AS r_creator_id, r.is_private AS r_is_private, \
         r.created_at AS r_created_at, r.head_seq AS r_head_seq, \
         r.member_count AS r_member_count"
    };
}
pub(crate) use room_columns;

pub(crate) fn message(row: &Row) -> Result<Message, Error> {
    Ok(Message {
        id: MessageId(uuid(row, "m_id")?),
        room_id: room_id(row, "m_room_id")?,
        seq: number(row, "m_seq")?,
        n: number(row, "m_n")?,
        user_id: UserId(uuid(row, "m_user_id")?),
        username: row.get("m_username")?,
        content: row.get("m_content")?,
        message_type: row.get("m_message_type")?,
        parent_id: optional_uuid(row, "m_parent_id")?.map(MessageId),
        client_id: optional_uuid(row, "m_client_id")?.map(ClientId),
        created_at: time(row, "m_created_at")?,
        edited_at: None,
        deleted: false,
        reactions: Vec::new(),
        status: MessageStatus::Sent,
    })
}

/// The message of a joined row; `None` when the join found none.
pub(crate) fn joined_message(row: &Row) -> Result<Option<Message>, Error> {
    optional_uuid(row, "m_id")?.is_some().then(|| message(row)).transpose()
}

pub(crate) fn room(row: &Row) -> Result<Room, Error> {
    Ok(Room {
        id: room_id(row, "r_id")?,
        name: row.get("r_name")?,
        description: row.get("r_description")?,
        kind: kind(row.get("r_kind")?)?,
        creator_id: UserId(uuid(row, "r_creator_id")?),
        created_at: time(row, "r_created_at")?,
        is_private: row.get("r_is_private")?,
        member_count: number(row, "r_member_count")?,
        online_members: None,
        last_seq: number(row, "r_head_seq")?,
        unread: None,
        last_message: None,
        members: None,
    })
}

/// A member, from the columns `user_id`, `username`, `role` and `joined_at`.
pub(crate) fn member(row: &Row) -> Result<Member, Error> {
    Ok(Member {
        user_id: UserId(uuid(row, "user_id")?),
        username: row.get("username")?,
        role: role(row.get("role")?)?,
        joined_at: time(row, "joined_at")?,
        online: None,
    })
}

pub(crate) fn kind(word: &str) -> Result<RoomKind, Error> {
    let known = [RoomKind::Group].into_iter().find(|kind| kind.as_str() == word);
    known.ok_or(Error::Corrupt("kind"))
}

pub(crate) fn role(word: &str) -> Result<MemberRole, Error> {
    let roles = [MemberRole::Owner, MemberRole::Moderator, MemberRole::Member];
    roles.into_iter().find(|role| role.as_str() == word).ok_or(Error::Corrupt("role"))
}

pub(crate) fn event_kind(row: &Row, column: &'static str) -> Result<EventKind, Error> {
    row.get::<&str>(column)?.parse().map_err(|_| Error::Corrupt(column))
}

pub(crate) fn room_id(row: &Row, column: &'static str) -> Result<RoomId, Error> {
    row.get::<&str>(column)?.parse().map_err(|_| Error::Corrupt(column))
}

pub(crate) fn uuid(row: &Row, column: &'static str) -> Result<Uuid, Error> {
    optional_uuid(row, column)?.ok_or(Error::Corrupt(column))
}

fn optional_uuid(row: &Row, column: &'static str) -> Result<Option<Uuid>, Error> {
    Ok(row.get(column)?)
}

/// Numbers never are below zero; the engines have only signed ones.
pub(crate) fn number(row: &Row, column: &'static str) -> Result<u64, Error> {
    u64::try_from(row.get::<i64>(column)?).map_err(|_| Error::Corrupt(column))
}

pub(crate) fn time(row: &Row, column: &'static str) -> Result<Timestamp, Error> {
    Ok(Timestamp(row.get(column)?))
}

/// A number for a column; beyond the engines' range there is nothing stored.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
