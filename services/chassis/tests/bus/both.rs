//! What every kind of bus promises: the same cases on all of them.

use contract::Event;

use crate::world::{CAPACITY, Kind, World, ear, event, hear, hear_revoked, revoked, revoked_ear};

macro_rules! on_both_buses {
    ($($case:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::world::Kind::Local).await;
            })*
        }
        mod over_nats {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::world::Kind::Nats).await;
            })*
        }
    };
}

on_both_buses!(
    a_listener_hears_events_in_order,
    events_are_heard_once_by_everybody_and_by_whoever_rang_them,
    what_one_publisher_rings_stays_in_order_under_load,
    a_listener_that_lags_hears_a_gap_and_then_what_is_left,
    ringing_with_nobody_there_is_no_fault,
    an_event_arrives_as_it_was_rung,
    what_was_rung_before_the_end_is_heard,
    what_is_revoked_is_heard_in_order_by_everybody_who_asked_for_it,
    who_lags_behind_what_is_revoked_hears_a_gap,
    neither_kind_is_heard_by_who_asked_for_the_other,
);

async fn a_listener_hears_events_in_order(kind: Kind) {
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let mut ear = ear(&there).await;
    here.publish(event("tea", 1));
    here.publish(event("milk", 1));
    here.publish(event("tea", 2));
    for want in ["tea 1", "milk 1", "tea 2"] {
        assert_eq!(hear(&mut ear).await, want);
    }
}

async fn events_are_heard_once_by_everybody_and_by_whoever_rang_them(kind: Kind) {
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let mut ears = [ear(&here).await, ear(&here).await, ear(&there).await];
    (1..=3).for_each(|seq| here.publish(event("tea", seq)));
    for ear in &mut ears {
        for want in ["tea 1", "tea 2", "tea 3"] {
            assert_eq!(hear(ear).await, want);
        }
    }
}

async fn what_one_publisher_rings_stays_in_order_under_load(kind: Kind) {
    const EVENTS: u64 = 2_000;
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let mut ear = ear(&there).await;
    (1..=EVENTS).for_each(|seq| here.publish(event("tea", seq)));
    for seq in 1..=EVENTS {
        assert_eq!(hear(&mut ear).await, format!("tea {seq}"));
    }
}

async fn a_listener_that_lags_hears_a_gap_and_then_what_is_left(kind: Kind) {
    let world = World::new(kind, 2);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(2).await);
    let mut slow = ear(&there).await;
    let mut quick = ear(&there).await;
    (1..=5).for_each(|seq| here.publish(event("tea", seq)));
    // When somebody else has heard the last one, all of them have come.
    while hear(&mut quick).await != "tea 5" {}
    assert_eq!(hear(&mut slow).await, "gap");
    assert_eq!(hear(&mut slow).await, "tea 4");
}

async fn ringing_with_nobody_there_is_no_fault(kind: Kind) {
    let world = World::new(kind, CAPACITY);
    let bus = world.bus(CAPACITY).await;
    bus.publish(event("tea", 1));
    let mut ear = ear(&bus).await;
    bus.publish(event("tea", 2));
    while hear(&mut ear).await != "tea 2" {}
}

async fn an_event_arrives_as_it_was_rung(kind: Kind) {
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let mut ear = ear(&there).await;
    let data = r#"{"content":"ü \" \n *.>","n":1.50}"#.to_owned();
    let data = serde_json::value::RawValue::from_string(data).unwrap();
    let rung = Event { data, ..(*event("A_b-9", u64::from(u32::MAX) + 7)).clone() };
    let wanted = serde_json::to_string(&rung).unwrap();
    here.publish(rung.into());
    let Some(chassis::bus::Heard::Event(heard)) = ear.next().await else { panic!("no event") };
    assert_eq!(serde_json::to_string(&*heard).unwrap(), wanted);
}

async fn what_was_rung_before_the_end_is_heard(kind: Kind) {
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let mut ear = ear(&there).await;
    (1..=1_000).for_each(|seq| here.publish(event("tea", seq)));
    here.close().await;
    for seq in 1..=1_000 {
        assert_eq!(hear(&mut ear).await, format!("tea {seq}"));
    }
}

async fn what_is_revoked_is_heard_in_order_by_everybody_who_asked_for_it(kind: Kind) {
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let mut ears = [revoked_ear(&here).await, revoked_ear(&there).await];
    for (after, cursor) in [(0, 1), (1, 4), (4, 4)] {
        here.publish_revoked(revoked(after, cursor));
    }
    for ear in &mut ears {
        for want in ["0 1", "1 4", "4 4"] {
            assert_eq!(hear_revoked(ear).await, want);
        }
    }
}

async fn who_lags_behind_what_is_revoked_hears_a_gap(kind: Kind) {
    const STRETCHES: u64 = 500;
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let mut slow = revoked_ear(&there).await;
    let mut quick = revoked_ear(&there).await;
    for cursor in 1..=STRETCHES {
        here.publish_revoked(revoked(cursor - 1, cursor));
        // When somebody else has heard it, it has come.
        assert_eq!(hear_revoked(&mut quick).await, format!("{} {cursor}", cursor - 1));
    }
    assert_eq!(hear_revoked(&mut slow).await, "gap");
}

async fn neither_kind_is_heard_by_who_asked_for_the_other(kind: Kind) {
    let world = World::new(kind, CAPACITY);
    let (here, there) = (world.bus(CAPACITY).await, world.bus(CAPACITY).await);
    let (mut rooms, mut ends) = (ear(&there).await, revoked_ear(&there).await);
    // To hear the other kind, too, may have been a gap for who was there before.
    drop(rooms);
    rooms = ear(&there).await;
    here.publish_revoked(revoked(0, 1));
    here.publish(event("tea", 1));
    here.publish_revoked(revoked(1, 2));
    assert_eq!(hear(&mut rooms).await, "tea 1");
    assert_eq!(hear_revoked(&mut ends).await, "0 1");
    assert_eq!(hear_revoked(&mut ends).await, "1 2");
}
