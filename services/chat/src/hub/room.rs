//! One room as this node has it open: how far its log was heard, and who sits in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::internal::{Head, Log};
use contract::room::MemberLeft;
use contract::{Channel, Event, EventKind, UserId};

use super::seat::{Departure, Ring, Seat};

/// A room that somebody has open.
#[derive(Debug)]
pub(crate) struct Room {
    channel: Channel,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Which life of the log was heard; unknown until the first event or head.
    epoch: Option<String>,
    /// Everything up to here was passed on.
    last: u64,
    /// `last` as of the check before: a store that has less has lost its tail.
    checked: u64,
    is_private: bool,
    filling: Filling,
    seats: HashMap<u64, Arc<Seat>>,
    people: HashMap<UserId, usize>,
}

/// Whether a part of the log is being read because it was not heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Filling {
    #[default]
    No,
    /// What is rung meanwhile is left to the reading; `heard` is the newest of it.
    Yes { heard: u64 },
}

/// A part of the log that was not heard: everything after `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) channel: Channel,
    pub(crate) epoch: String,
    pub(crate) after: u64,
}

/// Whether a room has anybody in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupancy {
    Open,
    Empty,
}

impl Room {
    pub(crate) fn new(channel: Channel) -> Arc<Self> {
        Arc::new(Self { channel, state: Mutex::default() })
    }

    pub(crate) fn sit(&self, seat: Arc<Seat>) {
        let mut state = self.state();
        *state.people.entry(seat.user()).or_default() += 1;
        state.seats.insert(seat.number(), seat);
    }

    pub(crate) fn leave(&self, seat: &Seat) -> Occupancy {
        let mut state = self.state();
        state.remove(seat);
        if state.seats.is_empty() { Occupancy::Empty } else { Occupancy::Open }
    }

    /// How many people have it open.
    pub(crate) fn people(&self) -> usize {
        self.state().people.len()
    }

    /// Whether `user` has it open.
    pub(crate) fn has(&self, user: UserId) -> bool {
        self.state().people.contains_key(&user)
    }

    /// The newest event that was passed on.
    pub(crate) fn last(&self) -> u64 {
        self.state().last
    }

    /// Passes an event on, or finds that something before it was not heard.
    pub(crate) fn hear(&self, event: &Event) -> Option<Hole> {
        let mut state = self.state();
        if state.epoch.is_none() {
            state.restart(&event.epoch, event.seq);
            state.deliver(event);
            return None;
        }
        if state.epoch.as_deref() != Some(&event.epoch) {
            // The store knows whether this is another life of the log, or nothing.
            let is_filling = state.filling != Filling::No;
            let heard = state.last;
            return (!is_filling).then(|| state.begin_filling(&self.channel, heard));
        }
        if event.seq <= state.last {
            return None;
        }
        if let Filling::Yes { heard } = &mut state.filling {
            *heard = event.seq.max(*heard);
            return None;
        }
        if state.last.checked_add(1) == Some(event.seq) {
            state.deliver(event);
            return None;
        }
        Some(state.begin_filling(&self.channel, event.seq))
    }

    /// Compares with the store's newest position.
    pub(crate) fn check(&self, head: &Head) -> Option<Hole> {
        let mut state = self.state();
        // Where nothing was heard yet there is nothing to compare.
        let epoch = state.epoch.as_ref()?;
        if *epoch != head.epoch || head.head < state.checked {
            state.restart(&head.epoch, head.head);
        } else if head.head > state.last && state.filling == Filling::No {
            return Some(state.begin_filling(&self.channel, head.head));
        }
        state.checked = state.last;
        None
    }

    /// Passes on what was read to fill a hole; the next hole if there is one already. A ring of which
    /// the log knows nothing is forgotten: whoever reads has seen all that was stored before it.
    pub(crate) fn fill(&self, log: Log) -> Option<Hole> {
        let mut state = self.state();
        let before = state.last;
        let Filling::Yes { heard } = std::mem::take(&mut state.filling) else { return None };
        let is_whole = state.epoch.as_ref() == Some(&log.epoch) && state.continues(&log);
        if !is_whole {
            state.restart(&log.epoch, log.head);
            return None;
        }
        for event in log.events {
            if event.seq > state.last {
                let contract::internal::LogEvent { seq, kind, ts, data } = event;
                let (channel, epoch) = (self.channel.clone(), log.epoch.clone());
                state.deliver(&Event { channel, epoch, seq, kind, ts, data });
            }
        }
        let is_news = heard > state.last && state.last > before;
        is_news.then(|| state.begin_filling(&self.channel, heard))
    }

