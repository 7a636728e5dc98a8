//! Every way in which this service says no, and which public problem each of them is.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use chassis::refuse::Refusal;
use contract::Kind;
use contract::problem::FieldFault;

use crate::store;

/// When trying again makes sense, once the writer is behind or its disk is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a command or a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields break a rule.
    #[error("the request breaks a rule")]
    Invalid(Vec<FieldFault>),
    /// There is none, or the caller may not know of it.
    #[error("there is no such room")]
    NoSuchRoom,
    /// There is none, or the caller may not read its room.
    #[error("there is no such message")]
    NoSuchMessage,
    /// The room is public, but writing takes membership.
    #[error("the caller is not a member of the room")]
    NotAMember,
    /// The caller's account is no more.
    #[error("the account was deleted")]
    Departed,
    /// A room has the chosen id.
    #[error("the room id is taken")]
    RoomIdTaken,
    /// The client id came before, with another body.
    #[error("the client id was used for another message")]
    ClientIdConflict,
    /// As many commands wait as may.
    #[error("too many commands are waiting")]
    QueueFull,
    /// The writer has stopped, or could not commit; it has logged why.
    #[error("the command could not be stored")]
    NotStored,
    /// The store cannot be read.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// An event cannot be written as JSON.
    #[error("an event cannot be encoded")]
    Encoding(#[from] serde_json::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(faults) => Self::new(Kind::Invalid).errors(faults),
            Error::NoSuchRoom => Self::new(Kind::NotFound).detail("There is no such room."),
            Error::NoSuchMessage => Self::new(Kind::NotFound).detail("There is no such message."),
            Error::NotAMember => Self::new(Kind::NotAMember).detail("Join the room first."),
            Error::Departed => Self::new(Kind::Forbidden).detail("This account was deleted."),
            Error::RoomIdTaken => {
                Self::new(Kind::Taken).detail("Another room has this id; choose another.")
            }
            Error::ClientIdConflict => Self::new(Kind::ClientIdConflict)
                .detail("This clientId came before with another body; use a fresh one."),
            Error::QueueFull => Self::new(Kind::Overloaded).retry_after(PAUSE),
            Error::NotStored => Self::new(Kind::Unavailable).retry_after(PAUSE),
            Error::Store(error) => Self::new(Kind::Unavailable).caused_by(error),
            Error::Encoding(error) => Self::new(Kind::Internal).caused_by(error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}

/// A single field that breaks a rule.
pub(crate) fn invalid(field: &str, message: &str) -> Error {
    Error::Invalid(vec![FieldFault::new(field, message)])
}
