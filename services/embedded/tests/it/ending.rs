//! A session that has ended is refused everywhere within a second: at the gateway, at each spoke, on
//! its sockets.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::support::apart::Apart;
use super::support::client::{Answer, Client, User};
use super::support::hub::{Hub, Program};

/// How long an ended session may go on.
const A_SECOND: Duration = Duration::from_secs(1);
/// Close code of a socket whose session was ended.
const REVOKED: u16 = 4410;
const SETUP_CODE: &str = "end-to-end-code";

/// Where a token is looked at: a base URL, and a path that asks for one.
type Doors = Vec<(String, &'static str)>;

fn doors(gateway: &str, [user, chat, message]: [&Program; 3]) -> Doors {
    vec![
        (gateway.to_owned(), "/api/users/profile"),
        (gateway.to_owned(), "/api/chat/rooms"),
        (user.url("user").to_owned(), "/api/profile"),
        (chat.url("chat").to_owned(), "/api/rooms"),
        (message.url("message").to_owned(), "/api/messages/scheduled-or-not"),
    ]
}

async fn call(user: &User, method: Method, path: &str) -> Answer {
    Answer::of(user.api.request(method, path)).await
}

/// Does `end`, and holds every door and a socket to the second.
async fn is_ended_everywhere(user: &User, doors: &Doors, end: impl Future<Output = Answer>) {
    let mut socket = user.socket().await;
    socket.want_op("hello").await;
    for (base, path) in doors {
        assert_ne!(user.api.at(base).get(path).await.status, 401, "{base}{path}");
    }
    end.await.ok();
    let ended_at = Instant::now();
    for (base, path) in doors {
        loop {
            let answer = user.api.at(base).get(path).await;
            if answer.status == 401 {
                answer.is_problem("revoked-token", 401);
                break;
            }
            assert!(ended_at.elapsed() < A_SECOND, "{base}{path} lets a dead token in");
        }
    }
    let closed = timeout(A_SECOND, socket.closed()).await;
    assert_eq!(closed.expect("the socket stays open"), REVOKED);
}

/// Every way in which a session ends, one after the other.
async fn every_end_is_felt_everywhere(client: &Client, doors: &Doors) {
    let ada = client.register().await;
    is_ended_everywhere(&ada, doors, call(&ada, Method::POST, "/api/auth/logout")).await;

    let bob = client.register().await;
    is_ended_everywhere(&bob, doors, call(&bob, Method::POST, "/api/auth/logout?all=true")).await;

    let cid = client.register().await;
    let phone = json!({"username": cid.name, "password": "password123"});
    let phone = client.post("/api/auth/login", &phone).await.ok();
    let phone = User { api: client.with_token(phone["token"].as_str().unwrap()), ..cid.clone() };
    let body = json!({"currentPassword": "password123", "newPassword": "password456"});
    let change = phone.api.request(Method::PUT, "/api/auth/change-password").json(&body);
    is_ended_everywhere(&cid, doors, Answer::of(change)).await;
    phone.api.get("/api/users/profile").await.ok();

    let dan = client.register().await;
    is_ended_everywhere(&dan, doors, call(&dan, Method::DELETE, "/api/users/me")).await;
}

#[tokio::test]
async fn in_one_process_an_ended_session_is_refused_everywhere_within_a_second() {
    let hub = Hub::start_with(&[&format!("user.setup_code={SETUP_CODE}")]);
    let doors = doors(hub.base(), [&hub.program; 3]);
    every_end_is_felt_everywhere(&hub.client(), &doors).await;

    let root = json!({
        "code": SETUP_CODE, "username": "root", "email": "root@example.com",
        "password": "password123",
    });
    let root = hub.client().post("/api/auth/setup", &root).await.created();
    let root = hub.client().with_token(root["token"].as_str().unwrap());
    let eve = hub.client().register().await;
    let roles = json!({"roles": ["staff"], "storeId": "7"});
    let path = format!("/api/users/{}/roles", eve.id);
    let change = root.request(Method::PUT, &path).json(&roles);
    is_ended_everywhere(&eve, &doors, Answer::of(change)).await;
    let renewed = json!({"refreshToken": eve.refresh});
    let renewed: Value = hub.client().post("/api/auth/refresh-token", &renewed).await.ok();
    assert_eq!(renewed["user"]["roles"], json!(["staff"]));
    let token = renewed["token"].as_str().unwrap();
    hub.client().with_token(token).get("/api/chat/rooms").await.ok();
}

#[tokio::test]
async fn between_processes_without_a_broker_it_is_so_too() {
    let parts = Apart::start();
    let doors = doors(parts.gateway.url("gateway"), [&parts.user, &parts.chat, &parts.message]);
    every_end_is_felt_everywhere(&parts.client(), &doors).await;
}

#[tokio::test]
async fn a_part_that_starts_later_knows_what_ended_before() {
    let mut hub = Hub::start();
    let ada = hub.client().register().await;
    call(&ada, Method::POST, "/api/auth/logout").await.ok();
    hub.program.kill();
    hub.start_again();
    let ada = ada.at(hub.base());
    ada.api.get("/api/chat/rooms").await.is_problem("revoked-token", 401);
}
