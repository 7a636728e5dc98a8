//! `GET /api/messages/{id}`.

use axum::extract::State;
use chassis::caller::Acting;
use chassis::json::{Json, Path};
use contract::MessageId;
use contract::message::Message;

use crate::error::Error;
use crate::reading::Reading;

/// One message, for whoever may read its room.
pub(super) async fn get_message(
    State(reading): State<Reading>,
    Acting(person): Acting,
    Path(id): Path<MessageId>,
) -> Result<Json<Message>, Error> {
    reading.message(person.id, id).await.map(Json)
}
