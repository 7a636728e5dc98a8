//! What was acknowledged is there after a restart.

use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::started;

on_both_engines!(
    a_restart_keeps_messages_rooms_positions_and_client_ids,
    whatever_was_answered_while_draining_is_kept_and_nothing_is_half_answered,
);

async fn a_restart_keeps_messages_rooms_positions_and_client_ids(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let body = json!({"roomId": "tea", "content": "hi", "clientId": Uuid::from_u128(1)});
    let sent = ada.post("/api/messages", &body).await.is(201);
    let chat = world.service(&service, "chat");
    let log = chat.get("/internal/log?channel=room:tea&after=0").await.is(200);
    service.stop().await;

    let service = world.start().await;
    let (ada, chat) = (world.user(&service, "ada"), world.service(&service, "chat"));
    assert_eq!(ada.get("/api/messages/room/tea").await.is(200), json!([sent]));
    assert_eq!(chat.get("/internal/log?channel=room:tea&after=0").await.is(200), log);
    assert_eq!(ada.post("/api/messages", &body).await.is(200), sent);
    assert_eq!(ada.say("tea", "again").await.is(201)["seq"], 3);
}

async fn whatever_was_answered_while_draining_is_kept_and_nothing_is_half_answered(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let sends = (0..100).map(|number| {
        let body = json!({"roomId": "tea", "content": number.to_string()});
        let request = ada.request(Method::POST, "/api/messages").json(&body);
        async move {
            // Whoever comes too late is not let in at all.
            let answer = request.send().await.ok()?;
            assert_eq!(answer.status(), 201);
            Some(answer.json::<Value>().await.unwrap()["seq"].as_u64().unwrap())
        }
    });
    let (answers, ()) = tokio::join!(futures_util::future::join_all(sends), async {
        ada.say("tea", "the last before the drain").await.is(201);
        service.stop().await;
    });
    let answered: Vec<_> = answers.into_iter().flatten().collect();
    assert!(!answered.is_empty());

    let service = world.start().await;
    let kept = world.user(&service, "ada").get("/api/messages/room/tea?limit=200").await.seqs();
    assert!(answered.iter().all(|seq| kept.contains(seq)), "{answered:?} {kept:?}");
}
