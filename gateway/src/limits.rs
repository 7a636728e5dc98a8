//! What a request may look like and how many may be served at once. Looks at heads and counts;
//! never waits, never does I/O.

use std::cell::Cell;
use std::net::Ipv6Addr;
use std::rc::Rc;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use crate::head::{Head, Seen, Version};
use crate::refusal::Refusal;
use crate::route::SERVED;

/// What a host name may have beside letters, digits and encoded bytes (RFC 3986 section 3.2.2).
const NAME_MARKS: &[u8] = b".-_~!$&'()*+,;=";
/// Transfer codings that exist (RFC 9112 section 7) and are not served.
const KNOWN_CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];

/// `[gateway.limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest request target, in bytes.
    pub uri_bytes_max: usize,
    /// Longest request head, in bytes.
    pub head_bytes_max: usize,
    /// Most field lines in a request's head.
    pub head_fields_max: usize,
    /// Longest request body, in bytes; a route may say otherwise.
    pub body_bytes_max: u64,
    /// Most connections of callers, in the whole process.
    pub connections_max: usize,
    /// Most requests that are being served, in the whole process.
    pub in_flight_max: usize,
    /// From a head's first byte to its last.
    #[serde(with = "chassis::config::span")]
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request.
    #[serde(with = "chassis::config::span")]
    pub keep_alive_timeout: Duration,
    /// How long a body may make no progress, in either direction.
    #[serde(with = "chassis::config::span")]
    pub body_idle_timeout: Duration,
    /// How long a tunnel may be silent in both directions.
    #[serde(with = "chassis::config::span")]
    pub tunnel_idle_timeout: Duration,
    /// How long a tunnel lives on after one side has ended its half.
    #[serde(with = "chassis::config::span")]
    pub tunnel_half_close_timeout: Duration,
    /// How long a tunnel may live at all.
    #[serde(with = "chassis::config::span")]
    pub tunnel_total_timeout: Duration,
    /// How long frames in progress may take to end when the gateway closes a tunnel, and after that
    /// both sides to end their halves.
    #[serde(with = "chassis::config::span")]
    pub tunnel_close_timeout: Duration,
}

/// How a request's body is delimited (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(u64),
    Chunked,
}

/// Whether the head may be let in at all, and how its body ends. Whatever two parsers could read
/// differently is refused (RFC 9112 sections 6.1, 6.3 and 11.2).
pub(crate) fn framing(head: &Head<'_>) -> Result<Framing, Refusal> {
    let coded = head.seen.has(Seen::TRANSFER_ENCODING);
    let sized = head.seen.has(Seen::CONTENT_LENGTH);
    match (coded, sized) {
        (false, false) => Ok(Framing::Empty),
        (true, true) => {
            Err(Refusal::Malformed("Content-Length and Transfer-Encoding exclude each other."))
        }
        (false, true) => content_length(head).map(Framing::Length),
        (true, false) => transfer_encoding(head),
    }
}

/// The first refusal of what `head` says about itself; its framing and sizes are judged where it is
/// read.
pub(crate) fn check(head: &Head<'_>) -> Result<(), Refusal> {
    if head.method == "CONNECT" || head.method == "TRACE" {
        return Err(Refusal::Method { allow: http::HeaderValue::from_static(SERVED) });
    }
    host(head)?;
    expectation(head)
}

/// Whether `target`, as it was sent, has a form that `method` may have (RFC 9112 section 3.2), in
/// characters that may stand there: what hyper would refuse without a word, or take for another path.
pub(crate) fn target(method: &str, target: &str) -> Result<(), Refusal> {
    let is_odd = |b: u8| !(0x21..0x7f).contains(&b) || matches!(b, b'"' | b'#' | b'<' | b'>');
    let path = target.split('?').next().unwrap_or(target);
    if target.bytes().any(is_odd) || path.contains('`') {
        return Err(Refusal::Malformed("The target has characters that must be encoded."));
    }
    let is_whole = |uri: Uri| match uri.scheme_str() {
        Some(scheme) => scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"),
        None => method == "CONNECT" || target == "*",
    };
    if target.starts_with('/') || target.parse().is_ok_and(is_whole) {
        return Ok(());
    }
    Err(Refusal::Malformed("The target has to begin with a slash or with http://."))
}

