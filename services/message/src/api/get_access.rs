//! `GET /internal/rooms/{id}/access`.

use axum::extract::State;
use chassis::caller::FromService;
use chassis::identity::Grant;
use chassis::json::{Json, Path, Query};
use chassis::refuse::Refusal;
use contract::RoomId;
use contract::internal::{Access, AccessQuery};

use crate::reading::Reading;

/// What a user may do with a room. Whoever may read logs may ask.
pub(super) async fn get_access(
    State(reading): State<Reading>,
    service: FromService,
    Path(room): Path<RoomId>,
    Query(asked): Query<AccessQuery>,
) -> Result<Json<Access>, Refusal> {
    service.require(Grant::Log)?;
    Ok(Json(reading.access(asked.user_id, &room).await?))
}
