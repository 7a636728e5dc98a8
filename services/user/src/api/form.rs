//! How whoever signs in gets the refresh token: in the body, or, for pages, in a cookie that no script
//! can read and that goes nowhere but to where it is traded.

use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chassis::json::Json;

use super::{Api, wire};
use crate::error::Error;
use crate::session::Granted;

/// The field by which a client chooses.
const ACCEPT_SESSION: &str = "accept-session";
/// Its word for the cookie.
const AS_COOKIE: &str = "cookie";
/// The cookie's name.
pub(super) const NAME: &str = "hubbub_refresh";
/// Longest value of it that is looked at, in bytes; ours have 43.
const VALUE_BYTES_MAX: usize = 256;

/// Where the refresh token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Body,
    Cookie,
}

/// The form that a caller wants, and the cookie that it sent.
#[derive(Clone)]
pub(super) struct Chosen {
    form: Form,
    /// As the public sees the call that trades it.
    path: std::sync::Arc<str>,
    sent: Option<String>,
}

impl FromRequestParts<Api> for Chosen {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Error> {
        let wanted = parts.headers.get(ACCEPT_SESSION);
        let cookie = wanted.is_some_and(|word| word.as_bytes().eq_ignore_ascii_case(b"cookie"));
        let form = if cookie { Form::Cookie } else { Form::Body };
        Ok(Self { form, path: api.cookie_path.clone(), sent: sent(&parts.headers) })
    }
}

impl Chosen {
    /// The refresh token: the body's, else the cookie's, whose successor then goes the same way.
    pub(super) fn token(&mut self, in_body: Option<String>) -> Option<String> {
        if in_body.is_none() && self.sent.is_some() {
            self.form = Form::Cookie;
            return self.sent.take();
        }
        in_body
    }

    /// The answer to a sign-in.
    pub(super) fn answer(
        &self,
        status: StatusCode,
        message: &str,
        mut granted: Granted,
    ) -> Response {
        let token = match self.form {
            Form::Body => return (status, Json(wire::session(message, granted))).into_response(),
            Form::Cookie => granted.refresh_token.take().unwrap_or_default(),
        };
        let seconds = granted.refresh_in.as_secs();
        let mut response = (status, Json(wire::session(message, granted))).into_response();
        self.set(response.headers_mut(), &token, seconds);
        response
    }

    /// Has the client forget the cookie, if it may have one.
    pub(super) fn forget(&self, response: &mut Response) {
        self.set(response.headers_mut(), "", 0);
    }

    /// RFC 6265bis section 4.1.
    fn set(&self, headers: &mut HeaderMap, token: &str, seconds: u64) {
        let path = &self.path;
        let cookie = format!(
            "{NAME}={token}; Path={path}; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict"
        );
        if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
            cookie.set_sensitive(true);
            headers.append(SET_COOKIE, cookie);
        }
    }
}

impl std::fmt::Debug for Chosen {
    /// The cookie is nobody's to read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chosen({:?}, {AS_COOKIE} at {})", self.form, self.path)
    }
}

/// The cookie of ours among those that came (RFC 6265bis section 5.8.3).
fn sent(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then_some(value)
    });
    let value = pairs.next()?;
    (!value.is_empty() && value.len() <= VALUE_BYTES_MAX).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(sent(&headers), None);
        headers.append(COOKIE, "theme=dark; hubbub_refresh=abc; lang=de".parse().unwrap());
        assert_eq!(sent(&headers).as_deref(), Some("abc"));
        let long = format!("hubbub_refresh={}", "x".repeat(VALUE_BYTES_MAX + 1));
        headers.insert(COOKIE, long.parse().unwrap());
        assert_eq!(sent(&headers), None);
    }
}