/// Whether the head is within its bounds.
pub(crate) fn sizes(head: &Head<'_>, limits: &Limits) -> Result<(), Refusal> {
    if head.target.len() > limits.uri_bytes_max {
        return Err(Refusal::UriTooLong { max: limits.uri_bytes_max });
    }
    if head.fields.len() > limits.head_fields_max {
        return Err(too_large(limits));
    }
    Ok(())
}

/// Whether the head of a stream may be let in, which no gate has seen (RFC 9113 section 8.2 and 8.3).
pub(crate) fn stream(head: &Head<'_>, limits: &Limits) -> Result<(), Refusal> {
    sizes(head, limits)?;
    target(head.method, head.target)?;
    if head.seen.has(Seen::TRANSFER_ENCODING)
        || head.seen.has_any(Seen::CONNECTION.and(Seen::UPGRADE))
    {
        return Err(Refusal::Malformed("HTTP/2 has no fields of a connection."));
    }
    framing(head).map(|_| ())
}

/// A head beyond its bounds.
pub(crate) const fn too_large(limits: &Limits) -> Refusal {
    Refusal::HeadTooLarge { bytes_max: limits.head_bytes_max, fields_max: limits.head_fields_max }
}

/// Whether a body that says its length beforehand is short enough.
pub(crate) fn body(head: &Head<'_>, max: u64) -> Result<(), Refusal> {
    if !head.seen.has(Seen::CONTENT_LENGTH) || content_length(head)? <= max {
        return Ok(());
    }
    Err(Refusal::BodyTooLarge { max })
}

fn content_length(head: &Head<'_>) -> Result<u64, Refusal> {
    const BAD: Refusal = Refusal::Malformed("Content-Length has to be one decimal number.");
    let mut lines = head.all("content-length");
    let (Some(value), None) = (lines.next(), lines.next()) else { return Err(BAD) };
    crate::wire::length(value).ok_or(BAD)
}

fn transfer_encoding(head: &Head<'_>) -> Result<Framing, Refusal> {
    let mut lines = head.all("transfer-encoding");
    let (Some(value), None) = (lines.next(), lines.next()) else {
        return Err(Refusal::Malformed("Transfer-Encoding may stand there once."));
    };
    if head.version == Version::Http10 {
        return Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding."));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let known = |token: &&[u8]| {
        KNOWN_CODINGS.iter().any(|known| token.eq_ignore_ascii_case(known.as_bytes()))
    };
    match crate::head::tokens(value).find(known) {
        Some(_) => Err(Refusal::TransferCoding),
        None => Err(Refusal::Malformed("Transfer-Encoding has to be chunked.")),
    }
}

/// One valid host, from `Host` or from the target (RFC 9112 section 3.2).
fn host(head: &Head<'_>) -> Result<(), Refusal> {
    let mut lines = head.each(Seen::HOST);
    let (first, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err(Refusal::Malformed("Host may stand there once."));
    }
    let is_needed = match head.version {
        Version::Http10 => false,
        Version::Http11 => true,
        Version::Http2 => head.authority.is_none(),
    };
    match first {
        None if is_needed => return Err(Refusal::Malformed("Host is missing.")),
        Some(host) if !is_host(host) => return Err(Refusal::Malformed("Host is no host.")),
        _ => {}
    }
    if head.version == Version::Http2
        && let (Some(host), Some(authority)) = (first, head.authority)
        && !host.eq_ignore_ascii_case(authority.as_bytes())
    {
        return Err(Refusal::Malformed("Host and :authority differ."));
    }
    if head.authority.is_some_and(|authority| !is_host(authority.as_bytes())) {
        return Err(Refusal::Malformed("The target's host is no host."));
    }
    Ok(())
}

