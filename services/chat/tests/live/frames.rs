//! Frames as such: what is answered, what is forgiven, and what ends a socket.

use chassis::running::Drained;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::client::Client;
use crate::world::{World, user};

#[tokio::test]
async fn a_frame_that_cannot_be_served_is_answered_and_the_socket_stays() {
    let world = World::new();
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    for text in ["not json", "[1]", r#"{"id":4}"#, r#"{"op":"ping","id":0}"#] {
        ada.send(Message::text(text)).await;
        let err = ada.hear().await;
        assert_eq!((&err["op"], &err["code"]), (&"err".into(), &"bad-frame".into()), "{text}");
        assert_eq!(err.get("id"), None);
    }
    let err = ada.ask(&json!({"id": 5, "op": "typing", "ch": "room:tea", "on": true})).await;
    assert_eq!(
        err,
        json!({"op": "err", "id": 5, "code": "unknown-op", "status": 400, "retry": false})
    );
    let err = ada.ask(&json!({"id": 6, "op": "send", "ch": "room:tea"})).await;
    assert_eq!((&err["code"], &err["id"]), (&"invalid".into(), &6.into()));
    assert_eq!(ada.ask(&json!({"id": 7, "op": "ping"})).await, json!({"op": "pong", "id": 7}));
    assert_eq!(ada.ask(&json!({"op": "ping", "more": [1]})).await, json!({"op": "pong"}));
}

#[tokio::test]
async fn a_binary_frame_is_closed_with_4400() {
    let world = World::new();
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.send(Message::binary(&b"x"[..])).await;
    assert_eq!(ada.closed().await.0, 4400);
}

#[tokio::test]
async fn broken_utf8_is_closed_with_1007() {
    let world = World::new();
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    let frame = Frame::message(vec![0xC3, 0x28], OpCode::Data(Data::Text), true);
    ada.send(Message::Frame(frame)).await;
    assert_eq!(ada.closed().await.0, 1007);
}

#[tokio::test]
async fn an_oversized_frame_is_closed_with_1009_and_its_sender_gets_to_read_it() {
    let world = World::new();
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.send(Message::text("x".repeat(4 * 1024 * 1024))).await;
    assert_eq!(ada.closed().await.0, 1009);
    let mut bob = Client::open(&world, &chat, "bob").await;
    bob.send(Message::text("x".repeat(64 * 1024))).await;
    assert_eq!(bob.hear().await["code"], "bad-frame");
}

#[tokio::test]
async fn a_close_is_answered() {
    let world = World::new();
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.send(Message::Ping(b"hi".to_vec().into())).await;
    ada.send(Message::Close(None)).await;
    assert_eq!(ada.closed().await.0, 1000);
}

#[tokio::test]
async fn more_frames_than_allowed_are_refused_with_a_time_to_wait() {
    let mut world = World::new();
    world.layers.put("chat.ws.frames_per_second", 1);
    world.layers.put("chat.ws.frames_burst", 2);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    for _ in 0..2 {
        assert_eq!(ada.ask(&json!({"op": "ping"})).await["op"], "pong");
    }
    let err = ada.ask(&json!({"id": 9, "op": "ping"})).await;
    assert_eq!((&err["code"], &err["id"]), (&"rate-limited".into(), &9.into()));
    assert_eq!((&err["status"], &err["retry"]), (&429.into(), &true.into()));
    assert!((1..=1000).contains(&err["retryAfterMs"].as_u64().unwrap()));
}

#[tokio::test]
async fn pings_carry_the_heads_of_quiet_channels() {
    let mut world = World::new();
    world.layers.put("chat.ws.ping_interval", "30ms");
    world.script.public("tea", &[user("ada")]);
    world.script.say("tea", user("ada"), "hi");
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    loop {
        let ping = ada.hear_any().await;
        assert_eq!(ping["op"], "ping");
        if ping["heads"] == json!({"room:tea": 1}) {
            break;
        }
    }
}

#[tokio::test]
async fn silence_is_closed_with_4504_and_any_frame_is_life() {
    let mut world = World::new();
    world.layers.put("chat.ws.ping_interval", "50ms");
    world.layers.put("chat.ws.pong_timeout", "100ms");
    let chat = world.start().await;
    let mut dead = Client::open(&world, &chat, "ada").await;
    let mut alive = Client::open(&world, &chat, "bob").await;
    let mut pongs = 0;
    let close = loop {
        tokio::select! {
            ping = alive.hear_any() => {
                assert_eq!(ping["op"], "ping");
                alive.say(&json!({"op": "pong"})).await;
                pongs += 1;
            }
            closed = dead.closed() => break closed.0,
        }
    };
    assert_eq!(close, 4504);
    assert!(pongs > 1);
    assert_eq!(alive.ask(&json!({"id": 1, "op": "ping"})).await["op"], "pong");
}

#[tokio::test]
async fn a_node_that_goes_away_says_bye_and_when_to_come_back() {
    let world = World::new();
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    let heard = async {
        let (close, frames) = ada.closed().await;
        drop(ada);
        (close, frames)
    };
    let ((close, frames), drained) = tokio::join!(heard, chat.stop());
    assert_eq!((close, drained), (4503, Drained::Clean));
    let bye: &Value = frames.last().unwrap();
    assert_eq!((&bye["op"], &bye["reason"]), (&"bye".into(), &"drain".into()));
    assert!(bye["reconnectAfterMs"].as_u64().unwrap() < 50);
}

#[tokio::test]
async fn a_node_stops_with_nobody_there() {
    let world = World::new();
    assert_eq!(world.start().await.stop().await, Drained::Clean);
}
