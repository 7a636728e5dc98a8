//! The ways of signing in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::json::Json;
use chassis::openapi::{Problems, refuses};
use contract::user::{Login, Refresh, Register, Session, Setup};

use super::form::Chosen;
use super::tag;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

#[utoipa::path(
    post,
    path = "/api/register",
    tag = tag::SIGN_IN,
    operation_id = "register",
    summary = "Make an account, and sign in",
    params(("Accept-Session" = Option<String>, Header, example = "cookie", description = "`cookie`: the refresh token comes as a cookie, not in the body.")),
    request_body = Register,
    responses(
        (status = 201, description = "The account was made.", body = Session,
            headers(("Set-Cookie" = String, description = "The refresh token, with `Accept-Session: cookie`."))),
        Problems::<(refuses::Body, refuses::Taken, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn register(
    State(users): State<Arc<Users>>,
    by: Visitor,
    form: Chosen,
    Json(body): Json<Register>,
) -> Result<Response, Error> {
    let granted = users.register(&body, by).await?;
    Ok(form.answer(StatusCode::CREATED, "The account was made.", granted))
}

#[utoipa::path(
    post,
    path = "/api/setup",
    tag = tag::SIGN_IN,
    operation_id = "setUp",
    summary = "Make the first administrator",
    params(("Accept-Session" = Option<String>, Header, example = "cookie", description = "`cookie`: the refresh token comes as a cookie, not in the body.")),
    request_body = Setup,
    responses(
        (status = 201, description = "The first administrator was made.", body = Session,
            headers(("Set-Cookie" = String, description = "The refresh token, with `Accept-Session: cookie`."))),
        Problems::<(refuses::Body, refuses::WrongCredentials, refuses::Taken, refuses::Gone, refuses::RateLimited, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn set_up(
    State(users): State<Arc<Users>>,
    by: Visitor,
    form: Chosen,
    Json(body): Json<Setup>,
) -> Result<Response, Error> {
    let granted = users.set_up(body, by).await?;
    Ok(form.answer(StatusCode::CREATED, "The first administrator was made.", granted))
}

#[utoipa::path(
    post,
    path = "/api/login",
    tag = tag::SIGN_IN,
    operation_id = "logIn",
    summary = "Sign in with a password",
    params(("Accept-Session" = Option<String>, Header, example = "cookie", description = "`cookie`: the refresh token comes as a cookie, not in the body.")),
    request_body = Login,
    responses(
        (status = 200, description = "The caller is signed in.", body = Session,
            headers(("Set-Cookie" = String, description = "The refresh token, with `Accept-Session: cookie`."))),
        Problems::<(refuses::Body, refuses::WrongCredentials, refuses::RateLimited, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn log_in(
    State(users): State<Arc<Users>>,
    by: Visitor,
    form: Chosen,
    Json(body): Json<Login>,
) -> Result<Response, Error> {
    let granted = users.log_in(&body, by).await?;
    Ok(form.answer(StatusCode::OK, "You are signed in.", granted))
}

#[utoipa::path(
    post,
    path = "/api/refresh-token",
    tag = tag::SIGN_IN,
    operation_id = "refreshToken",
    summary = "Renew a session",
    params(("Accept-Session" = Option<String>, Header, example = "cookie", description = "`cookie`: the refresh token comes as a cookie, not in the body.")),
    request_body = Refresh,
    responses(
        (status = 200, description = "The session was renewed.", body = Session,
            headers(("Set-Cookie" = String, description = "The refresh token, with `Accept-Session: cookie`."))),
        Problems::<(refuses::Body, refuses::BadToken, refuses::ExpiredToken, refuses::Work)>,
    ),
    security((), ("refreshCookie" = [])),
)]
pub(super) async fn refresh(
    State(users): State<Arc<Users>>,
    by: Visitor,
    mut form: Chosen,
    body: Option<Json<Refresh>>,
) -> Result<Response, Error> {
    let in_body = body.and_then(|Json(body)| body.refresh_token);
    let token = form.token(in_body).ok_or(Error::NoRefreshToken)?;
    let granted = users.refresh(&token, by).await?;
    Ok(form.answer(StatusCode::OK, "The session was renewed.", granted))
}
