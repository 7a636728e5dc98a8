//! The head of a request as every door sees it: borrowed, and nobody's type but ours, so that the
//! doors need not know whether a library or our own parser read it; and where a new head is written.

use std::cell::Cell;
use std::{fmt, mem};

use http::HeaderMap;
use http::request::Parts;

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
    Http2,
}

/// One field line. The value is without surrounding blanks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
    /// What some door has to know of it; nothing for most.
    pub kind: Seen,
}

/// A request's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub method: &'a str,
    /// Path and query, or `*`.
    pub target: &'a str,
    /// Of an absolute target (RFC 9112 section 3.2.2), or `:authority`; it outranks `Host`.
    pub authority: Option<&'a str>,
    pub version: Version,
    pub fields: &'a [Field<'a>],
    /// Which of the fields that some door asks for are there.
    pub seen: Seen,
}

impl<'a> Head<'a> {
    /// The head of a request that hyper has read. `fields` come from [`Scratch::fields`].
    pub(crate) fn of_hyper(parts: &'a Parts, fields: &'a Fields<'_>) -> Self {
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        Self {
            method: parts.method.as_str(),
            target: if target.is_empty() { "/" } else { target },
            authority: parts.uri.authority().map(http::uri::Authority::as_str),
            version: match parts.version {
                http::Version::HTTP_10 => Version::Http10,
                http::Version::HTTP_2 => Version::Http2,
                _ => Version::Http11,
            },
            fields: &fields.list,
            seen: fields.seen,
        }
    }

    /// The head of a request that our own parser has read: its method, its target and the minor
    /// number of its version.
    pub(crate) fn of_raw(
        method: &'a str,
        target: &'a str,
        version: u8,
        fields: &'a Fields<'_>,
    ) -> Self {
        let (authority, target) = split_target(target);
        Self {
            method,
            target,
            authority,
            version: if version == 0 { Version::Http10 } else { Version::Http11 },
            fields: &fields.list,
            seen: fields.seen,
        }
    }

    /// The first field called `name`, which is given in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Every field called `name`, which is given in lower case.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields.iter();
        fields.filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    }

    /// Every field of a kind that one name alone has.
    pub(crate) fn each(&self, kind: Seen) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |field| field.kind.has(kind)).map(|field| field.value)
    }

    /// Whether a comma-separated list in the fields called `name` has `token`, in any case.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(tokens).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Asks for a WebSocket (RFC 9110 section 7.8, RFC 6455 section 4.1).
    pub(crate) fn asks_for_websocket(&self) -> bool {
        self.seen.has(Seen::UPGRADE)
            && self.version == Version::Http11
            && self.lists("upgrade", "websocket")
            && self.lists("connection", "upgrade")
    }
}

/// The members of a comma-separated list, without blanks.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Takes an absolute target apart.
fn split_target(target: &str) -> (Option<&str>, &str) {
    if target.starts_with('/') {
        return (None, target);
    }
    let Some((scheme, rest)) = target.split_once("://") else { return (None, target) };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return (None, target);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    (Some(authority), if target.is_empty() { "/" } else { target })
}

/// A set of fields that are there, so that nobody looks for one that is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen(u32);

