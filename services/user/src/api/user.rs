//! Other people's accounts, as far as everybody may see them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use chassis::caller::SignedIn;
use chassis::json::{Json, Path, Query};
use contract::caller::Role;
use contract::user::PublicUser;
use serde::Deserialize;

use super::wire;
use crate::directory::Wanted;
use crate::error::Error;
use crate::users::Users;

/// What a list is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    q: Option<String>,
    role: Option<Role>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn list_users(
    State(users): State<Arc<Users>>,
    SignedIn(_): SignedIn,
    Query(query): Query<ListQuery>,
) -> Result<Response, Error> {
    let ListQuery { q, role, limit, cursor } = query;
    let wanted = Wanted { part: q, role, limit, cursor };
    let page = users.list(&wanted).await?;
    let link = page.next.map(|next| [(LINK, next_link(&wanted, &next))]);
    let body = Json(page.accounts.into_iter().map(wire::public).collect::<Vec<_>>());
    Ok(match link {
        Some(link) => (link, body).into_response(),
        None => body.into_response(),
    })
}

pub(super) async fn get_user(
    State(users): State<Arc<Users>>,
    SignedIn(_): SignedIn,
    Path(id): Path<String>,
) -> Result<Json<PublicUser>, Error> {
    let id = id.parse().map_err(|_| Error::NoSuchAccount)?;
    Ok(Json(wire::public(users.find(id).await?)))
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
