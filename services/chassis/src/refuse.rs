//! Saying no: two things at once, to the caller what it can do, to the log the whole chain.
//!
//! A handler returns a [`Refusal`]; it travels in the response until the listener, which alone
//! knows the request's id and path, writes it as a problem and logs its cause, once.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use contract::problem::{CONTENT_TYPE, FieldFault};
use contract::{Kind, Problem};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use tracing::{error, warn};

/// A cause that only the log may see.
type Cause = Arc<dyn Error + Send + Sync>;

/// An answer that says no.
#[derive(Debug, Clone)]
pub struct Refusal {
    kind: Kind,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldFault>,
    retry_after: Option<Duration>,
    limit: Option<&'static Limit>,
    cause: Option<Cause>,
}

/// A limit that a caller reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name: letters and hyphens.
    pub name: &'static str,
    /// How many calls it allows
    pub calls: u32,
    /// in what time.
    pub window: Duration,
}

impl Refusal {
    /// Refuses for `kind`.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        let errors = Vec::new();
        Self { kind, detail: None, errors, retry_after: None, limit: None, cause: None }
    }

    /// Says what the caller can do about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Lists the fields that break a rule; their messages become the readable line.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldFault>) -> Self {
        let line = errors.iter().map(|fault| format!("{}: {}", fault.field, fault.message));
        self.detail = Some(line.collect::<Vec<_>>().join("; ").into());
        self.errors = errors;
        self
    }

    /// One field breaks a rule.
    #[must_use]
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid).errors(vec![FieldFault::new(field, message)])
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Names the limit that was reached.
    #[must_use]
    pub const fn limit(mut self, limit: &'static Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(Arc::from(cause.into()));
        self
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// When trying again makes sense, where that is known.
    #[must_use]
    pub const fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The problem that the caller gets to read.
    #[must_use]
    pub fn problem(&self, request_id: &str) -> Problem {
        let problem = Problem::new(self.kind, request_id).errors(self.errors.clone());
        match &self.detail {
            Some(detail) => problem.detail(detail.as_ref()),
            None => problem,
        }
    }

    /// Writes the chain of causes to the log: a fault of ours wakes somebody, something down that
    /// we need is a warning, what a caller did wrong is nobody's business.
    pub fn log(&self, request_id: &str, path: &str) {
        let Some(cause) = &self.cause else { return };
        let (kind, chain) = (self.kind.slug(), chain(cause.as_ref()));
        if self.kind == Kind::Internal {
            error!(kind, request.id = request_id, path, cause = chain, "A request failed");
        } else if self.kind.status() >= 500 {
            warn!(kind, request.id = request_id, path, cause = chain, "A request was refused");
        }
    }

    /// The answer for the request `request_id` to `path`, complete with the fields that its status
    /// calls for (RFC 9110 sections 7.8, 10.2.3 and 11.6.1).
    #[must_use]
    pub fn answer(&self, request_id: &str, path: &str) -> Response {
        let body = serde_json::to_vec(&self.problem(request_id).instance(path));
        let mut response = Response::new(Body::from(body.unwrap_or_default()));
        *response.status_mut() = status(self.kind);
        self.fields(response.headers_mut());
        response
    }

    fn fields(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Some(limit) = self.limit {
            let wait = self.retry_after.unwrap_or(limit.window);
            limit.fields(headers, wait);
        }
        if let Some(challenge) = challenge(self.kind) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.kind == Kind::UpgradeRequired {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
    }
}

impl Limit {
    /// As in the IETF's draft on rate limit fields: nothing is left for another `wait`.
    fn fields(&self, headers: &mut HeaderMap, wait: Duration) {
        let (name, calls, window) = (self.name, self.calls, self.window.as_secs());
        let wait = wait.as_secs().max(1);
        let fields = [
            ("ratelimit", format!("\"{name}\";r=0;t={wait}")),
            ("ratelimit-policy", format!("\"{name}\";q={calls};w={window}")),
        ];
        for (field, value) in fields {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(field, value);
            }
        }
    }
}

/// What a 401 asks for (RFC 6750 section 3).
#[must_use]
pub const fn challenge(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::BadToken => Some(r#"Bearer realm="hubbub", error="invalid_token""#),
        Kind::ExpiredToken => {
            Some(r#"Bearer realm="hubbub", error="invalid_token", error_description="expired""#)
        }
        Kind::RevokedToken => {
            Some(r#"Bearer realm="hubbub", error="invalid_token", error_description="revoked""#)
        }
        kind if kind.status() == 401 => Some(r#"Bearer realm="hubbub""#),
        _ => None,
    }
}

fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error and everything that led to it, on one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}

impl IntoResponse for Refusal {
    /// The status and the refusal itself; [`crate::serve`] writes the body.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.kind);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_the_caller_what_to_do_and_keeps_its_cause() {
        let refusal = Refusal::new(Kind::Unavailable)
            .retry_after(Duration::from_millis(300))
            .caused_by("the disk is full");
        let response = refusal.answer("abc", "/api/x");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let problem = serde_json::to_string(&refusal.problem("abc")).unwrap();
        assert!(!problem.contains("disk"), "{problem}");
    }

    #[test]
    fn a_reached_limit_is_described() {
        const LIMIT: Limit = Limit { name: "sign-in", calls: 5, window: Duration::from_mins(15) };
        let refusal = Refusal::new(Kind::RateLimited).retry_after(Duration::from_secs(7));
        let headers = refusal.limit(&LIMIT).answer("abc", "/").headers().clone();
        assert_eq!(headers["ratelimit"], "\"sign-in\";r=0;t=7");
        assert_eq!(headers["ratelimit-policy"], "\"sign-in\";q=5;w=900");
    }

    #[test]
    fn every_401_says_how_to_authenticate() {
        for kind in Kind::ALL {
            assert_eq!(challenge(*kind).is_some(), kind.status() == 401, "{}", kind.slug());
        }
    }

    #[test]
    fn broken_fields_are_listed_and_readable() {
        let problem = Refusal::invalid("name", "is too long").problem("abc");
        assert_eq!(problem.error, "name: is too long");
        assert_eq!(problem.errors.len(), 1);
    }
}
