//! A user service of a page: tickets, machine keys, and what is revoked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::keys::SigningKey;
use chassis::{Clock, Running};
use contract::caller::UserClaims;
use contract::internal::accounts::{Exchange, Exchanged, Redeem, Redeemed};
use contract::revocation::{Revocation, Revocations, Revoked};
use contract::{Kind, Problem, Timestamp};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::script::claims_for;
use crate::world::{World, listen, sign};

/// The service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Users {
    books: Arc<Mutex<Books>>,
    news: Arc<Notify>,
    key: Arc<SigningKey>,
    /// Kept as long as anybody has the service.
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Default)]
struct Books {
    tickets: HashMap<String, UserClaims>,
    /// Machine keys, what their tokens say, and how long those live in seconds.
    keys: HashMap<String, (UserClaims, i64)>,
    exchanges: usize,
    /// What is wrong between the two services.
    trouble: Option<Kind>,
    revoked: Vec<Revocation>,
}

#[derive(Deserialize)]
struct Wanted {
    after: Option<u64>,
    wait: Option<u64>,
}

impl Users {
    /// Starts it, and tells `world` where it is.
    pub(crate) fn start(world: &mut World) -> Self {
        let users = Self {
            books: Arc::default(),
            news: Arc::default(),
            key: world.key(),
            running: Arc::default(),
        };
        let routes = Router::new()
            .route("/internal/tickets/redeem", post(redeem))
            .route("/internal/keys/exchange", post(exchange))
            .route("/internal/revocations", get(revocations));
        let running = listen(routes.with_state(users.clone()));
        let url = format!("http://{}", running.address);
        world.layers.put("chat.user_url", url.as_str());
        world.layers.put("identity.revocations_url", format!("{url}/internal/revocations"));
        *users.running.lock().unwrap() = Some(running);
        users
    }

    pub(crate) fn give_ticket(&self, ticket: &str, claims: UserClaims) {
        self.books().tickets.insert(ticket.to_owned(), claims);
    }

    /// A machine key whose tokens live for `life` seconds.
    pub(crate) fn give_key(&self, key: &str, claims: UserClaims, life: i64) {
        self.books().keys.insert(key.to_owned(), (claims, life));
    }

    pub(crate) fn take_key(&self, key: &str) {
        self.books().keys.remove(key);
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.books().exchanges
    }

    /// With what tickets and keys are refused, whatever they are.
    pub(crate) fn set_trouble(&self, trouble: Option<Kind>) {
        self.books().trouble = trouble;
    }

    pub(crate) fn revoke(&self, what: Revoked, not_before: Timestamp) {
        let until = not_before.plus(Duration::from_mins(16));
        self.books().revoked.push(Revocation { what, not_before, until });
        self.news.notify_waiters();
    }

    fn stretch(&self, after: u64) -> Revocations {
        let revoked = &self.books().revoked;
        let items = revoked.iter().skip(usize::try_from(after).unwrap()).copied().collect();
        Revocations { after, cursor: revoked.len() as u64, items }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

fn refused(kind: Kind) -> Response {
    let status = StatusCode::from_u16(kind.status()).unwrap();
    (status, Json(Problem::new(kind, "r"))).into_response()
}

async fn redeem(
    State(users): State<Users>,
    headers: HeaderMap,
    Json(body): Json<Redeem>,
) -> Response {
    claims_for(&headers, "user");
    let mut books = users.books();
    if let Some(kind) = books.trouble {
        return refused(kind);
    }
    let Some(claims) = books.tickets.remove(&body.ticket) else {
        return refused(Kind::WrongCredentials);
    };
    Json(Redeemed {
        user_id: claims.sub,
        username: claims.name,
        session_id: claims.sid,
        roles: claims.roles,
        scope: claims.scope,
        issued_at: Timestamp(claims.iat * 1_000),
        expires_at: Timestamp(claims.exp * 1_000),
    })
    .into_response()
}

async fn exchange(
    State(users): State<Users>,
    headers: HeaderMap,
    Json(body): Json<Exchange>,
) -> Response {
    claims_for(&headers, "user");
    let mut books = users.books();
    books.exchanges += 1;
    if let Some(kind) = books.trouble {
        return refused(kind);
    }
    let Some((claims, life)) = books.keys.get(&body.key).cloned() else {
        return refused(Kind::WrongCredentials);
    };
    let now = Clock::System.now().seconds();
    let token = sign(&users.key, &UserClaims { iat: now, exp: now + life, ..claims });
    Json(Exchanged { token, expires_in: life.unsigned_abs() }).into_response()
}

async fn revocations(State(users): State<Users>, Query(wanted): Query<Wanted>) -> Response {
    let after = wanted.after.unwrap_or(0);
    let news = users.news.notified();
    tokio::pin!(news);
    news.as_mut().enable();
    let mut stretch = users.stretch(after);
    if let Some(wait) = wanted.wait.filter(|_| stretch.items.is_empty()) {
        timeout(Duration::from_secs(wait), news).await.ok();
        stretch = users.stretch(after);
    }
    Json(stretch).into_response()
}
