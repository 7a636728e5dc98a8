//! Whatever the feed and the bus do, what they told is refused, and what they did not tell is asked for.

use std::sync::Arc;
use std::time::Duration;

use chassis::Stop;
use chassis::revocation::{Feed as Followed, News};
use contract::revocation::Revocations as Stretch;
use tokio::time::Instant;

use crate::feed::Mood;
use crate::world::{PROMISE, World, ended, until};

#[tokio::test]
async fn nothing_is_known_until_the_feed_has_told_all_that_it_has() {
    let world = World::at(40);
    world.feed.is(Mood::Silent);
    world.feed.pages_of(3);
    let items: Vec<_> = (1..=10).map(ended).collect();
    world.feed.end(&items);
    let part = world.part();
    until(|| !world.feed.asked().is_empty()).await;
    assert!(!part.set.is_known());
    world.feed.is(Mood::Curt);
    until(|| world.feed.asked().len() == 2).await;
    assert!(part.refuses(3) && !part.refuses(4));
    assert!(!part.set.is_known());
    world.feed.is(Mood::Well);
    until(|| part.set.is_known()).await;
    assert!((1..=10).all(|number| part.refuses(number)) && !part.refuses(11));
    let asked: Vec<_> = world.feed.asked().iter().map(|query| query.after).collect();
    assert_eq!(asked[1..5], [Some(43), Some(46), Some(49), Some(50)], "{asked:?}");
}

#[tokio::test]
async fn without_a_bus_a_session_that_ended_is_refused_within_a_second() {
    let world = World::at(0);
    let part = world.abreast().await;
    for number in 1..=3 {
        world.feed.end(&[ended(number)]);
        part.soon_refuses(&[number]).await;
    }
}

#[tokio::test]
async fn what_the_bus_tells_first_is_not_asked_for() {
    let world = World::at(0);
    world.feed.is(Mood::Deaf);
    let part = world.abreast().await;
    let mut news = part.set.subscribe();
    let asked = world.feed.asked().len();
    for number in [1, 2] {
        let item = ended(number);
        world.deps.bus.publish_revoked(world.feed.end(&[item]));
        assert_eq!(news.next().await, Some(News::Revoked(item)));
    }
    assert!(part.refuses(1) && part.refuses(2));
    assert_eq!(world.feed.asked().len(), asked);
}

#[tokio::test]
async fn a_hole_in_what_the_bus_tells_is_filled_from_the_feed() {
    let world = World::at(0);
    world.feed.is(Mood::Deaf);
    let part = world.abreast().await;
    world.feed.end(&[ended(1), ended(2)]);
    world.deps.bus.publish_revoked(world.feed.end(&[ended(3)]));
    part.soon_refuses(&[1, 2, 3]).await;
    // Then it is waited for what comes after all three.
    until(|| world.feed.asked().last().is_some_and(|query| query.after == Some(3))).await;
}

#[tokio::test]
async fn after_a_gap_of_the_bus_the_feed_is_asked() {
    let world = World::at(0);
    world.feed.is(Mood::Deaf);
    let part = world.abreast().await;
    world.feed.end(&[ended(1)]);
    // More than a listener may lag behind, and none of it news.
    for _ in 0..1_000 {
        let nothing = Stretch { after: 0, cursor: 0, items: vec![] };
        world.deps.bus.publish_revoked(Arc::new(nothing));
    }
    part.soon_refuses(&[1]).await;
}

#[tokio::test]
async fn a_part_starts_while_the_feed_is_away_and_finds_it_later() {
    let mut world = World::at(0);
    world.feed.end(&[ended(1)]);
    world.stop_feed().await;
    let part = world.part();
    let began = Instant::now();
    part.set.settled().await;
    assert!(began.elapsed() < PROMISE && !part.set.is_known());
    // What the bus tells meanwhile is taken in, but it is not all.
    world.deps.bus.publish_revoked(world.feed.end(&[ended(2)]));
    until(|| part.refuses(2)).await;
    assert!(!part.set.is_known());
    world.start_feed();
    until(|| part.set.is_known()).await;
    assert!(part.refuses(1));
}

