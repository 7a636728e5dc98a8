//! What ended before its time, for the services that check tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use chassis::caller::FromService;
use chassis::identity::Grant;
use chassis::json::{Json, Query};
use chassis::refuse::Refusal;
use contract::revocation::{FEED_WAIT_SECONDS_MAX, FeedQuery, Revocations};

use crate::users::Users;

pub(super) async fn read_feed(
    State(users): State<Arc<Users>>,
    service: FromService,
    Query(query): Query<FeedQuery>,
) -> Result<Json<Revocations>, Refusal> {
    service.require(Grant::Revocations)?;
    let wait = query.wait.unwrap_or(0).min(FEED_WAIT_SECONDS_MAX);
    let wait = Duration::from_secs(wait.into());
    Ok(Json(users.feed.read(query.after, wait).await?))
}
