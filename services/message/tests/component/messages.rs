//! `/api/messages`.

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::started;

on_both_engines!(
    a_sent_message_is_answered_whole_and_found_again,
    a_client_id_sent_twice_gives_the_same_message_and_with_another_body_a_conflict,
    a_history_pages_both_ways_and_by_offset,
    a_public_room_is_read_by_anybody_and_written_by_members,
    a_private_room_is_unknown_to_a_stranger_everywhere,
    an_answer_names_a_message_of_the_same_room,
);

async fn a_sent_message_is_answered_whole_and_found_again(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let client_id = Uuid::from_u128(77).to_string();
    let body = json!({"roomId": "tea", "content": " hi \n", "clientId": client_id, "unknown": 1});
    let answer = ada.post("/api/messages", &body).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let sent = answer.is(201);
    for (field, want) in [
        ("roomId", json!("tea")),
        ("seq", json!(2)),
        ("n", json!(1)),
        ("userId", json!(ada.id)),
        ("username", json!("ada")),
        ("content", json!(" hi \n")),
        ("messageType", json!("text")),
        ("parentId", Value::Null),
        ("clientId", json!(client_id)),
        ("editedAt", Value::Null),
        ("deleted", json!(false)),
        ("reactions", json!([])),
        ("status", json!("sent")),
    ] {
        assert_eq!(sent[field], want, "{field}");
    }
    let id = sent["id"].as_str().unwrap();
    assert_eq!(Uuid::parse_str(id).unwrap().get_version_num(), 7);
    assert!(sent["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(ada.get(&format!("/api/messages/{id}")).await.is(200), sent);
    assert_eq!(ada.get("/api/messages/room/tea").await.is(200), json!([sent]));
}

async fn a_client_id_sent_twice_gives_the_same_message_and_with_another_body_a_conflict(
    engine: Engine,
) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let body = |text| json!({"roomId": "tea", "content": text, "clientId": Uuid::from_u128(1)});
    let first = ada.post("/api/messages", &body("hi")).await.is(201);
    let second = ada.post("/api/messages", &body("hi")).await.is(200);
    assert_eq!(first, second);
    ada.post("/api/messages", &body("ho")).await.is_problem("client-id-conflict", 409);
    assert_eq!(ada.get("/api/messages/room/tea").await.seqs(), [2]);
}

async fn a_history_pages_both_ways_and_by_offset(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    for number in 0..60 {
        ada.say("tea", &number.to_string()).await.is(201);
    }
    let page = async |query: &str| ada.get(&format!("/api/messages/room/tea{query}")).await.seqs();
    assert_eq!(page("").await, (12..=61).collect::<Vec<_>>());
    assert_eq!(page("?limit=2").await, [60, 61]);
    assert_eq!(page("?limit=2&offset=3").await, [57, 58]);
    assert_eq!(page("?before=5").await, [2, 3, 4]);
    assert_eq!(page("?before=50&limit=2").await, [48, 49]);
    assert_eq!(page("?after=58").await, [59, 60, 61]);
    assert_eq!(page("?after=0&limit=2").await, [2, 3]);
    assert_eq!(page("?limit=1000").await.len(), 60);
    assert!(page("?after=61").await.is_empty());
    for bad in
        ["?before=x", "?limit=-1", "?before=1&after=2", "?offset=1&after=2", "?offset=100001"]
    {
        ada.get(&format!("/api/messages/room/tea{bad}")).await.is_problem("invalid", 400);
    }
}

async fn a_public_room_is_read_by_anybody_and_written_by_members(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    ada.create("tea").await.is(201);
    let sent = ada.say("tea", "hi").await.is(201);
    let path = format!("/api/messages/{}", sent["id"].as_str().unwrap());
    assert_eq!(bob.get(&path).await.is(200), sent);
    assert_eq!(bob.get("/api/messages/room/tea").await.seqs(), [2]);
    bob.say("tea", "hi").await.is_problem("not-a-member", 403);
    bob.post("/api/rooms/tea/join", &json!({})).await.is(200);
    bob.say("tea", "hi").await.is(201);
}

async fn a_private_room_is_unknown_to_a_stranger_everywhere(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    let eve = world.user(&service, "eve");
    ada.create_private("secret", &[&bob]).await.is(201);
    let sent = bob.say("secret", "hi").await.is(201);
    let message = format!("/api/messages/{}", sent["id"].as_str().unwrap());
    for path in [message.as_str(), "/api/messages/room/secret", "/api/rooms/secret"] {
        bob.get(path).await.is(200);
        eve.get(path).await.is_problem("not-found", 404);
    }
    for path in ["/api/rooms/secret/join", "/api/rooms/secret/leave"] {
        eve.post(path, &json!({})).await.is_problem("not-found", 404);
    }
    eve.say("secret", "hi").await.is_problem("not-found", 404);
    assert!(eve.get("/api/rooms").await.ids().is_empty());
    assert!(eve.get("/api/rooms?q=secret").await.ids().is_empty());
    // What is unknown and what is hidden cannot be told apart.
    let hidden = eve.get("/api/rooms/secret").await.body["detail"].clone();
    assert_eq!(eve.get("/api/rooms/nowhere").await.body["detail"], hidden);
}

async fn an_answer_names_a_message_of_the_same_room(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    ada.create("milk").await.is(201);
    let parent = ada.say("tea", "hi").await.is(201)["id"].clone();
    let reply = |room| json!({"roomId": room, "content": "re", "parentId": parent});
    let sent = ada.post("/api/messages", &reply("tea")).await.is(201);
    assert_eq!(sent["parentId"], parent);
    ada.post("/api/messages", &reply("milk")).await.is_problem("invalid", 400);
    let lost = json!({"roomId": "tea", "content": "re", "parentId": Uuid::from_u128(5)});
    let answer = ada.post("/api/messages", &lost).await;
    answer.is_problem("invalid", 400);
    assert_eq!(answer.body["errors"][0]["field"], "parentId");
}
