//! What was rung and is not known to have arrived. Decides alone, does nothing: no clock, no
//! connection.
//!
//! While there is a connection, events wait in order, and where too many wait only the newest of a
//! channel is held. Without one, only the newest of every channel is held at all: whoever hears it
//! sees the hole before it and reads the store. What was handed to a connection counts as arrived
//! when a proof that was sent behind it has come back; until then it is rung again on the next one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use contract::{Channel, Event};

/// The outbox of one process.
#[derive(Debug)]
pub(super) struct Outbox {
    line: Line,
    queue: VecDeque<Arc<Event>>,
    queue_max: usize,
    /// Newer than what is queued of the same channel.
    held: HashMap<Channel, Arc<Event>>,
    /// The newest of each channel that was handed over, and the proof that will stand for it.
    sent: HashMap<Channel, (u64, Arc<Event>)>,
    channels_max: usize,
    next_proof: u64,
}

/// Whether there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Up,
    Down,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// There are too many channels.
    No,
}

impl Outbox {
    /// One without a connection, in which at most `queue_max` events wait in order and at most
    /// `channels_max` channels are held.
    pub(super) fn new(queue_max: usize, channels_max: usize) -> Self {
        Self {
            line: Line::Down,
            queue: VecDeque::new(),
            queue_max,
            held: HashMap::new(),
            sent: HashMap::new(),
            channels_max,
            next_proof: 1,
        }
    }

    pub(super) fn push(&mut self, event: Arc<Event>) -> Kept {
        let is_queued = self.line == Line::Up
            && self.queue.len() < self.queue_max
            && !self.held.contains_key(&event.channel);
        if !is_queued {
            return self.hold(event);
        }
        self.queue.push_back(event);
        Kept::Yes
    }

    /// Hands out at most `events_max` events, those of a channel in order.
    pub(super) fn take(&mut self, events_max: usize) -> Vec<Arc<Event>> {
        if self.line == Line::Down {
            return Vec::new();
        }
        let mut taken: Vec<_> = self.queue.drain(..self.queue.len().min(events_max)).collect();
        if self.queue.is_empty() {
            let rest = events_max.saturating_sub(taken.len());
            let held = self.held.extract_if(|_, _| true).take(rest);
            taken.extend(held.map(|(_, event)| event));
        }
        for event in &taken {
            self.remember(event);
        }
        taken
    }

    /// Whether something waits that can be sent.
    pub(super) fn has_mail(&self) -> bool {
        self.line == Line::Up && !(self.queue.is_empty() && self.held.is_empty())
    }

    /// Whether something was sent that is not known to have arrived.
    pub(super) fn has_doubts(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The number of a proof that stands for everything taken so far.
    pub(super) const fn next_proof(&mut self) -> u64 {
        let proof = self.next_proof;
        self.next_proof += 1;
        proof
    }

    /// What was taken before the proof `number` was asked for has arrived.
    pub(super) fn proved(&mut self, number: u64) {
        self.sent.retain(|_, (proof, _)| *proof > number);
    }

    /// There is a connection.
    pub(super) const fn rise(&mut self) {
        self.line = Line::Up;
    }

    /// The connection is gone, and what was on its way with it. Says how many channels there is no
    /// place for.
    pub(super) fn fall(&mut self) -> u64 {
        self.line = Line::Down;
        let sent = std::mem::take(&mut self.sent).into_values().map(|(_, event)| event);
        let queued = std::mem::take(&mut self.queue);
        let newest = std::mem::take(&mut self.held).into_values();
        let all = sent.chain(queued).chain(newest);
        all.map(|event| u64::from(self.hold(event) == Kept::No)).sum()
    }

    /// Keeps the newest of a channel.
    fn hold(&mut self, event: Arc<Event>) -> Kept {
        let has_place = self.held.len() < self.channels_max;
        match self.held.get_mut(&event.channel) {
            Some(held) => {
                if !is_older(&event, held) {
                    *held = event;
                }
            }
            None if has_place => {
                self.held.insert(event.channel.clone(), event);
            }
            None => return Kept::No,
        }
        Kept::Yes
    }

    /// Whoever finds no place here is not rung again.
    fn remember(&mut self, event: &Arc<Event>) {
        let has_place = self.sent.len() < self.channels_max;
        let next = (self.next_proof, event.clone());
        match self.sent.get_mut(&event.channel) {
            Some(sent) => *sent = next,
            None if has_place => {
                self.sent.insert(event.channel.clone(), next);
            }
            None => {}
        }
    }
}

/// Whether `event` is known to be before `other`: of two lives of a log the later ring is the later.
fn is_older(event: &Event, other: &Event) -> bool {
    event.epoch == other.epoch && event.seq < other.seq
}

#[cfg(test)]
mod tests {
    use contract::{EventKind, Timestamp};
    use serde_json::value::RawValue;

