//! Which rooms this node has open, and who sits in them. Passes events on to sockets and never
//! waits for one: whoever falls behind is told so and reads the store.

mod ear;
mod room;
mod seat;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::internal::{Head, Heads, Log};
use contract::{Channel, Event, UserId};
use tokio::sync::Notify;

use crate::socket::Line;
pub(crate) use ear::Ear;
use room::{Hole, Occupancy, Room};
pub(crate) use seat::{Seat, Settled};

/// The open rooms.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    rooms: Mutex<HashMap<Channel, Arc<Room>>>,
    seats: AtomicU64,
    /// Rung when something was missed.
    missed: Notify,
}

impl Hub {
    /// Takes a place in `channel`: from now on events wait for it.
    pub(crate) fn join(&self, channel: &Channel, user: UserId, line: &Arc<Line>) -> Arc<Seat> {
        let number = self.seats.fetch_add(1, Ordering::Relaxed);
        let seat = Seat::new(number, user, channel.clone(), line.clone());
        let mut rooms = self.rooms();
        let room = rooms.entry(channel.clone()).or_insert_with(|| Room::new(channel.clone()));
        room.sit(seat.clone());
        seat
    }

    /// Gives a place back; a room in which nobody is left is closed.
    pub(crate) fn leave(&self, seat: &Seat) {
        seat.leave();
        let mut rooms = self.rooms();
        let occupancy = rooms.get(seat.channel()).map(|room| room.leave(seat));
        if occupancy == Some(Occupancy::Empty) {
            rooms.remove(seat.channel());
        }
    }

    /// Takes a place away from somebody who may not read the room any more.
    pub(crate) fn put_out(&self, seat: &Seat) {
        seat.put_out();
        self.leave(seat);
    }

    /// Learns what a subscriber found in the store.
    pub(crate) fn learn(&self, channel: &Channel, is_private: bool, head: &Head) {
        if let Some(room) = self.find(channel) {
            room.learn(is_private, head);
        }
    }

    /// How many people have `channel` open on this node.
    pub(crate) fn people(&self, channel: &Channel) -> u64 {
        self.find(channel).map_or(0, |room| room.people() as u64)
    }

    /// Whether `user` has `channel` open on this node.
    pub(crate) fn has(&self, channel: &Channel, user: UserId) -> bool {
        self.find(channel).is_some_and(|room| room.has(user))
    }

    /// The newest event that was heard in `channel`.
    pub(crate) fn last(&self, channel: &Channel) -> Option<u64> {
        self.find(channel).map(|room| room.last())
    }

    fn hear(&self, event: &Event) -> Option<Hole> {
        self.find(&event.channel)?.hear(event)
    }

    fn check(&self, heads: &Heads) -> Vec<Hole> {
        let known = heads.iter().filter_map(|(channel, head)| self.find(channel)?.check(head));
        known.collect()
    }

    fn fill(&self, hole: &Hole, log: Log) -> Option<Hole> {
        self.find(&hole.channel)?.fill(log)
    }

    fn give_up_filling(&self, hole: &Hole) {
        if let Some(room) = self.find(&hole.channel) {
            room.give_up_filling();
        }
    }

    fn open_channels(&self) -> Vec<Channel> {
        self.rooms().keys().cloned().collect()
    }

    fn find(&self, channel: &Channel) -> Option<Arc<Room>> {
        self.rooms().get(channel).cloned()
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Channel, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
