//! The public keys of access tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

use crate::users::Users;

pub(super) async fn get_jwks(State(users): State<Arc<Users>>) -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, users.sessions.issuer.jwks().to_owned())
}
