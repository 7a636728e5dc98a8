//! What becomes of a head's fields on their way: what belongs to one connection ends here (RFC 9110
//! section 7.6.1), what names a caller is said by the gateway alone. One place for both ways.

use contract::caller::{REQUEST_ID, SESSION_ID, TRACEPARENT, USER_ID, USER_NAME, USER_ROLES};

use crate::auth::Caller;
use crate::corridor::Order;
use crate::head::{Field, Fields, Head, Seen, Sink, Version, tokens};
use crate::link::Link;
use crate::route::{Auth, Method};
use crate::visit::Visit;

/// Fields of a request that never go on: they belong to the connection, they name callers, or the
/// gateway writes them anew. A name with an underscore is taken for one with a hyphen by too many.
pub(crate) const ENDS_HERE: Seen = Seen::CONNECTION
    .and(Seen::UPGRADE)
    .and(Seen::HOP)
    .and(Seen::TRANSFER_ENCODING)
    .and(Seen::EXPECT)
    .and(Seen::IDENTITY)
    .and(Seen::FORWARDED)
    .and(Seen::UNDERSCORE)
    .and(Seen::REQUEST_ID)
    .and(Seen::TRACE_PARENT);

/// Fields of an answer that never go on. What an upstream says of origins is not believed.
const ANSWER_ENDS_HERE: Seen = Seen::CONNECTION
    .and(Seen::UPGRADE)
    .and(Seen::HOP)
    .and(Seen::TRANSFER_ENCODING)
    .and(Seen::REQUEST_ID)
    .and(Seen::CORS);

/// Fields that a caller cannot have removed by naming them in `Connection`, beside those of
/// forwarding.
const PROTECTED: [&str; 15] = [
    "authorization",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
    "transfer-encoding",
    "via",
    "x-api-key",
    REQUEST_ID,
];

/// Whether the gateway that calls itself `pseudonym` has passed this request on before.
pub(crate) fn comes_back(head: &Head<'_>, pseudonym: &str) -> bool {
    head.seen.has(Seen::VIA)
        && head.all("via").flat_map(tokens).any(|hop| {
            let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1) == Some(pseudonym.as_bytes())
        })
}

/// Whether the request may go no further (RFC 9110 section 7.6.2, for `OPTIONS` alone).
pub(crate) fn ends_here(head: &Head<'_>) -> bool {
    head.method == "OPTIONS" && forwards_left(head) == Some(0)
}

/// How many hops the request may still go.
fn forwards_left(head: &Head<'_>) -> Option<u64> {
    let is_limited = head.seen.has(Seen::MAX_FORWARDS);
    is_limited.then(|| head.field("max-forwards").and_then(crate::wire::length)).flatten()
}

/// Writes the fields that the upstream gets.
pub(crate) fn request(
    head: &Head<'_>,
    order: &Order<'_, '_>,
    visit: &Visit,
    link: &Link,
    out: &mut impl Sink,
) {
    let settings = &order.target.settings;
    let mut drop = ENDS_HERE;
    if head.authority.is_some() {
        drop = drop.and(Seen::HOST);
    }
    if !settings.forward_authorization {
        drop = drop.and(Seen::AUTHORIZATION).and(Seen::API_KEY);
    } else if order.route.auth != Auth::Passthrough {
        // A machine key ends here; the token that it was exchanged for goes on.
        drop = drop.and(Seen::API_KEY);
        if let Some(bearer) = &order.bearer {
            out.put("authorization", bearer.as_bytes());
        }
    }
    if !visit.name.keeps_trace {
        drop = drop.and(Seen::TRACE_STATE);
    }
    if order.method == Method::Options {
        drop = drop.and(Seen::MAX_FORWARDS);
        if let Some(left) = forwards_left(head) {
            out.put("max-forwards", left.saturating_sub(1).to_string().as_bytes());
        }
    }
    carried(head, drop, order.method, out);
    name_hosts(head, link, out);
    name_caller(order, visit, out);
    if order.handshake.is_some() {
        out.put("connection", b"upgrade");
        out.put("upgrade", b"websocket");
    }
}

/// Writes what goes on of the caller's own fields, without those of `drop`, and the framing.
pub(crate) fn carried(head: &Head<'_>, drop: Seen, method: Method, out: &mut impl Sink) {
    pass_on(head.fields, head.seen, drop, out);
    if head.seen.has(Seen::TRANSFER_ENCODING) {
        out.put("transfer-encoding", b"chunked");
    } else if takes_a_body(method) && !head.seen.has(Seen::CONTENT_LENGTH) {
        out.put("content-length", b"0");
    }
}

/// Who made an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    Gateway,
    /// An upstream, for a caller that it knows or for anybody.
    Upstream(Audience),
}

/// Whom an answer is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Everybody,
    /// The verified caller: nobody may keep it for others.
    OneCaller,
}

impl Audience {
    pub(crate) const fn of(caller: Option<&Caller>) -> Self {
        if caller.is_some() { Self::OneCaller } else { Self::Everybody }
    }
}

/// Writes the fields of an answer that the caller gets, without those of its framing and those of
/// `dropped`.
pub(crate) fn answer(
    fields: &Fields<'_>,
    maker: Maker,
    dropped: Seen,
    visit: &Visit,
    out: &mut impl Sink,
) {
    let is_private = maker == Maker::Upstream(Audience::OneCaller);
    let mut drop = match maker {
        Maker::Gateway => dropped,
        Maker::Upstream(_) => ANSWER_ENDS_HERE.and(dropped),
    };
    if is_private {
        drop = drop.and(Seen::CACHE_CONTROL);
    }
    pass_on(fields.list(), fields.seen(), drop, out);
    if is_private {
        out.put("cache-control", b"no-store");
    }
    out.put(REQUEST_ID, visit.name.request_id());
    visit.cors().decorate(&visit.origin, out);
}

