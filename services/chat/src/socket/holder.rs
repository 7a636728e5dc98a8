//! Who holds a socket, and by what: the credentials that a client can show, and what is left of them
//! once they were checked.

use chassis::identity::{Caller, Person, UserCaller};
use chassis::refuse::Refusal;
use chassis::revocation::Revocations;
use chassis::secret::Secret;
use contract::scope::{Scope, Scopes};
use contract::{Kind, SessionId, Timestamp, UserId};

use super::Node;

/// What a client shows.
#[derive(Debug, Clone)]
pub(crate) enum Presented {
    /// An access token, or a service token that names a user.
    Token(Secret<String>),
    /// A ticket, which can be used once.
    Ticket(Secret<String>),
    /// A machine key, which is exchanged for tokens as long as the socket is open.
    Key(Secret<String>),
}

impl Presented {
    pub(crate) const fn token(token: String) -> Self {
        Self::Token(Secret::new(token))
    }
}

/// Somebody who may use a socket.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(super) person: Person,
    pub(super) warrant: Warrant,
    /// What fresh tokens are got with, where the client does not have to bring them.
    pub(super) key: Option<Secret<String>>,
}

/// What a socket may be used for, and how long.
#[derive(Debug, Clone)]
pub(super) struct Warrant {
    pub(super) expires_at: Timestamp,
    /// `None`: for everything.
    scope: Option<Scopes>,
    /// `None`: it is a service's, which nobody revokes.
    pub(super) standing: Option<Standing>,
}

/// By what a token can be revoked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    issued_at: Timestamp,
}

impl Standing {
    pub(super) fn is_revoked(self, revocations: &Revocations) -> bool {
        revocations.is_revoked(self.session, self.user, self.issued_at)
    }
}

impl Warrant {
    /// A service's, until then.
    #[cfg(test)]
    pub(super) const fn until(expires_at: Timestamp) -> Self {
        Self { expires_at, scope: None, standing: None }
    }

    /// Refuses what the token is not for, and names what is missing.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Refusal> {
        if self.scope.as_ref().is_none_or(|scopes| scopes.contains(scope)) {
            return Ok(());
        }
        let detail = format!("This takes the scope {}.", scope.as_str());
        Err(Refusal::new(Kind::Forbidden).detail(detail))
    }
}

impl Holder {
    fn of(caller: Caller) -> Result<Self, Refusal> {
        let warrant = match &caller {
            Caller::User(user) => Warrant {
                expires_at: user.expires_at,
                scope: user.scope.clone(),
                standing: Some(Standing {
                    session: user.session,
                    user: user.person.id,
                    issued_at: user.issued_at,
                }),
            },
            Caller::Service(service) => {
                Warrant { expires_at: service.expires_at, scope: None, standing: None }
            }
        };
        caller.acting().map(|person| Self { person, warrant, key: None })
    }
}

impl Node {
    /// Who shows this. A refusal of status 503 says that it cannot be known for the moment.
    pub(crate) async fn identify(&self, presented: Presented) -> Result<Holder, Refusal> {
        match presented {
            Presented::Token(token) => {
                self.identity.verify(token.expose()).await.and_then(Holder::of)
            }
            Presented::Ticket(ticket) => self.redeem(&ticket).await,
            Presented::Key(key) => {
                let exchanged = self.accounts.exchange(&key).await?;
                let holder = self.identity.verify(&exchanged.token).await.and_then(Holder::of)?;
                Ok(Holder { key: Some(key), ..holder })
            }
        }
    }

    /// Whoever got the ticket, by what the token says that it was got with.
    async fn redeem(&self, ticket: &Secret<String>) -> Result<Holder, Refusal> {
        // A ticket is used up by asking.
        if !self.identity.revocations().is_known() {
            let detail = "Which sessions have ended is not known yet.";
            return Err(Refusal::new(Kind::Unavailable).detail(detail));
        }
        let redeemed = self.accounts.redeem(ticket).await?;
        let (id, session) = (redeemed.user_id, redeemed.session_id);
        let holder = Holder::of(Caller::User(UserCaller {
            person: Person { id, name: redeemed.username.into(), session: Some(session) },
            session,
            roles: redeemed.roles.into(),
            scope: redeemed.scope,
            issued_at: redeemed.issued_at,
            expires_at: redeemed.expires_at,
        }))?;
        if holder.warrant.expires_at <= self.clock.now() {
            return Err(Refusal::new(Kind::ExpiredToken).detail("The ticket's token has expired."));
        }
        let standing = holder.warrant.standing;
        if standing.is_some_and(|standing| standing.is_revoked(self.identity.revocations())) {
            return Err(revoked());
        }
        Ok(holder)
    }
}

/// What is said on a socket whose session ended.
pub(super) fn revoked() -> Refusal {
    Refusal::new(Kind::RevokedToken).detail("The session has ended: sign in again.")
}
