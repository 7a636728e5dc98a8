//! The outbox against connections that rise, fall and lose what they did not prove.

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
fn connected(queue_max: usize, channels_max: usize) -> Outbox<Event> {
    let mut outbox = Outbox::new(queue_max, channels_max);
    outbox.rise();
    outbox
}

/// Everything that it hands out, sorted, as `room seq`.
fn taken(outbox: &mut Outbox<Event>) -> Vec<String> {
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
    fn take(&mut self, outbox: &mut Outbox<Event>, events_max: usize) {
        let next = outbox.next_proof;
        for event in outbox.take(events_max) {
            let before = self.sent.iter().filter(|(_, sent)| sent.channel == event.channel);
            assert!(before.map(|(_, sent)| sent.seq).max() <= Some(event.seq), "out of order");
            self.sent.push((next, event));
        }
    }

    fn prove(&mut self, outbox: &mut Outbox<Event>) {
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

#[test]
fn of_what_was_revoked_meanwhile_the_newest_is_kept_wherever_the_feed_stands() {
    let revoked = |cursor| Arc::new(Revocations { after: cursor, cursor, items: vec![] });
    let mut outbox = Outbox::<Revocations>::new(2, 1);
    for cursor in [7, 8, 3] {
        assert_eq!(outbox.push(revoked(cursor)), Kept::Yes);
    }
    outbox.rise();
    let taken: Vec<_> = outbox.take(8).iter().map(|stretch| stretch.cursor).collect();
    assert_eq!(taken, [3]);
    assert!(outbox.has_doubts());
    outbox.fall();
    outbox.rise();
    assert_eq!(outbox.take(8).len(), 1, "it did not surely arrive");
}
