//! Judges a batch of commands one after the other, as if each were alone, and gathers what is to
//! be written. Knows what the transaction found; does no I/O and numbers nothing that it refuses.

use std::collections::HashMap;

use chassis::random::Random;
use contract::message::Message;
use contract::room::{Member, Room};
use contract::{EventKind, MessageId, RoomId, Timestamp, UserId};
use serde_json::value::RawValue;

use crate::command::{Author, Draft, NewRoom, Novelty, Outcome, Sent, Work};
use crate::error::{Error, invalid};
use crate::writer::known::{Known, KnownRoom, Origin};

/// An event of the batch, in the order of its making.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) room: RoomId,
    pub(crate) seq: u64,
    pub(crate) kind: EventKind,
    pub(crate) ts: Timestamp,
    pub(crate) data: Box<RawValue>,
    /// The message that it is about, by its `seq`.
    pub(crate) message_seq: Option<u64>,
}

/// What a batch changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Rooms with a new head.
    pub(crate) rooms: Vec<KnownRoom>,
    /// Members as they are after the batch.
    pub(crate) joined: Vec<(RoomId, Member)>,
    /// Who is no member after the batch.
    pub(crate) left: Vec<(RoomId, UserId)>,
    pub(crate) messages: Vec<Message>,
    pub(crate) log: Vec<Entry>,
}

/// A batch being judged.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    known: Known,
    now: Timestamp,
    random: &'a Random,
    messages: Vec<Message>,
    log: Vec<Entry>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(known: Known, now: Timestamp, random: &'a Random) -> Self {
        Self { known, now, random, messages: Vec::new(), log: Vec::new() }
    }

    /// Judges one command. A refused one leaves no trace.
    pub(crate) fn judge(&mut self, author: &Author, work: &Work) -> Result<Outcome, Error> {
        match work {
            Work::Send(draft) => self.send(author, draft).map(Outcome::Sent),
            Work::Create(room) => self.create(author, room).map(Outcome::Room),
            Work::Join(room) => self.join(author, room).map(Outcome::Room),
            Work::Leave(room) => self.leave(author, room).map(Outcome::Room),
        }
    }

    /// What is to be written, now that every command has been judged.
    pub(crate) fn finish(self) -> Changes {
        let moved = |room: &KnownRoom| room.origin != Origin::Stored { head: room.room.last_seq };
        let mut changes = Changes { messages: self.messages, log: self.log, ..Changes::default() };
        for room in self.known.rooms.into_values().filter(moved) {
            for user in &room.touched {
                let id = room.room.id.clone();
                match room.members.get(user) {
                    Some(member) => changes.joined.push((id, member.clone())),
                    None => changes.left.push((id, *user)),
                }
            }
            changes.rooms.push(room);
        }
        changes
    }

    fn send(&mut self, author: &Author, draft: &Draft) -> Result<Sent, Error> {
        let key = draft.client.map(|client| (author.id, client));
        if let Some(message) = key.and_then(|key| self.known.sent.get(&key)) {
            return repeat(draft, message);
        }
        let room = visible(&mut self.known.rooms, author.id, &draft.room)?;
        if !room.members.contains_key(&author.id) {
            return Err(Error::NotAMember);
        }
        if let Some(parent) = draft.parent
            && self.known.parents.get(&parent) != Some(&draft.room)
        {
            return Err(invalid("parentId", "must be a message of the same room"));
        }
        let id = MessageId(self.random.uuid_v7(self.now));
        let message = room.message(id, author, draft, self.now);
        let entry = room.entry(EventKind::MessageCreated, self.now, &message)?;
        self.log.push(room.append(entry));
        self.known.parents.insert(id, draft.room.clone());
        self.known.sent.extend(key.map(|key| (key, message.clone())));
        self.messages.push(message.clone());
        Ok(Sent { message, novelty: Novelty::New })
    }

    fn create(&mut self, author: &Author, new: &NewRoom) -> Result<Room, Error> {
        self.check_alive(author)?;
        let id = new.id.clone().unwrap_or_else(|| self.random.uuid_v7(self.now).into());
        if self.known.rooms.contains_key(&id) {
            return Err(Error::RoomIdTaken);
        }
        let mut room = KnownRoom::made(id.clone(), author.id, new, self.now);
        let mut log = vec![room.join(author.id, Some(author.name.to_string()), self.now)?];
        for user in &new.members {
            if !room.members.contains_key(user) && !self.known.departed.contains(user) {
                log.push(room.join(*user, None, self.now)?);
            }
        }
        self.log.append(&mut log);
        let answer = room.room.clone();
        self.known.rooms.insert(id, room);
        Ok(answer)
    }

    fn join(&mut self, author: &Author, id: &RoomId) -> Result<Room, Error> {
        self.check_alive(author)?;
        let room = visible(&mut self.known.rooms, author.id, id)?;
        if !room.members.contains_key(&author.id) {
            let entry = room.join(author.id, Some(author.name.to_string()), self.now)?;
            self.log.push(entry);
        }
        Ok(room.room.clone())
    }

    /// A deleted account becomes no member again by what was on its way when it was deleted.
    fn check_alive(&self, author: &Author) -> Result<(), Error> {
        if self.known.departed.contains(&author.id) { Err(Error::Departed) } else { Ok(()) }
    }

    /// Anybody may leave, the owner too: the room stays, and its creator who comes back owns it.
    /// Leaving a public room that one is not in changes nothing.
    fn leave(&mut self, author: &Author, id: &RoomId) -> Result<Room, Error> {
        let room = visible(&mut self.known.rooms, author.id, id)?;
        if room.members.contains_key(&author.id) {
            let entry = room.leave(author.id, self.now)?;
            self.log.push(entry);
        }
        Ok(room.room.clone())
    }
}

/// The room, if `user` may know of it.
fn visible<'a>(
    rooms: &'a mut HashMap<RoomId, KnownRoom>,
    user: UserId,
    id: &RoomId,
) -> Result<&'a mut KnownRoom, Error> {
    let room = rooms.get_mut(id).ok_or(Error::NoSuchRoom)?;
    if room.room.is_private && !room.members.contains_key(&user) {
        return Err(Error::NoSuchRoom);
    }
    Ok(room)
}

/// The answer to a command whose client id is known.
fn repeat(draft: &Draft, message: &Message) -> Result<Sent, Error> {
    if draft.says_the_same_as(message) {
        Ok(Sent { message: message.clone(), novelty: Novelty::Repeat })
    } else {
        Err(Error::ClientIdConflict)
    }
}

#[cfg(test)]
mod tests;
