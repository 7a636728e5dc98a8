//! `/api/rooms`.

use chassis::identity::Person;
use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::service::started;

on_both_engines!(
    a_made_room_is_answered_whole_with_its_creator_as_owner,
    a_chosen_id_is_taken_once,
    joining_and_leaving_say_so_in_plain_words_and_twice_is_no_error,
    an_owner_may_leave_and_the_room_stays,
    a_list_is_by_latest_activity_and_pages_by_its_link,
    a_service_acts_for_the_user_that_its_token_names,
);

async fn a_made_room_is_answered_whole_with_its_creator_as_owner(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    let body =
        json!({"name": " Tea ", "description": "Leaves", "members": [bob.id, bob.id, ada.id]});
    let room = ada.post("/api/rooms", &body).await.is(201);
    for (field, want) in [
        ("name", json!("Tea")),
        ("description", json!("Leaves")),
        ("kind", json!("group")),
        ("creatorId", json!(ada.id)),
        ("isPrivate", json!(false)),
        ("memberCount", json!(2)),
        ("onlineMembers", Value::Null),
        ("lastSeq", json!(2)),
        ("unread", Value::Null),
    ] {
        assert_eq!(room[field], want, "{field}");
    }
    let path = format!("/api/rooms/{}", room["id"].as_str().unwrap());
    let members = bob.get(&path).await.is(200)["members"].clone();
    assert_eq!(members.as_array().unwrap().len(), 2);
    let role = |id| members.as_array().unwrap().iter().find(|m| m["userId"] == json!(id)).unwrap();
    assert_eq!(
        (&role(ada.id)["role"], &role(ada.id)["username"]),
        (&json!("owner"), &json!("ada"))
    );
    assert_eq!(
        (&role(bob.id)["role"], &role(bob.id)["username"]),
        (&json!("member"), &Value::Null)
    );
}

async fn a_chosen_id_is_taken_once(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    assert_eq!(ada.create("general").await.is(201)["id"], "general");
    bob.create("general").await.is_problem("taken", 409);
    ada.create_private("hidden", &[]).await.is(201);
    bob.create("hidden").await.is_problem("taken", 409);
}

async fn joining_and_leaving_say_so_in_plain_words_and_twice_is_no_error(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    ada.create("tea").await.is(201);
    for _ in 0..2 {
        let done = bob.post("/api/rooms/tea/join", &json!({})).await.is(200);
        assert_eq!(done["message"], "You joined Room tea");
        assert_eq!(
            (&done["room"]["memberCount"], &done["room"]["lastSeq"]),
            (&json!(2), &json!(2))
        );
    }
    for _ in 0..2 {
        let done = bob.post("/api/rooms/tea/leave", &json!({})).await.is(200);
        assert_eq!(done, json!({"message": "You left Room tea"}));
    }
    bob.say("tea", "hi").await.is_problem("not-a-member", 403);
    let room = bob.get("/api/rooms/tea").await.is(200);
    assert_eq!((&room["memberCount"], &room["lastSeq"]), (&json!(1), &json!(3)));
    bob.post("/api/rooms/nowhere/join", &json!({})).await.is_problem("not-found", 404);
}

async fn an_owner_may_leave_and_the_room_stays(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    ada.create("tea").await.is(201);
    ada.post("/api/rooms/tea/leave", &json!({})).await.is(200);
    let room = bob.get("/api/rooms/tea").await.is(200);
    assert_eq!((&room["memberCount"], &room["members"]), (&json!(0), &json!([])));
    ada.post("/api/rooms/tea/join", &json!({})).await.is(200);
    let room = bob.get("/api/rooms/tea").await.is(200);
    assert_eq!(room["members"][0]["role"], "owner");
}

async fn a_list_is_by_latest_activity_and_pages_by_its_link(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    for room in ["a", "b", "c", "d", "e"] {
        ada.create(room).await.is(201);
    }
    bob.post("/api/rooms/c/join", &json!({})).await.is(200);
    let sent = ada.say("b", "hi").await.is(201);
    let mut seen = Vec::new();
    let mut query = "?limit=2&q=room".to_owned();
    loop {
        let page = bob.get(&format!("/api/rooms{query}")).await;
        seen.extend(page.ids().iter().map(|id| (*id).to_owned()));
        let Some(link) = page.headers.get("link") else { break };
        let link = link.to_str().unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        link.strip_prefix('<').unwrap().clone_into(&mut query);
        assert!(query.contains("q=room") && query.contains("limit=2"), "{query}");
        assert!(seen.len() < 6, "the pages have no end");
    }
    assert_eq!(seen[0], "b");
    seen.sort();
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);

    let first = bob.get("/api/rooms?limit=1").await;
    assert_eq!(first.body[0]["lastMessage"], sent);
    assert_eq!(bob.get("/api/rooms?mine=true").await.ids(), ["c"]);
    assert_eq!(bob.get("/api/rooms?q=ROOM%20d").await.ids(), ["d"]);
    for bad in ["?cursor=nonsense", "?mine=perhaps", &format!("?q={}", "x".repeat(81))] {
        bob.get(&format!("/api/rooms{bad}")).await.is_problem("invalid", 400);
    }
}

async fn a_service_acts_for_the_user_that_its_token_names(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    let person = Person { id: ada.id, name: "ada".into(), session: None };
    let chat = world.acting(&service, "chat", &person);
    let room = chat.create("tea").await.is(201);
    assert_eq!(room["creatorId"], json!(ada.id));
    assert_eq!(chat.say("tea", "hi").await.is(201)["username"], "ada");
    ada.get("/api/rooms?mine=true").await.ids();

    world.service(&service, "chat").get("/api/rooms").await.is_problem("forbidden", 403);
    let stranger = world.acting(&service, "bridge", &person);
    stranger.get("/api/rooms").await.is_problem("bad-token", 401);
}
