//! `/internal`: what services ask of each other.

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::{Caller, started};

fn item(user: &Caller, room: &str, text: &str, client: u128) -> Value {
    json!({
        "op": "send", "userId": user.id, "username": "ada", "sessionId": null, "roomId": room,
        "clientId": Uuid::from_u128(client), "content": text, "messageType": null,
        "parentId": null, "deliverAt": null,
    })
}

on_both_engines!(
    a_batch_is_answered_in_its_order_and_a_bad_item_harms_no_other,
    a_batch_has_256_items_at_most,
    heads_are_told_of_channels_that_exist,
    a_log_is_recovered_whole_or_not_at_all,
    access_says_what_a_user_may_do,
    users_and_services_without_a_grant_are_refused,
);

async fn a_batch_is_answered_in_its_order_and_a_bad_item_harms_no_other(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, eve) = (world.user(&service, "ada"), world.user(&service, "eve"));
    let chat = world.service(&service, "chat");
    ada.create("tea").await.is(201);
    let body = json!({"items": [
        item(&ada, "tea", "one", 1),
        item(&eve, "tea", "not a member", 2),
        item(&ada, "tea", "one", 1),
        item(&ada, "tea", "another", 1),
        item(&ada, "tea", " ", 3),
        {"op": "send"},
        {"op": "publish"},
        7,
        item(&ada, "no where", "x", 4),
        item(&ada, "tea", "two", 5),
    ]});
    let results = chat.post("/internal/messages/batch", &body).await.is(200)["results"].clone();
    let statuses: Vec<_> =
        results.as_array().unwrap().iter().map(|r| r["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 403, 200, 409, 400, 400, 400, 400, 404, 201]);
    assert_eq!((&results[0]["seq"], &results[0]["n"]), (&json!(2), &json!(1)));
    assert_eq!((&results[0]["dup"], &results[2]["dup"]), (&json!(false), &json!(true)));
    assert_eq!(results[0]["message"], results[2]["message"]);
    assert_eq!((&results[9]["seq"], &results[9]["n"]), (&json!(3), &json!(2)));
    assert_eq!(results[1]["problem"]["type"], "urn:hubbub:problem:not-a-member");
    assert_eq!(results[4]["problem"]["errors"][0]["field"], "content");
    assert_eq!(ada.get("/api/messages/room/tea").await.seqs(), [2, 3]);
}

async fn a_batch_has_256_items_at_most(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    let chat = world.service(&service, "chat");
    ada.create("tea").await.is(201);
    let items = |count: u128| json!({"items": (0..count).map(|n| item(&ada, "tea", "hi", n)).collect::<Vec<_>>()});
    let results = chat.post("/internal/messages/batch", &items(256)).await.is(200);
    assert_eq!(results["results"][255]["n"], 256);
    chat.post("/internal/messages/batch", &items(257)).await.is_problem("invalid", 400);
    let none = chat.post("/internal/messages/batch", &items(0)).await.is(200);
    assert_eq!(none["results"], json!([]));
}

async fn heads_are_told_of_channels_that_exist(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    let chat = world.service(&service, "chat");
    ada.create("tea").await.is(201);
    ada.say("tea", "hi").await.is(201);
    let body = json!({"channels": ["room:tea", "room:nowhere"]});
    let heads = chat.post("/internal/heads", &body).await.is(200);
    assert_eq!(heads.as_object().unwrap().len(), 1);
    assert_eq!(heads["room:tea"]["head"], 2);
    assert_eq!(heads["room:tea"]["epoch"].as_str().unwrap().len(), 8);
    for bad in [json!({"channels": ["tea"]}), json!({"channels": vec!["room:tea"; 1_001]})] {
        chat.post("/internal/heads", &bad).await.is_problem("invalid", 400);
    }
}

async fn a_log_is_recovered_whole_or_not_at_all(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    let chat = world.service(&service, "chat");
    ada.create("tea").await.is(201);
    let sent = ada.say("tea", "hi").await.is(201);
    bob.post("/api/rooms/tea/join", &json!({})).await.is(200);
    bob.post("/api/rooms/tea/leave", &json!({})).await.is(200);
    let log = async |query: &str| {
        chat.get(&format!("/internal/log?channel=room:tea{query}")).await.is(200)
    };
    let whole = log("&after=0").await;
    assert_eq!((&whole["recovered"], &whole["head"]), (&json!(true), &json!(4)));
    let events = whole["events"].as_array().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["member.joined", "message.created", "member.joined", "member.left"]);
    assert_eq!(events[1]["data"], sent);
    assert_eq!(events[1]["ts"], sent["createdAt"]);
    assert_eq!(events[2]["data"]["username"], "bob");
    assert_eq!(events[3]["data"], json!({"userId": bob.id}));

    let epoch = whole["epoch"].as_str().unwrap().to_owned();
    for (query, recovered, count) in [
        (format!("&after=2&epoch={epoch}"), true, 2),
        ("&after=4".to_owned(), true, 0),
        ("&after=0&limit=4".to_owned(), true, 4),
        ("&after=0&limit=3".to_owned(), false, 0),
        ("&after=5".to_owned(), false, 0),
        ("&after=2&epoch=other".to_owned(), false, 0),
    ] {
        let log = log(&query).await;
        assert_eq!(log["recovered"], recovered, "{query}");
        assert_eq!(log["events"].as_array().unwrap().len(), count, "{query}");
        assert_eq!((&log["head"], &log["epoch"]), (&json!(4), &json!(epoch)), "{query}");
    }
    chat.get("/internal/log?channel=room:nowhere&after=0").await.is_problem("not-found", 404);
    chat.get("/internal/log?channel=tea&after=0").await.is_problem("invalid", 400);
}

