//! `POST /api/messages`.

use axum::extract::State;
use axum::http::StatusCode;
use chassis::caller::Acting;
use chassis::json::Json;
use contract::message::{Message, SendMessage};

use crate::command::Novelty;
use crate::error::Error;
use crate::writer::Writer;

/// Stores a message: 201, or 200 with the first one when the client id was stored before.
pub(super) async fn send_message(
    State(writer): State<Writer>,
    Acting(person): Acting,
    Json(body): Json<SendMessage>,
) -> Result<(StatusCode, Json<Message>), Error> {
    let sent = writer.send(person.into(), body.try_into()?).await?;
    let status = match sent.novelty {
        Novelty::New => StatusCode::CREATED,
        Novelty::Repeat => StatusCode::OK,
    };
    Ok((status, Json(sent.message)))
}
