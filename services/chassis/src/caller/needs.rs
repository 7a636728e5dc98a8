//! What a machine key has to allow, for each group of routes: the one place where scopes are enforced.
//!
//! A router says what its routes need by a layer; the extractors look. Where nothing is said no machine
//! key gets in, so that a route that was forgotten is closed. It narrows what the account may do, and
//! never widens it. Services are not asked: they answer for the users that they name.

use axum::Extension;
use contract::Kind;
use contract::scope::Scope;
use http::Method;
use http::request::Parts;

use crate::identity::UserCaller;
use crate::refuse::Refusal;

/// The scopes that routes need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// For reading (RFC 9110 section 9.2.1).
    read: Scope,
    /// For everything else, which is closed to machine keys where there is none.
    write: Option<Scope>,
}

impl Needs {
    /// Reading takes `read`; nothing else is for machine keys.
    #[must_use]
    pub const fn read(read: Scope) -> Self {
        Self { read, write: None }
    }

    /// Whatever is not reading takes `write`.
    #[must_use]
    pub const fn write(self, write: Scope) -> Self {
        Self { write: Some(write), ..self }
    }

    /// What a router lays upon its routes.
    pub const fn layer(self) -> Extension<Self> {
        Extension(self)
    }

    /// What `method` takes.
    pub(crate) fn of(self, method: &Method) -> Option<Scope> {
        if method.is_safe() { Some(self.read) } else { self.write }
    }
}

/// Refuses a caller whose machine key does not allow what `parts` ask for.
pub(super) fn check(user: &UserCaller, parts: &Parts) -> Result<(), Refusal> {
    if user.scope.is_none() {
        return Ok(());
    }
    let needs = parts.extensions.get::<Needs>();
    match needs.and_then(|needs| needs.of(&parts.method)) {
        Some(scope) if user.may(scope) => Ok(()),
        Some(scope) => {
            let detail = format!("The machine key lacks the scope {}.", scope.as_str());
            Err(Refusal::new(Kind::Forbidden).detail(detail))
        }
        None => Err(not_for_machines()),
    }
}

/// What a machine hears where no scope would do.
pub(super) fn not_for_machines() -> Refusal {
    Refusal::new(Kind::Forbidden).detail("This is not for machine keys.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use contract::scope::Scopes;
    use contract::{SessionId, Timestamp, UserId};
    use http::Request;
    use uuid::Uuid;

    use super::*;
    use crate::identity::Person;

    const NEEDS: Needs = Needs::read(Scope::RoomsRead).write(Scope::RoomsWrite);

    fn user(scope: Option<&[Scope]>) -> UserCaller {
        let session = SessionId(Uuid::nil());
        UserCaller {
            person: Person { id: UserId(Uuid::nil()), name: "ada".into(), session: Some(session) },
            session,
            roles: [].into(),
            scope: scope.map(|scope| Scopes(scope.iter().copied().collect::<BTreeSet<_>>())),
            issued_at: Timestamp(0),
            expires_at: Timestamp(1),
        }
    }

    /// What is said to a caller with these scopes on a route with these needs.
    fn said(scope: Option<&[Scope]>, needs: Option<Needs>, method: Method) -> Option<String> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        if let Some(needs) = needs {
            request.extensions_mut().insert(needs);
        }
        let refused = check(&user(scope), &request.into_parts().0).err()?;
        assert_eq!(refused.kind(), Kind::Forbidden);
        Some(refused.problem("id").error)
    }

    #[test]
    fn a_scope_that_is_missing_is_named() {
        let read = Some(&[Scope::RoomsRead][..]);
        let lacks = said(read, Some(NEEDS), Method::POST).unwrap();
        assert!(lacks.contains("rooms:write"), "{lacks}");
        assert_eq!(said(read, Some(NEEDS), Method::GET), None);
        assert_eq!(said(read, Some(NEEDS), Method::HEAD), None);
        let write = Some(&[Scope::RoomsWrite][..]);
        assert_eq!(said(write, Some(NEEDS), Method::DELETE), None);
        assert!(said(write, Some(NEEDS), Method::GET).is_some(), "writing is not reading");
    }

    #[test]
    fn a_route_that_says_nothing_is_closed_to_every_machine_key() {
        assert!(said(Some(&Scope::ALL), None, Method::GET).is_some());
        let reading = Needs::read(Scope::UsersRead);
        assert!(said(Some(&Scope::ALL), Some(reading), Method::PUT).is_some());
        assert!(said(Some(&[]), Some(reading), Method::GET).is_some(), "no scope at all");
    }

    #[test]
    fn who_signed_in_needs_no_scope() {
        assert_eq!(said(None, None, Method::DELETE), None);
        assert_eq!(said(None, Some(NEEDS), Method::GET), None);
    }
}