impl Seen {
    pub(crate) const CONNECTION: Self = Self(1);
    pub(crate) const UPGRADE: Self = Self(1 << 1);
    pub(crate) const HOP: Self = Self(1 << 2);
    pub(crate) const AUTHORIZATION: Self = Self(1 << 3);
    pub(crate) const API_KEY: Self = Self(1 << 4);
    pub(crate) const ORIGIN: Self = Self(1 << 5);
    pub(crate) const VIA: Self = Self(1 << 6);
    pub(crate) const EXPECT: Self = Self(1 << 7);
    pub(crate) const IDENTITY: Self = Self(1 << 8);
    pub(crate) const FORWARDED: Self = Self(1 << 9);
    pub(crate) const UNDERSCORE: Self = Self(1 << 10);
    pub(crate) const CONTENT_LENGTH: Self = Self(1 << 11);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 12);
    pub(crate) const CORS: Self = Self(1 << 13);
    pub(crate) const REQUEST_ID: Self = Self(1 << 14);
    pub(crate) const TRACE_PARENT: Self = Self(1 << 15);
    pub(crate) const TRACE_STATE: Self = Self(1 << 16);
    pub(crate) const HOST: Self = Self(1 << 17);
    pub(crate) const DATE: Self = Self(1 << 18);
    pub(crate) const CACHE_CONTROL: Self = Self(1 << 19);
    pub(crate) const MAX_FORWARDS: Self = Self(1 << 20);
    pub(crate) const TE: Self = Self(1 << 21);
    pub(crate) const TRAILER: Self = Self(1 << 22);

    /// Whether all of `other` is there.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether something of `other` is there.
    pub(crate) const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in either.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What the field `name` is, by its name in any case.
    pub(crate) fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let starts = |known: &str| {
            name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known))
        };
        let plain = match name.len() {
            2 if is("te") => Self::HOP.and(Self::TE),
            3 if is("via") => Self::VIA,
            4 if is("host") => Self::HOST,
            4 if is("date") => Self::DATE,
            6 if is("origin") => Self::ORIGIN,
            6 if is("expect") => Self::EXPECT,
            7 if is("upgrade") => Self::UPGRADE,
            7 if is("trailer") => Self::HOP.and(Self::TRAILER),
            9 if is("x-user-id") => Self::IDENTITY,
            9 if is("forwarded") || is("x-real-ip") => Self::FORWARDED,
            9 if is("x-api-key") => Self::API_KEY,
            10 if is("connection") => Self::CONNECTION,
            10 if is("keep-alive") => Self::HOP,
            10 if is("tracestate") => Self::TRACE_STATE,
            11 if is("traceparent") => Self::TRACE_PARENT,
            11 if is("x-user-name") => Self::IDENTITY,
            12 if is("x-user-roles") || is("x-session-id") => Self::IDENTITY,
            12 if is("x-request-id") => Self::REQUEST_ID,
            12 if is("max-forwards") => Self::MAX_FORWARDS,
            13 if is("authorization") => Self::AUTHORIZATION,
            13 if is("cache-control") => Self::CACHE_CONTROL,
            14 if is("content-length") => Self::CONTENT_LENGTH,
            14 if is("http2-settings") => Self::HOP,
            16 if is("proxy-connection") => Self::HOP,
            17 if is("transfer-encoding") => Self::TRANSFER_ENCODING,
            18 | 19 if starts("proxy-authenticat") || starts("proxy-authoriz") => Self::HOP,
            _ if starts("x-forwarded-") => Self::FORWARDED,
            _ if starts("access-control-") => Self::CORS,
            _ => Self(0),
        };
        if name.contains('_') { Self(plain.0 | Self::UNDERSCORE.0) } else { plain }
    }
}

/// Room for field lists, kept per core so that a request allocates none.
#[derive(Default)]
pub(crate) struct Scratch(Cell<Vec<Field<'static>>>);

/// What room is made of.
const NOTHING: Field<'_> = Field { name: "", value: b"", kind: Seen(0) };

/// The fields of one head; gives its room back when it is dropped.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    list: Vec<Field<'a>>,
    seen: Seen,
    home: &'a Scratch,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

impl Scratch {
    /// The fields of `headers`.
    pub(crate) fn fields<'a>(&'a self, headers: &'a HeaderMap) -> Fields<'a> {
        let mut fields = self.empty();
        for (name, value) in headers {
            fields.push(name.as_str(), value.as_bytes());
        }
        fields
    }

    /// The fields of a head that httparse has read.
    pub(crate) fn raw_fields<'a>(&'a self, headers: &[httparse::Header<'a>]) -> Fields<'a> {
        let mut fields = self.empty();
        for header in headers {
            fields.push(header.name, header.value);
        }
        fields
    }

    fn empty(&self) -> Fields<'_> {
        Fields { list: self.0.take(), seen: Seen::default(), home: self }
    }
}

impl<'a> Fields<'a> {
    /// Each field, in the order in which they came.
    pub(crate) fn list(&self) -> &[Field<'a>] {
        &self.list
    }

    /// Which of those that some door asks for are there.
    pub(crate) const fn seen(&self) -> Seen {
        self.seen
    }

    fn push(&mut self, name: &'a str, value: &'a [u8]) {
        let kind = Seen::of(name);
        self.seen = self.seen.and(kind);
        self.list.push(Field { name, value, kind });
    }
}

/// Where the fields of a new head go: into bytes on the lean way, into a library's map on the
/// general one. Names and values come from heads that were parsed, or are our own.
pub(crate) trait Sink {
    /// Adds a line.
    fn put(&mut self, name: &str, value: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, name: &str, value: &[u8]) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        self.extend_from_slice(value);
        self.extend_from_slice(b"\r\n");
    }
}

