//! Answers questions about conversations: first whether the caller may know, then what.
//! Changes nothing and never waits for the writer.

use std::collections::BTreeMap;

use contract::internal::{Access, Head, Heads, Log};
use contract::message::Message;
use contract::room::{MemberRole, Room};
use contract::{Channel, MessageId, RoomId, UserId};

use crate::error::Error;
use crate::store::Store;
use crate::store::messages::Page;
use crate::store::rooms::{Cursor, Scope};

/// Most members that are shown with a room: those who have been there longest.
const MEMBERS_SHOWN_MAX: u32 = 1_000;

/// Who may read what, over the store.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    store: Store,
}

/// What a list of rooms is asked for.
#[derive(Debug)]
pub(crate) struct RoomSearch {
    pub(crate) scope: Scope,
    /// What the name or id has in it; empty: any.
    pub(crate) part: String,
    pub(crate) place: Cursor,
    pub(crate) limit: u32,
}

/// A page of rooms.
#[derive(Debug)]
pub(crate) struct RoomPage {
    pub(crate) rooms: Vec<Room>,
    /// Where the next page begins, when there is one.
    pub(crate) next: Option<Cursor>,
}

/// Which part of a room's log is asked for.
#[derive(Debug)]
pub(crate) struct LogPart {
    pub(crate) room: RoomId,
    pub(crate) after: u64,
    /// The life of the log that `after` belongs to; absent: this one.
    pub(crate) epoch: Option<String>,
    pub(crate) limit: u32,
}

impl Reading {
    pub(crate) fn of(store: Store) -> Self {
        Self { store }
    }

    /// The room with its members.
    pub(crate) async fn room(&self, user: UserId, id: &RoomId) -> Result<Room, Error> {
        let room = self.visible(user, id).await?;
        let members = self.store.members(id, MEMBERS_SHOWN_MAX).await?;
        Ok(Room { members: Some(members), ..room })
    }

    /// Public rooms and the caller's own, latest activity first.
    pub(crate) async fn rooms(&self, user: UserId, search: RoomSearch) -> Result<RoomPage, Error> {
        let RoomSearch { scope, part, place, limit } = search;
        // One more than wanted tells whether there is a next page.
        let mut listed = self.store.rooms(user, scope, &part, &place, limit + 1).await?;
        let more = listed.len() > limit as usize;
        listed.truncate(limit as usize);
        let next = listed.last().filter(|_| more).map(|last| last.place.clone());
        Ok(RoomPage { rooms: listed.into_iter().map(|listed| listed.room).collect(), next })
    }

    /// A page of a room's history.
    pub(crate) async fn history(
        &self,
        user: UserId,
        room: &RoomId,
        page: Page,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        self.visible(user, room).await?;
        Ok(self.store.page(room, page, limit).await?)
    }

    pub(crate) async fn message(&self, user: UserId, id: MessageId) -> Result<Message, Error> {
        self.store.find_message(id, user).await?.ok_or(Error::NoSuchMessage)
    }

    /// The newest positions of those channels that exist.
    pub(crate) async fn heads(&self, channels: &[Channel]) -> Result<Heads, Error> {
        let rooms: Vec<_> = channels.iter().map(Channel::room).collect();
        let heads = self.store.heads(&rooms).await?.into_iter();
        let head = |head| Head { epoch: self.store.epoch().to_owned(), head };
        Ok(heads.map(|(room, seq)| (Channel::Room(room), head(seq))).collect::<BTreeMap<_, _>>())
    }

    /// Every change after a position, or none: another life of the log, a position that does not
    /// exist or is older than the log, and too many changes cannot be recovered.
    pub(crate) async fn log(&self, part: &LogPart) -> Result<Log, Error> {
        let head = self.store.heads(&[&part.room]).await?.pop();
        let Some((_, head)) = head else { return Err(Error::NoSuchRoom) };
        let epoch = self.store.epoch().to_owned();
        let lost = Log { epoch, head, recovered: false, events: Vec::new() };
        if part.epoch.as_ref().is_some_and(|epoch| *epoch != lost.epoch) || part.after > head {
            return Ok(lost);
        }
        let events = self.store.events(&part.room, part.after, head, part.limit + 1).await?;
        // Too many, or some that the log no longer has.
        if events.len() > part.limit as usize || events.len() as u64 != head - part.after {
            return Ok(lost);
        }
        Ok(Log { recovered: true, events, ..lost })
    }

    /// What `user` may do with the room. For services, which may know of every room.
    pub(crate) async fn access(&self, user: UserId, id: &RoomId) -> Result<Access, Error> {
        let (room, role) = self.find(user, id).await?;
        Ok(Access {
            member: role.is_some(),
            role,
            kind: room.kind,
            is_private: room.is_private,
            banned: false,
        })
    }

    /// The room, if `user` may know of it.
    async fn visible(&self, user: UserId, id: &RoomId) -> Result<Room, Error> {
        match self.find(user, id).await? {
            (room, None) if room.is_private => Err(Error::NoSuchRoom),
            (room, _) => Ok(room),
        }
    }

    async fn find(&self, user: UserId, id: &RoomId) -> Result<(Room, Option<MemberRole>), Error> {
        self.store.find_room(id, user).await?.ok_or(Error::NoSuchRoom)
    }
}
