//! One's own account.

use std::sync::Arc;

use axum::extract::State;
use chassis::caller::SignedIn;
use chassis::json::Json;
use chassis::openapi::{Problems, refuses};
use contract::user::{Done, Profile, ProfileChange};

use super::{tag, wire};
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

#[utoipa::path(
    get,
    path = "/api/profile",
    tag = tag::ACCOUNT,
    operation_id = "getProfile",
    summary = "Read one's own account",
    responses(
        (status = 200, description = "All of it.", body = Profile),
        Problems::<(refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn get_profile(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Profile>, Error> {
    let account = users.own_account(caller.person.id).await?;
    Ok(Json(Profile { user: wire::user(account) }))
}

#[utoipa::path(
    put,
    path = "/api/profile",
    tag = tag::ACCOUNT,
    operation_id = "updateProfile",
    summary = "Change one's own account",
    request_body = ProfileChange,
    responses(
        (status = 200, description = "The account as it is now.", body = Profile),
        Problems::<(refuses::Body, refuses::Token, refuses::Taken, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn update_profile(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
    Json(body): Json<ProfileChange>,
) -> Result<Json<Profile>, Error> {
    let account = users.change_profile(caller.person.id, &body, by.address).await?;
    Ok(Json(Profile { user: wire::user(account) }))
}

#[utoipa::path(
    delete,
    path = "/api/users/me",
    tag = tag::ACCOUNT,
    operation_id = "deleteAccount",
    summary = "Delete one's own account",
    responses(
        (status = 200, description = "The account is gone.", body = Done),
        Problems::<(refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn delete_account(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
) -> Result<Json<Done>, Error> {
    users.delete_account(caller.person.id, by.address).await?;
    Ok(Json(Done::new("Your account was deleted.")))
}