async fn access_says_what_a_user_may_do(engine: Engine) {
    let (world, service) = started(engine).await;
    let (ada, eve) = (world.user(&service, "ada"), world.user(&service, "eve"));
    let chat = world.service(&service, "chat");
    ada.create_private("secret", &[]).await.is(201);
    let access = async |user: &Caller| {
        chat.get(&format!("/internal/rooms/secret/access?userId={}", user.id)).await.is(200)
    };
    let (owner, stranger) = (access(&ada).await, access(&eve).await);
    let want = |member: bool, role: Value| json!({"member": member, "role": role, "kind": "group", "isPrivate": true, "banned": false});
    assert_eq!(owner, want(true, json!("owner")));
    assert_eq!(stranger, want(false, Value::Null));
    let path = format!("/internal/rooms/nowhere/access?userId={}", ada.id);
    chat.get(&path).await.is_problem("not-found", 404);
}

async fn users_and_services_without_a_grant_are_refused(engine: Engine) {
    let (mut world, first) = started(engine).await;
    first.stop().await;
    for (grant, rest) in [
        ("batch", vec!["act-as", "heads", "log"]),
        ("heads", vec!["act-as", "batch", "log"]),
        ("log", vec!["act-as", "batch", "heads"]),
    ] {
        world.layers.put("identity.grants.message.chat", rest);
        let service = world.start().await;
        let callers = [world.service(&service, "chat"), world.user(&service, "ada")];
        for caller in callers {
            let answers = match grant {
                "batch" => {
                    vec![caller.post("/internal/messages/batch", &json!({"items": []})).await]
                }
                "heads" => vec![caller.post("/internal/heads", &json!({"channels": []})).await],
                _ => vec![
                    caller.get("/internal/log?channel=room:x&after=0").await,
                    caller.get(&format!("/internal/rooms/x/access?userId={}", caller.id)).await,
                ],
            };
            for answer in answers {
                answer.is_problem("forbidden", 403);
            }
        }
        service.stop().await;
    }
}
