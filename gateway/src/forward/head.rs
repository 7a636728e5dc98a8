//! Rewrites heads on their way: what belongs to one connection ends here (RFC 9110 section 7.6.1),
//! what names a caller is said by the gateway alone.

use contract::caller::{
    IDENTITY_HEADERS, REQUEST_ID, SESSION_ID, TRACEPARENT, USER_ID, USER_NAME, USER_ROLES,
};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};

use super::Order;
use crate::config::Target;
use crate::head::{Head, Seen, tokens};
use crate::link::Link;
use crate::refusal::Refusal;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Fields of one connection, beside `Connection`, `Upgrade` and `Transfer-Encoding`.
const HOP: [HeaderName; 7] = [
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Fields that a caller cannot have removed by naming them in `Connection`.
const PROTECTED: [HeaderName; 14] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::ORIGIN,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::TRANSFER_ENCODING,
    header::VIA,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-request-id"),
];

/// Whether the gateway that calls itself `pseudonym` has passed this request on before.
pub(crate) fn comes_back(head: &Head<'_>, pseudonym: &str) -> bool {
    head.seen.has(Seen::VIA)
        && head.all("via").flat_map(tokens).any(|hop| {
            let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1) == Some(pseudonym.as_bytes())
        })
}

/// The request as the upstream gets it.
pub(super) fn outbound(
    parts: Parts,
    order: &Order<'_>,
    link: &Link,
    target: &Target,
) -> Result<Request<()>, Refusal> {
    let mut headers = parts.headers;
    drop_hops(&mut headers, order.seen);
    drop_spoofs(&mut headers, order.seen);
    if order.seen.has(Seen::EXPECT) {
        // Met by the gateway itself, when the upstream's connection asks for the body.
        headers.remove(header::EXPECT);
    }
    if !target.settings.forward_authorization {
        if order.seen.has(Seen::AUTHORIZATION) {
            headers.remove(header::AUTHORIZATION);
        }
        if order.seen.has(Seen::API_KEY) {
            headers.remove(API_KEY);
        }
    }
    if takes_a_body(&parts.method)
        && !order.seen.has(Seen::CONTENT_LENGTH)
        && !order.seen.has(Seen::TRANSFER_ENCODING)
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    name_hosts(&mut headers, order, link, target);
    name_caller(&mut headers, order);
    if order.handshake.is_some() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let mut request = Request::new(());
    *request.method_mut() = parts.method;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = uri(&parts.uri, order)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Makes an upstream's answer fit for the caller; gives the fields that it has.
pub(super) fn inbound(headers: &mut HeaderMap) -> Result<Seen, &'static str> {
    let mut seen = Seen::default();
    headers.keys().for_each(|name| seen.note(name.as_str()));
    if seen.has(Seen::TRANSFER_ENCODING) && seen.has(Seen::CONTENT_LENGTH) {
        return Err("its answer has both Content-Length and Transfer-Encoding");
    }
    drop_hops(headers, seen);
    if seen.has(Seen::TRANSFER_ENCODING) {
        // The body is framed anew.
        headers.remove(header::TRANSFER_ENCODING);
    }
    Ok(seen)
}

/// Removes what belongs to one connection, whatever line of `Connection` names it.
fn drop_hops(headers: &mut HeaderMap, seen: Seen) {
    if seen.has(Seen::CONNECTION) {
        let named: Vec<_> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| tokens(value.as_bytes()))
            .filter(|token| !is_ordinary(token))
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .filter(|name| !PROTECTED.contains(name) && !is_forwarded(name.as_str()))
            .collect();
        for name in &named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    if seen.has(Seen::UPGRADE) {
        headers.remove(header::UPGRADE);
    }
    if seen.has(Seen::HOP) {
        for name in &HOP {
            headers.remove(name);
        }
    }
}

/// What `Connection` says on most requests.
fn is_ordinary(token: &[u8]) -> bool {
    [&b"keep-alive"[..], b"close", b"upgrade"].iter().any(|word| token.eq_ignore_ascii_case(word))
}

/// Removes what only the gateway may say, in every spelling that some upstream takes for it.
fn drop_spoofs(headers: &mut HeaderMap, seen: Seen) {
    if seen.has(Seen::IDENTITY) {
        for name in IDENTITY_HEADERS {
            headers.remove(name);
        }
    }
    if seen.has(Seen::FORWARDED) || seen.has(Seen::UNDERSCORE) {
        let odd = |name: &&HeaderName| name.as_str().contains('_') || is_forwarded(name.as_str());
        let odd: Vec<_> = headers.keys().filter(odd).cloned().collect();
        for name in &odd {
            headers.remove(name);
        }
    }
}

