//! Sockets whose session ended before its time.

use std::time::Duration;

use chassis::Clock;
use contract::caller::UserClaims;
use contract::revocation::Revoked;
use contract::{SessionId, Timestamp};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::accounts::Users;
use crate::client::{Client, protocols, request};
use crate::world::{Chat, World, claims, user};

/// The promise of the protocol.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Connects with a token of these claims.
async fn connect(world: &World, chat: &Chat, claims: &UserClaims) -> Client {
    let asked = protocols(&world.sign(claims));
    let fields = [("sec-websocket-protocol", asked.as_str())];
    Client::connect(request(chat, "/ws", &fields)).await.0
}

async fn open(world: &World, chat: &Chat, claims: &UserClaims) -> Client {
    let mut client = connect(world, chat, claims).await;
    assert_eq!(client.hear().await["op"], "hello");
    client
}

/// The whole second that has begun.
fn this_second() -> Timestamp {
    Timestamp(Clock::System.now().seconds() * 1_000)
}

async fn ends_at_once(client: &mut Client) {
    let (code, frames) = timeout(AT_ONCE, client.closed()).await.expect("it is open still");
    assert_eq!(code, 4410);
    let err = frames.last().unwrap();
    assert_eq!((&err["op"], &err["code"]), (&json!("err"), &json!("revoked-token")));
}

async fn is_open(client: &mut Client) {
    assert_eq!(client.ask(&json!({"op": "ping", "id": 9})).await["op"], "pong");
}

fn session(number: u128) -> Revoked {
    Revoked::Session { sid: SessionId(Uuid::from_u128(number)) }
}

#[tokio::test]
async fn an_ended_session_closes_its_sockets_at_once_and_no_others() {
    let mut world = World::new();
    let users = Users::start(&mut world);
    let chat = world.start().await;
    let mut first = Client::open(&world, &chat, "ada").await;
    let mut second = Client::open(&world, &chat, "ada").await;
    let laptop = UserClaims { sid: SessionId(Uuid::from_u128(5)), ..claims("ada") };
    let mut elsewhere = open(&world, &chat, &laptop).await;
    let mut bob = Client::open(&world, &chat, "bob").await;
    users.revoke(Revoked::Session { sid: claims("ada").sid }, this_second());
    ends_at_once(&mut first).await;
    ends_at_once(&mut second).await;
    is_open(&mut elsewhere).await;
    is_open(&mut bob).await;
}

#[tokio::test]
async fn a_users_sockets_are_closed_as_their_newest_tokens_say() {
    let mut world = World::new();
    let users = Users::start(&mut world);
    let chat = world.start().await;
    let now = this_second();
    let old = UserClaims { iat: now.seconds() - 10, ..claims("ada") };
    let mut forgotten = open(&world, &chat, &old).await;
    let mut renewed = open(&world, &chat, &old).await;
    let fresh = UserClaims { iat: now.seconds(), ..claims("ada") };
    let ack = renewed.ask(&json!({"op": "auth", "id": 1, "token": world.sign(&fresh)})).await;
    assert_eq!(ack["op"], "ack");
    users.revoke(Revoked::User { user_id: user("ada") }, now);
    ends_at_once(&mut forgotten).await;
    is_open(&mut renewed).await;
    users.revoke(Revoked::Session { sid: fresh.sid }, now);
    ends_at_once(&mut renewed).await;
}

#[tokio::test]
async fn a_token_of_an_ended_session_opens_nothing() {
    let mut world = World::new();
    let users = Users::start(&mut world);
    let chat = world.start().await;
    let mut witness = Client::open(&world, &chat, "ada").await;
    users.revoke(Revoked::Session { sid: claims("ada").sid }, this_second());
    ends_at_once(&mut witness).await;
    let (code, frames) = connect(&world, &chat, &claims("ada")).await.closed().await;
    assert_eq!((code, frames.len()), (4410, 1));
    assert_eq!(frames[0]["code"], "revoked-token");
    let (mut late, _) = Client::connect(request(&chat, "/ws", &[])).await;
    late.say(&json!({"op": "auth", "id": 3, "token": world.token("ada")})).await;
    let (code, frames) = late.closed().await;
    assert_eq!((code, &frames[0]["id"]), (4410, &json!(3)));
}

#[tokio::test]
async fn whoever_connects_while_the_session_ends_does_not_slip_through() {
    let mut world = World::new();
    world.layers.put("chat.ws.sockets_per_user_max", 100);
    let users = Users::start(&mut world);
    let chat = world.start().await;
    let connects = (0..40).map(async |number| {
        if number == 20 {
            users.revoke(Revoked::Session { sid: claims("ada").sid }, this_second());
        }
        connect(&world, &chat, &claims("ada")).await
    });
    for mut client in join_all(connects).await {
        ends_at_once(&mut client).await;
    }
}

#[tokio::test]
async fn where_more_ends_than_can_be_remembered_all_are_looked_at() {
    let mut world = World::new();
    world.layers.put("identity.revocations_max", 4);
    let users = Users::start(&mut world);
    let chat = world.start().await;
    let now = this_second();
    let old = UserClaims { iat: now.seconds() - 100, ..claims("ada") };
    let mut old = open(&world, &chat, &old).await;
    let young = UserClaims { iat: now.seconds() + 5, ..claims("bob") };
    let mut young = open(&world, &chat, &young).await;
    (0..10).for_each(|number| users.revoke(session(number), now));
    ends_at_once(&mut old).await;
    is_open(&mut young).await;
}
