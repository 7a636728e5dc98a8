//! Extractors for handlers that have to know who is calling.

mod needs;

use axum::extract::{FromRef, FromRequestParts};
use contract::Kind;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::identity::{Caller, Grant, Identity, Person, ServiceCaller, UserCaller};
use crate::refuse::Refusal;

pub use needs::Needs;

/// A user, by an access token of his or her own.
#[derive(Debug, Clone)]
pub struct SignedIn(pub UserCaller);

/// For whom the call is: a user, or the one on whose behalf a service calls that may.
#[derive(Debug, Clone)]
pub struct Acting(pub Person);

/// Whoever calls: for those that show less to whoever may see less.
#[derive(Debug, Clone)]
pub struct Allowed(pub Caller);

/// A service.
#[derive(Debug, Clone)]
pub struct FromService(pub ServiceCaller);

impl FromService {
    /// Refuses a service that was not granted `grant`.
    pub fn require(&self, grant: Grant) -> Result<(), Refusal> {
        self.0.require(grant)
    }
}

/// The credentials of an `Authorization: Bearer` field (RFC 6750 section 2.1); the scheme in any
/// case (RFC 9110 section 11.1).
#[must_use]
pub fn bearer(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(bearer_bytes(value)?).ok()
}

/// As [`bearer`], for whoever only compares the token.
#[must_use]
pub fn bearer_bytes(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let token = token.trim_ascii();
    (!token.is_empty()).then_some(token)
}

/// Whoever calls, also where a machine key is not enough: for those that only note who it was.
#[derive(Debug, Clone)]
pub struct Recognised(pub Caller);

/// Who calls, if whatever he or she holds is enough for this route.
async fn caller<S>(parts: &Parts, state: &S) -> Result<Caller, Refusal>
where
    Identity: FromRef<S>,
{
    let caller = recognise(parts, state).await?;
    if let Caller::User(user) = &caller {
        needs::check(user, parts)?;
    }
    Ok(caller)
}

async fn recognise<S>(parts: &Parts, state: &S) -> Result<Caller, Refusal>
where
    Identity: FromRef<S>,
{
    verified(&parts.headers, &Identity::from_ref(state)).await
}

/// Who calls with these `headers`, for whoever has no extractors; not a machine, since nothing says what
/// its key would need.
pub async fn caller_of(headers: &HeaderMap, identity: &Identity) -> Result<Caller, Refusal> {
    let caller = verified(headers, identity).await?;
    match &caller {
        Caller::User(user) if user.scope.is_some() => Err(needs::not_for_machines()),
        Caller::User(_) | Caller::Service(_) => Ok(caller),
    }
}

async fn verified(headers: &HeaderMap, identity: &Identity) -> Result<Caller, Refusal> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        let detail = "Send one Authorization field with a bearer token.";
        return Err(Refusal::new(Kind::Unauthenticated).detail(detail));
    };
    let Some(token) = bearer(field.as_bytes()) else {
        let detail = "The Authorization field has to be \"Bearer\" and a token.";
        return Err(Refusal::new(Kind::Unauthenticated).detail(detail));
    };
    identity.verify(token).await
}

impl<S> FromRequestParts<S> for Recognised
where
    S: Send + Sync,
    Identity: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        recognise(parts, state).await.map(Self)
    }
}

impl<S> FromRequestParts<S> for SignedIn
where
    S: Send + Sync,
    Identity: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match caller(parts, state).await? {
            Caller::User(user) => Ok(Self(user)),
            Caller::Service(_) => Err(Refusal::new(Kind::Forbidden).detail("This is for users.")),
        }
    }
}

impl<S> FromRequestParts<S> for Acting
where
    S: Send + Sync,
    Identity: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        caller(parts, state).await?.acting().map(Self)
    }
}

impl<S> FromRequestParts<S> for Allowed
where
    S: Send + Sync,
    Identity: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        caller(parts, state).await.map(Self)
    }
}

impl<S> FromRequestParts<S> for FromService
where
    S: Send + Sync,
    Identity: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match caller(parts, state).await? {
            Caller::Service(service) => Ok(Self(service)),
            Caller::User(_) => Err(Refusal::new(Kind::Forbidden).detail("This is for services.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"bearer  abc "), Some("abc"));
        for bad in [b"Basic abc".as_slice(), b"Bearer", b"Bearer ", b"abc", b"", b"Bearer \xff"] {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
    }
}
