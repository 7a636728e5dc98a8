//! Rooms over HTTP: what the message service keeps, with what is live added.

use contract::caller::UserClaims;
use contract::scope::{Scope, Scopes};
use serde_json::{Value, json};

use crate::client::Client;
use crate::script::Mood;
use crate::world::{Chat, World, claims, user};

struct Caller {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Caller {
    fn new(world: &World, chat: &Chat, name: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("http://{}", chat.address), token: world.token(name) }
    }

    /// Ada, by a machine key of hers.
    fn holding(world: &World, chat: &Chat, scopes: &[Scope]) -> Self {
        let scope = Some(Scopes(scopes.iter().copied().collect()));
        let token = world.sign(&UserClaims { scope, ..claims("ada") });
        Self { token, ..Self::new(world, chat, "ada") }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}{path}", self.base));
        request.bearer_auth(&self.token).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base));
        let answer = request.bearer_auth(&self.token).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_machine_key_does_what_its_scopes_name() {
    let world = World::new();
    world.script.public("tea", &[user("ada")]);
    let chat = world.start().await;
    let holding = |scopes: &[Scope]| Caller::holding(&world, &chat, scopes);
    let reader = holding(&[Scope::RoomsRead]);
    assert_eq!(reader.get("/api/rooms/tea").await.status(), 200);
    let (writing, joining) = ("/api/rooms/tea/messages", "/api/rooms/tea/join");
    for (path, scope) in [(writing, "messages:write"), (joining, "rooms:write")] {
        let (status, problem) = reader.post(path, &json!({"content": "hi"})).await;
        assert_eq!((status, &problem["type"]), (403, &json!("urn:hubbub:problem:forbidden")));
        assert!(problem["error"].as_str().unwrap().contains(scope), "{problem}");
    }
    let sender = holding(&[Scope::MessagesWrite]);
    assert_eq!(sender.post(writing, &json!({"content": "hi"})).await.0, 201);
    assert_eq!(sender.get("/api/rooms/tea").await.status(), 403);
}

#[tokio::test]
async fn a_machine_key_for_rooms_alone_is_shown_no_message() {
    let world = World::new();
    world.script.public("tea", &[user("ada")]);
    world.script.say("tea", user("ada"), "hi");
    let chat = world.start().await;
    let (read, write) = ([Scope::RoomsRead], [Scope::RoomsWrite]);
    let blind = Caller::holding(&world, &chat, &read);
    let reader = Caller::holding(&world, &chat, &[Scope::RoomsRead, Scope::MessagesRead]);
    let person = Caller::new(&world, &chat, "ada");
    for (caller, shown) in [(&blind, None), (&reader, Some("hi")), (&person, Some("hi"))] {
        let list: Value = caller.get("/api/rooms").await.json().await.unwrap();
        let room: Value = caller.get("/api/rooms/tea").await.json().await.unwrap();
        for room in [&list[0], &room] {
            assert_eq!((&room["id"], &room["lastSeq"]), (&json!("tea"), &json!(1)));
            assert_eq!(room["lastMessage"]["content"].as_str(), shown, "{room}");
        }
    }
    let joiner = Caller::holding(&world, &chat, &write);
    let (status, done) = joiner.post("/api/rooms/tea/join", &json!({})).await;
    assert_eq!((status, &done["room"]["id"]), (200, &json!("tea")));
    assert_eq!(done["room"].get("lastMessage"), None);
}

#[tokio::test]
async fn rooms_say_who_has_them_open() {
    let world = World::new();
    world.script.public("tea", &[user("ada"), user("bob")]);
    let chat = world.start().await;
    let caller = Caller::new(&world, &chat, "ada");
    let mut ada = Client::open(&world, &chat, "ada").await;
    let mut tab = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    tab.subscribe("room:tea").await;
    let answer = caller.get("/api/rooms/tea").await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let room: Value = answer.json().await.unwrap();
    assert_eq!(room["onlineMembers"], 1);
    let online: Vec<_> = room["members"].as_array().unwrap().iter().map(|m| &m["online"]).collect();
    assert_eq!(online, [true, false]);
    assert_eq!(caller.get("/api/rooms/none").await.status(), 404);
    assert_eq!(caller.get("/api/rooms/no%20such").await.status(), 404);
}

#[tokio::test]
async fn a_page_of_rooms_links_to_where_the_public_finds_the_next() {
    let world = World::new();
    world.script.public("tea", &[user("ada")]);
    let chat = world.start().await;
    let answer = Caller::new(&world, &chat, "ada").get("/api/rooms?mine=true&limit=1").await;
    assert_eq!(answer.headers()["link"], "</api/chat/rooms?cursor=next>; rel=\"next\"");
    let rooms: Value = answer.json().await.unwrap();
    assert_eq!((&rooms[0]["id"], &rooms[0]["onlineMembers"]), (&json!("tea"), &json!(0)));
    assert_eq!(world.script.query(), "mine=true&limit=1");
}

#[tokio::test]
async fn a_room_is_made_joined_and_written_to() {
    let world = World::new();
    let chat = world.start().await;
    let (ada, bob) = (Caller::new(&world, &chat, "ada"), Caller::new(&world, &chat, "bob"));
    let (status, room) = ada.post("/api/rooms", &json!({"id": "tea", "name": "Tea"})).await;
    assert_eq!((status, &room["onlineMembers"]), (201, &json!(0)));
    let (status, problem) = ada.post("/api/rooms", &json!({"id": "tea", "name": "Tea"})).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:hubbub:problem:taken")));
    let (status, problem) = bob.post("/api/rooms/tea/messages", &json!({"content": "hi"})).await;
    assert_eq!((status, &problem["type"]), (403, &json!("urn:hubbub:problem:not-a-member")));
    let (status, done) = bob.post("/api/rooms/tea/join", &json!({})).await;
    assert_eq!((status, &done["message"]), (200, &json!("You joined tea")));

    let mut listener = Client::open(&world, &chat, "ada").await;
    listener.subscribe("room:tea").await;
    let client_id = uuid::Uuid::from_u128(1);
    let body = json!({"content": "hi", "clientId": client_id});
    let (status, message) = bob.post("/api/rooms/tea/messages", &body).await;
    assert_eq!((status, &message["seq"]), (201, &json!(2)));
    assert_eq!(listener.hear().await["data"], message);
    assert_eq!(bob.post("/api/rooms/tea/messages", &body).await, (200, message));
    let (status, problem) = bob.post("/api/rooms/tea/messages", &json!({"text": "hi"})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("content")));
}

#[tokio::test]
async fn a_message_that_is_too_long_harms_nobody_else() {
    let world = World::new();
    world.script.public("tea", &[user("ada")]);
    let chat = world.start().await;
    let ada = Caller::new(&world, &chat, "ada");
    let (status, problem) =
        ada.post("/api/rooms/tea/messages", &json!({"content": "x".repeat(900_000)})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("content")));
    assert!(world.script.batches().is_empty());
}

#[tokio::test]
async fn a_message_service_that_is_down_is_told_with_503() {
    let world = World::new();
    world.script.public("tea", &[user("ada")]);
    let chat = world.start().await;
    world.script.set_mood(Mood::Down);
    let ada = Caller::new(&world, &chat, "ada");
    let (status, problem) = ada.post("/api/rooms/tea/messages", &json!({"content": "hi"})).await;
    assert_eq!((status, &problem["type"]), (503, &json!("urn:hubbub:problem:unavailable")));
}
