//! Sending: acknowledged after the commit, once, in order.

use serde_json::{Value, json};

use crate::client::Client;
use crate::script::Mood;
use crate::world::{World, user};

fn send(id: u64, client: u128, content: &str) -> Value {
    let client_id = uuid::Uuid::from_u128(client);
    json!({"id": id, "op": "send", "ch": "room:tea", "clientId": client_id, "content": content})
}

fn is_refused(frame: &Value, id: u64, code: &str) {
    assert_eq!(
        (&frame["op"], &frame["id"], &frame["code"]),
        (&json!("err"), &json!(id), &json!(code))
    );
}

fn tea(members: &[&str]) -> World {
    let world = World::new();
    let members: Vec<_> = members.iter().map(|name| user(name)).collect();
    world.script.public("tea", &members);
    world
}

#[tokio::test]
async fn a_message_is_acknowledged_and_heard_by_everybody_its_sender_included() {
    let world = tea(&["ada", "bob"]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    let mut bob = Client::open(&world, &chat, "bob").await;
    for client in [&mut ada, &mut bob] {
        let here = client.subscribe("room:tea").await;
        assert_eq!(
            here,
            json!({"ch": "room:tea", "epoch": "e1", "head": 0, "recovered": null, "events": []})
        );
    }
    ada.say(&send(2, 1, "hi")).await;
    let frames = [ada.hear().await, ada.hear().await];
    let ack = frames.iter().find(|frame| frame["op"] == "ack").unwrap();
    let event = frames.iter().find(|frame| frame["op"] == "event").unwrap();
    assert_eq!(ack["id"], 2);
    assert_eq!((&ack["seq"], &ack["n"], &ack["dup"]), (&json!(1), &json!(1), &json!(false)));
    assert_eq!(ack["message"]["content"], "hi");
    assert_eq!(
        (&event["ch"], &event["seq"], &event["type"]),
        (&json!("room:tea"), &json!(1), &json!("message.created"))
    );
    assert_eq!(event["data"]["clientId"], json!(uuid::Uuid::from_u128(1)));
    assert_eq!(bob.hear().await, *event);
}

#[tokio::test]
async fn the_same_client_id_is_the_same_message_and_another_body_a_conflict() {
    let world = tea(&["ada"]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    let first = ada.ask(&send(1, 1, "hi")).await;
    let again = ada.ask(&send(2, 1, "hi")).await;
    assert_eq!((&again["message"], &again["dup"]), (&first["message"], &json!(true)));
    is_refused(&ada.ask(&send(3, 1, "ho")).await, 3, "client-id-conflict");
}

#[tokio::test]
async fn who_may_not_write_is_told_as_much_as_he_may_see() {
    let world = tea(&["ada"]);
    world.script.private("attic", &[user("ada")]);
    let chat = world.start().await;
    let mut bob = Client::open(&world, &chat, "bob").await;
    is_refused(&bob.ask(&send(1, 1, "hi")).await, 1, "not-a-member");
    for (id, ch) in [(2, "room:attic"), (3, "room:none"), (4, "room:no such"), (5, "cellar")] {
        let mut frame = send(id, 1, "hi");
        frame["ch"] = ch.into();
        is_refused(&bob.ask(&frame).await, id, "not-found");
    }
}

#[tokio::test]
async fn a_batch_whose_fate_is_not_known_is_sent_again_and_stored_once() {
    let world = tea(&["ada"]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    world.script.set_mood(Mood::Forgetful);
    let ack = ada.ask(&send(1, 1, "hi")).await;
    assert_eq!((&ack["op"], &ack["seq"], &ack["dup"]), (&json!("ack"), &json!(1), &json!(true)));
    assert_eq!(world.script.batches(), [1, 1]);
}

#[tokio::test]
async fn a_message_service_that_is_down_is_told_as_unavailable() {
    let world = tea(&["ada"]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    world.script.set_mood(Mood::Down);
    let err = ada.ask(&send(1, 1, "hi")).await;
    is_refused(&err, 1, "unavailable");
    assert_eq!((&err["status"], &err["retry"]), (&json!(503), &json!(true)));
    world.script.set_mood(Mood::Well);
    assert_eq!(ada.ask(&send(2, 1, "hi")).await["dup"], false);
}

#[tokio::test]
async fn what_waits_shares_a_batch_and_keeps_its_order() {
    let world = tea(&["ada"]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    for number in 1..=30 {
        ada.say(&send(number, number.into(), &number.to_string())).await;
    }
    for number in 1..=30 {
        let ack = ada.hear().await;
        assert_eq!((&ack["id"], &ack["seq"]), (&json!(number), &json!(number)), "{ack}");
    }
    let batches = world.script.batches();
    assert_eq!(batches.iter().sum::<usize>(), 30);
}

#[tokio::test]
async fn a_page_of_history_says_where_to_subscribe_from_and_whether_there_is_more() {
    let world = tea(&["ada"]);
    for number in 1..=5 {
        world.script.say("tea", user("ada"), &number.to_string());
    }
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    for (bounds, seqs, more) in [
        (json!({"limit": 2}), vec![4, 5], true),
        (json!({"before": 3}), vec![1, 2], false),
        (json!({"after": 1, "limit": 2}), vec![2, 3], true),
    ] {
        let mut frame = json!({"id": 1, "op": "history", "ch": "room:tea"});
        frame.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        let ack = ada.ask(&frame).await;
        let got: Vec<_> =
            ack["items"].as_array().unwrap().iter().map(|item| item["seq"].clone()).collect();
        assert_eq!((json!(got), &ack["more"]), (json!(seqs), &json!(more)), "{bounds}");
        assert_eq!(ack["asOf"], json!({"epoch": "e1", "seq": 5}));
    }
    is_refused(
        &ada.ask(&json!({"id": 2, "op": "history", "ch": "room:none"})).await,
        2,
        "not-found",
    );
    let both = json!({"id": 3, "op": "history", "ch": "room:tea", "before": 1, "after": 1});
    is_refused(&ada.ask(&both).await, 3, "invalid");
}

#[tokio::test]
async fn a_rooms_own_url_joins_subscribes_and_takes_the_short_form() {
    let world = tea(&["ada"]);
    world.script.say("tea", user("ada"), "before");
    let chat = world.start().await;
    let mut bob = Client::at(&world, &chat, "/ws/tea?since=1&epoch=e1", "bob").await;
    let subscribed = bob.hear().await;
    assert_eq!(subscribed["op"], "subscribed");
    let here = &subscribed["chs"][0];
    // Joining is an event of the room.
    assert_eq!((&here["head"], &here["recovered"]), (&json!(2), &json!(true)));
    assert_eq!(here["events"][0]["type"], "member.joined");
    bob.say(&json!({"text": "short"})).await;
    let event = bob.hear().await;
    assert_eq!((&event["op"], &event["seq"]), (&json!("event"), &json!(3)));
    assert_eq!(event["data"]["content"], "short");
    assert!(event["data"]["clientId"].is_string());
    bob.say(&json!({"id": 1, "content": "told"})).await;
    let frames = [bob.hear().await, bob.hear().await];
    assert!(frames.iter().any(|frame| frame["op"] == "ack" && frame["id"] == 1), "{frames:?}");
    assert_eq!(bob.ask(&json!({"id": 2, "op": "unsub"})).await, json!({"op": "ack", "id": 2}));
}

#[tokio::test]
async fn a_room_that_is_not_to_be_seen_closes_its_url_with_4404() {
    let world = tea(&["ada"]);
    world.script.private("attic", &[user("ada")]);
    let chat = world.start().await;
    for path in ["/ws/none", "/ws/attic", "/ws/no%20such"] {
        let mut bob = Client::at(&world, &chat, path, "bob").await;
        assert_eq!(bob.closed().await.0, 4404, "{path}");
    }
    let mut ada = Client::at(&world, &chat, "/ws/attic", "ada").await;
    assert_eq!(ada.hear().await["op"], "subscribed");
}
