//! What a writer remembers of the rooms that it wrote to, so that a message into one of them costs no
//! question to the database. It may be out of date, since other replicas write too: what was judged
//! from it is stored only where the rooms' heads are still as remembered, and nobody is refused for what
//! it says.

use std::collections::HashMap;

use contract::RoomId;

use crate::command::{Draft, Work};
use crate::writer::Command;
use crate::writer::known::{Known, KnownRoom, Origin};

/// Rooms with those of their members who wrote lately.
#[derive(Debug)]
pub(crate) struct Memory {
    rooms: HashMap<RoomId, KnownRoom>,
    /// In all rooms together.
    members: usize,
    members_max: usize,
}

impl Memory {
    /// Remembers so many members at most; each room has one at least.
    pub(crate) fn new(members_max: usize) -> Self {
        Self { rooms: HashMap::new(), members: 0, members_max }
    }

    /// All that the commands name, when they are new messages of known members and nothing else. The
    /// rooms are forgotten here: whoever stores the batch gives them back.
    pub(crate) fn recall(&mut self, batch: &[Command]) -> Option<Known> {
        if !batch.iter().all(|command| self.is_known_member(command)) {
            return None;
        }
        let mut known = Known::default();
        for command in batch {
            if let Some(room) = command.work.room().and_then(|id| self.forget(id)) {
                known.rooms.insert(room.room.id.clone(), room);
            }
        }
        Some(known)
    }

    /// Remembers rooms as a stored batch left them.
    pub(crate) fn keep(&mut self, rooms: Vec<KnownRoom>) {
        for mut room in rooms {
            if let Some(before) = self.forget(&room.room.id)
                && room.origin == (Origin::Stored { head: before.room.last_seq })
            {
                // Nothing happened in between: who was not asked for is what he or she was.
                for (user, member) in before.members {
                    if !room.touched.contains(&user) {
                        room.members.entry(user).or_insert(member);
                    }
                }
            }
            if self.members + room.members.len() > self.members_max {
                self.rooms.clear();
                self.members = 0;
            }
            if room.members.is_empty() || room.members.len() > self.members_max {
                continue;
            }
            self.members += room.members.len();
            self.rooms.insert(room.room.id.clone(), room.settled());
        }
    }

    fn forget(&mut self, id: &RoomId) -> Option<KnownRoom> {
        let room = self.rooms.remove(id)?;
        self.members = self.members.saturating_sub(room.members.len());
        Some(room)
    }

    fn is_known_member(&self, command: &Command) -> bool {
        // An answer's parent is looked up.
        let Work::Send(Draft { room, parent: None, .. }) = &command.work else { return false };
        self.rooms.get(room).is_some_and(|room| room.members.contains_key(&command.author.id))
    }
}
