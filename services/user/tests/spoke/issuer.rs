//! An issuer somewhere else: keys of its own, published over HTTP, and tokens signed with them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::tokens::{KeyKind, TokenKey};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::OwnedMutexGuard;
use tokio_util::task::TaskTracker;

use crate::support::{Answer, Settings, Spoke, answer};

/// `iss` of the plain one.
pub(crate) const ISS: &str = "https://issuer.example/";
/// Whom its tokens are for.
pub(crate) const AUDIENCE: &str = "our-client";

/// A started issuer.
pub(crate) struct Issuer {
    shared: Arc<Shared>,
    pub(crate) url: String,
}

#[derive(Default)]
struct Shared {
    /// What it publishes; `None`: it is away.
    jwks: Mutex<Option<Value>>,
    fetches: AtomicUsize,
    /// Whoever has it keeps those waiting who fetch.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Issuer {
    /// One that publishes `keys`.
    pub(crate) async fn with(keys: &[&TokenKey]) -> Self {
        let shared = Arc::<Shared>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let routes = Router::new().route("/keys", get(publish)).with_state(shared.clone());
        TaskTracker::new().spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let issuer = Self { shared, url };
        issuer.publish(keys);
        issuer
    }

    pub(crate) fn publish(&self, keys: &[&TokenKey]) {
        let keys: Vec<_> = keys.iter().filter_map(|key| key.jwk()).collect();
        *self.shared.jwks.lock().unwrap() = Some(json!({ "keys": keys }));
    }

    pub(crate) fn go_away(&self) {
        *self.shared.jwks.lock().unwrap() = None;
    }

    /// Answers nobody until what it gives is dropped.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<()> {
        self.shared.turn.clone().lock_owned().await
    }

    pub(crate) fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::Relaxed)
    }

    /// The service with this issuer configured, under the name `ext`.
    pub(crate) fn trusted(&self, settings: Settings) -> Settings {
        settings
            .with(&format!("user.issuers.ext.issuer={ISS}"))
            .with(&format!("user.issuers.ext.audience={AUDIENCE}"))
            .with(&format!("user.issuers.ext.jwks_url={}", self.url))
            .with("user.issuers.ext.jwks_cooldown=0s")
    }

    /// The service with this issuer as that of a Firebase project, under the name `fire`.
    pub(crate) fn trusted_as_firebase(&self, settings: Settings) -> Settings {
        settings
            .with("user.issuers.fire.firebase_project=my-project")
            .with(&format!("user.issuers.fire.jwks_url={}", self.url))
    }
}

async fn publish(State(shared): State<Arc<Shared>>) -> Result<String, StatusCode> {
    shared.fetches.fetch_add(1, Ordering::Relaxed);
    let _turn = shared.turn.lock().await;
    let jwks = shared.jwks.lock().unwrap().clone();
    jwks.map(|jwks| jwks.to_string()).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

pub(crate) fn key(kind: KeyKind) -> TokenKey {
    TokenKey::generate(kind).unwrap().0
}

/// Claims about the subject `sub`, of a token made just now.
pub(crate) fn claims(spoke: &Spoke, sub: &str) -> Value {
    let now = spoke.now().seconds();
    json!({"iss": ISS, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + 3600})
}

/// The same with some of them changed, or, where null, taken away.
pub(crate) fn claims_with(spoke: &Spoke, sub: &str, changes: &Value) -> Value {
    let mut claims = claims(spoke, sub);
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

pub(crate) fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

pub(crate) async fn exchange(spoke: &Spoke, token: &str) -> Answer {
    spoke.post("/api/token-exchange", &json!({ "subjectToken": token })).await
}

/// Signs `claims`, and has the token exchanged.
pub(crate) async fn exchange_claims(spoke: &Spoke, key: &TokenKey, claims: &Value) -> Answer {
    exchange(spoke, &key.sign(claims).unwrap()).await
}

/// Likewise, from `address`.
pub(crate) async fn exchange_from(spoke: &Spoke, address: &str, token: &str) -> Answer {
    let request = spoke.request(Method::POST, "/api/token-exchange");
    let request = request.json(&json!({ "subjectToken": token }));
    answer(request.header("x-forwarded-for", address)).await
}
