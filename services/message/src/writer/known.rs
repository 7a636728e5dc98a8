//! What the transaction found about what its commands name, and how one event after the other
//! changes it.

use std::collections::{HashMap, HashSet};

use contract::message::{Message, MessageStatus};
use contract::room::{Member, MemberLeft, MemberRole, Room, RoomKind};
use contract::{ClientId, EventKind, MessageId, RoomId, Timestamp, UserId};
use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::command::{Author, Draft, NewRoom};
use crate::error::Error;
use crate::writer::plan::Entry;

/// What the store holds about everything that the commands of a batch name.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) rooms: HashMap<RoomId, KnownRoom>,
    /// Messages that were sent under the client ids in question.
    pub(crate) sent: HashMap<(UserId, ClientId), Message>,
    /// Where the messages are that are being answered.
    pub(crate) parents: HashMap<MessageId, RoomId>,
    /// Those among the people in question whose accounts are no more.
    pub(crate) departed: HashSet<UserId>,
}

/// A room with those of its members who are in question.
#[derive(Debug)]
pub(crate) struct KnownRoom {
    pub(crate) room: Room,
    pub(crate) message_count: u64,
    pub(crate) last_message_seq: u64,
    pub(crate) active_at: Timestamp,
    pub(crate) members: HashMap<UserId, Member>,
    pub(crate) origin: Origin,
    /// Whose membership changes.
    pub(crate) touched: HashSet<UserId>,
}

/// Where a room was before the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the store, with this head.
    Stored { head: u64 },
    /// The batch makes it.
    Made,
}

impl KnownRoom {
    /// A room as the store has it.
    pub(crate) fn stored(
        room: Room,
        message_count: u64,
        last_message_seq: u64,
        active_at: Timestamp,
    ) -> Self {
        Self {
            origin: Origin::Stored { head: room.last_seq },
            room,
            message_count,
            last_message_seq,
            active_at,
            members: HashMap::new(),
            touched: HashSet::new(),
        }
    }

    /// The room once what was changed is stored.
    pub(crate) fn settled(mut self) -> Self {
        self.origin = Origin::Stored { head: self.room.last_seq };
        self.touched.clear();
        self
    }

    pub(crate) fn made(id: RoomId, creator: UserId, new: &NewRoom, now: Timestamp) -> Self {
        let room = Room {
            id,
            name: new.name.clone().into(),
            description: new.description.clone().map(Into::into),
            kind: RoomKind::Group,
            creator_id: creator,
            created_at: now,
            is_private: new.is_private,
            member_count: 0,
            online_members: None,
            last_seq: 0,
            unread: None,
            last_message: None,
            members: None,
        };
        Self { origin: Origin::Made, ..Self::stored(room, 0, 0, now) }
    }

    /// The message that would come next.
    pub(crate) fn message(
        &self,
        id: MessageId,
        author: &Author,
        draft: &Draft,
        now: Timestamp,
    ) -> Message {
        Message {
            id,
            room_id: draft.room.clone(),
            seq: self.room.last_seq + 1,
            n: self.message_count + 1,
            user_id: author.id,
            username: author.name.to_string(),
            content: draft.content.as_str().to_owned(),
            message_type: draft.kind.as_str().to_owned(),
            parent_id: draft.parent,
            client_id: draft.client,
            created_at: now,
            edited_at: None,
            deleted: false,
            reactions: Vec::new(),
            status: MessageStatus::Sent,
        }
    }

    /// The event that would come next.
    pub(crate) fn entry<T: Serialize>(
        &self,
        kind: EventKind,
        ts: Timestamp,
        of: &T,
    ) -> Result<Entry, Error> {
        let seq = self.room.last_seq + 1;
        let message_seq = (kind == EventKind::MessageCreated).then_some(seq);
        let data = to_raw_value(of)?;
        Ok(Entry { room: self.room.id.clone(), seq, kind, ts, data, message_seq })
    }

    /// Takes the entry as the newest.
    pub(crate) fn append(&mut self, entry: Entry) -> Entry {
        self.room.last_seq = entry.seq;
        if let Some(seq) = entry.message_seq {
            self.message_count += 1;
            self.last_message_seq = seq;
            self.active_at = entry.ts;
        }
        entry
    }

    pub(crate) fn join(
        &mut self,
        id: UserId,
        name: Option<String>,
        now: Timestamp,
    ) -> Result<Entry, Error> {
        let owns = id == self.room.creator_id;
        let role = if owns { MemberRole::Owner } else { MemberRole::Member };
        let member = Member { user_id: id, username: name, role, joined_at: now, online: None };
        let entry = self.entry(EventKind::MemberJoined, now, &member)?;
        self.members.insert(id, member);
        self.touched.insert(id);
        self.room.member_count += 1;
        Ok(self.append(entry))
    }

    pub(crate) fn leave(&mut self, id: UserId, now: Timestamp) -> Result<Entry, Error> {
        let entry = self.entry(EventKind::MemberLeft, now, &MemberLeft { user_id: id })?;
        self.members.remove(&id);
        self.touched.insert(id);
        self.room.member_count = self.room.member_count.saturating_sub(1);
        Ok(self.append(entry))
    }
}