/// A name or an address, and perhaps a port (RFC 9110 section 7.2); nobody's name is in it.
fn is_host(host: &[u8]) -> bool {
    if let Some(bracketed) = host.strip_prefix(b"[") {
        let mut parts = bracketed.splitn(2, |b| *b == b']');
        let is_end = |end: &[u8]| end.is_empty() || end.strip_prefix(b":").is_some_and(is_port);
        return is_ipv6(parts.next().unwrap_or_default()) && parts.next().is_some_and(is_end);
    }
    let mut parts = host.splitn(2, |b| *b == b':');
    is_name(parts.next().unwrap_or_default()) && parts.next().is_none_or(is_port)
}

fn is_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    let is_hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    while let Some(byte) = bytes.next() {
        let is_good = match byte {
            b'%' => is_hex(bytes.next()) && is_hex(bytes.next()),
            byte => byte.is_ascii_alphanumeric() || NAME_MARKS.contains(byte),
        };
        if !is_good {
            return false;
        }
    }
    !name.is_empty()
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Digits, or nothing.
fn is_port(port: &[u8]) -> bool {
    let is_number = || std::str::from_utf8(port).is_ok_and(|text| text.parse::<u16>().is_ok());
    port.is_empty() || (port.iter().all(u8::is_ascii_digit) && is_number())
}

fn expectation(head: &Head<'_>) -> Result<(), Refusal> {
    if !head.seen.has(Seen::EXPECT) || head.version == Version::Http10 {
        return Ok(());
    }
    let is_known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    if head.all("expect").all(is_known) { Ok(()) } else { Err(Refusal::Expectation) }
}

/// How many of something there are on this core, and may be.
#[derive(Debug)]
pub(crate) struct Gauge {
    now: Cell<usize>,
    max: usize,
}

/// A place under a [`Gauge`], free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Rc<Gauge>);

impl Gauge {
    pub(crate) fn new(max: usize) -> Rc<Self> {
        Rc::new(Self { now: Cell::new(0), max })
    }

    /// A place, if there is one.
    pub(crate) fn enter(self: &Rc<Self>) -> Option<Permit> {
        let now = self.now.get();
        (now < self.max).then(|| {
            self.now.set(now + 1);
            Permit(self.clone())
        })
    }

    pub(crate) fn now(&self) -> usize {
        self.now.get()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.now.set(self.0.now.get().saturating_sub(1));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use contract::Kind;

    use super::*;
    use crate::head::tests::both_ways;

    pub(crate) fn limits() -> Limits {
        Limits {
            uri_bytes_max: 64,
            head_bytes_max: 1024,
            head_fields_max: 8,
            body_bytes_max: 100,
            connections_max: 10,
            in_flight_max: 10,
            head_timeout: Duration::from_secs(1),
            keep_alive_timeout: Duration::from_secs(1),
            body_idle_timeout: Duration::from_secs(1),
            tunnel_idle_timeout: Duration::from_secs(1),
            tunnel_half_close_timeout: Duration::from_secs(1),
            tunnel_total_timeout: Duration::from_secs(1),
            tunnel_close_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn framing_that_two_parsers_could_read_differently_is_refused() {
        let framing_of = |fields: &str| {
            both_ways(&format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), |head| {
                framing(head).map_err(|refusal| refusal.kind())
            })
        };
        for (fields, verdict) in [
            ("", Ok(Framing::Empty)),
            ("Content-Length: 5\r\n", Ok(Framing::Length(5))),
            ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(Kind::BadRequest)),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(Kind::BadRequest)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(Kind::BadRequest)),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(Kind::BadRequest)),
            ("Content-Length: 5, 5\r\n", Err(Kind::BadRequest)),
            ("Content-Length: +5\r\n", Err(Kind::BadRequest)),
            ("Content-Length: -1\r\n", Err(Kind::BadRequest)),
            ("Content-Length: 0x5\r\n", Err(Kind::BadRequest)),
            ("Content-Length: \r\n", Err(Kind::BadRequest)),
            ("Content-Length: 9223372036854775807\r\n", Ok(Framing::Length(u64::MAX >> 1))),
            ("Content-Length: 9223372036854775808\r\n", Err(Kind::BadRequest)),
            ("Content-Length: 18446744073709551615\r\n", Err(Kind::BadRequest)),
            ("Content-Length: 99999999999999999999\r\n", Err(Kind::BadRequest)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(Kind::BadRequest)),
            ("Transfer-Encoding: xchunked\r\n", Err(Kind::BadRequest)),
            ("Transfer-Encoding: identity\r\n", Err(Kind::BadRequest)),
            ("Transfer-Encoding: \"chunked\"\r\n", Err(Kind::BadRequest)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", Err(Kind::BadRequest)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Kind::NotImplemented)),
        ] {
            assert_eq!(framing_of(fields), verdict, "{fields:?}");
        }
        let old = "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        let verdict = both_ways(old, |head| framing(head).map_err(|refusal| refusal.kind()));
        assert_eq!(verdict, Err(Kind::BadRequest));
    }

