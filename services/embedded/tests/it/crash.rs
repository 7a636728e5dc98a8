//! Killed in the middle of everything, nothing acknowledged is lost, doubled or reordered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::support::client::User;
use super::support::hub::Hub;

/// Lives of the hub in one case.
const LIVES: usize = 4;
/// Senders at a time.
const SENDERS: usize = 8;
/// Messages that are acknowledged before each kill.
const ACKED_BEFORE_KILL: usize = 150;

/// What a sender was told: content by `seq`.
type Acked = BTreeMap<u64, String>;

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let mut hub = Hub::start();
    let ada = hub.client().register().await;
    let room = ada.room(false).await;
    let mut acked = Acked::new();
    for life in 0..LIVES {
        let (told, mut told_here) = tokio::sync::mpsc::channel(1024);
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let (ada, room, told) = (ada.at(hub.base()), room.clone(), told.clone());
            senders.spawn(async move { send_until_cut(&ada, &room, life, sender, &told).await });
        }
        drop(told);
        while acked.len() < (life + 1) * ACKED_BEFORE_KILL {
            let (seq, content) = told_here.recv().await.expect("an acknowledgement");
            assert_eq!(acked.insert(seq, content), None, "seq {seq} was given twice");
        }
        hub.program.kill();
        // What was acknowledged before the kill counts, however late we read it.
        while let Some((seq, content)) = told_here.recv().await {
            assert_eq!(acked.insert(seq, content), None, "seq {seq} was given twice");
        }
        while let Some(sender) = senders.join_next().await {
            sender.unwrap();
        }
        hub.start_again();
    }
    let stored = ada.at(hub.base()).whole_history(&room).await;
    assert_gap_free(&stored);
    let by_seq: BTreeMap<_, _> = stored
        .iter()
        .map(|message| (message["seq"].as_u64().unwrap(), message["content"].as_str().unwrap()))
        .collect();
    for (seq, content) in &acked {
        assert_eq!(by_seq.get(seq), Some(&content.as_str()), "message {seq} was acknowledged");
    }
}

#[tokio::test]
async fn a_socket_resumes_across_a_kill_and_a_repeated_send_is_stored_once() {
    let mut hub = Hub::start();
    let (ada, bob) = (hub.client().register().await, hub.client().register().await);
    let room = ada.room(false).await;
    bob.join(&room).await;
    let mut socket = bob.socket().await;
    let left_at = socket.subscribe(&room).await;
    let client = Uuid::now_v7();
    let frame = json!({
        "op": "send", "ch": format!("room:{room}"), "clientId": client, "content": "before",
    });
    let first = ada.socket().await.ask(frame.clone()).await;

    hub.program.kill();
    assert_eq!(socket.closed().await, 1006);
    hub.start_again();

    let (ada, bob) = (ada.at(hub.base()), bob.at(hub.base()));
    let again = ada.socket().await.ask(frame).await;
    assert_eq!((&again["dup"], &again["seq"]), (&json!(true), &first["seq"]), "{again}");
    let after = ada.send(&room, "after").await.created();
    let resumed = bob.socket().await.subscribe_since(&room, &left_at).await;
    assert_eq!(resumed["recovered"], true, "{resumed}");
    let seqs: Vec<_> = resumed["events"].as_array().unwrap().iter().map(|e| &e["seq"]).collect();
    assert_eq!(seqs, [&first["seq"], &after["seq"]]);
}

/// Sends until the hub is gone; tells what was acknowledged.
async fn send_until_cut(
    ada: &User,
    room: &str,
    life: usize,
    sender: usize,
    told: &tokio::sync::mpsc::Sender<(u64, String)>,
) {
    for number in 0.. {
        let content = format!("{life}/{sender}/{number}");
        let body = json!({"roomId": room, "content": content});
        let request = ada.api.request(reqwest::Method::POST, "/api/messages").json(&body);
        let Ok(response) = request.send().await else { return };
        if response.status() != 201 {
            return;
        }
        let Ok(message) = response.json::<Value>().await else { return };
        told.send((message["seq"].as_u64().unwrap(), content)).await.unwrap();
    }
}

/// `n` counts from 1 without gaps, `seq` rises, and nothing is there twice.
fn assert_gap_free(history: &[Value]) {
    for (index, message) in history.iter().enumerate() {
        assert_eq!(message["n"], index + 1, "{message}");
    }
    let seqs: Vec<_> = history.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
    let contents: std::collections::BTreeSet<_> =
        history.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(contents.len(), history.len());
}
