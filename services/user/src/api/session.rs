//! The ways of signing in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chassis::json::Json;
use contract::user::{Login, Refresh, Register, Session, Setup};

use super::{ClientAddr, wire};
use crate::error::Error;
use crate::users::Users;

pub(super) async fn register(
    State(users): State<Arc<Users>>,
    Json(body): Json<Register>,
) -> Result<(StatusCode, Json<Session>), Error> {
    let granted = users.register(&body).await?;
    Ok((StatusCode::CREATED, Json(wire::session("The account was made.", granted))))
}

pub(super) async fn set_up(
    State(users): State<Arc<Users>>,
    ClientAddr(from): ClientAddr,
    Json(body): Json<Setup>,
) -> Result<(StatusCode, Json<Session>), Error> {
    let granted = users.set_up(body, from).await?;
    Ok((StatusCode::CREATED, Json(wire::session("The first administrator was made.", granted))))
}

pub(super) async fn log_in(
    State(users): State<Arc<Users>>,
    ClientAddr(from): ClientAddr,
    Json(body): Json<Login>,
) -> Result<Json<Session>, Error> {
    let granted = users.log_in(&body, from).await?;
    Ok(Json(wire::session("You are signed in.", granted)))
}

pub(super) async fn refresh(
    State(users): State<Arc<Users>>,
    Json(body): Json<Refresh>,
) -> Result<Json<Session>, Error> {
    let granted = users.refresh(&body.refresh_token).await?;
    Ok(Json(wire::session("The session was renewed.", granted)))
}
