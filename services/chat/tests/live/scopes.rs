//! What a machine key's scopes let its socket do.

use contract::caller::UserClaims;
use contract::scope::{Scope, Scopes};
use serde_json::{Value, json};

use crate::client::{Client, protocols, request};
use crate::world::{Chat, World, claims, user};

/// A token of `bot` for `scopes` alone.
fn signed(world: &World, scopes: &[Scope]) -> String {
    let scope = Some(Scopes(scopes.iter().copied().collect()));
    world.sign(&UserClaims { scope, ..claims("bot") })
}

/// Connects as `bot` with a token for `scopes` alone.
async fn open(world: &World, chat: &Chat, path: &str, scopes: &[Scope]) -> Client {
    let asked = protocols(&signed(world, scopes));
    let fields = [("sec-websocket-protocol", asked.as_str())];
    let (mut client, _) = Client::connect(request(chat, path, &fields)).await;
    assert_eq!(client.hear().await["op"], "hello");
    client
}

fn send(id: u64) -> Value {
    let client_id = uuid::Uuid::from_u128(id.into());
    json!({"id": id, "op": "send", "ch": "room:tea", "clientId": client_id, "content": "hi"})
}

#[track_caller]
fn is_forbidden(frame: &Value, scope: &str) {
    assert_eq!((&frame["op"], &frame["code"]), (&json!("err"), &json!("forbidden")), "{frame}");
    assert!(frame["detail"].as_str().unwrap().contains(scope), "{frame}");
}

#[tokio::test]
async fn whoever_may_read_may_not_write() {
    let world = World::new();
    world.script.public("tea", &[user("bot")]);
    let chat = world.start().await;
    let mut bot = open(&world, &chat, "/ws", &[Scope::MessagesRead]).await;
    let refused = bot.ask(&send(1)).await;
    is_forbidden(&refused, "messages:write");
    assert_eq!(refused["id"], 1);
    bot.subscribe("room:tea").await;
    let history = json!({"id": 2, "op": "history", "ch": "room:tea"});
    assert_eq!(bot.ask(&history).await["op"], "ack");
}

#[tokio::test]
async fn whoever_may_write_may_not_read() {
    let world = World::new();
    world.script.public("tea", &[user("bot")]);
    let chat = world.start().await;
    let mut bot = open(&world, &chat, "/ws", &[Scope::MessagesWrite]).await;
    for request in [
        json!({"id": 1, "op": "sub", "ch": "room:tea"}),
        json!({"id": 2, "op": "history", "ch": "room:tea"}),
    ] {
        is_forbidden(&bot.ask(&request).await, "messages:read");
    }
    assert_eq!(bot.ask(&send(3)).await["op"], "ack");
}

#[tokio::test]
async fn a_rooms_own_url_joins_only_for_whoever_may() {
    let world = World::new();
    world.script.public("tea", &[]);
    world.script.public("mine", &[user("bot")]);
    let chat = world.start().await;
    let mut stranger = open(&world, &chat, "/ws/tea", &[Scope::MessagesRead]).await;
    is_forbidden(&stranger.hear().await, "rooms:write");
    assert!(!world.script.is_member("tea", user("bot")));
    assert_eq!(stranger.ask(&json!({"op": "ping", "id": 1})).await["op"], "pong");
    let mut member = open(&world, &chat, "/ws/mine", &[Scope::MessagesRead]).await;
    assert_eq!(member.hear().await["op"], "subscribed");
    let mut writer = open(&world, &chat, "/ws/mine", &[Scope::MessagesWrite]).await;
    is_forbidden(&writer.hear().await, "messages:read");
    let short = json!({"id": 2, "content": "hi"});
    assert_eq!(writer.ask(&short).await["op"], "ack");
    let joins = [Scope::MessagesRead, Scope::RoomsWrite];
    let mut joiner = open(&world, &chat, "/ws/tea", &joins).await;
    assert_eq!(joiner.hear().await["op"], "subscribed");
    assert!(world.script.is_member("tea", user("bot")));
}

#[tokio::test]
async fn a_fresh_token_brings_its_own_scopes() {
    let world = World::new();
    world.script.public("tea", &[user("bot")]);
    let chat = world.start().await;
    let mut bot = open(&world, &chat, "/ws", &[]).await;
    is_forbidden(&bot.ask(&send(1)).await, "messages:write");
    let auth = json!({"op": "auth", "id": 2, "token": world.token("bot")});
    assert_eq!(bot.ask(&auth).await["op"], "ack");
    assert_eq!(bot.ask(&send(3)).await["op"], "ack");
}

#[tokio::test]
async fn a_fresh_token_that_may_not_read_leaves_the_rooms() {
    let world = World::new();
    for room in ["tea", "coffee", "left"] {
        world.script.public(room, &[user("bot")]);
    }
    let chat = world.start().await;
    let both = [Scope::MessagesRead, Scope::MessagesWrite];
    let mut bot = open(&world, &chat, "/ws", &both).await;
    for room in ["room:tea", "room:coffee", "room:left"] {
        bot.subscribe(room).await;
    }
    bot.ask(&json!({"id": 2, "op": "unsub", "ch": "room:left"})).await;
    let token = signed(&world, &[Scope::MessagesWrite]);
    let mut told = vec![bot.ask(&json!({"op": "auth", "token": token})).await, bot.hear().await];
    told.sort_by_key(|frame| frame["ch"].to_string());
    let gone = |ch: &str| json!({"op": "unsubscribed", "ch": ch, "code": "forbidden"});
    assert_eq!(told, [gone("room:coffee"), gone("room:tea")]);
    world.script.say("tea", user("bot"), "hi");
    assert_eq!(bot.ask(&json!({"op": "ping", "id": 3})).await["op"], "pong");
    assert_eq!(bot.ask(&send(4)).await["op"], "ack", "its own message is not told either");
    let ping = bot.ask(&json!({"op": "ping", "id": 5})).await;
    assert_eq!((&ping["op"], &ping["id"]), (&json!("pong"), &json!(5)));
}

#[tokio::test]
async fn a_fresh_token_that_may_read_keeps_the_rooms() {
    let world = World::new();
    world.script.public("tea", &[user("bot")]);
    let chat = world.start().await;
    let mut bot = open(&world, &chat, "/ws", &[Scope::MessagesRead, Scope::MessagesWrite]).await;
    bot.subscribe("room:tea").await;
    let token = signed(&world, &[Scope::MessagesRead]);
    assert_eq!(bot.ask(&json!({"op": "auth", "id": 2, "token": token})).await["op"], "ack");
    world.script.say("tea", user("bot"), "hi");
    assert_eq!(bot.hear().await["data"]["content"], "hi");
}
