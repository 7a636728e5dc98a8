//! A machine key does what its scopes name, and nothing else.

use contract::caller::UserClaims;
use contract::scope::{Scope, Scopes};
use harness::{Engine, on_both_engines};
use serde_json::json;

use crate::service::{Caller, Service, World, claims, started};

on_both_engines!(
    reading_and_writing_take_a_scope_each,
    a_key_without_scopes_may_nothing,
    services_are_not_asked_for_scopes,
    a_key_for_rooms_alone_is_shown_no_message,
);

fn holding(world: &World, service: &Service, scopes: &[Scope]) -> Caller {
    let scope = Some(Scopes(scopes.iter().copied().collect()));
    world.bearer(service, &UserClaims { scope, ..claims("ada") })
}

async fn reading_and_writing_take_a_scope_each(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.post("/api/rooms", &json!({"id": "tea", "name": "Tea"})).await.is(201);
    let message = json!({"roomId": "tea", "content": "hi"});
    let room = json!({"name": "Another"});
    let (history, rooms) = ("/api/messages/room/tea", "/api/rooms");

    let reader = holding(&world, &service, &[Scope::MessagesRead, Scope::RoomsRead]);
    reader.get(history).await.is(200);
    reader.get(rooms).await.is(200);
    reader.get("/api/rooms/tea").await.is(200);
    reader.post("/api/messages", &message).await.is_problem("forbidden", 403);
    reader.post(rooms, &room).await.is_problem("forbidden", 403);
    reader.post("/api/rooms/tea/leave", &json!({})).await.is_problem("forbidden", 403);

    let writer = holding(&world, &service, &[Scope::MessagesWrite, Scope::RoomsWrite]);
    writer.post("/api/messages", &message).await.is(201);
    writer.post(rooms, &room).await.is(201);
    writer.get(history).await.is_problem("forbidden", 403);
    writer.get(rooms).await.is_problem("forbidden", 403);
}

async fn a_key_without_scopes_may_nothing(engine: Engine) {
    let (world, service) = started(engine).await;
    for scopes in [&[][..], &[Scope::UsersRead, Scope::Admin, Scope::StorePublish]] {
        let key = holding(&world, &service, scopes);
        key.get("/api/rooms").await.is_problem("forbidden", 403);
        let message = json!({"roomId": "tea", "content": "hi"});
        key.post("/api/messages", &message).await.is_problem("forbidden", 403);
    }
}

async fn services_are_not_asked_for_scopes(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = chassis::identity::Person {
        id: claims("ada").sub,
        name: "ada".into(),
        session: Some(claims("ada").sid),
    };
    let chat = world.acting(&service, "chat", &ada);
    chat.post("/api/rooms", &json!({"id": "tea", "name": "Tea"})).await.is(201);
    chat.get("/api/rooms/tea").await.is(200);
}

async fn a_key_for_rooms_alone_is_shown_no_message(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    ada.say("tea", "hi").await.is(201);
    let blind = holding(&world, &service, &[Scope::RoomsRead]);
    let reader = holding(&world, &service, &[Scope::RoomsRead, Scope::MessagesRead]);
    let blind = blind.get("/api/rooms").await.is(200);
    assert_eq!((&blind[0]["id"], blind[0].get("lastMessage")), (&json!("tea"), None));
    for caller in [ada, reader] {
        let rooms = caller.get("/api/rooms").await.is(200);
        assert_eq!(rooms[0]["lastMessage"]["content"], "hi");
    }
}
