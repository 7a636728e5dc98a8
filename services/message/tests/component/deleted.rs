//! Deleted accounts, from the user service's list to what readers see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::bus::{Heard, Subscription};
use chassis::{Clock, Running};
use contract::caller::ServiceClaims;
use contract::internal::accounts::{DeletedAccount, DeletedAccounts};
use contract::revocation::{Revocation, Revocations, Revoked};
use contract::{EventKind, UserId};
use harness::{Engine, on_both_engines};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::service::{Caller, Service, World, listen};

const SOON: Duration = Duration::from_secs(10);

on_both_engines!(
    a_deleted_users_rooms_and_words_lose_the_name_as_soon_as_it_is_heard,
    a_user_service_without_the_list_is_lived_with_until_it_has_one,
);

/// A user service of a page: who was deleted, and what is revoked.
#[derive(Clone, Default)]
struct Users(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether it keeps the list.
    has_list: AtomicBool,
    deleted: Mutex<Vec<DeletedAccount>>,
    revoked: Mutex<Vec<Revocation>>,
    news: Notify,
}

#[derive(Deserialize)]
struct Page {
    after: u64,
    limit: usize,
}

#[derive(Deserialize)]
struct Wanted {
    after: Option<u64>,
    wait: Option<u64>,
}

impl Users {
    fn serve(&self) -> Running {
        let routes = Router::new()
            .route("/internal/deleted", get(deleted))
            .route("/internal/revocations", get(revocations));
        listen(routes.with_state(self.clone()))
    }

    /// Deletes `user`, whose tokens die with it.
    fn delete(&self, user: UserId) {
        let now = Clock::System.now();
        let until = now.plus(Duration::from_mins(15));
        let what = Revoked::User { user_id: user };
        self.0.deleted.lock().unwrap().push(DeletedAccount { user_id: user, deleted_at: now });
        self.0.revoked.lock().unwrap().push(Revocation { what, not_before: now, until });
        self.0.news.notify_waiters();
    }

    fn stretch(&self, after: u64) -> Revocations {
        let revoked = self.0.revoked.lock().unwrap();
        let items = revoked.iter().skip(usize::try_from(after).unwrap()).copied().collect();
        Revocations { after, cursor: revoked.len() as u64, items }
    }
}

async fn deleted(
    State(Users(users)): State<Users>,
    headers: HeaderMap,
    Query(page): Query<Page>,
) -> Response {
    let token = headers["authorization"].to_str().unwrap().split('.').nth(1).unwrap();
    let claims: ServiceClaims =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
    assert_eq!((&*claims.iss, &*claims.aud), ("message", "user"));
    if !users.has_list.load(Ordering::Relaxed) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let all = users.deleted.lock().unwrap();
    let after = usize::try_from(page.after).unwrap();
    let items: Vec<_> = all.iter().skip(after).take(page.limit.min(1)).copied().collect();
    Json(DeletedAccounts { cursor: (after + items.len()) as u64, items }).into_response()
}

async fn revocations(State(users): State<Users>, Query(wanted): Query<Wanted>) -> Response {
    let after = wanted.after.unwrap_or(0);
    let mut stretch = users.stretch(after);
    let news = users.0.news.notified();
    if let Some(wait) = wanted.wait.filter(|_| stretch.items.is_empty()) {
        timeout(Duration::from_secs(wait), news).await.ok();
        stretch = users.stretch(after);
    }
    Json(stretch).into_response()
}

/// A world with `users`, and a service in it.
async fn started(engine: Engine, users: &Users) -> (World, Service, Running) {
    let mut world = World::on(engine);
    let running = users.serve();
    let url = format!("http://{}", running.address);
    world.layers.put("message.user_url", url.as_str());
    world.layers.put("identity.revocations_url", format!("{url}/internal/revocations"));
    let service = world.start().await;
    (world, service, running)
}

/// The messages of a room, once `fact` is true of them.
async fn messages_once(caller: &Caller, room: &str, fact: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let page = caller.get(&format!("/api/messages/room/{room}")).await.is(200);
            if fact(&page) {
                return page;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, asking).await.expect("it did not come true")
}

fn is_renamed(page: &Value) -> bool {
    page.as_array().unwrap().iter().all(|one| one["username"] == "deleted user")
}

async fn hears_departure(ear: &mut Subscription, room: &str, user: UserId) {
    loop {
        let Some(Heard::Event(event)) = timeout(SOON, ear.next()).await.unwrap() else { panic!() };
        if event.kind == EventKind::MemberLeft && event.channel.to_string() == room {
            assert_eq!(event.data.get(), json!({"userId": user}).to_string());
            return;
        }
    }
}

async fn a_deleted_users_rooms_and_words_lose_the_name_as_soon_as_it_is_heard(engine: Engine) {
    let users = Users::default();
    users.0.has_list.store(true, Ordering::Relaxed);
    let (world, service, _users) = started(engine, &users).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    ada.create("tea").await.is(201);
    bob.post("/api/rooms/tea/join", &json!({})).await.is(200);
    bob.say("tea", "hi").await.is(201);
    let mut ear = world.bus.subscribe();
    users.delete(world.user(&service, "eve").id);
    users.delete(bob.id);
    hears_departure(&mut ear, "room:tea", bob.id).await;
    let page = messages_once(&ada, "tea", is_renamed).await;
    assert_eq!((&page[0]["content"], &page[0]["userId"]), (&json!("hi"), &json!(bob.id)));
    let room = ada.get("/api/rooms/tea").await.is(200);
    assert_eq!((&room["memberCount"], room["members"].as_array().unwrap().len()), (&json!(1), 1));
    service.stop().await;
}

async fn a_user_service_without_the_list_is_lived_with_until_it_has_one(engine: Engine) {
    let users = Users::default();
    let bob_id = crate::service::claims("bob").sub;
    let (world, service, _users) = started(engine, &users).await;
    let (ada, bob) = (world.user(&service, "ada"), world.user(&service, "bob"));
    bob.create("tea").await.is(201);
    bob.say("tea", "hi").await.is(201);
    users
        .0
        .deleted
        .lock()
        .unwrap()
        .push(DeletedAccount { user_id: bob_id, deleted_at: Clock::System.now() });
    let page = ada.get("/api/messages/room/tea").await.is(200);
    assert_eq!(page[0]["username"], "bob");
    users.0.has_list.store(true, Ordering::Relaxed);
    messages_once(&ada, "tea", is_renamed).await;
}
