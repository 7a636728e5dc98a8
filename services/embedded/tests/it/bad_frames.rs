//! Bad frames get an `err` or a close code, and the socket stays wherever it can.

use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::hub::Hub;
use super::support::socket::Socket;

#[tokio::test]
async fn what_is_no_json_or_no_operation_is_an_err_and_the_socket_stays() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let mut socket = ada.socket().await;
    for text in ["not json", "[]", "7", r#"{"id":1}"#, "{\"op\":"] {
        socket.raw(Message::text(text)).await;
        let err = socket.want_op("err").await;
        assert_eq!((&err["code"], &err["status"]), (&json!("bad-frame"), &json!(400)), "{text}");
        assert!(err.get("id").is_none(), "{text}: {err}");
    }
    let err = socket.ask(json!({"op": "frobnicate"})).await;
    assert_eq!((&err["op"], &err["code"]), (&json!("err"), &json!("unknown-op")), "{err}");
    assert_eq!(socket.ask(json!({"op": "ping"})).await["op"], "pong");
}

#[tokio::test]
async fn an_oversized_frame_is_1009_and_a_binary_one_4400() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let mut socket = ada.socket().await;
    let big = format!(r#"{{"op":"send","content":"{}"}}"#, "x".repeat(70_000));
    socket.raw(Message::text(big)).await;
    assert_eq!(socket.closed().await, 1009);
    let mut socket = ada.socket().await;
    socket.raw(Message::binary(vec![0, 1])).await;
    assert_eq!(socket.closed().await, 4400);
}

#[tokio::test]
async fn a_socket_without_a_good_token_is_told_and_closed_with_4401() {
    let hub = Hub::start_with(&["user.access_token_life=1s"]);
    let ada = hub.client().register().await;
    let expired = super::support::eventually("the token to expire", || async {
        (ada.api.get("/api/users/profile").await.status == 401).then_some(())
    });
    expired.await;
    for token in [Some("garbage"), Some(ada.token())] {
        let mut socket = Socket::open(hub.base(), "/api/chat/ws", token).await;
        assert_eq!(socket.want_op("err").await["status"], 401);
        assert_eq!(socket.closed().await, 4401);
    }
    let mut socket = Socket::open(hub.base(), "/api/chat/ws", None).await;
    socket.tell(&json!({"id": 1, "op": "sub", "ch": "room:x"})).await;
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn the_socket_of_a_room_that_is_not_there_is_closed_with_4404() {
    let hub = Hub::start();
    let (ada, eve) = (hub.client().register().await, hub.client().register().await);
    let secret = ada.room(true).await;
    for room in ["there-is-none", &secret] {
        let path = format!("/api/chat/ws/{room}");
        let mut socket = Socket::open(hub.base(), &path, Some(eve.token())).await;
        assert_eq!(socket.closed().await, 4404, "{room}");
    }
}

#[tokio::test]
async fn only_pages_that_are_listed_open_sockets() {
    let port = harness::free_port().unwrap();
    let listen = format!("gateway.listen=127.0.0.1:{port}");
    let hub = Hub::start_with(&[&listen]);
    let open = async |origin: &str| {
        let url = format!("ws://127.0.0.1:{port}/api/chat/ws");
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request.headers_mut().insert("sec-websocket-protocol", "chat.v1.json".parse().unwrap());
        tokio_tungstenite::connect_async(request).await.map(|(_, answer)| answer.status().as_u16())
    };
    let own = format!("http://localhost:{port}");
    for origin in ["http://localhost:3000", "http://localhost:5173", &own, hub.base()] {
        assert_eq!(open(origin).await.unwrap(), 101, "{origin}");
    }
    for origin in ["http://evil.test", "null", "http://localhost:3001", "https://localhost:3000"] {
        let Err(Error::Http(answer)) = open(origin).await else { panic!("{origin} got in") };
        assert_eq!(answer.status(), 403, "{origin}");
    }
}
