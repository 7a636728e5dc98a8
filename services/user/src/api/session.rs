//! One's own sessions, and what ends them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use chassis::caller::SignedIn;
use chassis::json::{Json, Path, Query};
use chassis::openapi::{Problems, refuses};
use contract::SessionId;
use contract::user::{ChangePassword, Done, OpenSession};
use serde::Deserialize;

use super::form::Chosen;
use super::tag;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

/// How far signing out reaches.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LogOutQuery {
    #[serde(default)]
    all: bool,
}

#[utoipa::path(
    post,
    path = "/api/logout",
    tag = tag::SESSIONS,
    operation_id = "logOut",
    summary = "Sign out",
    params(("all" = Option<bool>, Query, description = "Ends every session of the caller.")),
    responses(
        (status = 200, description = "The session has ended.", body = Done,
            headers(("Set-Cookie" = String, description = "Has the client forget the cookie."))),
        Problems::<(refuses::Query, refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn log_out(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
    form: Chosen,
    Query(LogOutQuery { all }): Query<LogOutQuery>,
) -> Result<Response, Error> {
    let message = if all {
        users.log_out_everywhere(caller.person.id, by.address).await?;
        "You are signed out everywhere."
    } else {
        users.log_out(&caller, by.address).await?;
        "You are signed out."
    };
    let mut response = Json(Done::new(message)).into_response();
    form.forget(&mut response);
    Ok(response)
}

#[utoipa::path(
    get,
    path = "/api/sessions",
    tag = tag::SESSIONS,
    operation_id = "listSessions",
    summary = "List one's own sessions",
    responses(
        (status = 200, description = "Those that are alive.", body = Vec<OpenSession>),
        Problems::<(refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn list_sessions(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Vec<OpenSession>>, Error> {
    Ok(Json(users.open_sessions(&caller).await?))
}

#[utoipa::path(
    delete,
    path = "/api/sessions/{id}",
    tag = tag::SESSIONS,
    operation_id = "endSession",
    summary = "End one of one's own sessions",
    params(("id" = SessionId, Path, description = "Its id.")),
    responses(
        (status = 200, description = "The session has ended.", body = Done),
        Problems::<(refuses::Token, refuses::NotFound, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn end_session(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
    Path(id): Path<String>,
) -> Result<Json<Done>, Error> {
    let id = id.parse().map_err(|_| Error::NoSuchSession)?;
    users.end_session(&caller, id, by.address).await?;
    Ok(Json(Done::new("The session has ended.")))
}

#[utoipa::path(
    put,
    path = "/api/change-password",
    tag = tag::SESSIONS,
    operation_id = "changePassword",
    summary = "Change one's own password; the other sessions end",
    request_body = ChangePassword,
    responses(
        (status = 200, description = "The password was changed.", body = Done),
        Problems::<(refuses::Body, refuses::Token, refuses::WrongCredentials, refuses::RateLimited, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn change_password(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
    Json(body): Json<ChangePassword>,
) -> Result<Json<Done>, Error> {
    users.change_password_and_tell(&caller, &body, by.address).await?;
    Ok(Json(Done::new("The password was changed. Your other sessions have ended.")))
}
