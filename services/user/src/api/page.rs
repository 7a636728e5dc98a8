//! The page behind the link of a letter. Mail scanners follow links, so it changes nothing by itself: its
//! button does, with the token that stands in the page's own address. It quotes nothing and loads nothing.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/confirm.js");
const BUTTON: &str = include_str!("page/button.html");
const BROKEN_LINK: &str = include_str!("page/broken_link.html");

/// Asks for the button to be pressed.
pub(super) fn button() -> Response {
    page(StatusCode::OK, &format!("{BUTTON}<script>{SCRIPT}</script>"))
}

/// Says that the link is not whole.
pub(super) fn broken_link() -> Response {
    page(StatusCode::BAD_REQUEST, BROKEN_LINK)
}

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Confirm your e-mail address</title>\n<style>{STYLE}</style>\n{body}</html>\n"
    );
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy()),
        // The page's address has the token in it.
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, html).into_response()
}

/// This script and this style, calls to where the page came from, and nothing else.
fn policy() -> HeaderValue {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(SCRIPT),
        digest(STYLE)
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}
