//! `GET /internal/log`.

use axum::extract::State;
use chassis::caller::FromService;
use chassis::identity::Grant;
use chassis::json::{Json, Query};
use chassis::refuse::Refusal;
use contract::Channel;
use contract::internal::{Log, LogQuery};

use crate::reading::{LogPart, Reading};

/// Events of an answer when the caller does not say.
const EVENTS_DEFAULT: u32 = 500;
/// Most events of an answer.
const EVENTS_MAX: u32 = 2_000;

/// Every change of a channel after a position, or none.
pub(super) async fn get_log(
    State(reading): State<Reading>,
    service: FromService,
    Query(asked): Query<LogQuery>,
) -> Result<Json<Log>, Refusal> {
    service.require(Grant::Log)?;
    let Channel::Room(room) = asked.channel;
    let limit = asked.limit.unwrap_or(EVENTS_DEFAULT).min(EVENTS_MAX);
    let part = LogPart { room, after: asked.after, epoch: asked.epoch, limit };
    Ok(Json(reading.log(&part).await?))
}
