//! A program with a machine key of its own, through the one base URL.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::client::{Answer, Client, User};
use super::support::eventually;
use super::support::hub::Hub;

/// Somebody's program.
struct Machine {
    client: Client,
    key: String,
}

impl Machine {
    fn new(hub: &Hub, made: &Value) -> Self {
        Self { client: hub.client(), key: made["key"].as_str().unwrap().to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = self.client.request(Method::GET, path);
        Answer::of(request.header("x-api-key", &self.key)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.client.request(Method::POST, path).json(body);
        Answer::of(request.header("x-api-key", &self.key)).await
    }
}

async fn make_key(user: &User, scopes: &[&str]) -> Value {
    let body = json!({"name": "robot", "scopes": scopes});
    user.api.post("/api/auth/api-keys", &body).await.created()
}

#[tokio::test]
async fn a_machine_does_what_its_key_says_until_the_key_is_deleted() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let room = ada.room(false).await;
    let made = make_key(&ada, &["messages:read", "messages:write"]).await;
    let machine = Machine::new(&hub, &made);

    let message = json!({"roomId": room, "content": "beep"});
    let sent = machine.post("/api/messages", &message).await.created();
    assert_eq!(sent["userId"], ada.id.as_str());
    let history = format!("/api/messages/room/{room}");
    assert_eq!(machine.get(&history).await.ok()[0]["content"], "beep");
    let by_chat = format!("/api/chat/rooms/{room}/messages");
    machine.post(&by_chat, &json!({"content": "boop"})).await.created();

    machine.get("/api/chat/rooms").await.is_problem("forbidden", 403);
    machine.get("/api/users").await.is_problem("forbidden", 403);
    machine.get("/api/users/profile").await.is_problem("forbidden", 403);
    machine.get("/api/auth/api-keys").await.is_problem("forbidden", 403);
    machine.post("/api/auth/ws-ticket", &json!({})).await.is_problem("forbidden", 403);
    let stranger = Machine { key: "hbk_made-up".to_owned(), ..Machine::new(&hub, &made) };
    stranger.get(&history).await.is_problem("wrong-credentials", 401);

    let path = format!("/api/auth/api-keys/{}", made["id"].as_str().unwrap());
    Answer::of(ada.api.request(Method::DELETE, &path)).await.ok();
    // Long before the token that the gateway has for it would have ended.
    eventually("the key to be refused", || async {
        (machine.get(&history).await.status == 401).then_some(())
    })
    .await;
    machine.get(&history).await.is_problem("wrong-credentials", 401);
    assert_eq!(ada.history(&room).await.len(), 2);
}

#[tokio::test]
async fn no_key_no_ticket_and_no_token_stands_in_any_log() {
    let hub = Hub::start_with(&["gateway.access_log.to=access.log", "telemetry.level=trace"]);
    let ada = hub.client().register().await;
    let made = make_key(&ada, &["rooms:read"]).await;
    let machine = Machine::new(&hub, &made);
    machine.get("/api/chat/rooms").await.ok();
    machine.post("/api/messages", &json!({})).await.is_problem("forbidden", 403);
    let got = ada.api.post("/api/auth/ws-ticket", &json!({})).await.created();
    let ticket = got["ticket"].as_str().unwrap();

    let lines = || std::fs::read_to_string(hub.data().join("access.log")).unwrap_or_default();
    let access = eventually("the lines of every request", || async {
        Some(lines()).filter(|text| text.contains("/api/auth/ws-ticket"))
    })
    .await;
    let log = hub.program.log_text();
    assert!(!log.is_empty(), "everything is logged");
    for secret in [machine.key.as_str(), ticket, ada.token(), &ada.refresh, "eyJ"] {
        assert!(!log.contains(secret) && !access.contains(secret), "a secret is in a log");
    }
}
