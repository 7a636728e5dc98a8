//! Extractors for handlers that have to know who is calling.

use axum::extract::{FromRef, FromRequestParts};
use contract::Kind;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::identity::{Caller, Grant, Identity, Person, ServiceCaller, UserCaller};
use crate::refuse::Refusal;

/// A user, by an access token of his or her own.
#[derive(Debug, Clone)]
pub struct SignedIn(pub UserCaller);

/// For whom the call is: a user, or the one on whose behalf a service calls that may.
#[derive(Debug, Clone)]
pub struct Acting(pub Person);

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

async fn caller<S>(parts: &Parts, state: &S) -> Result<Caller, Refusal>
where
    Identity: FromRef<S>,
{
    let identity = Identity::from_ref(state);
    let mut fields = parts.headers.get_all(AUTHORIZATION).iter();
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
