//! The same conversation with every part in a process of its own and no broker between them: the
//! message service rings the chat service over HTTP.

use std::process::Command;

use serde_json::json;

use super::support::apart::Apart;
use super::support::client::Client;
use super::support::eventually;
use super::support::hub::{Program, command, hubbub, sibling};

#[tokio::test]
async fn four_processes_without_a_broker_hold_a_conversation() {
    let mut parts = Apart::start();
    let client = parts.client();
    let (ada, bob) = (client.register().await, client.register().await);
    let room = ada.room(false).await;
    bob.join(&room).await;
    let mut socket = bob.socket().await;
    let left_at = socket.subscribe(&room).await;
    let by_rest = ada.send(&room, "by rest").await.created();
    assert_eq!(socket.want_message().await["data"], by_rest);
    let ack = ada.socket().await.send(&room, "by socket").await;
    assert_eq!(socket.want_message().await["seq"], ack["seq"]);

    // The chat service dies; sends are still acknowledged, and its sockets resume on the next one.
    parts.chat.kill();
    let missed = ada.send(&room, "while chat was down").await.created();
    let unhealthy = eventually("the gateway to notice", || async {
        let health = client.get("/health").await.body;
        let services = health["services"].as_array().unwrap().clone();
        services.into_iter().find(|s| s["name"] == "chat" && s["status"] == "unhealthy")
    });
    unhealthy.await;
    client.get("/api/chat/rooms").await.is_problem("unauthenticated", 401);
    ada.api.get("/api/chat/rooms").await.is_problem("upstream-unreachable", 502);
    parts.start_chat_again();
    let mut socket = bob.socket().await;
    let resumed = socket.subscribe_since(&room, &left_at).await;
    let events = resumed["events"].as_array().unwrap();
    assert_eq!(events.len(), 3, "{resumed}");
    assert_eq!(events[2]["seq"], missed["seq"]);
    let live = ada.send(&room, "live again").await.created();
    assert_eq!(socket.want_message().await["data"]["id"], live["id"]);
}

#[tokio::test]
async fn a_spoke_believes_no_header_that_names_a_caller() {
    let hub = super::support::hub::Hub::start();
    let ada = hub.client().register().await;
    for (part, path) in [
        ("user", "/api/profile"),
        ("chat", "/api/rooms"),
        ("message", "/api/messages/room/x"),
        ("message", "/internal/log?channel=room:x&after=0"),
        ("message", "/internal/rooms/x/access?userId=x"),
    ] {
        let spoke = Client::new(hub.program.url(part));
        let named = spoke.request(reqwest::Method::GET, path);
        let named = named.header("x-user-id", &ada.id).header("x-user-roles", "admin");
        let answer = super::support::client::Answer::of(named).await;
        answer.is_problem("unauthenticated", 401);
    }
    for (part, path) in [
        ("message", "/internal/heads"),
        ("message", "/internal/messages/batch"),
        ("chat", "/internal/rings"),
    ] {
        let spoke = ada.api.at(hub.program.url(part));
        let answer = spoke.post(path, &json!({"channels": [], "items": [], "events": []})).await;
        answer.is_problem("forbidden", 403);
        // Through the gateway there is no such path at all.
        ada.api.post(path, &json!({})).await.is_problem("not-found", 404);
    }
}

#[tokio::test]
async fn hubbub_uses_a_spoke_that_runs_elsewhere_and_starts_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut alone = Command::new(sibling("user"));
    alone.arg("--data").arg(folder.path().join("elsewhere"));
    alone.args(["--set", "user.listen=127.0.0.1:0", "--set", "user.passwords.blocklist=false"]);
    alone.args(["--set", "user.grpc_listen=127.0.0.1:0"]);
    // It is called by the others, so it has to know their keys.
    let keys = folder.path().join("data/keys");
    alone.arg("--set").arg(format!("identity.keys_dir={}", keys.display()));
    let user = Program::start(alone, folder.path().join("user"));
    let mut whole = command(&hubbub(), folder.path(), &[]);
    whole.env("USER_SERVICE_URL", user.url("user"));
    let hub = Program::start(whole, folder.path().join("hubbub"));
    assert!(!hub.lines.contains_key("user"), "{:?}", hub.lines);
    let ada = Client::new(hub.url("gateway")).register().await;
    let room = ada.room(false).await;
    ada.send(&room, "across processes").await.created();
    assert_eq!(ada.history(&room).await.len(), 1);
}