    use super::*;

    fn event(room: &str, seq: u64) -> Arc<Event> {
        Arc::new(Event {
            channel: format!("room:{room}").parse().unwrap(),
            epoch: "e".to_owned(),
            seq,
            kind: EventKind::MessageCreated,
            ts: Timestamp(0),
            data: RawValue::from_string("{}".to_owned()).unwrap(),
        })
    }

    /// An outbox with a connection.
    fn connected(queue_max: usize, channels_max: usize) -> Outbox {
        let mut outbox = Outbox::new(queue_max, channels_max);
        outbox.rise();
        outbox
    }

    /// Everything that it hands out, sorted, as `room seq`.
    fn taken(outbox: &mut Outbox) -> Vec<String> {
        let mut all: Vec<_> = outbox.take(100).iter().map(|event| told(event)).collect();
        all.sort();
        all
    }

    fn told(event: &Event) -> String {
        format!("{} {}", event.channel.room(), event.seq)
    }

    #[test]
    fn a_connection_takes_events_in_order() {
        let mut outbox = connected(8, 8);
        for (room, seq) in [("a", 1), ("b", 1), ("a", 2)] {
            outbox.push(event(room, seq));
        }
        let first: Vec<_> = outbox.take(2).iter().map(|event| told(event)).collect();
        assert_eq!(first, ["a 1", "b 1"]);
        assert_eq!(taken(&mut outbox), ["a 2"]);
        assert!(!outbox.has_mail());
    }

    #[test]
    fn without_a_connection_the_newest_of_every_channel_is_held() {
        let mut outbox = Outbox::new(8, 8);
        for seq in 1..=100_000 {
            outbox.push(event("a", seq));
        }
        outbox.push(event("b", 7));
        assert!(outbox.take(1).is_empty() && !outbox.has_mail());
        outbox.rise();
        assert!(outbox.has_mail());
        assert_eq!(taken(&mut outbox), ["a 100000", "b 7"]);
    }

    #[test]
    fn channels_for_which_there_is_no_place_are_lost_and_told() {
        let mut outbox = Outbox::new(8, 2);
        let kept: Vec<_> = ["a", "b", "c", "a"].map(|room| outbox.push(event(room, 1))).into();
        assert_eq!(kept, [Kept::Yes, Kept::Yes, Kept::No, Kept::Yes]);
        outbox.rise();
        assert_eq!(taken(&mut outbox), ["a 1", "b 1"]);
    }

    #[test]
    fn a_full_queue_keeps_its_order_and_the_newest_of_what_comes_after() {
        let mut outbox = connected(2, 8);
        for (room, seq) in [("a", 1), ("b", 1), ("a", 2), ("a", 3)] {
            outbox.push(event(room, seq));
        }
        assert_eq!(outbox.take(1).len(), 1);
        // There is a place again, but 3 waits still.
        outbox.push(event("a", 4));
        let order: Vec<_> = outbox.take(8).iter().map(|event| told(event)).collect();
        assert_eq!(order, ["b 1", "a 4"]);
    }

