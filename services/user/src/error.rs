//! Everything that the service says no to, and how the public hears it.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use chassis::refuse::Refusal;
use contract::Kind;
use contract::problem::FieldFault;

use crate::attempts::{TooCrowded, TooMany};
use crate::faults::Faults;
use crate::store::Unique;
use crate::{password, store, token};

/// How soon a refused caller may come again when a bound of ours was reached.
const OVERLOAD_WAIT: Duration = Duration::from_secs(1);

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("fields of the body break rules")]
    Invalid(Vec<FieldFault>),
    #[error("another account has this: {0:?}")]
    Taken(Vec<Unique>),
    #[error("the account is unknown or the password is wrong")]
    WrongCredentials,
    #[error("there were too many failed attempts")]
    TooManyAttempts(TooMany),
    #[error("too many sign in at once")]
    TooCrowded,
    #[error("the set-up code is wrong")]
    WrongSetupCode,
    #[error("the set-up code was used")]
    SetupUsed,
    #[error("the refresh token is unknown or spent")]
    DeadRefreshToken,
    #[error("the session has expired")]
    SessionExpired,
    #[error("the token's account is gone")]
    AccountGone,
    #[error("there is no such account")]
    NoSuchAccount,
    #[error("passwords cannot be hashed")]
    Password(#[from] password::Error),
    #[error("a token cannot be made")]
    Token(#[from] token::Error),
    #[error("the store failed")]
    Store(#[source] store::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Taken(unique) => Self::Taken(vec![unique]),
            store::Error::SetupUsed => Self::SetupUsed,
            store::Error::Statement(_) | store::Error::Corrupt { .. } => Self::Store(error),
        }
    }
}

impl From<Faults> for Error {
    fn from(faults: Faults) -> Self {
        Self::Invalid(faults.into())
    }
}

impl From<TooMany> for Error {
    fn from(too_many: TooMany) -> Self {
        Self::TooManyAttempts(too_many)
    }
}

impl From<TooCrowded> for Error {
    fn from(_: TooCrowded) -> Self {
        Self::TooCrowded
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(faults) => Self::new(Kind::Invalid).errors(faults),
            Error::Taken(unique) => {
                Self::new(Kind::Taken).errors(unique.into_iter().map(taken).collect())
            }
            Error::WrongCredentials => Self::new(Kind::WrongCredentials)
                .detail("There is no account with this name and this password."),
            Error::TooManyAttempts(TooMany { wait, limit }) => Self::new(Kind::RateLimited)
                .detail("There were too many failed attempts. Try again later.")
                .retry_after(wait)
                .limit(limit),
            Error::WrongSetupCode => {
                Self::new(Kind::WrongCredentials).detail("The set-up code is wrong.")
            }
            Error::SetupUsed => {
                Self::new(Kind::Gone).detail("The set-up code was used. There is no other.")
            }
            Error::DeadRefreshToken => Self::new(Kind::BadToken)
                .detail("The refresh token is unknown or was used before. Sign in again."),
            Error::SessionExpired => {
                Self::new(Kind::ExpiredToken).detail("The session has expired. Sign in again.")
            }
            Error::AccountGone => {
                Self::new(Kind::BadToken).detail("The account of this token no longer exists.")
            }
            Error::NoSuchAccount => Self::new(Kind::NotFound).detail("There is no such user."),
            Error::TooCrowded | Error::Password(password::Error::Overloaded) => {
                Self::new(Kind::Overloaded).retry_after(OVERLOAD_WAIT)
            }
            Error::Password(
                cause @ (password::Error::Hash(_)
                | password::Error::Stored(_)
                | password::Error::Params(_)
                | password::Error::BrokeOff(_)),
            ) => Self::new(Kind::Internal).caused_by(cause),
            Error::Token(cause) => Self::new(Kind::Internal).caused_by(cause),
            Error::Store(cause) => Self::new(Kind::Unavailable)
                .detail("The accounts cannot be reached. Try again.")
                .retry_after(OVERLOAD_WAIT)
                .caused_by(cause),
        }
    }
}

fn taken(unique: Unique) -> FieldFault {
    match unique {
        Unique::Username => FieldFault::new("username", "belongs to another account"),
        Unique::Email => FieldFault::new("email", "belongs to another account"),
        Unique::Phone => FieldFault::new("phone", "belongs to another account"),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}
