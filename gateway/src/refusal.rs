//! Every way the gateway says no. One list for the answer, the log and the metrics; whose fault it
//! is follows from the kind alone.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use chassis::refuse::challenge;
use contract::problem::CONTENT_TYPE;
use contract::{Kind, Problem};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::quota;

/// What the gateway calls itself in `Proxy-Status` (RFC 9209 section 2).
const PROXY: &str = "hubbub";

/// Why a request is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// HTTP's rules are broken; the words say which.
    Malformed(&'static str),
    UriTooLong {
        max: usize,
    },
    HeadTooLarge {
        bytes_max: usize,
        fields_max: usize,
    },
    BodyTooLarge {
        max: u64,
    },
    /// `Expect` is not `100-continue`.
    Expectation,
    /// A transfer coding besides `chunked`.
    TransferCoding,
    /// The caller sent too slowly.
    Slow,
    NoRoute,
    /// The path exists under other methods.
    Method {
        allow: HeaderValue,
    },
    /// No token where one is needed.
    Anonymous,
    /// An API key, which nobody here takes.
    ApiKey,
    /// An API key that is none, or has ended.
    BadApiKey,
    /// A token and an API key.
    TwoCredentials,
    /// A token with scopes, as API keys have, where nobody would see them.
    Scoped,
    /// It cannot be found out what an API key is worth.
    NoExchange,
    /// `Authorization` is no single bearer token.
    NoBearer,
    BadToken,
    ExpiredToken,
    /// The session that the token belongs to has ended, or its user was signed out everywhere.
    RevokedToken,
    /// The keys of the issuer were never fetched, so that no token can be judged.
    NoKeys,
    /// What is revoked was never told, likewise.
    NoRevocations,
    /// A page of a foreign origin asks for a socket.
    Origin,
    /// An upgrade that breaks RFC 6455; the words say how.
    Handshake(&'static str),
    /// A WebSocket version other than 13.
    SocketVersion,
    Quota(quota::Spent),
    /// As many requests or connections as are allowed are being served.
    Overloaded,
    /// The request was here before.
    Loop,
    /// No connection to the upstream could be made; this endpoint was the last that was tried.
    Unreachable {
        endpoint: Box<str>,
        cause: Box<str>,
    },
    /// The upstream broke off, or broke HTTP's rules.
    Upstream {
        endpoint: Box<str>,
        cause: Box<str>,
    },
    /// The upstream did not answer in time.
    Timeout {
        endpoint: Box<str>,
        after: Duration,
    },
    /// A fault of ours.
    Internal(&'static str),
}

impl Refusal {
    /// A chunked body breaks the rules (RFC 9112 section 7.1).
    pub(crate) const BROKEN_CHUNKS: Self = Self::Malformed("The chunked body is broken.");
    /// A body ends before its end.
    pub(crate) const SHORT_BODY: Self = Self::Malformed("The body broke off.");

    /// Its place in the catalogue.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) | Self::Handshake(_) | Self::TwoCredentials => Kind::BadRequest,
            Self::UriTooLong { .. } => Kind::UriTooLong,
            Self::HeadTooLarge { .. } => Kind::HeadTooLarge,
            Self::BodyTooLarge { .. } => Kind::BodyTooLarge,
            Self::Expectation => Kind::ExpectationFailed,
            Self::TransferCoding => Kind::NotImplemented,
            Self::Slow => Kind::RequestTimeout,
            Self::NoRoute => Kind::NotFound,
            Self::Method { .. } => Kind::MethodNotAllowed,
            Self::Anonymous | Self::ApiKey | Self::NoBearer => Kind::Unauthenticated,
            Self::BadApiKey => Kind::WrongCredentials,
            Self::BadToken => Kind::BadToken,
            Self::ExpiredToken => Kind::ExpiredToken,
            Self::RevokedToken => Kind::RevokedToken,
            Self::NoKeys | Self::NoRevocations | Self::NoExchange => Kind::Unavailable,
            Self::Origin | Self::Scoped => Kind::Forbidden,
            Self::SocketVersion => Kind::UpgradeRequired,
            Self::Quota(_) => Kind::RateLimited,
            Self::Overloaded => Kind::Overloaded,
            Self::Loop => Kind::Loop,
            Self::Unreachable { .. } => Kind::UpstreamUnreachable,
            Self::Upstream { .. } => Kind::UpstreamFailed,
            Self::Timeout { .. } => Kind::UpstreamTimeout,
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// What the log may know and the caller may not: the upstream's endpoint and what it did.
    pub(crate) fn cause(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Unreachable { endpoint, cause } | Self::Upstream { endpoint, cause } => {
                Some(format!("{endpoint}: {cause}").into())
            }
            Self::Timeout { endpoint, after } => {
                Some(format!("{endpoint}: no answer within {after:?}").into())
            }
            Self::Internal(cause) => Some((*cause).into()),
            _ => None,
        }
    }

    /// What the caller can do about it.
    pub(crate) fn detail(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Malformed(why) | Self::Handshake(why) => (*why).into(),
            Self::UriTooLong { max } => format!("The URI may have {max} bytes.").into(),
            Self::HeadTooLarge { bytes_max, fields_max } => {
                format!("The head may have {bytes_max} bytes and {fields_max} fields.").into()
            }
            Self::BodyTooLarge { max } => format!("The body may have {max} bytes.").into(),
            Self::Expectation => "Only Expect: 100-continue is understood.".into(),
            Self::TransferCoding => "Send the body plain or chunked.".into(),
            Self::NoRoute => "There is nothing at this path.".into(),
            Self::Anonymous => "Send Authorization: Bearer with an access token.".into(),
            Self::ApiKey => "API keys are not accepted; send Authorization: Bearer.".into(),
            Self::BadApiKey => "The API key is unknown, was deleted, or has expired.".into(),
            Self::TwoCredentials => "Send either Authorization or X-Api-Key, not both.".into(),
            Self::Scoped => "Machine keys are not taken here; sign in instead.".into(),
            Self::NoExchange => "API keys cannot be checked at the moment.".into(),
            Self::NoBearer => "The Authorization field has to be \"Bearer\" and a token.".into(),
            Self::ExpiredToken => "Refresh the token and try again.".into(),
            Self::RevokedToken => "Refresh the token, or sign in again.".into(),
            Self::NoKeys | Self::NoRevocations => "Tokens cannot be checked at the moment.".into(),
            Self::Origin => "Sockets of this origin are not allowed.".into(),
            Self::SocketVersion => "Only WebSocket version 13 is spoken.".into(),
            Self::Quota(spent) => spent.detail().into(),
            _ => return None,
        })
    }

    /// The member for `Proxy-Status`, where the gateway or what is behind it is to blame.
    const fn proxy_error(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("destination_unavailable"),
            Self::Upstream { .. } => Some("http_protocol_error"),
            Self::Timeout { .. } => Some("http_response_timeout"),
            Self::Loop => Some("proxy_loop_detected"),
            Self::Internal(_) => Some("proxy_internal_error"),
            _ => None,
        }
    }

    /// The answer to the request `request_id` for `path`.
    pub(crate) fn answer(&self, request_id: &str, path: &str) -> Response<Bytes> {
        let kind = self.kind();
        let mut problem = Problem::new(kind, request_id);
        if let Some(detail) = self.detail() {
            problem = problem.detail(detail);
        }
        let body = serde_json::to_vec(&problem.instance(path)).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() =
            StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.fields(headers);
        response
    }

    /// The fields that the status calls for.
    pub(crate) fn fields(&self, headers: &mut HeaderMap) {
        if let Some(challenge) = challenge(self.kind()) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(error) = self.proxy_error() {
            let value = HeaderValue::try_from(format!("{PROXY}; error={error}"));
            headers.extend(value.ok().map(|v| (HeaderName::from_static("proxy-status"), v)));
        }
        match self {
            Self::Method { allow } => {
                headers.insert(header::ALLOW, allow.clone());
            }
            Self::Quota(spent) => spent.fields(headers),
            Self::Overloaded | Self::NoKeys | Self::NoRevocations | Self::NoExchange => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::SocketVersion => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstreams_failure_names_no_upstream_to_the_caller() {
        let refusal =
            Refusal::Unreachable { endpoint: "secret-name".into(), cause: "10.0.0.7".into() };
        let answer = refusal.answer("id", "/x");
        assert_eq!(answer.status(), 502);
        let text = format!("{answer:?}");
        assert!(!text.contains("secret-name") && !text.contains("10.0.0.7"), "{text}");
        assert_eq!(answer.headers()["proxy-status"], "hubbub; error=destination_unavailable");
        assert!(refusal.cause().unwrap().contains("secret-name"));
    }

    #[test]
    fn a_401_carries_a_challenge() {
        for refusal in [Refusal::ExpiredToken, Refusal::RevokedToken, Refusal::BadApiKey] {
            let answer = refusal.answer("id", "/x");
            assert_eq!(answer.status(), 401);
            assert!(answer.headers().contains_key(header::WWW_AUTHENTICATE));
        }
    }

    #[test]
    fn a_wrong_socket_version_is_told_the_right_one() {
        let answer = Refusal::SocketVersion.answer("id", "/x");
        assert_eq!(answer.status(), 426);
        assert_eq!(answer.headers()[header::SEC_WEBSOCKET_VERSION], "13");
    }
}
