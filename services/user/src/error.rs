//! Everything that the service says no to, and how the public hears it.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use chassis::refuse::Refusal;
use contract::problem::FieldFault;
use contract::{Kind, UserId};

use crate::attempts::{TooCrowded, TooMany};
use crate::audit::About;
use crate::denied::Denied;
use crate::errands::Full;
use crate::external::Refused;
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
    /// `about` is for the audit alone: the public never learns whether there is an account.
    #[error("the account is unknown or the password is wrong")]
    WrongCredentials { about: Option<UserId> },
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("there were too many failed attempts")]
    TooManyAttempts(TooMany),
    #[error("this is for administrators")]
    NotAdmin,
    #[error("no administrator would be left")]
    LastAdmin,
    #[error("there is no such session")]
    NoSuchSession,
    #[error("too many sign in at once")]
    TooCrowded,
    #[error("there was too much of this")]
    TooManyRequests(TooMany),
    #[error("too much is waiting to be sent")]
    TooMuchToSend,
    #[error("there is no such one-time token")]
    UnknownToken,
    #[error("the one-time token was used, or its time is over")]
    SpentToken,
    #[error("the code is wrong, or its time is over, or there is none")]
    WrongCode,
    #[error("the set-up code is wrong")]
    WrongSetupCode,
    #[error("the set-up code was used")]
    SetupUsed,
    #[error("the refresh token is unknown or spent")]
    DeadRefreshToken { about: Option<UserId> },
    #[error("there is no refresh token, neither in the body nor in the cookie")]
    NoRefreshToken,
    #[error("the session has expired")]
    SessionExpired,
    #[error("the token's account is gone")]
    AccountGone,
    #[error("there is no such account")]
    NoSuchAccount,
    #[error("it is not for machines, or not for this service")]
    Denied(#[from] Denied),
    #[error("a service's word does not open this account")]
    NotForServices { about: UserId },
    #[error("passwords cannot be hashed")]
    Password(#[from] password::Error),
    #[error("a token cannot be made")]
    Token(#[from] token::Error),
    #[error("an external token is not exchanged")]
    External(#[from] Refused),
    #[error("the store failed")]
    Store(#[source] store::Error),
}

impl Error {
    /// The account that it is about, where its caller is nobody yet.
    pub(crate) const fn about(&self) -> Option<UserId> {
        match self {
            Self::WrongCredentials { about }
            | Self::DeadRefreshToken { about }
            | Self::Denied(Denied::DeadKey { about }) => *about,
            Self::NotForServices { about } => Some(*about),
            Self::External(refused) => refused.about(),
            _ => None,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Taken(unique) => Self::Taken(vec![unique]),
            store::Error::SetupUsed => Self::SetupUsed,
            store::Error::AccountGone => Self::AccountGone,
            store::Error::PasswordChanged => Self::WrongPassword,
            store::Error::LastAdmin => Self::LastAdmin,
            store::Error::TooManyKeys => Self::Denied(Denied::TooManyKeys),
            store::Error::NotForServices(about) => Self::NotForServices { about },
            store::Error::NoPlace => Self::TooCrowded,
            // Whoever stores an external identity looks for the account that it has now.
            store::Error::KnownMeanwhile
            | store::Error::Statement(_)
            | store::Error::Corrupt { .. } => Self::Store(error),
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

impl From<Full> for Error {
    fn from(_: Full) -> Self {
        Self::TooMuchToSend
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
            Error::WrongCredentials { about: _ } => Self::new(Kind::WrongCredentials)
                .detail("There is no account with this name and this password."),
            Error::TooManyAttempts(too_many) => {
                slowed(too_many, "There were too many failed attempts. Try again later.")
            }
            Error::TooManyRequests(too_many) => {
                slowed(too_many, "There were too many of these requests. Try again later.")
            }
            Error::UnknownToken => {
                Self::invalid("token", "is not one of ours; open the link of the mail as it is")
            }
            Error::SpentToken => Self::new(Kind::Gone)
                .detail("This was used before, or its time is over. Ask for another one."),
            Error::WrongCode => Self::new(Kind::WrongCredentials)
                .detail("The code is wrong, or its time is over. Ask for another one."),
            Error::WrongSetupCode => {
                Self::new(Kind::WrongCredentials).detail("The set-up code is wrong.")
            }
            Error::SetupUsed => {
                Self::new(Kind::Gone).detail("The set-up code was used. There is no other.")
            }
            Error::DeadRefreshToken { about: _ } => Self::new(Kind::BadToken)
                .detail("The refresh token is unknown or was used before. Sign in again."),
            Error::NoRefreshToken => {
                Self::invalid("refreshToken", "has to be in the body, or in the cookie")
            }
            Error::SessionExpired => {
                Self::new(Kind::ExpiredToken).detail("The session has expired. Sign in again.")
            }
            Error::AccountGone => {
                Self::new(Kind::BadToken).detail("The account of this token no longer exists.")
            }
            Error::WrongPassword => {
                Self::new(Kind::WrongCredentials).detail("The current password is wrong.")
            }
            Error::NotAdmin => Self::new(Kind::Forbidden).detail("This is for administrators."),
            Error::LastAdmin => Self::new(Kind::Forbidden)
                .detail("This is the last administrator. Make another one first."),
            Error::NoSuchSession => {
                Self::new(Kind::NotFound).detail("You have no such session that is alive.")
            }
            Error::NotForServices { about: _ } => {
                Self::new(Kind::Forbidden).detail("Tokens are made for customers alone.")
            }
            Error::NoSuchAccount => Self::new(Kind::NotFound).detail("There is no such user."),
            Error::Denied(denied) => denied.into(),
            Error::TooCrowded | Error::TooMuchToSend => overloaded(),
            Error::Password(cause) => unhashed(cause),
            Error::External(refused) => refused.into(),
            Error::Token(cause) => Self::new(Kind::Internal).caused_by(cause),
            Error::Store(cause) => Self::new(Kind::Unavailable)
                .detail("The accounts cannot be reached. Try again.")
                .retry_after(OVERLOAD_WAIT)
                .caused_by(cause),
        }
    }
}

fn slowed(TooMany { wait, limit }: TooMany, detail: &'static str) -> Refusal {
    Refusal::new(Kind::RateLimited).detail(detail).retry_after(wait).limit(limit)
}

fn overloaded() -> Refusal {
    Refusal::new(Kind::Overloaded).retry_after(OVERLOAD_WAIT)
}

fn unhashed(cause: password::Error) -> Refusal {
    match cause {
        password::Error::Overloaded => overloaded(),
        password::Error::Hash(_)
        | password::Error::Stored(_)
        | password::Error::Params(_)
        | password::Error::BrokeOff(_) => Refusal::new(Kind::Internal).caused_by(cause),
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
        let about = self.about();
        let mut response = Refusal::from(self).into_response();
        if let Some(id) = about {
            response.extensions_mut().insert(About(id));
        }
        response
    }
}
