//! What is refused to machines, to whoever makes keys and tickets, and to other services.

use chassis::refuse::Refusal;
use contract::scope::Scope;
use contract::{Kind, UserId};

/// Why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the account has as many machine keys as it may")]
    TooManyKeys,
    #[error("a key cannot do what its maker may not: {0:?}")]
    ScopeBeyond(Scope),
    #[error("a service's word makes no machine keys")]
    KeyForService,
    #[error("there is no such machine key")]
    NoSuchKey,
    /// `about` is for the audit alone.
    #[error("the machine key is unknown or has ended")]
    DeadKey { about: Option<UserId> },
    #[error("the ticket is unknown, spent, or too old")]
    DeadTicket,
    #[error("the session that asks has ended")]
    SessionOver,
    #[error("administrators are not made this way")]
    NoAdminThisWay,
    #[error("the service was not granted this")]
    NotGranted,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::TooManyKeys => Self::new(Kind::Forbidden)
                .detail("You have as many machine keys as you may. Delete one first."),
            Denied::ScopeBeyond(scope) => Self::new(Kind::Forbidden)
                .detail(format!("Your own rights do not reach as far as {}.", scope.as_str())),
            Denied::KeyForService => Self::new(Kind::Forbidden)
                .detail("A service opened this session. Sign in yourself to make machine keys."),
            Denied::NoSuchKey => Self::new(Kind::NotFound).detail("You have no such machine key."),
            // Not the kind of a bad service token: whoever asks has to tell the two apart.
            Denied::DeadKey { about: _ } => Self::new(Kind::WrongCredentials)
                .detail("The machine key is unknown, was deleted, or has expired."),
            Denied::DeadTicket => Self::new(Kind::WrongCredentials)
                .detail("The ticket is unknown, was used, or is too old. Get another one."),
            Denied::SessionOver => {
                Self::new(Kind::RevokedToken).detail("The session has ended. Sign in again.")
            }
            Denied::NoAdminThisWay => {
                Self::new(Kind::Forbidden).detail("An administrator alone makes administrators.")
            }
            Denied::NotGranted => Self::new(Kind::Forbidden),
        }
    }
}