    #[test]
    fn what_did_not_surely_arrive_is_rung_again() {
        let mut outbox = connected(8, 8);
        outbox.push(event("a", 1));
        outbox.push(event("b", 1));
        outbox.take(8);
        let proof = outbox.next_proof();
        outbox.push(event("b", 2));
        outbox.take(8);
        outbox.proved(proof);
        assert!(outbox.has_doubts());
        outbox.push(event("c", 1));
        assert_eq!(outbox.fall(), 0);
        outbox.rise();
        assert_eq!(taken(&mut outbox), ["b 2", "c 1"]);
    }

    #[test]
    fn a_proof_that_stands_for_everything_leaves_nothing_to_repeat() {
        let mut outbox = connected(8, 8);
        outbox.push(event("a", 1));
        outbox.take(8);
        let proof = outbox.next_proof();
        outbox.proved(proof);
        assert!(!outbox.has_doubts());
        outbox.fall();
        outbox.rise();
        assert!(!outbox.has_mail());
    }

    #[test]
    fn a_fall_holds_the_newest_wherever_it_was_and_says_what_it_lost() {
        let mut outbox = connected(2, 2);
        outbox.push(event("a", 1));
        outbox.take(8);
        for (room, seq) in [("a", 2), ("b", 1), ("b", 2), ("c", 1)] {
            outbox.push(event(room, seq));
        }
        assert_eq!(outbox.fall(), 1);
        outbox.rise();
        let left = taken(&mut outbox);
        assert!(left.contains(&"a 2".to_owned()) && left.len() == 2, "{left:?}");
    }

    #[test]
    fn an_older_ring_does_not_hide_a_newer_one_but_another_life_does() {
        let mut outbox = Outbox::new(8, 8);
        outbox.push(event("a", 5));
        outbox.push(event("a", 4));
        let restored = Event { epoch: "f".to_owned(), ..(*event("b", 1)).clone() };
        outbox.push(event("b", 9));
        outbox.push(Arc::new(restored));
        outbox.rise();
        assert_eq!(taken(&mut outbox), ["a 5", "b 1"]);
    }

    /// A server that keeps nothing of a connection but what it has proved: the worst there can be.
    #[derive(Default)]
    struct Worst {
        /// On its way, behind the proof of this number.
        sent: Vec<(u64, Arc<Event>)>,
        arrived: HashMap<Channel, u64>,
    }

    impl Worst {
        fn take(&mut self, outbox: &mut Outbox, events_max: usize) {
            let next = outbox.next_proof;
            for event in outbox.take(events_max) {
                let before = self.sent.iter().filter(|(_, sent)| sent.channel == event.channel);
                assert!(before.map(|(_, sent)| sent.seq).max() <= Some(event.seq), "out of order");
                self.sent.push((next, event));
            }
        }

        fn prove(&mut self, outbox: &mut Outbox) {
            let number = outbox.next_proof();
            for (_, event) in self.sent.extract_if(.., |(proof, _)| *proof <= number) {
                let newest = self.arrived.entry(event.channel.clone()).or_default();
                *newest = event.seq.max(*newest);
            }
            outbox.proved(number);
        }
    }

    #[test]
    fn whatever_happens_the_newest_of_every_channel_arrives_in_the_end() {
        for seed in 0..500 {
            let random = crate::Random::seeded(seed);
            let mut outbox = Outbox::new(3, 4);
            let mut server = Worst::default();
            let mut rung = HashMap::new();
            for _ in 0..200 {
                match random.below(8) {
                    0 => outbox.rise(),
                    1 => {
                        assert_eq!(outbox.fall(), 0);
                        server.sent.clear();
                    }
                    2 => server.prove(&mut outbox),
                    3 | 4 => {
                        let events_max = usize::try_from(random.below(4)).unwrap();
                        server.take(&mut outbox, events_max);
                    }
                    _ => {
                        let room = ["a", "b", "c", "d"][usize::try_from(random.below(4)).unwrap()];
                        let seq = rung.entry(event(room, 0).channel.clone()).or_insert(0);
                        *seq += 1;
                        assert_eq!(outbox.push(event(room, *seq)), Kept::Yes);
                    }
                }
            }
            outbox.rise();
            server.take(&mut outbox, 100);
            server.prove(&mut outbox);
            assert_eq!(server.arrived, rung, "{seed}");
        }
    }
}
