//! The route table. The gateway's `/api/auth/x` arrives here as `/api/x`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::routing::{get, post};
use chassis::identity::Identity;
use chassis::refuse::Refusal;
use contract::Kind;

use crate::address::Proxies;
use crate::users::Users;

mod jwks;
mod profile;
mod session;
mod user;
mod wire;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    users: Arc<Users>,
    identity: Identity,
    proxies: Arc<Proxies>,
}

impl Api {
    pub(crate) fn new(users: Arc<Users>, identity: Identity, proxies: Proxies) -> Self {
        Self { users, identity, proxies: Arc::new(proxies) }
    }

    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/api/register", post(session::register))
            .route("/api/setup", post(session::set_up))
            .route("/api/login", post(session::log_in))
            .route("/api/refresh-token", post(session::refresh))
            .route("/api/profile", get(profile::get_profile).put(profile::update_profile))
            .route("/api/users", get(user::list_users))
            .route("/api/users/{id}", get(user::get_user))
            .route("/.well-known/jwks.json", get(jwks::get_jwks))
            .with_state(self)
    }
}

/// The address of whoever makes the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddr(pub(crate) IpAddr);

impl FromRequestParts<Api> for ClientAddr {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(peer) = peer.ok_or(Refusal::new(Kind::Internal))?;
        Ok(Self(api.proxies.client(peer.ip(), &parts.headers)))
    }
}

impl FromRef<Api> for Arc<Users> {
    fn from_ref(api: &Api) -> Self {
        api.users.clone()
    }
}

impl FromRef<Api> for Identity {
    fn from_ref(api: &Api) -> Self {
        api.identity.clone()
    }
}