    #[test]
    fn a_head_that_breaks_a_rule_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(64));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(8));
        for (head, verdict) in [
            ("GET / HTTP/1.1\r\nHost: a.example:8000\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", None),
            ("GET / HTTP/1.0\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", None),
            ("GET / HTTP/1.0\r\nExpect: magic\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n\r\n", Some(Kind::BadRequest)),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Some(Kind::BadRequest)),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Some(Kind::BadRequest)),
            ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", Some(Kind::BadRequest)),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Some(Kind::BadRequest)),
            ("GET http://u@b/ HTTP/1.1\r\nHost: b\r\n\r\n", Some(Kind::BadRequest)),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", Some(Kind::ExpectationFailed)),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Some(Kind::MethodNotAllowed)),
            (&long, Some(Kind::UriTooLong)),
            (&many, Some(Kind::HeadTooLarge)),
        ] {
            let found = both_ways(head, |head| {
                sizes(head, &limits()).and_then(|()| check(head)).err().map(|r| r.kind())
            });
            assert_eq!(found, verdict, "{head:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in
            ["a", "a.b.", "A_b", "a:", "a:80", "1.2.3.4:80", "[::1]", "[::1]:", "[::1]:80", "%41"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":", ":80", "a:b", "a:+1", "a:65536", "a:1:2", "::1", "[::1", "[::1]x", "[::1]:x",
            "[]", "[a]", "a[::1]", "a]", "a%", "a%4", "a%4g", "a@b", "a/b", "a b", "a\\b",
            "\u{e9}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_target_has_a_form_that_everybody_reads_alike() {
        for (method, written, good) in [
            ("GET", "/a?b=`c`&d[]=\\", true),
            ("GET", "http://a/b", true),
            ("GET", "HTTPS://a", true),
            ("OPTIONS", "*", true),
            ("CONNECT", "a:80", true),
            ("GET", "a", false),
            ("GET", "a:80", false),
            ("GET", "a/b", false),
            ("GET", "?a", false),
            ("GET", "", false),
            ("GET", "ftp://a/b", false),
            ("GET", "http:///b", false),
            ("GET", "http://a:b:c/d", false),
            ("GET", "/a#b", false),
            ("GET", "/a<b", false),
            ("GET", "/a`b", false),
            ("GET", "/a?b=\"", false),
            ("GET", "/\u{e9}", false),
        ] {
            assert_eq!(target(method, written).is_ok(), good, "{method} {written}");
        }
    }

    #[test]
    fn a_body_that_says_it_is_too_long_is_refused_before_it_comes() {
        let found = |length: u64| {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            both_ways(&head, |head| body(head, 100).err().map(|r| r.kind()))
        };
        assert_eq!(found(100), None);
        assert_eq!(found(101), Some(Kind::BodyTooLarge));
    }

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let gauge = Gauge::new(1);
        let permit = gauge.enter();
        assert!(permit.is_some() && gauge.enter().is_none());
        drop(permit);
        assert!(gauge.enter().is_some());
    }
}
