//! Rings of a message service that shares no bus.

use serde_json::json;

use crate::client::Client;
use crate::world::{World, user};

#[tokio::test]
async fn a_ring_reaches_the_sockets_of_its_room() {
    let world = World::new();
    world.script.public("tea", &[user("ada")]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    let rings = json!({"events": [{"channel": "room:tea", "epoch": "e1", "seq": 1,
        "type": "message.created", "ts": "2026-11-20T17:00:00.000Z", "data": {"content": "hi"}}]});
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/internal/rings", chat.address);
    let post = |token: String| http.post(&url).bearer_auth(token).json(&rings).send();
    assert_eq!(post(world.token("ada")).await.unwrap().status(), 403);
    assert_eq!(post("garbage".to_owned()).await.unwrap().status(), 401);
    assert_eq!(http.post(&url).json(&rings).send().await.unwrap().status(), 401);
    let token = world.service("message").plain("chat").to_string();
    assert_eq!(post(token).await.unwrap().status(), 200);
    let event = ada.hear().await;
    assert_eq!((&event["seq"], &event["data"]["content"]), (&json!(1), &json!("hi")));
}
