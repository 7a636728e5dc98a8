//! The audit: recording who was refused, and reading it, which is for administrators.

use std::sync::Arc;

use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chassis::caller::{Recognised, SignedIn};
use chassis::identity::Caller;
use chassis::json::{Json, Query};
use chassis::openapi::{Problems, refuses};
use chassis::refuse::Refusal;
use contract::user::AuditEntry;
use contract::{Kind, UserId};

use super::{Api, tag};
use crate::audit::{About, Action, Entry, Outcome};
use crate::audit_page::Wanted;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

#[utoipa::path(
    get,
    path = "/api/users/audit",
    tag = tag::ADMINISTRATION,
    operation_id = "listAudit",
    summary = "Read refusals and changes, the newest first; for administrators",
    params(Wanted),
    responses(
        (status = 200, description = "A page of them.", body = Vec<AuditEntry>,
            headers(("Link" = String, description = "The next page, if there is one: `rel=\"next\"` (RFC 8288)."))),
        Problems::<(refuses::Query, refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn list_audit(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let page = users.read_audit(&caller, &wanted).await?;
    let link = page.next.map(|next| [(LINK, wanted.next_link(&next))]);
    Ok((link, Json(page.entries)).into_response())
}

/// Every refusal of a caller, with who it was as far as that is known.
pub(super) async fn record_refusals(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.extensions.get::<MatchedPath>();
    let action = path.and_then(|path| Action::of_call(&parts.method, path.as_str()));
    let request = Request::from_parts(parts.clone(), body);
    let response = next.run(request).await;
    let refusal = response.extensions().get::<Refusal>().map(Refusal::kind);
    if let (Some(action), Some(kind)) = (action, refusal.filter(|kind| is_recorded(*kind))) {
        let about = response.extensions().get::<About>().map(|About(id)| *id);
        api.recorder.refused(entry(&api, &mut parts, action, kind, about).await);
    }
    response
}

/// What is no more than a slip of a client, or a fault of ours, is for the log.
const fn is_recorded(kind: Kind) -> bool {
    matches!(kind.status(), 401 | 403 | 409 | 410 | 429)
}

async fn entry(
    api: &Api,
    parts: &mut Parts,
    action: Action,
    kind: Kind,
    about: Option<UserId>,
) -> Entry {
    let visitor = Visitor::from_request_parts(parts, api).await;
    let actor = match Recognised::from_request_parts(parts, api).await {
        Ok(Recognised(Caller::User(caller))) => Some(caller.person.id),
        Ok(Recognised(Caller::Service(_))) | Err(_) => None,
    };
    Entry {
        at: api.users.clock.now(),
        action,
        outcome: Outcome::Refused(kind),
        actor,
        account: about.or(actor),
        address: visitor.ok().map(|visitor| visitor.address),
        detail: None,
    }
}
