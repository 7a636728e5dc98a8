//! Two replicas of each service work as one behind the gateway, and one of them may die at any time.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::support::client::{Answer, Client, User};
use super::support::cluster::{Cluster, Servers};
use super::support::ledger::Ledger;
use super::support::reader::Reader;

/// Senders at a time.
const SENDERS: usize = 6;
/// Messages of each.
const SENDS: usize = 25;
/// Messages that are acknowledged before somebody is killed.
const ACKED_BEFORE_KILL: usize = 40;
/// Calls in a row, of which each replica gets some.
const CALLS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_on_different_chat_replicas_talk_with_each_other() {
    let servers = Servers::start().await;
    let cluster = Cluster::start(&servers).await;
    let (ada, bob, room) = cluster.two_in_a_room().await;
    let mut readers = [
        Reader::begin(cluster.socket_led_to(&ada, 0).await, &room).await,
        Reader::begin(cluster.socket_led_to(&bob, 1).await, &room).await,
    ];
    for turn in 0..20 {
        let content = format!("turn {turn}");
        let frame = json!({
            "op": "send", "ch": format!("room:{room}"), "clientId": Uuid::now_v7(),
            "content": content,
        });
        let ack = readers[turn % 2].ask(frame).await;
        assert_eq!(ack["op"], "ack", "{ack}");
        let seq = ack["seq"].as_u64().unwrap();
        for reader in &mut readers {
            reader.read_to(seq).await;
            let event = reader.events.last().unwrap();
            assert_eq!((&event["seq"], &event["data"]["content"]), (&ack["seq"], &json!(content)));
            assert_eq!(event["data"]["id"], ack["message"]["id"]);
        }
    }
    for reader in &mut readers {
        reader.settle().await;
        assert_eq!(reader.events.len(), 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_made_by_one_user_replica_is_good_at_the_other() {
    let servers = Servers::start().await;
    let mut cluster = Cluster::start(&servers).await;
    let replicas = cluster.user.each_ref().map(|replica| Client::new(replica.url("user")));
    let name = format!("u{}", &Uuid::new_v4().simple().to_string()[..12]);
    let body = json!({
        "username": name, "email": format!("{name}@example.com"), "password": "password123",
    });
    let registered = replicas[0].post("/api/register", &body).await.created();
    let login = json!({"username": name, "password": "password123"});
    let signed_in = replicas[1].post("/api/login", &login).await.ok();
    let refresh = |session: &Value| json!({"refreshToken": session["tokens"]["refreshToken"]});
    let refreshed = replicas[0].post("/api/refresh-token", &refresh(&signed_in)).await.ok();

    let keys = join_all(replicas.iter().map(|user| user.get("/.well-known/jwks.json"))).await;
    assert_eq!(keys[0].body, keys[1].body);
    for token in [&registered["token"], &signed_in["token"], &refreshed["tokens"]["accessToken"]] {
        let api = cluster.client().with_token(token.as_str().unwrap());
        assert_believed(&cluster, &api).await;
    }

    let api = cluster.client().with_token(signed_in["token"].as_str().unwrap());
    let before = cluster.requests_to_users().await;
    for _ in 0..CALLS {
        assert_eq!(api.get("/api/users/profile").await.ok()["user"]["username"], name.as_str());
    }
    let after = cluster.requests_to_users().await;
    assert!(after[0] > before[0] && after[1] > before[1], "{before:?}, {after:?}");

    cluster.user[0].kill();
    let mut session = registered;
    for _ in 0..CALLS {
        session = api.post("/api/auth/refresh-token", &refresh(&session)).await.ok();
        api.get("/api/users/profile").await.ok();
    }
    api.post("/api/auth/login", &login).await.ok();
    cluster.client().register().await;
}

/// Every replica of every service takes the token.
async fn assert_believed(cluster: &Cluster, api: &Client) {
    for (part, replicas, path) in [
        ("user", &cluster.user, "/api/profile"),
        ("chat", &cluster.chat, "/api/rooms"),
        ("message", &cluster.message, "/api/rooms"),
    ] {
        for replica in replicas {
            api.at(replica.url(part)).get(path).await.ok();
        }
    }
    api.get("/api/users/profile").await.ok();
    api.get("/api/chat/rooms").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_written_through_both_message_replicas_has_one_sequence() {
    let servers = Servers::start().await;
    let cluster = Cluster::start(&servers).await;
    let (ada, bob, room) = cluster.two_in_a_room().await;
    let mut readers = [
        Reader::begin(cluster.socket_at(&ada, 0).await, &room).await,
        Reader::begin(cluster.socket_at(&bob, 1).await, &room).await,
    ];
    let senders = (0..SENDERS).map(|sender| {
        let user = if sender % 2 == 0 { &ada } else { &bob };
        let (one, two) = (cluster.at_message(user, 0), cluster.at_message(user, 1));
        let room = &room;
        async move {
            for number in 0..SENDS {
                assert_one_message(&one, &two, room, &format!("{sender}/{number}")).await;
            }
        }
    });
    join_all(senders).await;
    assert_one_message_over_sockets(&cluster, &ada, &room).await;
    let history = ada.whole_history(&room).await;
    assert_eq!(history.len(), SENDERS * SENDS + 1);
    for (index, message) in history.iter().enumerate() {
        assert_eq!(message["n"], index + 1, "{message}");
    }
    let last = history.last().unwrap()["seq"].as_u64().unwrap();
    for reader in &mut readers {
        reader.read_to(last).await;
        reader.settle().await;
        let seen: Vec<_> = reader.events.iter().map(|event| &event["data"]).collect();
        assert_eq!(seen, history.iter().collect::<Vec<_>>());
    }
}

/// The same message handed to both replicas at once is stored by one and known to the other.
async fn assert_one_message(one: &User, two: &User, room: &str, content: &str) {
    let client = Uuid::now_v7();
    let sends = join(one.send_as(room, client, content), two.send_as(room, client, content));
    let (one, two) = sends.await;
    let mut told = [one.status.as_u16(), two.status.as_u16()];
    told.sort_unstable();
    assert_eq!(told, [200, 201], "{one:?}\n{two:?}");
    assert_eq!(one.body, two.body);
}

/// The same over a socket on each chat replica.
async fn assert_one_message_over_sockets(cluster: &Cluster, user: &User, room: &str) {
    let (mut one, mut two) = join(cluster.socket_at(user, 0), cluster.socket_at(user, 1)).await;
    let frame = json!({
        "op": "send", "ch": format!("room:{room}"), "clientId": Uuid::now_v7(), "content": "once",
    });
    let (one, two) = join(one.ask(frame.clone()), two.ask(frame)).await;
    assert_eq!(one["dup"] == json!(true), two["dup"] == json!(false), "{one}\n{two}");
    assert_eq!((&one["message"], &one["seq"]), (&two["message"], &two["seq"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_a_chat_replica_that_is_killed_resume_on_the_other() {
    let servers = Servers::start().await;
    let mut cluster = Cluster::start(&servers).await;
    let (ada, bob, room) = cluster.two_in_a_room().await;
    let mut readers = Vec::new();
    for (user, number) in [(&ada, 0), (&bob, 0), (&ada, 1), (&bob, 1)] {
        readers.push(Reader::begin(cluster.socket_led_to(user, number).await, &room).await);
    }
    let last = readers[0].head() + u64::try_from(SENDERS * SENDS).unwrap();
    let ledger = Ledger::default();
    let sending = send_all(&ledger, &[ada.clone(), bob.clone()], &room, refuses_nobody);
    ledger.acknowledged(ACKED_BEFORE_KILL).await;
    cluster.chat[0].kill();
    // Whoever comes now is served by the one that is left, at once.
    for (reader, user) in readers.iter_mut().zip([&ada, &bob]) {
        reader.read_to_close().await;
        reader.resume_on(user.socket().await).await;
    }
    for _ in 0..CALLS {
        ada.api.get("/api/chat/rooms").await.ok();
        ada.room(true).await;
    }
    sending.join_all().await;
    for reader in &mut readers {
        reader.read_to(last).await;
        reader.settle().await;
        ledger.assert_was_seen(&reader.events);
    }
    ledger.assert_is(&bob.whole_history(&room).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_message_replica_did_not_acknowledge_is_sent_again_and_stored_once() {
    let servers = Servers::start().await;
    let mut cluster = Cluster::start(&servers).await;
    let (ada, bob, room) = cluster.two_in_a_room().await;
    let mut readers = [
        Reader::begin(cluster.socket_at(&ada, 0).await, &room).await,
        Reader::begin(cluster.socket_at(&bob, 1).await, &room).await,
    ];
    let ledger = Ledger::default();
    let sending = send_all(&ledger, &[ada.clone(), bob], &room, died_with_it);
    let by_socket = readers.iter_mut().enumerate().map(async |(number, reader)| {
        let sender = format!("socket {number}");
        ledger.send_by_socket(reader, (&room, &sender), SENDS).await;
    });
    let killing = async {
        ledger.acknowledged(ACKED_BEFORE_KILL).await;
        cluster.message[0].kill();
    };
    join(join_all(by_socket), killing).await;
    sending.join_all().await;
    let history = ada.whole_history(&room).await;
    ledger.assert_is(&history);
    let last = history.last().unwrap()["seq"].as_u64().unwrap();
    for reader in &mut readers {
        reader.read_to(last).await;
        reader.settle().await;
        ledger.assert_was_seen(&reader.events);
    }
}

/// Sends from many tasks through the gateway.
fn send_all(ledger: &Ledger, users: &[User], room: &str, is_fair: fn(&Answer)) -> JoinSet<()> {
    let mut senders = JoinSet::new();
    for (sender, user) in (0..SENDERS).zip(users.iter().cycle()) {
        let (ledger, user, room) = (ledger.clone(), user.clone(), room.to_owned());
        senders.spawn(async move {
            let sender = format!("rest {sender}");
            ledger.send_by_rest((&user, &room, &sender), SENDS, is_fair).await;
        });
    }
    senders
}

fn refuses_nobody(answer: &Answer) {
    panic!("refused: {answer:?}");
}

/// What the gateway says of a replica that died with the request.
fn died_with_it(answer: &Answer) {
    answer.is_problem("upstream-failed", 502);
}