/// Writes the fields of an interim answer, which has no body.
pub(crate) fn interim(fields: &Fields<'_>, out: &mut impl Sink) {
    pass_on(fields.list(), fields.seen(), ANSWER_ENDS_HERE.and(Seen::CONTENT_LENGTH), out);
}

/// Writes what is not dropped: by its kind, or because some line of `Connection` names it.
fn pass_on(fields: &[Field<'_>], seen: Seen, drop: Seen, out: &mut impl Sink) {
    let named = if seen.has(Seen::CONNECTION) && drop.has(Seen::CONNECTION) {
        named(fields)
    } else {
        Vec::new()
    };
    for field in fields {
        if !field.kind.has_any(drop) && !names(&named, field) {
            out.put(field.name, field.value);
        }
    }
}

/// What the lines of `Connection` name, beside what they say on most requests.
fn named<'a>(fields: &[Field<'a>]) -> Vec<&'a [u8]> {
    let lines = fields.iter().filter(|field| field.kind.has(Seen::CONNECTION));
    lines.flat_map(|field| tokens(field.value)).filter(|token| !is_ordinary(token)).collect()
}

fn names(named: &[&[u8]], field: &Field<'_>) -> bool {
    let is = |name: &str| field.name.eq_ignore_ascii_case(name);
    named.iter().any(|token| token.eq_ignore_ascii_case(field.name.as_bytes()))
        && !PROTECTED.iter().any(|name| is(name))
}

/// What `Connection` says on most requests.
fn is_ordinary(token: &[u8]) -> bool {
    [&b"keep-alive"[..], b"close", b"upgrade"].iter().any(|word| token.eq_ignore_ascii_case(word))
}

const fn takes_a_body(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

/// Says who asked whom, and through which gateway.
fn name_hosts(head: &Head<'_>, link: &Link, out: &mut impl Sink) {
    let asked = head.authority.map(str::as_bytes).or_else(|| head.each(Seen::HOST).next());
    // One that names no host asks the endpoint, which is not picked yet.
    if let Some(host) = head.authority {
        out.put("host", host.as_bytes());
    }
    if let Some(host) = asked {
        out.put("x-forwarded-host", host);
    }
    out.put("x-forwarded-for", link.forwarded_for.as_bytes());
    out.put("x-forwarded-proto", b"http");
    out.put(
        "via",
        match head.version {
            Version::Http2 => link.core.via_http2.as_bytes(),
            Version::Http10 | Version::Http11 => link.core.via.as_bytes(),
        },
    );
}

/// Says who is calling, as verified, and what the request is called.
fn name_caller(order: &Order<'_, '_>, visit: &Visit, out: &mut impl Sink) {
    if let Some(caller) = &order.caller {
        out.put(USER_ID, caller.user_id.as_bytes());
        out.put(USER_NAME, caller.user_name.as_bytes());
        out.put(USER_ROLES, caller.user_roles.as_bytes());
        out.put(SESSION_ID, caller.session_id.as_bytes());
    }
    out.put(REQUEST_ID, visit.name.request_id());
    out.put(TRACEPARENT, visit.name.traceparent());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::both_ways;

    /// The names that are left of `fields`, in order.
    fn left(fields: &str, drop: Seen) -> Vec<String> {
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        both_ways(&head, |head| {
            let mut out = http::HeaderMap::new();
            pass_on(head.fields, head.seen, drop, &mut out);
            let mut names: Vec<_> = out.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort_unstable();
            names
        })
    }

    #[test]
    fn every_line_of_connection_is_read() {
        let fields = "Connection: keep-alive, X-One\r\nConnection: x-two\r\nX-One: 1\r\n\
                      x-TWO: 2\r\nX-Three: 3\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
                      Proxy-Connection: close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n";
        assert_eq!(left(fields, ENDS_HERE), ["x-three"]);
        assert_eq!(left(fields, ANSWER_ENDS_HERE), ["x-three"]);
    }

    #[test]
    fn connection_cannot_take_away_what_others_rely_on() {
        let fields = "Connection: authorization, host, cookie, x-forwarded-for, content-length\r\n\
                      Authorization: Bearer x\r\nHost: a\r\nCookie: b\r\nContent-Length: 0\r\n";
        assert_eq!(left(fields, ENDS_HERE), ["authorization", "content-length", "cookie", "host"]);
    }

    #[test]
    fn names_of_callers_from_outside_are_removed_in_every_spelling() {
        let fields = "X-User-Id: 1\r\nX-USER-ID: 2\r\nx_user_id: 3\r\nX-User_Roles: admin\r\n\
                      X-User-Name: root\r\nX-User-Roles: admin\r\nX-Session-Id: s\r\n\
                      Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n\
                      X-Forwarded-Port: 1\r\nX-Real-IP: 1.2.3.4\r\nAccept: */*\r\n";
        assert_eq!(left(fields, ENDS_HERE), ["accept"]);
    }

    #[test]
    fn what_an_upstream_says_of_origins_is_not_believed() {
        let fields = "Access-Control-Allow-Origin: *\r\nContent-Type: a/b\r\n";
        assert_eq!(left(fields, ANSWER_ENDS_HERE), ["content-type"]);
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
