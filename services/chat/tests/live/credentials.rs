//! Who may hold a socket, and how it is told.

use std::time::Duration;

use chassis::identity::Person;
use chassis::keys::SigningKey;
use contract::caller::UserClaims;
use serde_json::json;

use crate::client::{Client, protocols, request};
use crate::world::{World, claims, user};

#[tokio::test]
async fn a_browser_hands_its_token_over_as_a_subprotocol() {
    let world = World::new();
    let chat = world.start().await;
    let asked = protocols(&world.token("ada"));
    let fields = [("sec-websocket-protocol", asked.as_str())];
    let (mut ada, response) = Client::connect(request(&chat, "/ws", &fields)).await;
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v1.json");
    let hello = ada.hear().await;
    assert_eq!(hello["op"], "hello");
    assert_eq!(hello["v"], 1);
    assert_eq!(hello["userId"], json!(user("ada")));
    assert_eq!(hello["sessionId"], json!(user("ada").0));
    assert_eq!(hello["server"], "chat-1");
    assert_eq!((&hello["pingMs"], &hello["pongMs"]), (&25_000.into(), &10_000.into()));
    assert_eq!((&hello["maxFrame"], &hello["maxChannels"]), (&65_536.into(), &256.into()));
}

#[tokio::test]
async fn a_machine_sends_an_authorization_field() {
    let world = World::new();
    let chat = world.start().await;
    let field = format!("Bearer {}", world.token("bot"));
    let request = request(&chat, "/ws", &[("authorization", &field)]);
    let (mut bot, response) = Client::connect(request).await;
    assert!(response.headers().get("sec-websocket-protocol").is_none());
    assert_eq!(bot.hear().await["op"], "hello");
}

#[tokio::test]
async fn a_first_frame_may_bring_the_token() {
    let world = World::new();
    let chat = world.start().await;
    let (mut ada, _) = Client::connect(request(&chat, "/ws", &[])).await;
    let token = world.token("ada");
    assert_eq!(ada.ask(&json!({"id": 7, "op": "auth", "token": token})).await["op"], "hello");
    let ack = ada.hear().await;
    assert_eq!((&ack["op"], &ack["id"]), (&"ack".into(), &7.into()));
    assert!(ack["exp"].is_string(), "{ack}");
}

#[tokio::test]
async fn a_service_that_may_acts_for_a_user() {
    let mut world = World::new();
    world.layers.put("identity.grants.chat.bridge", vec!["act-as"]);
    let chat = world.start().await;
    let ada = Person { id: user("ada"), name: "ada".into(), session: None };
    let bridge = world.service("bridge");
    for (token, is_let_in) in
        [(bridge.on_behalf_of("chat", &ada), true), (bridge.plain("chat"), false)]
    {
        let field = format!("Bearer {token}");
        let (mut socket, _) =
            Client::connect(request(&chat, "/ws", &[("authorization", &field)])).await;
        let frame = socket.hear().await;
        if is_let_in {
            assert_eq!(frame["userId"], json!(user("ada")), "{frame}");
            assert_eq!(frame["sessionId"], json!(null));
        } else {
            assert_eq!(frame["code"], "forbidden", "{frame}");
            assert_eq!(socket.closed().await.0, 4403);
        }
    }
}

#[tokio::test]
async fn a_token_in_the_url_is_looked_at_only_where_that_is_allowed() {
    for (is_allowed, expected) in [(true, "hello"), (false, "err")] {
        let mut world = World::new();
        world.layers.put("chat.ws.allow_query_token", is_allowed);
        world.layers.put("chat.ws.auth_timeout", "50ms");
        let chat = world.start().await;
        let path = format!("/ws?token={}", world.token("ada"));
        let (mut ada, _) = Client::connect(request(&chat, &path, &[])).await;
        assert_eq!(ada.hear().await["op"], expected);
    }
}

#[tokio::test]
async fn bad_credentials_are_told_on_the_open_socket() {
    let world = World::new();
    let chat = world.start().await;
    let expired = UserClaims { exp: claims("ada").iat - 1, ..claims("ada") };
    let (other, _) = SigningKey::generate().unwrap();
    let forged = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA),
        &claims("ada"),
        other.encoding(),
    );
    for (token, code) in [
        ("garbage".to_owned(), "bad-token"),
        (String::new(), "bad-token"),
        (world.sign(&expired), "expired-token"),
        (forged.unwrap(), "bad-token"),
    ] {
        let asked = protocols(&token);
        let fields = [("sec-websocket-protocol", asked.as_str())];
        let (mut socket, _) = Client::connect(request(&chat, "/ws", &fields)).await;
        let (close, frames) = socket.closed().await;
        assert_eq!(close, 4401);
        assert_eq!(frames.len(), 1);
        assert_eq!((&frames[0]["op"], &frames[0]["code"]), (&"err".into(), &code.into()));
    }
}

