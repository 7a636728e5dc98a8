//! Tokens whose session has ended: no call and no socket gets in with one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use chassis::Clock;
use contract::SessionId;
use contract::revocation::{FeedQuery, Revocation, Revocations, Revoked};
use tokio::time::Instant;

use crate::client::{Client, protocols, request};
use crate::world::{Chat, World, listen, user};

/// Within this time of its end a session is refused everywhere.
const PROMISE: Duration = Duration::from_secs(1);

/// What a call of `name` is answered with.
async fn status(world: &World, chat: &Chat, name: &str, path: &str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.get(format!("http://{}{path}", chat.address));
    request.bearer_auth(world.token(name)).send().await.unwrap().status().as_u16()
}

/// A feed with nothing to tell.
async fn tell_nothing(Query(query): Query<FeedQuery>) -> Json<Revocations> {
    if query.wait.is_some() {
        return std::future::pending().await;
    }
    let cursor = query.after.unwrap_or(7);
    Json(Revocations { after: cursor, cursor, items: vec![] })
}

#[tokio::test]
async fn a_session_that_ended_is_refused_within_a_second_by_rest_and_for_sockets() {
    let mut world = World::new();
    let feed = listen(Router::new().route("/feed", get(tell_nothing)));
    world.layers.put("identity.revocations_url", format!("http://{}/feed", feed.address));
    let chat = world.start().await;
    assert_eq!(status(&world, &chat, "ada", "/health/ready").await, 200);
    for name in ["ada", "eve"] {
        assert_eq!(status(&world, &chat, name, "/api/rooms").await, 200);
    }
    let now = Clock::System.now();
    let sid = SessionId(user("eve").0);
    let until = now.plus(Duration::from_mins(15));
    let items = vec![Revocation { what: Revoked::Session { sid }, not_before: now, until }];
    world.bus.publish_revoked(Arc::new(Revocations { after: 7, cursor: 8, items }));
    let began = Instant::now();
    while status(&world, &chat, "eve", "/api/rooms").await == 200 {
        assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
    }
    assert_eq!(status(&world, &chat, "eve", "/api/rooms").await, 401);
    let asked = protocols(&world.token("eve"));
    let fields = [("sec-websocket-protocol", asked.as_str())];
    let (mut eve, _) = Client::connect(request(&chat, "/ws", &fields)).await;
    let (_, frames) = eve.closed().await;
    assert_eq!((&frames[0]["op"], &frames[0]["code"]), (&"err".into(), &"revoked-token".into()));
    Client::open(&world, &chat, "ada").await;
}

#[tokio::test]
async fn a_chat_service_that_does_not_know_what_ended_is_not_ready() {
    let mut world = World::new();
    world.layers.put("identity.revocations_url", "http://127.0.0.1:9/feed");
    let chat = world.start().await;
    assert_eq!(status(&world, &chat, "ada", "/health/ready").await, 503);
    assert_eq!(status(&world, &chat, "ada", "/health/live").await, 200);
    assert_eq!(status(&world, &chat, "ada", "/api/rooms").await, 503);
}