#[tokio::test]
async fn when_the_feed_goes_away_what_is_known_stays_and_the_rest_is_made_up_for() {
    let mut world = World::at(0);
    world.feed.end(&[ended(1)]);
    let part = world.abreast().await;
    for round in 0..3_u128 {
        world.stop_feed().await;
        world.feed.end(&[ended(10 + round)]);
        assert!(part.set.is_known() && part.refuses(1));
        world.start_feed();
        until(|| part.refuses(10 + round)).await;
    }
}

#[tokio::test]
async fn a_feed_that_was_set_back_while_it_was_away_is_read_anew_wherever_it_stands() {
    let mut world = World::at(0);
    world.feed.end(&[ended(1), ended(2), ended(3)]);
    let part = world.abreast().await;
    world.stop_feed().await;
    // Beyond the cursor again, by another way.
    world.feed.restore(0, &[ended(1), ended(4), ended(5), ended(6)]);
    world.start_feed();
    until(|| [4, 5, 6].iter().all(|number| part.refuses(*number))).await;
}

#[tokio::test]
async fn a_user_service_without_a_feed_keeps_nobody_waiting() {
    let world = World::at(0);
    world.feed.is(Mood::Absent);
    let part = world.part();
    until(|| part.set.is_known()).await;
}

#[tokio::test]
async fn a_feed_that_refuses_and_raves_is_asked_again_and_again() {
    let world = World::at(0);
    world.feed.is(Mood::Mad);
    let part = world.part();
    until(|| world.feed.asked().len() > 2).await;
    world.feed.is(Mood::Failing);
    let asked = world.feed.asked().len();
    until(|| world.feed.asked().len() > asked + 1).await;
    assert!(!part.set.is_known());
    world.feed.is(Mood::Well);
    until(|| part.set.is_known()).await;
}

#[tokio::test]
async fn a_feed_that_was_set_back_is_read_anew_and_nothing_comes_back_to_life() {
    let world = World::at(0);
    world.feed.end(&[ended(1), ended(2), ended(3)]);
    let part = world.abreast().await;
    world.feed.restore(0, &[ended(1), ended(4)]);
    until(|| part.refuses(4)).await;
    assert!([1, 2, 3].iter().all(|number| part.refuses(*number)));
    world.until_it_waits().await;
    world.feed.end(&[ended(5)]);
    part.soon_refuses(&[5]).await;
}

#[tokio::test]
async fn a_feed_that_never_waits_is_not_asked_without_end() {
    let world = World::at(0);
    world.feed.is(Mood::Hasty);
    let part = world.part();
    until(|| part.set.is_known()).await;
    let (asked, began) = (world.feed.asked().len(), Instant::now());
    until(|| world.feed.asked().len() >= asked + 3).await;
    assert!(began.elapsed() > Duration::from_millis(400), "{:?}", began.elapsed());
    world.feed.end(&[ended(1)]);
    part.soon_refuses(&[1]).await;
}

#[tokio::test]
async fn a_service_without_the_grant_learns_nothing() {
    let world = World::at(0);
    let stranger = world.part_as("bridge");
    stranger.set.settled().await;
    assert!(!stranger.set.is_known() && world.feed.asked().is_empty());
}

#[tokio::test]
async fn whoever_follows_nobody_knows_at_once_and_makes_no_key() {
    let world = World::at(0);
    let keys = world.deps.data.join("elsewhere");
    let nobody = Followed {
        url: "",
        authority: "user",
        keys: &keys,
        items_max: 100,
        linger: Duration::ZERO,
    };
    let set = nobody.follow("gateway", &world.deps, &Stop::new()).unwrap();
    assert!(set.is_known() && !keys.exists());
}

#[tokio::test]
async fn a_part_that_drains_follows_on_for_as_long_as_it_lets_callers_in() {
    let world = World::at(0);
    let stop = Stop::new();
    let linger = Duration::from_secs(1);
    let followed = Followed {
        url: &format!("http://{}/internal/revocations", world.address),
        authority: "user",
        keys: &world.deps.data.join("keys"),
        items_max: 100,
        linger,
    };
    let set = followed.follow("chat", &world.deps, &stop).unwrap();
    world.until_it_waits().await;
    let began = Instant::now();
    stop.drain();
    let before = set.generation();
    world.feed.end(&[ended(1)]);
    until(|| set.generation() > before).await;
    stop.tracker().close();
    stop.tracker().wait().await;
    assert!(began.elapsed() >= linger);
}
