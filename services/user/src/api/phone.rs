//! Signing in by telephone.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::json::Json;
use chassis::openapi::{Problems, refuses};
use contract::user::{AskCode, CheckCode, Done, Session};

use super::form::Chosen;
use super::tag;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

#[utoipa::path(
    post,
    path = "/api/otp",
    tag = tag::SIGN_IN,
    operation_id = "askPhoneCode",
    summary = "Ask for a code by telephone",
    request_body = AskCode,
    responses(
        (status = 202, description = "A code is on its way, unless the number got too many.", body = Done),
        Problems::<(refuses::Body, refuses::RateLimited, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn ask_code(
    State(users): State<Arc<Users>>,
    by: Visitor,
    Json(body): Json<AskCode>,
) -> Result<(StatusCode, Json<Done>), Error> {
    users.ask_code(&body, by.address)?;
    let done = Done::new("A code is on its way to this number, unless it got too many.");
    Ok((StatusCode::ACCEPTED, Json(done)))
}

#[utoipa::path(
    post,
    path = "/api/otp/verify",
    tag = tag::SIGN_IN,
    operation_id = "checkPhoneCode",
    summary = "Sign in with a code; makes the account at the first time",
    params(("Accept-Session" = Option<String>, Header, example = "cookie",
        description = "`cookie`: the refresh token comes as a cookie, not in the body.")),
    request_body = CheckCode,
    responses(
        (status = 200, description = "The caller is signed in.", body = Session,
            headers(("Set-Cookie" = String, description = "The refresh token, with `Accept-Session: cookie`."))),
        Problems::<(refuses::Body, refuses::WrongCredentials, refuses::RateLimited, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn check_code(
    State(users): State<Arc<Users>>,
    by: Visitor,
    form: Chosen,
    Json(body): Json<CheckCode>,
) -> Result<Response, Error> {
    let granted = users.enter_code(&body, by).await?;
    Ok(form.answer(StatusCode::OK, "You are signed in.", granted))
}
