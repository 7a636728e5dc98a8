//! Sockets that are opened with a machine key.

use std::time::Duration;

use contract::Kind;
use serde_json::json;

use crate::accounts::Users;
use crate::client::{Client, request};
use crate::world::{Chat, World, claims, until, user};

async fn open(chat: &Chat, key: &str) -> Client {
    Client::connect(request(chat, "/ws", &[("x-api-key", key)])).await.0
}

#[tokio::test]
async fn a_key_keeps_its_socket_open_until_it_is_deleted() {
    let mut world = World::new();
    world.layers.put("chat.ws.token_grace", "10ms");
    let users = Users::start(&mut world);
    users.give_key("k", claims("bot"), 2);
    let chat = world.start().await;
    let mut bot = open(&chat, "k").await;
    assert_eq!(bot.hear().await["userId"], json!(user("bot")));
    // Longer than two tokens live.
    until(|| users.exchanges() >= 5).await;
    assert_eq!(bot.ask(&json!({"op": "ping", "id": 1})).await["op"], "pong");
    users.take_key("k");
    let (code, frames) = bot.closed().await;
    assert_eq!((code, &frames.last().unwrap()["code"]), (4410, &json!("revoked-token")));
    assert!(frames.iter().all(|frame| frame["op"] != "tokenExpiring"), "{frames:?}");
}

#[tokio::test]
async fn a_key_that_nobody_knows_opens_nothing() {
    let mut world = World::new();
    let users = Users::start(&mut world);
    let chat = world.start().await;
    for key in ["nonsense", "", &"x".repeat(2_000)] {
        let (code, frames) = open(&chat, key).await.closed().await;
        assert_eq!((code, &frames[0]["code"]), (4401, &json!("bad-token")));
    }
    assert_eq!(users.exchanges(), 1, "what can be no key is not asked about");
    users.set_trouble(Some(Kind::Unavailable));
    let refused = Client::refused(request(&chat, "/ws", &[("x-api-key", "k")])).await;
    assert_eq!(refused.status(), 503);
}

#[tokio::test]
async fn a_user_service_that_is_away_for_a_moment_costs_no_socket_and_for_long_ends_it() {
    let mut world = World::new();
    world.layers.put("chat.ws.token_grace", "1s");
    let users = Users::start(&mut world);
    users.give_key("k", claims("bot"), 3);
    let chat = world.start().await;
    let mut bot = open(&chat, "k").await;
    assert_eq!(bot.hear().await["op"], "hello");
    users.set_trouble(Some(Kind::Unavailable));
    until(|| users.exchanges() == 2).await;
    users.set_trouble(None);
    until(|| users.exchanges() == 3).await;
    assert_eq!(bot.ask(&json!({"op": "ping", "id": 1})).await["op"], "pong");
    users.set_trouble(Some(Kind::Unavailable));
    let closed = tokio::time::timeout(Duration::from_secs(8), bot.closed()).await;
    let (code, frames) = closed.unwrap();
    assert_eq!((code, &frames.last().unwrap()["code"]), (4500, &json!("unavailable")));
    assert!(users.exchanges() < 10, "it asked all the time");
}

#[tokio::test]
async fn a_key_is_not_dead_because_this_service_was_not_recognised() {
    let mut world = World::new();
    let users = Users::start(&mut world);
    users.give_key("k", claims("bot"), 4);
    users.give_ticket("t", claims("bot"));
    let chat = world.start().await;
    let mut bot = open(&chat, "k").await;
    assert_eq!(bot.hear().await["op"], "hello");
    for trouble in [Some(Kind::BadToken), Some(Kind::NotFound), None] {
        users.set_trouble(trouble);
        let tried = users.exchanges();
        until(|| users.exchanges() > tried).await;
        assert_eq!(bot.ask(&json!({"op": "ping", "id": 1})).await["op"], "pong", "{trouble:?}");
    }
    users.set_trouble(Some(Kind::BadToken));
    for (path, fields) in [("/ws", &[("x-api-key", "k")][..]), ("/ws?ticket=t", &[])] {
        let refused = Client::refused(request(&chat, path, fields)).await;
        assert_eq!(refused.status(), 503, "{path}");
    }
}

#[tokio::test]
async fn a_token_stands_in_for_a_key() {
    let mut world = World::new();
    let users = Users::start(&mut world);
    users.give_key("k", claims("bot"), 2);
    users.give_key("other", claims("other"), 2);
    let chat = world.start().await;
    let mut bot = open(&chat, "k").await;
    assert_eq!(bot.hear().await["op"], "hello");
    let auth = json!({"op": "auth", "id": 1, "token": world.token("bot")});
    assert_eq!(bot.ask(&auth).await["op"], "ack");
    users.take_key("k");
    let mut other = open(&chat, "other").await;
    assert_eq!(other.hear().await["op"], "hello");
    // The other key was exchanged twice since, and this one would have been.
    until(|| users.exchanges() == 4).await;
    assert_eq!(bot.ask(&json!({"op": "ping", "id": 2})).await["op"], "pong");
}
