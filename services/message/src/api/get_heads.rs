//! `POST /internal/heads`.

use axum::extract::State;
use chassis::caller::FromService;
use chassis::identity::Grant;
use chassis::json::Json;
use chassis::refuse::Refusal;
use contract::internal::{HEADS_CHANNELS_MAX, Heads, HeadsQuery};

use crate::reading::Reading;

/// The newest position of every channel that is named and exists.
pub(super) async fn get_heads(
    State(reading): State<Reading>,
    service: FromService,
    Json(asked): Json<HeadsQuery>,
) -> Result<Json<Heads>, Refusal> {
    service.require(Grant::Heads)?;
    if asked.channels.len() > HEADS_CHANNELS_MAX {
        return Err(Refusal::invalid("channels", "must be at most 1000"));
    }
    Ok(Json(reading.heads(&asked.channels).await?))
}