impl Sink for HeaderMap {
    fn put(&mut self, name: &str, value: &[u8]) {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
            self.append(name, value);
        }
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let mut list = mem::take(&mut self.list);
        list.clear();
        // Collecting in place keeps the room and forgets the lifetime; there is nothing to map.
        self.home.0.set(list.into_iter().map(|_| NOTHING).collect());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs `door` over the head in `raw` twice: as our parser reads it, and as a hyper request
    /// with the same fields. Both have to come to the same verdict, which is returned.
    pub(crate) fn both_ways<V: PartialEq + fmt::Debug>(
        raw: &str,
        door: impl Fn(&Head<'_>) -> V,
    ) -> V {
        let scratch = Scratch::default();
        let mut slots = [httparse::EMPTY_HEADER; 128];
        let mut request = httparse::Request::new(&mut slots);
        let status = request.parse(raw.as_bytes()).expect("httparse reads it");
        assert!(status.is_complete(), "the head is incomplete");
        let parts = as_hyper(&request);
        let hyper = {
            let fields = scratch.fields(&parts.headers);
            door(&Head::of_hyper(&parts, &fields))
        };
        let fields = scratch.raw_fields(request.headers);
        let (method, target) = (request.method.unwrap(), request.path.unwrap());
        let verdict = door(&Head::of_raw(method, target, request.version.unwrap(), &fields));
        assert_eq!(verdict, hyper, "raw and hyper differ over {raw:?}");
        verdict
    }

    fn as_hyper(request: &httparse::Request<'_, '_>) -> Parts {
        let version = request.version.map_or(http::Version::HTTP_11, |minor| match minor {
            0 => http::Version::HTTP_10,
            _ => http::Version::HTTP_11,
        });
        let mut builder = http::Request::builder()
            .method(request.method.unwrap())
            .uri(request.path.unwrap())
            .version(version);
        for header in request.headers.iter() {
            builder = builder.header(header.name, header.value);
        }
        builder.body(()).expect("hyper's types hold it").into_parts().0
    }

    #[test]
    fn an_absolute_target_is_taken_apart() {
        let head = "GET http://example.org:80/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n";
        let found =
            both_ways(head, |head| (head.authority.map(str::to_owned), head.target.to_owned()));
        assert_eq!(found, (Some("example.org:80".to_owned()), "/a?b=c".to_owned()));
    }

    #[test]
    fn an_absolute_target_without_a_path_means_the_root() {
        let head = "GET http://example.org HTTP/1.1\r\nHost: other\r\n\r\n";
        assert_eq!(both_ways(head, |head| head.target.to_owned()), "/");
    }

    #[test]
    fn a_websocket_is_asked_for_by_two_fields_and_http_1_1() {
        let asked = |head: &Head<'_>| head.asks_for_websocket();
        let fields = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
        assert!(both_ways(&format!("GET / HTTP/1.1\r\n{fields}"), asked));
        assert!(!both_ways(&format!("GET / HTTP/1.0\r\n{fields}"), asked));
        assert!(!both_ways("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", asked));
        assert!(!both_ways(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            asked
        ));
    }

    #[test]
    fn room_for_fields_is_used_again() {
        let scratch = Scratch::default();
        let mut headers = HeaderMap::new();
        headers.insert("host", http::HeaderValue::from_static("a"));
        drop(scratch.fields(&headers));
        let kept = scratch.0.take();
        assert!(kept.capacity() > 0 && kept.is_empty());
    }
}