    /// The log could not be read; the next event or check finds the hole again.
    pub(crate) fn give_up_filling(&self) {
        self.state().filling = Filling::No;
    }

    /// Learns what a subscriber found: how private the room is, and its head where none was known.
    pub(crate) fn learn(&self, is_private: bool, head: &Head) {
        let mut state = self.state();
        state.is_private = is_private;
        if state.epoch.as_ref() != Some(&head.epoch) {
            state.restart(&head.epoch, head.head);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn deliver(&mut self, event: &Event) {
        self.last = event.seq;
        if event.kind == EventKind::MemberLeft {
            self.note_departure(event);
        }
        let ring = Arc::new(Ring::new(event));
        self.seats.values().for_each(|seat| seat.hear(&ring));
    }

    /// Another life of the log, or a part of it that cannot be pushed: every subscriber has to
    /// come back and say where it is.
    fn restart(&mut self, epoch: &str, head: u64) {
        self.epoch = Some(epoch.to_owned());
        self.last = head;
        self.checked = 0;
        self.filling = Filling::No;
        self.seats.values().for_each(|seat| seat.lag(head));
    }

    fn begin_filling(&mut self, channel: &Channel, heard: u64) -> Hole {
        self.filling = Filling::Yes { heard };
        let epoch = self.epoch.clone().unwrap_or_default();
        Hole { channel: channel.clone(), epoch, after: self.last }
    }

    /// Whether `log` says everything after the last event, one by one.
    fn continues(&self, log: &Log) -> bool {
        let mut fresh = log.events.iter().map(|event| event.seq).filter(|seq| *seq > self.last);
        let next =
            fresh.clone().zip(self.last.saturating_add(1)..).all(|(seq, expected)| seq == expected);
        log.recovered && next && fresh.next_back().unwrap_or(self.last) >= log.head
    }

    /// Whoever is no member any more reads a private room no more.
    fn note_departure(&mut self, event: &Event) {
        let Ok(MemberLeft { user_id }) = serde_json::from_str(event.data.get()) else { return };
        let theirs = self.seats.values().filter(|seat| seat.user() == user_id).cloned();
        for seat in theirs.collect::<Vec<_>>() {
            if !self.is_private {
                // Whether the room is private may not be known yet.
                seat.note_departure();
            } else if seat.put_out() == Departure::Done {
                self.remove(&seat);
            }
        }
    }

    fn remove(&mut self, seat: &Seat) {
        if self.seats.remove(&seat.number()).is_none() {
            return;
        }
        if let Some(count) = self.people.get_mut(&seat.user()) {
            *count -= 1;
            if *count == 0 {
                self.people.remove(&seat.user());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::Timestamp;
    use contract::internal::LogEvent;
    use serde_json::value::RawValue;

    use super::*;

    fn data() -> Box<RawValue> {
        RawValue::from_string("{}".to_owned()).unwrap()
    }

    fn event(epoch: &str, seq: u64) -> Event {
        let (channel, kind) = ("room:tea".parse().unwrap(), EventKind::MessageCreated);
        Event { channel, epoch: epoch.to_owned(), seq, kind, ts: Timestamp(0), data: data() }
    }

    fn log(seqs: &[u64], head: u64) -> Log {
        let event = |seq: &u64| {
            let kind = EventKind::MessageCreated;
            LogEvent { seq: *seq, kind, ts: Timestamp(0), data: data() }
        };
        let events = seqs.iter().map(event).collect();
        Log { epoch: "e1".to_owned(), head, recovered: true, events }
    }

    /// A room that was heard up to `last`.
    fn room(last: u64) -> Arc<Room> {
        let room = Room::new("room:tea".parse().unwrap());
        assert_eq!(room.hear(&event("e1", last)), None);
        room
    }

    #[test]
    fn what_comes_in_order_is_passed_on_and_what_was_heard_is_dropped() {
        let room = room(1);
        for seq in [2, 2, 1, 3] {
            assert_eq!(room.hear(&event("e1", seq)), None);
        }
        assert_eq!(room.last(), 3);
    }

    #[test]
    fn a_hole_is_found_once_and_filled_with_what_was_rung_meanwhile() {
        let room = room(1);
        let hole = room.hear(&event("e1", 4)).unwrap();
        assert_eq!((hole.after, hole.epoch.as_str()), (1, "e1"));
        assert_eq!(room.hear(&event("e1", 6)), None);
        assert_eq!(room.last(), 1);
        // The log was read before 5 and 6 were stored.
        let next = room.fill(log(&[2, 3, 4], 4)).unwrap();
        assert_eq!((next.after, room.last()), (4, 4));
        assert_eq!(room.fill(log(&[5, 6], 6)), None);
        assert_eq!(room.last(), 6);
    }

    #[test]
    fn a_ring_of_which_the_log_knows_nothing_is_forgotten() {
        let room = room(1);
        room.hear(&event("e1", 1_000)).unwrap();
        let again = room.fill(log(&[2], 2)).unwrap();
        assert_eq!((again.after, room.fill(log(&[], 2))), (2, None));
        assert_eq!(room.hear(&event("e1", 3)), None);
        assert_eq!(room.last(), 3);
    }

    #[test]
    fn the_highest_number_there_is_does_no_harm() {
        let room = room(u64::MAX);
        assert_eq!(room.hear(&event("e1", u64::MAX)), None);
        assert_eq!(room.fill(log(&[], 0)), None);
        assert_eq!(room.hear(&event("e1", 1)), None);
    }

    #[test]
    fn a_log_that_cannot_be_pushed_is_skipped_as_a_whole() {
        for compacted in [log(&[2, 4], 4), log(&[], 4), Log { recovered: false, ..log(&[], 4) }] {
            let room = room(1);
            room.hear(&event("e1", 4)).unwrap();
            assert_eq!(room.fill(compacted), None);
            assert_eq!(room.last(), 4);
        }
    }

    #[test]
    fn a_hole_that_could_not_be_read_is_found_again() {
        let room = room(1);
        room.hear(&event("e1", 4)).unwrap();
        room.give_up_filling();
        assert_eq!(room.hear(&event("e1", 5)).unwrap().after, 1);
    }

    #[test]
    fn an_event_of_another_life_is_believed_when_the_log_says_the_same() {
        let room = room(1);
        // A forged one does no harm.
        let hole = room.hear(&event("x", u64::MAX)).unwrap();
        assert_eq!((hole.epoch.as_str(), hole.after), ("e1", 1));
        assert_eq!(room.hear(&event("x", 5)), None, "it is asked once");
        assert_eq!(room.fill(log(&[], 1)), None);
        assert_eq!(room.hear(&event("e1", 2)), None);
        assert_eq!(room.last(), 2);
        room.hear(&event("e2", 1)).unwrap();
        let other = Log { epoch: "e2".to_owned(), recovered: false, ..log(&[], 1) };
        assert_eq!(room.fill(other), None);
        assert_eq!(room.hear(&event("e2", 2)), None);
        assert_eq!(room.last(), 2);
    }

    #[test]
    fn a_log_that_lost_its_tail_is_noticed_and_a_head_that_was_read_too_early_is_not() {
        let room = room(9);
        let head = |head| Head { epoch: "e1".to_owned(), head };
        // Read before the newest events were stored.
        assert_eq!(room.check(&head(8)), None);
        assert_eq!(room.last(), 9);
        assert_eq!(room.check(&head(9)), None);
        assert_eq!(room.check(&head(4)), None);
        assert_eq!(room.last(), 4);
        assert_eq!(room.hear(&event("e1", 5)), None);
        assert_eq!(room.last(), 5);
    }

    #[test]
    fn a_check_finds_what_was_never_rung_and_another_life_of_the_log() {
        let room = room(1);
        let head = |epoch: &str, head| Head { epoch: epoch.to_owned(), head };
        assert_eq!(room.check(&head("e1", 1)), None);
        assert_eq!(room.check(&head("e1", 2)).unwrap().after, 1);
        assert_eq!(room.check(&head("e1", 3)), None);
        assert_eq!(room.check(&head("e2", 9)), None);
        assert_eq!(room.last(), 9);
        assert_eq!(room.hear(&event("e2", 10)), None);
        assert_eq!(room.last(), 10);
    }
}
