//! Callers whose session has ended: refused by the service itself, whatever let them through before.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use chassis::Clock;
use contract::caller::UserClaims;
use contract::revocation::{FeedQuery, Revocation, Revocations, Revoked};
use contract::{SessionId, UserId};
use harness::Engine;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::service::{Caller, World, claims, listen};

/// Within this time of its end a session is refused everywhere.
const PROMISE: Duration = Duration::from_secs(1);

/// `what` has just ended.
fn ended(what: Revoked) -> Revocation {
    let now = Clock::System.now();
    Revocation { what, not_before: now, until: now.plus(Duration::from_mins(15)) }
}

/// A feed that has told of `items`, and has nothing more to tell.
async fn tell(query: FeedQuery, items: Vec<Revocation>) -> Json<Revocations> {
    let cursor = items.len() as u64;
    match (query.after, query.wait) {
        (None, _) => Json(Revocations { after: 0, cursor, items }),
        (Some(_), None) => Json(Revocations { after: cursor, cursor, items: vec![] }),
        (Some(_), Some(_)) => std::future::pending().await,
    }
}

/// A world whose feed has told of `items`.
fn world_after(items: Vec<Revocation>) -> (World, chassis::Running) {
    let mut world = World::on(Engine::Sqlite);
    let router = get(move |Query(query): Query<FeedQuery>| tell(query, items.clone()));
    let feed = listen(Router::new().route("/feed", router));
    world.layers.put("identity.revocations_url", format!("http://{}/feed", feed.address));
    (world, feed)
}

async fn until_refused(caller: &Caller) {
    let began = Instant::now();
    while caller.get("/api/rooms").await.status == 200 {
        assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    caller.get("/api/rooms").await.is_problem("revoked-token", 401);
}

#[tokio::test]
async fn what_ended_before_the_service_started_is_refused_and_the_rest_is_served() {
    let sid = claims("eve").sid;
    let (world, _feed) = world_after(vec![ended(Revoked::Session { sid })]);
    let service = world.start().await;
    world.user(&service, "ada").get("/api/rooms").await.is(200);
    world.user(&service, "eve").get("/api/rooms").await.is_problem("revoked-token", 401);
    let ready = world.user(&service, "eve").get("/health/ready").await;
    assert_eq!(ready.status, 200);
}

#[tokio::test]
async fn what_ends_while_it_runs_is_refused_within_a_second() {
    let (world, _feed) = world_after(vec![]);
    let service = world.start().await;
    let (ada, eve) = (world.user(&service, "ada"), world.user(&service, "eve"));
    let old = UserClaims { iat: claims("bob").iat - 60, ..claims("bob") };
    let bob = world.bearer(&service, &old);
    for caller in [&ada, &eve, &bob] {
        caller.get("/api/rooms").await.is(200);
    }
    let sid = claims("eve").sid;
    let user_id = old.sub;
    let items = vec![ended(Revoked::Session { sid }), ended(Revoked::User { user_id })];
    world.bus.publish_revoked(Arc::new(Revocations { after: 0, cursor: 2, items }));
    until_refused(&eve).await;
    until_refused(&bob).await;
    ada.get("/api/rooms").await.is(200);
}

#[tokio::test]
async fn before_the_feed_has_answered_no_user_is_judged_and_services_are_served() {
    let mut world = World::on(Engine::Sqlite);
    world.layers.put("identity.revocations_url", "http://127.0.0.1:9/feed");
    let service = world.start().await;
    let ada = world.user(&service, "ada");
    let refused = ada.get("/api/rooms").await;
    refused.is_problem("unavailable", 503);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(ada.get("/health/ready").await.status, 503);
    assert_eq!(ada.get("/health").await.status, 200);
    let chat = world.service(&service, "chat");
    let heads = serde_json::json!({"channels": ["room:tea"]});
    chat.post("/internal/heads", &heads).await.is(200);
    // What is heard before all is known is no reason to believe that it is all.
    let other = Revoked::Session { sid: SessionId(Uuid::from_u128(1)) };
    let items = vec![ended(other), ended(Revoked::User { user_id: UserId(Uuid::from_u128(1)) })];
    world.bus.publish_revoked(Arc::new(Revocations { after: 0, cursor: 2, items }));
    ada.get("/api/rooms").await.is_problem("unavailable", 503);
}
