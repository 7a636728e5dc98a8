//! What a writer remembers of the rooms that it wrote to, so that a message into one of them costs no
//! question to the database. It may be out of date, since other replicas write too: what was judged
//! from it is stored only where the rooms' heads are still as remembered, and nobody is refused for what
//! it says.

use std::collections::HashMap;

use contract::RoomId;

use crate::command::{Draft, Work};
use crate::writer::Command;
use crate::writer::known::{Known, KnownRoom, Origin};

/// Batches that are judged from the database after one that was not as remembered: another replica
/// writes to the same rooms, and trying in vain costs a call each time.
const DISTRUST_BATCHES: u32 = 32;

/// Rooms with those of their members who wrote lately.
#[derive(Debug)]
pub(crate) struct Memory {
    rooms: HashMap<RoomId, KnownRoom>,
    /// Batches for which nothing is recalled.
    distrusted: u32,
    /// In all rooms together.
    members: usize,
    members_max: usize,
}

impl Memory {
    /// Remembers so many members at most; each room has one at least.
    pub(crate) fn new(members_max: usize) -> Self {
        Self { rooms: HashMap::new(), distrusted: 0, members: 0, members_max }
    }

    /// All that the commands name, when they are new messages of known members and nothing else. The
    /// rooms are forgotten here: whoever stores the batch gives them back.
    pub(crate) fn recall(&mut self, batch: &[Command]) -> Option<Known> {
        if self.distrusted > 0 {
            self.distrusted -= 1;
            return None;
        }
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

    /// Recalls nothing for a while.
    pub(crate) const fn distrust(&mut self) {
        self.distrusted = DISTRUST_BATCHES;
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

#[cfg(test)]
mod tests {
    use contract::Timestamp;
    use tokio::sync::oneshot;

    use super::*;
    use crate::fixture::{author, draft, id, new_room};
    use crate::writer::plan::Plan;

    const NOW: Timestamp = Timestamp(1);

    fn send(number: u128, room: &str) -> Command {
        let (answer, _) = oneshot::channel();
        Command { author: author(number), work: Work::Send(draft(room, "hi", None)), answer }
    }

    /// A room as the batch that made it left it, `number` its owner.
    fn made(number: u128, room: &str) -> Vec<KnownRoom> {
        let mut plan = Plan::new(Known::default(), NOW, &chassis::Random::System);
        plan.judge(&author(number), &Work::Create(new_room(room))).unwrap();
        plan.finish().rooms
    }

    #[test]
    fn only_new_messages_of_known_members_are_recalled_and_then_forgotten() {
        let mut memory = Memory::new(10);
        memory.keep(made(1, "tea"));
        for stranger in [send(2, "tea"), send(1, "coffee")] {
            assert!(memory.recall(&[send(1, "tea"), stranger]).is_none());
        }
        let mut join = send(1, "tea");
        join.work = Work::Join(id("tea"));
        assert!(memory.recall(&[join]).is_none());
        let known = memory.recall(&[send(1, "tea"), send(1, "tea")]).unwrap();
        assert_eq!(known.rooms[&id("tea")].origin, Origin::Stored { head: 1 });
        assert!(memory.recall(&[send(1, "tea")]).is_none(), "whoever stores it gives it back");
    }

    #[test]
    fn members_are_remembered_together_while_nothing_happened_in_between() {
        let mut memory = Memory::new(10);
        memory.keep(made(1, "tea"));
        let mut other = made(2, "tea").remove(0).settled();
        other.room.last_seq += 1;
        memory.keep(vec![other]);
        assert!(memory.recall(&[send(1, "tea"), send(2, "tea")]).is_some());
        memory.keep(made(1, "tea"));
        let mut later = made(2, "tea").remove(0).settled();
        later.origin = Origin::Stored { head: 7 };
        memory.keep(vec![later]);
        assert!(memory.recall(&[send(1, "tea")]).is_none(), "what happened is not known");
    }

    #[test]
    fn it_is_bounded_and_distrusted_for_a_while() {
        let mut memory = Memory::new(3);
        for number in 0..10 {
            memory.keep(made(1, &format!("room-{number}")));
            assert!(memory.members <= 3);
        }
        memory.keep(made(1, "tea"));
        memory.distrust();
        for _ in 0..DISTRUST_BATCHES {
            assert!(memory.recall(&[send(1, "tea")]).is_none());
        }
        assert!(memory.recall(&[send(1, "tea")]).is_some());
    }
}
