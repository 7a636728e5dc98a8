//! Signing in with the word of an external issuer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::json::Json;
use chassis::openapi::{Problems, refuses};
use contract::user::{Session, TokenExchange};

use super::form::Chosen;
use super::tag;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

#[utoipa::path(
    post,
    path = "/api/token-exchange",
    tag = tag::SIGN_IN,
    operation_id = "exchangeToken",
    summary = "Sign in with an ID token of an external issuer",
    params(("Accept-Session" = Option<String>, Header, example = "cookie",
        description = "`cookie`: the refresh token comes as a cookie, not in the body.")),
    request_body = TokenExchange,
    responses(
        (status = 200, description = "The caller is signed in.", body = Session,
            headers(("Set-Cookie" = String, description = "The refresh token, with `Accept-Session: cookie`."))),
        Problems::<(refuses::Body, refuses::BadToken,
            refuses::ExpiredToken, refuses::Forbidden, refuses::Taken, refuses::RateLimited, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn exchange_token(
    State(users): State<Arc<Users>>,
    by: Visitor,
    form: Chosen,
    Json(body): Json<TokenExchange>,
) -> Result<Response, Error> {
    let granted = users.exchange(&body.subject_token, by).await?;
    Ok(form.answer(StatusCode::OK, "You are signed in.", granted))
}
