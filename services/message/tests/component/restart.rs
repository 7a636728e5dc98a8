//! What was acknowledged is there after a restart.

use serde_json::json;
use uuid::Uuid;

use crate::service::started;

#[tokio::test]
async fn a_restart_keeps_messages_rooms_positions_and_client_ids() {
    let (world, service) = started().await;
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

#[tokio::test]
async fn a_drain_answers_what_was_handed_in() {
    let (world, service) = started().await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let sends = (0..100).map(|number| {
        let ada = ada.clone();
        async move { ada.say("tea", &number.to_string()).await.status.as_u16() }
    });
    let sends: Vec<_> = sends.collect();
    let (answers, ()) = tokio::join!(futures_util::future::join_all(sends), async {
        // Some are answered by then, some are on their way.
        ada.say("tea", "the last before the drain").await.is(201);
        service.stop().await;
    });
    assert!(answers.iter().all(|status| *status == 201), "{answers:?}");
}
