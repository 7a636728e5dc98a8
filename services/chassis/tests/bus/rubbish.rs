//! Whatever others put on our subjects is dropped and counted, and what others see of ours is what is
//! documented.

use std::fmt::Write as _;

use futures_util::StreamExt as _;
use harness::nats::Server;

use crate::world::{ear, event, hear, hear_revoked, open, revoked, revoked_ear, stranger, until};

const GOOD: &str = r#"{"epoch":"e1","seq":1,"type":"message.created","ts":"2026-11-20T17:00:00.123Z","data":{"content":"tea 1"}}"#;

#[tokio::test]
async fn what_is_no_event_is_dropped_and_later_events_arrive() {
    let server = Server::start_with("max_payload: 16MB\nmax_pending: 64MB\n").unwrap();
    let bus = open(&[("url", &server.url())]).await;
    let mut ear = ear(&bus).await;
    let stranger = stranger(&server).await;
    let bodies = [
        "hello".to_owned(),
        String::new(),
        "null".to_owned(),
        GOOD.replace("message.created", "message.sung"),
        GOOD.replace("\"seq\":1", "\"seq\":99999999999999999999"),
        "[".repeat(100_000),
        GOOD.replace("tea 1", &"x".repeat(10 * 1024 * 1024)),
    ];
    let subjects = ["room.a!b", "room.ü", "room.ROOM*", "room.>x"];
    for body in &bodies {
        stranger.publish("room.tea", body.clone().into()).await.unwrap();
    }
    stranger.publish("room.tea", vec![0xff, 0xfe, 0x00].into()).await.unwrap();
    for subject in subjects {
        stranger.publish(subject, GOOD.into()).await.unwrap();
    }
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("X-Anything", "goes");
    stranger.publish_with_headers("room.tea", headers, GOOD.into()).await.unwrap();
    stranger.flush().await.unwrap();
    assert_eq!(hear(&mut ear).await, "tea 1");
    let unreadable = (bodies.len() + 1 + subjects.len()) as u64;
    assert_eq!((bus.counts().unreadable, bus.counts().heard), (unreadable, 1));
}

#[tokio::test]
async fn a_longer_event_than_is_read_is_dropped_and_one_that_the_server_refuses_is_lost() {
    let server = Server::start_with("max_payload: 1000\n").unwrap();
    let here = open(&[("url", &server.url())]).await;
    let there = open(&[("url", &server.url()), ("payload_bytes_max", "200")]).await;
    let mut ear = ear(&there).await;
    here.settled().await;
    let long = |bytes: usize| {
        let mut data = String::from("\"");
        write!(data, "{}\"", "x".repeat(bytes)).unwrap();
        let data = serde_json::value::RawValue::from_string(data).unwrap();
        contract::Event { data, ..(*event("tea", 1)).clone() }.into()
    };
    here.publish(long(300));
    here.publish(long(3_000));
    here.publish(event("tea", 2));
    assert_eq!(hear(&mut ear).await, "tea 2");
    assert_eq!(there.counts().unreadable, 1);
    assert_eq!((here.counts().rung, here.counts().lost), (2, 1));
}

#[tokio::test]
async fn two_prefixes_on_one_server_do_not_hear_each_other() {
    let server = Server::start().unwrap();
    let url = server.url();
    let plain = open(&[("url", &url)]).await;
    let shop = open(&[("url", &url), ("prefix", "shop.live")]).await;
    let (mut plain_ear, mut shop_ear) = (ear(&plain).await, ear(&shop).await);
    plain.publish(event("plain", 1));
    shop.publish(event("shop", 1));
    assert_eq!(hear(&mut plain_ear).await, "plain 1");
    assert_eq!(hear(&mut shop_ear).await, "shop 1");
    plain.publish(event("plain", 2));
    shop.publish(event("shop", 2));
    assert_eq!(hear(&mut plain_ear).await, "plain 2");
    assert_eq!(hear(&mut shop_ear).await, "shop 2");
}

#[tokio::test]
async fn others_see_the_documented_subject_and_body() {
    let server = Server::start().unwrap();
    let stranger = stranger(&server).await;
    let mut all = stranger.subscribe("shop.room.*").await.unwrap();
    stranger.flush().await.unwrap();
    let bus = open(&[("url", &server.url()), ("prefix", "shop")]).await;
    bus.publish(event("tea", 1));
    until(|| bus.counts().rung == 1).await;
    let message = all.next().await.unwrap();
    assert_eq!(message.subject.as_str(), "shop.room.tea");
    assert_eq!(message.payload, GOOD);
    assert!(message.reply.is_none() && message.headers.is_none());
}

#[tokio::test]
async fn what_is_no_stretch_of_revocations_is_dropped_and_later_ones_arrive() {
    let server = Server::start().unwrap();
    let bus = open(&[("url", &server.url()), ("payload_bytes_max", "100000")]).await;
    let mut ear = revoked_ear(&bus).await;
    let stranger = stranger(&server).await;
    let good = serde_json::to_string(&*revoked(0, 1)).unwrap();
    let bodies = [
        String::new(),
        "hello".to_owned(),
        "{}".to_owned(),
        GOOD.to_owned(),
        good.replace("\"after\":0", "\"after\":2"),
        good.replace("\"after\":0", "\"after\":1"),
        good.replace("\"cursor\":1", "\"cursor\":18446744073709551615"),
        good.replace("sid", "kid"),
        good.replace("notBefore", "before"),
        serde_json::to_string(&*revoked(0, 1_001)).unwrap(),
        " ".repeat(100_001),
    ];
    for body in &bodies {
        stranger.publish("auth.revoked", body.clone().into()).await.unwrap();
    }
    stranger.publish("auth.revoked", good.into()).await.unwrap();
    stranger.flush().await.unwrap();
    assert_eq!(hear_revoked(&mut ear).await, "0 1");
    assert_eq!((bus.counts().unreadable, bus.counts().heard), (bodies.len() as u64, 1));
}

#[tokio::test]
async fn others_see_what_is_revoked_under_the_documented_subject() {
    let server = Server::start().unwrap();
    let stranger = stranger(&server).await;
    let mut all = stranger.subscribe("shop.>").await.unwrap();
    stranger.flush().await.unwrap();
    let bus = open(&[("url", &server.url()), ("prefix", "shop")]).await;
    bus.publish_revoked(revoked(6, 7));
    let message = all.next().await.unwrap();
    assert_eq!(message.subject.as_str(), "shop.auth.revoked");
    let body = r#"{"after":6,"cursor":7,"items":[{"sid":"00000000-0000-0000-0000-000000000007","notBefore":"2026-11-20T17:00:00.123Z","until":"2026-11-20T17:15:30.123Z"}]}"#;
    assert_eq!(message.payload, body);
}