fn is_forwarded(name: &str) -> bool {
    name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip"
}

const fn takes_a_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Says who asked whom, and through which gateway.
fn name_hosts(headers: &mut HeaderMap, order: &Order<'_>, link: &Link, target: &Target) {
    if let Some(authority) = &order.authority {
        headers.insert(header::HOST, authority.clone());
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    } else {
        let host = HeaderValue::try_from(&*target.address).ok();
        headers.extend(host.map(|host| (header::HOST, host)));
    }
    headers.insert(FORWARDED_FOR, link.forwarded_for.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.append(header::VIA, link.core.via.clone());
}

/// Says who is calling, as verified, and what the request is called.
fn name_caller(headers: &mut HeaderMap, order: &Order<'_>) {
    let named = HeaderName::from_static;
    if let Some(caller) = &order.caller {
        headers.insert(named(USER_ID), caller.user_id.clone());
        headers.insert(named(USER_NAME), caller.user_name.clone());
        headers.insert(named(USER_ROLES), caller.user_roles.clone());
        headers.insert(named(SESSION_ID), caller.session_id.clone());
    }
    headers.insert(named(REQUEST_ID), order.name.request_id.clone());
    let before = headers.insert(named(TRACEPARENT), order.name.traceparent.clone());
    if order.seen.has(Seen::TRACE) && before.is_none_or(|b| b != order.name.traceparent) {
        headers.remove(TRACESTATE);
    }
}

/// The upstream's name for the target, in origin form.
fn uri(came: &Uri, order: &Order<'_>) -> Result<Uri, Refusal> {
    let path = match &order.target {
        None => came.path_and_query().cloned(),
        Some(target) => PathAndQuery::from_maybe_shared(target.clone()).ok(),
    };
    path.map(Uri::from).ok_or(Refusal::Malformed("The target cannot be forwarded."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::both_ways;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn seen(headers: &HeaderMap) -> Seen {
        let mut seen = Seen::default();
        headers.keys().for_each(|name| seen.note(name.as_str()));
        seen
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_line_of_connection_is_read() {
        let mut headers = headers(&[
            ("connection", "keep-alive, X-One"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("proxy-connection", "close"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
        ]);
        let seen = seen(&headers);
        drop_hops(&mut headers, seen);
        assert_eq!(names(&headers), ["x-three"]);
    }

    #[test]
    fn connection_cannot_take_away_what_others_rely_on() {
        let mut headers = headers(&[
            ("connection", "authorization, host, cookie, x-forwarded-for, content-length"),
            ("authorization", "Bearer x"),
            ("host", "a"),
            ("cookie", "b"),
            ("content-length", "0"),
        ]);
        let seen = seen(&headers);
        drop_hops(&mut headers, seen);
        assert_eq!(names(&headers), ["authorization", "content-length", "cookie", "host"]);
    }

    #[test]
    fn names_of_callers_from_outside_are_removed_in_every_spelling() {
        let mut headers = headers(&[
            ("x-user-id", "1"),
            ("x-user-id", "2"),
            ("x_user_id", "3"),
            ("x-user_roles", "admin"),
            ("x-user-name", "root"),
            ("x-user-roles", "admin"),
            ("x-session-id", "s"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "1.2.3.4"),
            ("accept", "*/*"),
        ]);
        let seen = seen(&headers);
        drop_spoofs(&mut headers, seen);
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn an_answer_framed_twice_is_not_passed_on() {
        let mut twice = headers(&[("content-length", "1"), ("transfer-encoding", "chunked")]);
        assert!(inbound(&mut twice).is_err());
    }

    #[test]
    fn a_request_that_was_here_before_is_known() {
        for (via, back) in [
            ("", false),
            ("Via: 1.1 other\r\n", false),
            ("Via: 1.1 me-not\r\n", false),
            ("Via: 1.1 me\r\n", true),
            ("Via: 1.0 a, 1.1 me (x)\r\n", true),
            ("Via: 1.1 a\r\nVia: 1.1  me\r\n", true),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{via}\r\n");
            assert_eq!(both_ways(&head, |head| comes_back(head, "me")), back, "{via}");
        }
    }
}
