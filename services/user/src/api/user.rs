//! Other people's accounts, as far as everybody may see them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use chassis::caller::SignedIn;
use chassis::json::{Json, Path, Query};
use chassis::openapi::{Problems, refuses};
use contract::UserId;
use contract::user::{ChangeRoles, Changed, PublicUser};

use super::{tag, wire};
use crate::audit_page::require_admin;
use crate::directory::Wanted;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

#[utoipa::path(
    get,
    path = "/api/users",
    tag = tag::USERS,
    operation_id = "listUsers",
    summary = "List accounts, by username",
    params(Wanted),
    responses(
        (status = 200, description = "A page of them.", body = Vec<PublicUser>,
            headers(("Link" = String, description = "The next page, if there is one: `rel=\"next\"` (RFC 8288)."))),
        Problems::<(refuses::Query, refuses::Token, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn list_users(
    State(users): State<Arc<Users>>,
    SignedIn(_): SignedIn,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let page = users.list(&wanted).await?;
    let link = page.next.map(|next| [(LINK, next_link(&wanted, &next))]);
    let body = Json(page.accounts.into_iter().map(wire::public).collect::<Vec<_>>());
    Ok(match link {
        Some(link) => (link, body).into_response(),
        None => body.into_response(),
    })
}

#[utoipa::path(
    get,
    path = "/api/users/{id}",
    tag = tag::USERS,
    operation_id = "getUser",
    summary = "Read the public part of an account",
    params(("id" = UserId, Path, description = "Its id.")),
    responses(
        (status = 200, description = "What everybody may see.", body = PublicUser),
        Problems::<(refuses::Token, refuses::NotFound, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn get_user(
    State(users): State<Arc<Users>>,
    SignedIn(_): SignedIn,
    Path(id): Path<String>,
) -> Result<Json<PublicUser>, Error> {
    let id = id.parse().map_err(|_| Error::NoSuchAccount)?;
    Ok(Json(wire::public(users.find(id).await?)))
}

#[utoipa::path(
    put,
    path = "/api/users/{id}/roles",
    tag = tag::ADMINISTRATION,
    operation_id = "changeRoles",
    summary = "Change what an account is; for administrators",
    params(("id" = UserId, Path, description = "Its id.")),
    request_body = ChangeRoles,
    responses(
        (status = 200, description = "The account as it is now.", body = Changed),
        Problems::<(refuses::Body, refuses::Token, refuses::NotFound, refuses::Work)>,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn change_roles(
    State(users): State<Arc<Users>>,
    SignedIn(caller): SignedIn,
    by: Visitor,
    Path(id): Path<String>,
    Json(body): Json<ChangeRoles>,
) -> Result<Json<Changed>, Error> {
    require_admin(&caller)?;
    let id = id.parse().map_err(|_| Error::NoSuchAccount)?;
    let account = users.change_roles(&caller, id, &body, by.address).await?;
    let message = "The roles were changed.".to_owned();
    Ok(Json(Changed { message, user: wire::user(account) }))
}

/// RFC 8288 section 3; the path is the same through the gateway.
fn next_link(wanted: &Wanted, cursor: &str) -> String {
    let mut target = format!("/api/users?cursor={cursor}");
    if let Some(limit) = wanted.limit {
        let _ = write!(target, "&limit={limit}");
    }
    if let Some(role) = wanted.role {
        let _ = write!(target, "&role={}", role.as_str());
    }
    if let Some(part) = &wanted.part {
        let _ = write!(target, "&q={}", encoded(part));
    }
    format!("<{target}>; rel=\"next\"")
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_asks_for_the_same_again() {
        let wanted =
            Wanted { part: Some("a&b ü".to_owned()), limit: Some(2), ..Wanted::default() };
        assert_eq!(
            next_link(&wanted, "YWRh"),
            "</api/users?cursor=YWRh&limit=2&q=a%26b%20%C3%BC>; rel=\"next\""
        );
    }
}
