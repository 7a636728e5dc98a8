//! One's own account.

use std::sync::Arc;

use axum::extract::State;
use chassis::caller::SignedIn;
use chassis::json::Json;
use contract::user::{Profile, ProfileChange};

use super::wire;
use crate::error::Error;
use crate::users::Users;

pub(super) async fn get_profile(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Profile>, Error> {
    let account = users.own_account(caller.person.id).await?;
    Ok(Json(Profile { user: wire::user(account) }))
}

pub(super) async fn update_profile(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    Json(body): Json<ProfileChange>,
) -> Result<Json<Profile>, Error> {
    let account = users.change_profile(caller.person.id, &body).await?;
    Ok(Json(Profile { user: wire::user(account) }))
}
