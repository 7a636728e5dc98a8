//! The server goes away and comes back, leaves, hangs, or a way to it is cut: nobody who listens is
//! left believing that nothing happened, and ringing never waits.

use std::time::Duration;

use harness::nats::Server;
use tokio::time::Instant;

use crate::proxy::Proxy;
use crate::world::{ear, event, hear, hear_all, hear_revoked, open, revoked, revoked_ear, until};

/// What has to be made up for within this time of the server's return is.
const PROMISE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_rung_while_the_server_was_away_is_made_up_for() {
    const EVENTS: u64 = 100_000;
    let mut server = Server::start().unwrap();
    let (here, there) =
        (open(&[("url", &server.url())]).await, open(&[("url", &server.url())]).await);
    let mut ear = ear(&there).await;
    here.settled().await;
    server.crash();
    until(|| here.counts().outages == 1).await;
    let began = Instant::now();
    for seq in 1..=EVENTS {
        here.publish(event("tea", seq));
        here.publish(event("milk", seq));
    }
    assert!(began.elapsed() < PROMISE, "ringing waited: {:?}", began.elapsed());
    assert_eq!((here.counts().rung, here.counts().lost), (0, 0));
    server.start_again().unwrap();
    let back = Instant::now();
    // Whoever is told of a gap reads the store; what is rung after that is heard.
    hear_all(&mut ear, &["gap"]).await;
    until(|| here.counts().rung == 2).await;
    assert!(back.elapsed() < PROMISE, "{:?}", back.elapsed());
}

#[tokio::test]
async fn a_listener_is_told_of_a_gap_whenever_the_server_was_away() {
    let mut server = Server::start().unwrap();
    let bus = open(&[("url", &server.url())]).await;
    let mut ear = ear(&bus).await;
    for round in 1..=3 {
        server.crash();
        until(|| bus.counts().outages == round).await;
        server.start_again().unwrap();
        assert_eq!(hear(&mut ear).await, "gap");
        bus.publish(event("tea", round));
        assert_eq!(hear(&mut ear).await, format!("tea {round}"));
    }
}

#[tokio::test]
async fn a_process_starts_without_its_server_and_finds_it_later() {
    let mut server = Server::start().unwrap();
    server.crash();
    let began = Instant::now();
    let bus = open(&[("url", &server.url())]).await;
    let mut early = bus.subscribe();
    bus.settled().await;
    assert!(began.elapsed() < PROMISE);
    bus.publish(event("tea", 1));
    bus.publish(event("tea", 2));
    server.start_again().unwrap();
    let heard = hear_all(&mut early, &["gap", "tea 2"]).await;
    assert!(!heard.contains(&"tea 1".to_owned()), "{heard:?}");
    assert_eq!(bus.counts().outages, 0);
}

#[tokio::test]
async fn a_server_that_says_that_it_leaves_is_a_gap() {
    let server = Server::start().unwrap();
    let bus = open(&[("url", &server.url())]).await;
    let mut ear = ear(&bus).await;
    server.signal("USR2").unwrap();
    assert_eq!(hear(&mut ear).await, "gap");
}

#[tokio::test]
async fn what_the_client_has_to_drop_is_a_gap() {
    let server = Server::start().unwrap();
    let here = open(&[("url", &server.url())]).await;
    let there = open(&[("url", &server.url()), ("incoming_events_max", "1")]).await;
    let mut ear = ear(&there).await;
    here.settled().await;
    (1..=2_000).for_each(|seq| here.publish(event("tea", seq)));
    hear_all(&mut ear, &["gap"]).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_found_again() {
    let server = Server::start().unwrap();
    let settings = [("url", server.url()), ("ping_interval", "100ms".to_owned())];
    let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
    let bus = open(&settings).await;
    let mut ear = ear(&bus).await;
    server.signal("STOP").unwrap();
    until(|| bus.counts().outages == 1).await;
    bus.publish(event("tea", 1));
    server.signal("CONT").unwrap();
    hear_all(&mut ear, &["gap", "tea 1"]).await;
}

#[tokio::test]
async fn what_went_down_with_the_way_to_the_server_is_rung_again() {
    let server = Server::start().unwrap();
    let proxy = Proxy::before(&server).await;
    let (here, there) =
        (open(&[("url", &proxy.url())]).await, open(&[("url", &server.url())]).await);
    let mut ear = ear(&there).await;
    here.settled().await;
    here.publish(event("tea", 1));
    assert_eq!(hear(&mut ear).await, "tea 1");
    proxy.swallow();
    here.publish(event("tea", 2));
    here.publish(event("milk", 7));
    until(|| here.counts().rung == 3).await;
    proxy.cut();
    // The listener's own connection was there all the time: nothing else tells it.
    let heard = hear_all(&mut ear, &["tea 2", "milk 7"]).await;
    assert_eq!(heard.len(), 2, "{heard:?}");
}

#[tokio::test]
async fn a_bus_without_a_server_ends_in_time() {
    let mut server = Server::start().unwrap();
    let bus = open(&[("url", &server.url())]).await;
    bus.settled().await;
    server.crash();
    (1..=5_000).for_each(|seq| bus.publish(event("tea", seq)));
    let began = Instant::now();
    bus.close().await;
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn of_what_was_revoked_while_the_server_was_away_the_newest_is_told() {
    let mut server = Server::start().unwrap();
    let (here, there) =
        (open(&[("url", &server.url())]).await, open(&[("url", &server.url())]).await);
    let mut ear = revoked_ear(&there).await;
    here.settled().await;
    server.crash();
    until(|| here.counts().outages == 1).await;
    for cursor in 1..=1_000 {
        here.publish_revoked(revoked(cursor - 1, cursor));
    }
    server.start_again().unwrap();
    // The publisher may be back before the listener's gap is told.
    while hear_revoked(&mut ear).await != "gap" {}
    until(|| here.counts().rung == 1).await;
    here.publish_revoked(revoked(1_000, 1_001));
    while hear_revoked(&mut ear).await != "1000 1001" {}
    assert_eq!(here.counts().lost, 0);
}
