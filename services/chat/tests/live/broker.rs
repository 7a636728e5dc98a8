//! NATS between the services: live push pauses with it, nothing else does, and what was missed comes.

use std::time::Duration;

use chassis::bus::Config;
use chassis::config::{Layers, Settings as _};
use chassis::{Bus, Random};
use harness::nats::Server;
use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;
use crate::world::{World, until, user};

/// From the broker's return until what was missed is there.
const PROMISE: Duration = Duration::from_secs(5);

/// A world whose services have a bus of their own each, on `server`.
async fn world(server: &Server) -> World {
    let mut layers = Layers::defaults();
    layers.put("bus.url", server.url());
    let config = Config::read(&layers).unwrap();
    let open = || Bus::open(&config, 1_000, "test", &Random::System);
    let world = World::between(open().await.unwrap(), open().await.unwrap());
    world.script.public("tea", &[user("ada"), user("bob")]);
    world
}

#[tokio::test]
async fn what_was_stored_while_the_broker_was_away_comes_within_seconds_of_its_return() {
    let mut server = Server::start().unwrap();
    let world = world(&server).await;
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    world.script.say("tea", user("bob"), "live");
    assert_eq!(ada.hear().await["seq"], 1);
    server.crash();
    until(|| world.bus.counts().outages == 1).await;
    let send = json!({"id": 7, "op": "send", "ch": "room:tea", "content": "away",
        "clientId": "0195f3a0-0000-7000-8000-000000000001"});
    let ack = ada.ask(&send).await;
    assert_eq!((&ack["op"], &ack["seq"]), (&json!("ack"), &json!(2)));
    world.script.say("tea", user("bob"), "away too");
    server.start_again().unwrap();
    let back = Instant::now();
    for seq in [2, 3] {
        assert_eq!(ada.hear().await["seq"], seq);
    }
    assert!(back.elapsed() < PROMISE, "{:?}", back.elapsed());
    world.script.say("tea", user("bob"), "live again");
    assert_eq!(ada.hear().await["seq"], 4);
}

#[tokio::test]
async fn a_service_starts_without_its_broker_and_is_told_when_it_comes() {
    let mut server = Server::start().unwrap();
    server.crash();
    let world = world(&server).await;
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    world.script.say("tea", user("bob"), "1");
    server.start_again().unwrap();
    assert_eq!(ada.hear().await["seq"], 1);
}