#[tokio::test]
async fn a_socket_without_credentials_has_little_time_and_one_frame() {
    let mut world = World::new();
    world.layers.put("chat.ws.auth_timeout", "50ms");
    let chat = world.start().await;
    let (mut silent, _) = Client::connect(request(&chat, "/ws", &[])).await;
    assert_eq!(silent.closed().await.0, 4401);
    let (mut hasty, _) = Client::connect(request(&chat, "/ws", &[])).await;
    let err = hasty.ask(&json!({"id": 3, "op": "sub", "ch": "room:tea"})).await;
    assert_eq!((&err["code"], &err["id"]), (&"unauthenticated".into(), &3.into()));
    assert_eq!(hasty.closed().await.0, 4401);
}

#[tokio::test]
async fn a_foreign_subprotocol_is_closed_with_4406() {
    let world = World::new();
    let chat = world.start().await;
    let fields = [("sec-websocket-protocol", "soap, bearer.YWJj")];
    let (mut socket, response) = Client::connect(request(&chat, "/ws", &fields)).await;
    assert_eq!(response.headers()["sec-websocket-protocol"], "soap");
    assert_eq!(socket.closed().await.0, 4406);
}

#[tokio::test]
async fn a_browser_on_another_site_is_refused_before_the_upgrade() {
    let mut world = World::new();
    world.layers.put("chat.ws.origins", vec!["http://localhost:3000"]);
    let chat = world.start().await;
    let token = protocols(&world.token("ada"));
    let from = |origin| {
        request(&chat, "/ws", &[("origin", origin), ("sec-websocket-protocol", token.as_str())])
    };
    let refused = Client::refused(from("https://evil.example")).await;
    assert_eq!(refused.status(), 403);
    let (mut ada, _) = Client::connect(from("http://localhost:3000")).await;
    assert_eq!(ada.hear().await["op"], "hello");
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_to_be_one() {
    let world = World::new();
    let chat = world.start().await;
    let answer = reqwest::get(format!("http://{}/ws", chat.address)).await.unwrap();
    assert_eq!(answer.status(), 426);
    assert_eq!(answer.headers()["upgrade"], "websocket");
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "urn:hubbub:problem:upgrade-required");
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_a_node_too() {
    let mut world = World::new();
    world.layers.put("chat.ws.sockets_per_user_max", 1);
    world.layers.put("chat.ws.sockets_max", 2);
    let chat = world.start().await;
    let _first = Client::open(&world, &chat, "ada").await;
    let token = protocols(&world.token("ada"));
    let again = request(&chat, "/ws", &[("sec-websocket-protocol", token.as_str())]);
    let (mut second, _) = Client::connect(again.clone()).await;
    assert_eq!(second.closed().await.0, 4409);
    drop(second);
    let third = Client::at(&world, &chat, "/ws", "bob").await;
    let refused = Client::refused(again).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    drop(third);
}

#[tokio::test]
async fn a_dying_token_is_renewed_on_the_same_socket_by_the_same_user() {
    let mut world = World::new();
    world.layers.put("chat.ws.token_grace", "1h");
    let chat = world.start().await;
    let dying = world.sign(&UserClaims { exp: claims("ada").iat + 30, ..claims("ada") });
    let (mut ada, _) = Client::connect(request(&chat, "/ws", &[])).await;
    ada.say(&json!({"op": "auth", "token": dying})).await;
    assert_eq!(ada.hear().await["op"], "hello");
    let expiring = ada.hear().await;
    assert_eq!(expiring["op"], "tokenExpiring");
    assert!(expiring["inMs"].as_u64().unwrap() <= 30_000);
    let err = ada.ask(&json!({"id": 1, "op": "auth", "token": world.token("bob")})).await;
    assert_eq!(err["code"], "forbidden");
    let err = ada.ask(&json!({"id": 2, "op": "auth", "token": "garbage"})).await;
    assert_eq!((&err["code"], &err["id"]), (&"bad-token".into(), &2.into()));
    let ack = ada.ask(&json!({"id": 3, "op": "auth", "token": world.token("ada")})).await;
    assert_eq!((&ack["op"], &ack["id"]), (&"ack".into(), &3.into()));
}

#[tokio::test]
async fn a_token_that_is_not_renewed_ends_its_socket_after_the_grace() {
    let mut world = World::new();
    world.layers.put("chat.ws.token_grace", "10ms");
    let chat = world.start().await;
    let dying = world.sign(&UserClaims { exp: claims("ada").iat + 2, ..claims("ada") });
    let (mut ada, _) = Client::connect(request(&chat, "/ws", &[])).await;
    ada.say(&json!({"op": "auth", "token": dying})).await;
    let (close, frames) = ada.closed().await;
    assert_eq!(close, 4401);
    assert_eq!(frames.last().unwrap()["code"], "expired-token");
}

#[tokio::test]
async fn credentials_that_cannot_be_judged_are_refused_before_the_upgrade() {
    let mut world = World::new();
    world.layers.put("identity.jwks_url", "http://127.0.0.1:9/jwks");
    let chat = world.start().await;
    let token = protocols(&world.token("ada"));
    let fields = [("sec-websocket-protocol", token.as_str())];
    let refused = Client::refused(request(&chat, "/ws", &fields)).await;
    assert_eq!(refused.status(), 503);
    tokio::time::timeout(Duration::from_secs(10), chat.stop()).await.unwrap();
}
