//! `POST /api/rooms/{id}/join`.

use axum::extract::State;
use chassis::caller::Acting;
use chassis::json::{Json, Path};
use contract::RoomId;
use contract::room::Done;

use crate::error::Error;
use crate::writer::Writer;

/// Makes the caller a member of a public room; joining twice is no error.
pub(super) async fn join_room(
    State(writer): State<Writer>,
    Acting(person): Acting,
    Path(id): Path<RoomId>,
) -> Result<Json<Done>, Error> {
    let room = writer.join(person.into(), id).await?;
    Ok(Json(Done { message: format!("You joined {}", room.name), room: Some(room) }))
}
