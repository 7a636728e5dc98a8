//! A conversation works through one base URL.

use serde_json::json;
use uuid::Uuid;

use super::support::client::Answer;
use super::support::eventually;
use super::support::hub::{Hub, SETUP_CODE};
use super::support::socket::Socket;

#[tokio::test]
async fn two_people_talk_in_a_room_and_read_the_same_history() {
    let hub = Hub::start();
    let (ada, bob) = (hub.client().register().await, hub.client().register().await);
    let room = ada.room(false).await;
    bob.join(&room).await;
    let (mut of_ada, mut of_bob) = (ada.socket().await, bob.socket().await);
    assert_eq!(of_ada.want_op("hello").await["userId"], ada.id.as_str());
    of_ada.subscribe(&room).await;
    of_bob.subscribe(&room).await;

    let mut seqs = Vec::new();
    for turn in 0..10 {
        let content = format!("turn {turn}");
        let ack = if turn % 2 == 0 {
            of_ada.send(&room, &content).await
        } else {
            of_bob.send(&room, &content).await
        };
        assert_eq!(ack["op"], "ack", "{ack}");
        for socket in [&mut of_ada, &mut of_bob] {
            let event = socket.want_message().await;
            assert_eq!(event["data"]["content"], content);
            assert_eq!(event["seq"], ack["seq"]);
        }
        seqs.push(ack["seq"].as_u64().unwrap());
    }
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    for reader in [&ada, &bob] {
        let history = reader.history(&room).await;
        let read: Vec<_> = history.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
        assert_eq!(read, seqs);
        let numbers: Vec<_> =
            history.iter().map(|message| message["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_message_sent_by_rest_reaches_sockets_too() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let room = ada.room(false).await;
    let mut socket = ada.socket().await;
    socket.subscribe(&room).await;
    let chat = format!("/api/chat/rooms/{room}/messages");
    let by_chat = ada.api.post(&chat, &json!({"content": "one"})).await.created();
    let by_message = ada.send(&room, "two").await.created();
    for sent in [by_chat, by_message] {
        let event = socket.want_message().await;
        assert_eq!(event["data"], sent);
    }
}

#[tokio::test]
async fn whoever_comes_back_gets_what_was_missed_in_order() {
    let hub = Hub::start();
    let (ada, bob) = (hub.client().register().await, hub.client().register().await);
    let room = ada.room(false).await;
    bob.join(&room).await;
    let mut socket = bob.socket().await;
    let left_at = socket.subscribe(&room).await;
    drop(socket);

    let mut missed = Vec::new();
    for number in 0..30 {
        missed.push(ada.send(&room, &format!("m{number}")).await.created()["seq"].clone());
    }
    let mut socket = bob.socket().await;
    let resumed = socket.subscribe_since(&room, &left_at).await;
    assert_eq!(resumed["recovered"], true, "{resumed}");
    let seqs: Vec<_> =
        resumed["events"].as_array().unwrap().iter().map(|e| e["seq"].clone()).collect();
    assert_eq!(seqs, missed);
    assert_eq!(&resumed["head"], missed.last().unwrap());

    let other = json!({"epoch": "another", "head": left_at["head"]});
    let mut socket = bob.socket().await;
    let lost = socket.subscribe_since(&room, &other).await;
    assert_eq!(lost["recovered"], false, "{lost}");
    assert_eq!(lost["events"], json!([]), "{lost}");
}

#[tokio::test]
async fn a_client_id_sent_again_gives_the_same_message() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let room = ada.room(false).await;
    let client = Uuid::now_v7();
    let body = json!({"roomId": room, "content": "once", "clientId": client});
    let first = ada.api.post("/api/messages", &body).await.created();
    let again = ada.api.post("/api/messages", &body).await.ok();
    assert_eq!(first["id"], again["id"]);

    let mut socket = ada.socket().await;
    let mut frame = json!({
        "op": "send", "ch": format!("room:{room}"), "clientId": client, "content": "once",
    });
    let ack = socket.ask(frame.clone()).await;
    assert_eq!((&ack["dup"], &ack["seq"]), (&json!(true), &first["seq"]), "{ack}");
    frame["content"] = json!("something else");
    let err = socket.ask(frame).await;
    assert_eq!((&err["code"], &err["status"]), (&json!("client-id-conflict"), &json!(409)));
    let other = json!({"roomId": room, "content": "other", "clientId": client});
    ada.api.post("/api/messages", &other).await.is_problem("client-id-conflict", 409);
    assert_eq!(ada.history(&room).await.len(), 1);
}

#[tokio::test]
async fn a_private_room_does_not_exist_for_strangers() {
    let hub = Hub::start();
    let (ada, eve) = (hub.client().register().await, hub.client().register().await);
    let room = ada.room(true).await;
    let sent = ada.send(&room, "between us").await.created();
    let id = sent["id"].as_str().unwrap();
    let api = &eve.api;
    let empty = json!({});
    let hidden: [Answer; 6] = [
        api.get(&format!("/api/chat/rooms/{room}")).await,
        api.post(&format!("/api/chat/rooms/{room}/join"), &empty).await,
        api.post(&format!("/api/chat/rooms/{room}/leave"), &empty).await,
        api.get(&format!("/api/messages/room/{room}")).await,
        api.get(&format!("/api/messages/{id}")).await,
        eve.send(&room, "let me in").await,
    ];
    let absent = api.get("/api/chat/rooms/there-is-none").await;
    for answer in hidden {
        answer.is_problem("not-found", 404);
        assert_eq!(answer.body["title"], absent.body["title"]);
    }
    let rooms = api.get("/api/chat/rooms").await.ok();
    assert!(rooms.as_array().unwrap().iter().all(|listed| listed["id"] != room.as_str()));

    let mut socket = eve.socket().await;
    let refused = socket.subscribe(&room).await;
    assert_eq!(refused["err"]["status"], 404, "{refused}");
    let err = socket.send(&room, "let me in").await;
    assert_eq!((&err["op"], &err["status"]), (&json!("err"), &json!(404)), "{err}");
}

#[tokio::test]
async fn a_public_room_is_read_by_all_and_written_by_members() {
    let hub = Hub::start();
    let (ada, bob) = (hub.client().register().await, hub.client().register().await);
    let room = ada.room(false).await;
    ada.send(&room, "welcome").await.created();
    assert_eq!(bob.history(&room).await.len(), 1);
    bob.send(&room, "hello").await.is_problem("not-a-member", 403);
    let mut socket = bob.socket().await;
    assert!(socket.subscribe(&room).await.get("err").is_none());
    assert_eq!(socket.send(&room, "hello").await["code"], "not-a-member");
    bob.join(&room).await;
    assert_eq!(socket.send(&room, "hello").await["op"], "ack");
}

#[tokio::test]
async fn the_socket_of_a_room_joins_it_and_takes_the_short_form() {
    let hub = Hub::start();
    let (ada, bob) = (hub.client().register().await, hub.client().register().await);
    let room = ada.room(false).await;
    let path = format!("/api/chat/ws/{room}");
    let mut socket = Socket::open(hub.base(), &path, Some(bob.token())).await;
    socket.want_op("hello").await;
    let subscribed = socket.want_op("subscribed").await;
    assert_eq!(subscribed["chs"][0]["ch"], format!("room:{room}"));
    socket.tell(&json!({"content": "short"})).await;
    let event = socket.want_message().await;
    assert_eq!(event["data"]["content"], "short");
    assert_eq!(event["data"]["userId"], bob.id.as_str());
    let online = eventually("bob to be online", || async {
        let shown = ada.api.get(&format!("/api/chat/rooms/{room}")).await.ok();
        (shown["onlineMembers"] == 1).then_some(shown)
    });
    let shown = online.await;
    assert_eq!((&shown["memberCount"], &shown["lastSeq"]), (&json!(2), &event["seq"]));
}

#[tokio::test]
async fn the_set_up_code_makes_the_one_admin_and_health_shows_him_more() {
    let hub = Hub::start();
    let body = |code: &str, name: &str| {
        json!({
            "code": code, "username": name, "email": format!("{name}@example.com"),
            "password": "correct horse battery",
        })
    };
    let client = hub.client();
    client
        .post("/api/auth/setup", &body("wrong", "eve"))
        .await
        .is_problem("wrong-credentials", 401);
    let admin = client.post("/api/auth/setup", &body(SETUP_CODE, "boss")).await.created();
    assert!(admin["user"]["roles"].as_array().unwrap().contains(&json!("admin")));
    client.post("/api/auth/setup", &body(SETUP_CODE, "second")).await.is_problem("gone", 410);

    let healthy = eventually("health", || async {
        let health = client.get("/health").await.ok();
        (health["status"] == "healthy").then_some(health)
    });
    let health = healthy.await;
    let mut names: Vec<_> = health["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["chat", "message", "user"]);
    for service in health["services"].as_array().unwrap() {
        for key in ["status", "latencyMs", "lastCheckedAt", "since"] {
            assert!(service.get(key).is_some(), "{key} is missing: {service}");
        }
        assert!(service.get("instances").is_none(), "{service}");
    }
    let known = client.with_token(admin["token"].as_str().unwrap()).get("/health").await.ok();
    assert!(known["services"][0].get("instances").is_some(), "{known}");
}

#[tokio::test]
async fn a_refresh_token_is_used_once_and_its_reuse_ends_the_session() {
    let hub = Hub::start();
    let client = hub.client();
    let ada = client.register().await;
    let refresh = async |token: &str| {
        client.post("/api/auth/refresh-token", &json!({"refreshToken": token})).await
    };
    let second = refresh(&ada.refresh).await.ok();
    let second = second["tokens"]["refreshToken"].as_str().unwrap();
    assert_ne!(second, ada.refresh);
    assert_eq!(refresh(&ada.refresh).await.status, 401);
    assert_eq!(refresh(second).await.status, 401);
}
