//! What people do with what is sent to their address.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::caller::SignedIn;
use chassis::json::{Json, Query};
use chassis::openapi::{Problems, refuses};
use contract::user::{Done, ForgotPassword, ResetPassword, VerifyEmail};
use serde::Deserialize;

use super::{page, tag};
use crate::error::Error;
use crate::one_time::Token;
use crate::users::Users;
use crate::visitor::Visitor;

/// What the link of a letter has.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
}

/// Changes nothing, whoever follows the link.
#[utoipa::path(
    get,
    path = "/api/verify-email",
    tag = tag::EMAIL,
    operation_id = "showVerifyEmail",
    summary = "Show a page that confirms an e-mail address",
    params(("token" = Option<String>, Query, description = "What the mail's link has.")),
    responses(
        (status = 200, description = "A page with a button.", body = String, content_type = "text/html"),
        (status = 400, description = "A page that says that the link is broken.", body = String, content_type = "text/html"),
    ),
    security(()),
)]
pub(super) async fn show_page(Query(link): Query<Link>) -> Response {
    match link.token.parse::<Token>() {
        Ok(_) => page::button(),
        Err(_) => page::broken_link(),
    }
}

#[utoipa::path(
    post,
    path = "/api/verify-email",
    tag = tag::EMAIL,
    operation_id = "verifyEmail",
    summary = "Confirm an e-mail address",
    request_body = VerifyEmail,
    responses(
        (status = 200, description = "The address is confirmed.", body = Done),
        Problems::<(refuses::Body, refuses::Gone, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn verify_email(
    State(users): State<Arc<Users>>,
    by: Visitor,
    Json(body): Json<VerifyEmail>,
) -> Result<Json<Done>, Error> {
    users.verify_email(&body, by.address).await?;
    Ok(Json(Done::new("Your e-mail address is confirmed.")))
}

#[utoipa::path(
    post,
    path = "/api/verify-email/resend",
    tag = tag::EMAIL,
    operation_id = "resendVerification",
    summary = "Ask for another mail that confirms the address",
    responses(
        (status = 202, description = "A mail is on its way, unless the address is confirmed already.", body = Done),
        Problems::<(refuses::Token, refuses::RateLimited, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn resend_verification(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
) -> Result<(StatusCode, Json<Done>), Error> {
    users.resend_verification(caller.person.id, by.address).await?;
    let done = Done::new("A mail is on its way, unless your address is confirmed already.");
    Ok((StatusCode::ACCEPTED, Json(done)))
}

#[utoipa::path(
    post,
    path = "/api/forgot-password",
    tag = tag::EMAIL,
    operation_id = "forgotPassword",
    summary = "Ask for a mail that lets set a new password",
    request_body = ForgotPassword,
    responses(
        (status = 202, description = "The same answer whether there is such an account or not.", body = Done),
        Problems::<(refuses::Body, refuses::RateLimited, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn forgot_password(
    State(users): State<Arc<Users>>,
    by: Visitor,
    Json(body): Json<ForgotPassword>,
) -> Result<(StatusCode, Json<Done>), Error> {
    users.forgot_password(&body, by.address)?;
    let done = Done::new("If there is an account with this address, a mail is on its way there.");
    Ok((StatusCode::ACCEPTED, Json(done)))
}

#[utoipa::path(
    post,
    path = "/api/reset-password",
    tag = tag::EMAIL,
    operation_id = "resetPassword",
    summary = "Set a new password; every session ends",
    request_body = ResetPassword,
    responses(
        (status = 200, description = "The password was set.", body = Done),
        Problems::<(refuses::Body, refuses::Gone, refuses::Work)>,
    ),
    security(()),
)]
pub(super) async fn reset_password(
    State(users): State<Arc<Users>>,
    by: Visitor,
    Json(body): Json<ResetPassword>,
) -> Result<Json<Done>, Error> {
    users.reset_password_and_tell(&body, by.address).await?;
    Ok(Json(Done::new("The password was set. All sessions have ended; sign in again.")))
}
