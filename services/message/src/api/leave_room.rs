//! `POST /api/rooms/{id}/leave`.

use axum::extract::State;
use chassis::caller::Acting;
use chassis::json::{Json, Path};
use contract::RoomId;
use contract::room::Done;

use crate::error::Error;
use crate::writer::Writer;

/// Ends the caller's membership. The room stays, even when its owner leaves; so does a private one
/// whose last member leaves, though nobody sees it any more.
pub(super) async fn leave_room(
    State(writer): State<Writer>,
    Acting(person): Acting,
    Path(id): Path<RoomId>,
) -> Result<Json<Done>, Error> {
    let room = writer.leave(person.into(), id).await?;
    Ok(Json(Done { message: format!("You left {}", room.name), room: None }))
}
