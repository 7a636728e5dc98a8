//! Bad requests get a clear error, and nobody else pays for them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::json;

use super::support::client::Answer;
use super::support::hub::Hub;

#[tokio::test]
async fn broken_json_a_missing_field_and_a_wrong_type_are_told_apart() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let room = ada.room(false).await;
    for path in ["/api/auth/register", "/api/auth/login", "/api/auth/token-exchange"] {
        hub.client().send_raw(path, r#"{"a":"#).await.is_problem("bad-json", 400);
    }
    for path in ["/api/messages".to_owned(), format!("/api/chat/rooms/{room}/messages")] {
        ada.api.send_raw(&path, r#"{"a":"#).await.is_problem("bad-json", 400);
        let deep = "[".repeat(100_000);
        ada.api.send_raw(&path, deep).await.is_problem("bad-json", 400);
        let missing = ada.api.post(&path, &json!({"roomId": room})).await;
        assert_eq!(missing.is_problem("invalid", 400)["errors"][0]["field"], "content");
        let wrong = ada.api.post(&path, &json!({"roomId": room, "content": 7})).await;
        assert_eq!(wrong.is_problem("invalid", 400)["errors"][0]["field"], "content");
        for content in [String::new(), "x".repeat(8_001)] {
            let answer = ada.api.post(&path, &json!({"roomId": room, "content": content})).await;
            answer.is_problem("invalid", 400);
        }
    }
    let client = hub.client();
    let registered = client.post("/api/auth/register", &json!({"username": "x"})).await;
    registered.is_problem("invalid", 400);
    let short = json!({"username": "valid", "email": "nope", "password": "123"});
    let faults = client.post("/api/auth/register", &short).await;
    assert_eq!(faults.is_problem("invalid", 400)["errors"].as_array().unwrap().len(), 2);
    let typed = ada.api.request(Method::POST, "/api/messages").body("{}");
    Answer::of(typed).await.is_problem("unsupported-media-type", 415);
    assert!(ada.history(&room).await.is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_its_sender_reads_it() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let body = format!(r#"{{"content":"{}"}}"#, "x".repeat(12 << 20));
    ada.api.send_raw("/api/messages", body.clone()).await.is_problem("body-too-large", 413);
    // Without a length it is noticed on the way.
    let chunks: Vec<Result<_, std::io::Error>> =
        body.as_bytes().chunks(64 << 10).map(|chunk| Ok(chunk.to_vec())).collect();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    ada.api.send_raw("/api/messages", stream).await.is_problem("body-too-large", 413);
    // A spoke keeps the bound by itself.
    let spoke = ada.api.at(hub.program.url("message"));
    spoke.send_raw("/api/messages", body).await.is_problem("body-too-large", 413);
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    for path in [
        "/api/nope",
        "/api/auth/users",
        "/api/auth/profile",
        "/api/internal/rings",
        "/internal/heads",
        "/metrics",
        "/api/messages/../../internal/heads",
    ] {
        let answer = ada.api.get(path).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {answer:?}");
    }
    let wrong = Answer::of(hub.client().request(Method::PATCH, "/api/auth/login")).await;
    wrong.is_problem("method-not-allowed", 405);
    assert!(wrong.header("allow").contains("POST"), "{wrong:?}");
    let wrong = Answer::of(ada.api.request(Method::PATCH, "/api/messages")).await;
    wrong.is_problem("method-not-allowed", 405);
    assert!(wrong.header("allow").contains("POST"), "{wrong:?}");
}

#[tokio::test]
async fn only_a_good_token_passes() {
    let hub = Hub::start_with(&["user.access_token_life=1s"]);
    let ada = hub.client().register().await;
    let path = "/api/users/profile";
    let client = hub.client();
    client.get(path).await.is_problem("unauthenticated", 401);
    client.with_token("garbage").get(path).await.is_problem("bad-token", 401);
    let basic = client.request(Method::GET, path).header("authorization", "InvalidFormat");
    Answer::of(basic).await.is_problem("unauthenticated", 401);

    // The same claims under another hub's key.
    let other = Hub::start();
    let eve = other.client().register().await;
    client.with_token(eve.token()).get(path).await.is_problem("bad-token", 401);
    // The same key and other claims.
    let parts: Vec<_> = ada.token().split('.').collect();
    let payload = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let payload = String::from_utf8(payload).unwrap().replace("customer", "admin");
    let forged = [parts[0], &URL_SAFE_NO_PAD.encode(payload), parts[2]].join(".");
    client.with_token(&forged).get(path).await.is_problem("bad-token", 401);

    let expired = super::support::eventually("the token to expire", || async {
        let answer = ada.api.get(path).await;
        (answer.status == 401).then_some(answer)
    });
    expired.await.is_problem("expired-token", 401);
    for part in ["user", "chat", "message"] {
        let path = match part {
            "user" => "/api/profile",
            "chat" => "/api/rooms",
            _ => "/api/messages/room/x",
        };
        let spoke = ada.api.at(hub.program.url(part));
        spoke.get(path).await.is_problem("expired-token", 401);
        spoke.with_token(eve.token()).get(path).await.is_problem("bad-token", 401);
    }
}

#[tokio::test]
async fn a_duplicate_registration_is_409_and_says_which_field() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let register = |name: &str, email: &str| json!({"username": name, "email": email, "password": "password123"});
    let address = format!("{}@example.com", ada.name);
    let taken = hub.client().post("/api/auth/register", &register("other", &address)).await;
    assert_eq!(taken.is_problem("taken", 409)["errors"][0]["field"], "email");
    let upper = ada.name.to_uppercase();
    let taken = hub.client().post("/api/auth/register", &register(&upper, "o@example.com")).await;
    assert_eq!(taken.is_problem("taken", 409)["errors"][0]["field"], "username");
}

#[tokio::test]
async fn headers_that_name_a_caller_are_ignored_from_outside() {
    let hub = Hub::start();
    let (ada, bob) = (hub.client().register().await, hub.client().register().await);
    for name in ["X-User-Id", "x-user-id", "X_User_Id", "X-User_Id"] {
        let request = ada.api.request(Method::GET, "/api/users/profile").header(name, &bob.id);
        let profile = Answer::of(request.header("x-user-roles", "admin")).await.ok();
        assert_eq!(profile["user"]["id"], ada.id.as_str());
        let request = hub.client().request(Method::GET, "/api/users/profile").header(name, &bob.id);
        Answer::of(request).await.is_problem("unauthenticated", 401);
    }
}

#[tokio::test]
async fn a_request_that_two_parsers_could_read_differently_is_refused() {
    let hub = Hub::start();
    let address = hub.base().strip_prefix("http://").unwrap().to_owned();
    for request in [
        "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n",
    ] {
        let address = address.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            // A reset after the answer is the peer's right.
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?} gave {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request:?} gave {answer:?}");
    }
    hub.client().get("/health/live").await;
}
