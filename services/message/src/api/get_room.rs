//! `GET /api/rooms/{id}`.

use axum::extract::State;
use chassis::caller::Acting;
use chassis::json::{Json, Path};
use contract::RoomId;
use contract::room::Room;

use crate::error::Error;
use crate::reading::Reading;

/// One room with its members, for whoever may know of it.
pub(super) async fn get_room(
    State(reading): State<Reading>,
    Acting(person): Acting,
    Path(id): Path<RoomId>,
) -> Result<Json<Room>, Error> {
    reading.room(person.id, &id).await.map(Json)
}
