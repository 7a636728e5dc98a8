//! Sockets that do not read: told so, then let go, and nobody else waits for them.

use serde_json::json;

use crate::client::Client;
use crate::world::{Chat, World, user};

/// More than the buffers of a loopback connection hold.
const FLOOD: usize = 3_000;

async fn flood(world: &World) {
    let long = "x".repeat(8_000);
    for _ in 0..FLOOD {
        world.script.say("tea", user("ada"), &long);
        // The service gets its turn, so that what can be written is.
        tokio::task::yield_now().await;
    }
}

fn tea() -> World {
    let mut world = World::with_bus(FLOOD + 10);
    world.layers.put("chat.ws.slow_timeout", "300ms");
    world.script.public("tea", &[user("ada")]);
    world
}

#[tokio::test]
async fn a_socket_that_falls_behind_is_told_once_and_resumes() {
    let mut world = tea();
    world.layers.put("chat.ws.slow_timeout", "1m");
    let chat = world.start().await;
    let mut slow = Client::open(&world, &chat, "ada").await;
    slow.subscribe("room:tea").await;
    flood(&world).await;
    let (mut last, lagged) = (
        0,
        loop {
            let frame = slow.hear().await;
            if frame["op"] == "lagged" {
                break frame;
            }
        },
    );
    assert_eq!(lagged["ch"], "room:tea");
    let head = lagged["head"].as_u64().unwrap();
    assert!(head > last && head <= FLOOD as u64);
    // Nothing more of the channel comes until the client has said where it is.
    let pong = slow.ask(&json!({"id": 1, "op": "ping"})).await;
    assert_eq!(pong["op"], "pong", "{}", pong["op"]);
    let here = slow.subscribe("room:tea").await;
    last = here["head"].as_u64().unwrap();
    world.script.say("tea", user("ada"), "again");
    let frame = slow.hear().await;
    assert_eq!(
        frame["seq"],
        last + 1,
        "{}",
        frame.to_string().chars().take(200).collect::<String>()
    );
}

#[tokio::test]
async fn a_socket_that_takes_nothing_is_let_go_and_others_hear_everything() {
    let world = tea();
    world.script.public("milk", &[user("ada")]);
    let chat = world.start().await;
    let mut dead = Client::open(&world, &chat, "ada").await;
    dead.subscribe("room:tea").await;
    let mut alive = Client::open(&world, &chat, "bob").await;
    alive.subscribe("room:milk").await;
    flood(&world).await;
    world.script.say("milk", user("ada"), "heard");
    assert_eq!(alive.hear().await["data"]["content"], "heard");
    // It does not read, so it is cut off without having read the close frame: its place is free.
    nobody_is_online(&world, &chat).await;
}

/// Waits until every place in the room is free again.
async fn nobody_is_online(world: &World, chat: &Chat) {
    let (url, token) = (format!("http://{}/api/rooms/tea", chat.address), world.token("ada"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        let room = http.get(&url).bearer_auth(&token).send().await.unwrap();
        let room: serde_json::Value = room.json().await.unwrap();
        if room["onlineMembers"] == 0 {
            break;
        }
    }
}

#[tokio::test]
async fn a_socket_that_falls_behind_four_times_in_a_minute_is_closed_with_4508() {
    let mut world = tea();
    world.layers.put("chat.ws.queue_frames_max", 1);
    let chat = world.start().await;
    let mut slow = Client::open(&world, &chat, "ada").await;
    for round in 1..=4 {
        slow.subscribe("room:tea").await;
        // On one thread nothing is written before all of these are queued.
        (0..3).for_each(|_| world.script.say("tea", user("ada"), "hi"));
        while round < 4 && slow.hear().await["op"] != "lagged" {}
    }
    assert_eq!(slow.closed().await.0, 4508);
    nobody_is_online(&world, &chat).await;
}
