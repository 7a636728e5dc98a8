//! What the OpenAPI document says beyond its calls, and where the gateway leads to each of them.

use chassis::openapi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, RefOr, Required};

use super::{form, tag};

const TITLE: &str = "Hubbub user service";
const ABOUT: &str = "Accounts, sessions, and the keys of access tokens. The paths are those of the \
    service itself; `x-public-path` says where the gateway has each. Beside what is listed, any call may \
    be refused with 404, 405, 414, 431 or 500, as the same kind of problem. Every answer has \
    `X-Request-Id`.";

/// The document before any call is in it.
pub(super) fn base() -> OpenApi {
    let mut document = openapi::document(TITLE, env!("CARGO_PKG_VERSION"), ABOUT);
    let tags = tag::ALL.into_iter();
    let tags = tags.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)));
    document.tags = Some(tags.map(TagBuilder::build).collect());
    let cookie = ApiKeyValue::with_description(
        form::NAME,
        "The refresh token, of a session that was opened with `Accept-Session: cookie`.",
    );
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("refreshCookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    document
}

/// Completes the document: where the gateway has each call, and that one of them needs no body.
pub(super) fn finish(document: &mut OpenApi) {
    openapi::publish(document, public);
    let refresh = document.paths.paths.get_mut("/api/refresh-token");
    let refresh = refresh.and_then(|item| item.post.as_mut());
    if let Some(RefOr::T(body)) = refresh.and_then(|call| call.request_body.as_mut()) {
        body.required = Some(Required::False);
        body.description = Some("Without one the cookie counts.".to_owned());
    }
}

/// The gateway's path for one of ours. Its routes are held against this.
fn public(path: &str) -> Option<String> {
    let is_same = path.starts_with("/api/users") || path.starts_with("/.well-known/");
    match path {
        "/api/profile" => Some("/api/users/profile".to_owned()),
        _ if is_same => Some(path.to_owned()),
        _ => path.strip_prefix("/api/").map(|rest| format!("/api/auth/{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::Method;
    use serde_json::Value;

    use crate::audit::Action;

    /// Open to everybody, and without anybody to refuse.
    const UNRECORDED: [(&str, &str); 2] =
        [("GET", "/api/verify-email"), ("GET", "/.well-known/jwks.json")];

    fn described() -> BTreeSet<(String, String)> {
        let document: Value = serde_json::from_str(&crate::openapi().unwrap()).unwrap();
        let paths = document["paths"].as_object().unwrap().iter();
        let calls = paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        });
        calls.collect()
    }

    #[test]
    fn what_is_described_and_what_the_audit_knows_are_the_same_calls() {
        let described = described();
        let known = Action::calls().filter(|(_, path)| !path.starts_with("/internal/"));
        let known = known.chain(UNRECORDED);
        let known: BTreeSet<_> =
            known.map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
        assert_eq!(described, known);
        assert!(Action::of_call(&Method::GET, "/api/profile").is_some());
    }
}
