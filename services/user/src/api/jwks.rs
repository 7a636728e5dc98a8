//! The public keys of access tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::tag;
use crate::users::Users;

#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = tag::KEYS,
    operation_id = "getJwks",
    summary = "Read the public keys of access tokens",
    responses(
        (status = 200, description = "A JSON Web Key Set (RFC 7517).", body = Object,
            headers(("Cache-Control" = String, description = "How long a copy is good."))),
    ),
    security(()),
)]
pub(super) async fn get_jwks(State(users): State<Arc<Users>>) -> impl IntoResponse {
    let (keys, copy_life) = users.sessions.issuer.jwks();
    let age = format!("public, max-age={}", copy_life.as_secs());
    ([(CONTENT_TYPE, "application/json".to_owned()), (CACHE_CONTROL, age)], keys)
}
