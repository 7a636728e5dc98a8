//! One's own machine keys, and tickets for one's own sockets.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chassis::caller::SignedIn;
use chassis::json::{Json, Path};
use chassis::openapi::{Problems, refuses};
use contract::key::{Key, MadeKey, NewKey, Ticket};
use contract::user::Done;
use serde::Serialize;

use super::tag;
use crate::denied::Denied;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

#[utoipa::path(
    get,
    path = "/api/api-keys",
    tag = tag::KEYS,
    operation_id = "listApiKeys",
    summary = "List one's own machine keys",
    responses(
        (status = 200, description = "Those that were not deleted, without their secrets.", body = Vec<Key>),
        Problems::<(refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn list_keys(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<Key>>, Error> {
    Ok(Json(users.keys(caller.person.id).await?))
}

#[utoipa::path(
    post,
    path = "/api/api-keys",
    tag = tag::KEYS,
    operation_id = "makeApiKey",
    summary = "Make a machine key",
    request_body = NewKey,
    responses(
        (status = 201, description = "The only time that the secret is shown.", body = MadeKey),
        Problems::<(refuses::Body, refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn make_key(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
    Json(body): Json<NewKey>,
) -> Result<Response, Error> {
    Ok(made(users.make_key(&caller, &body, by.address).await?))
}

#[utoipa::path(
    delete,
    path = "/api/api-keys/{id}",
    tag = tag::KEYS,
    operation_id = "deleteApiKey",
    summary = "Delete one of one's own machine keys",
    params(("id" = String, Path, format = "uuid", description = "Its id.")),
    responses(
        (status = 200, description = "The key and its tokens have ended.", body = Done),
        Problems::<(refuses::Token, refuses::NotFound, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn delete_key(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
    Path(id): Path<String>,
) -> Result<Json<Done>, Error> {
    let id = id.parse().map_err(|_| Denied::NoSuchKey)?;
    users.delete_key(&caller, id, by.address).await?;
    Ok(Json(Done::new("The key was deleted.")))
}

#[utoipa::path(
    post,
    path = "/api/ws-ticket",
    tag = tag::SESSIONS,
    operation_id = "makeSocketTicket",
    summary = "Get a ticket that opens a socket",
    responses(
        (status = 201, description = "Good once, and only for a moment.", body = Ticket),
        Problems::<(refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn make_ticket(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
) -> Result<Response, Error> {
    Ok(made(users.make_ticket(caller).await?))
}

/// A secret that is told once, and kept by nothing on its way.
fn made(secret: impl Serialize) -> Response {
    (StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(secret)).into_response()
}
