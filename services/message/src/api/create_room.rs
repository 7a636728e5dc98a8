//! `POST /api/rooms`.

use axum::extract::State;
use axum::http::StatusCode;
use chassis::caller::Acting;
use chassis::json::Json;
use contract::room::{CreateRoom, Room};

use crate::error::Error;
use crate::writer::Writer;

/// Makes a room; the caller owns it and is its first member.
pub(super) async fn create_room(
    State(writer): State<Writer>,
    Acting(person): Acting,
    Json(body): Json<CreateRoom>,
) -> Result<(StatusCode, Json<Room>), Error> {
    let room = writer.create(person.into(), body.try_into()?).await?;
    Ok((StatusCode::CREATED, Json(room)))
}
