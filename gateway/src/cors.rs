//! Which pages of other origins may call (the Fetch standard, section 3.2). Outermost: preflights
//! are answered before anybody asks for a token, refusals are readable too, and what an upstream
//! says about origins is replaced.

use std::collections::HashSet;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::head::{Head, Seen, Sink, Version};
use crate::route::SERVED;

/// `[gateway.cors]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Origins that may call and open sockets, as in `https://app.example`.
    pub origins: Vec<String>,
    /// Request fields that pages may send.
    pub headers: Vec<String>,
    /// Answer fields that pages may read.
    pub exposed_headers: Vec<String>,
    /// Whether pages may send cookies.
    pub credentials: bool,
    /// How long a browser may remember a preflight.
    #[serde(with = "chassis::config::span")]
    pub max_age: Duration,
}

/// The rules, ready to be written.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: HashSet<Box<[u8]>>,
    headers: HeaderValue,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

/// What a request's origin means to the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// There is none: not a page, or one of our own asking plainly.
    Absent,
    /// The page comes from the gateway itself.
    Own,
    Allowed(HeaderValue),
    Foreign,
}

impl Cors {
    /// The rules of `config`; an empty list of fields when one is no field name.
    pub(crate) fn new(config: &Config) -> Self {
        let join = |list: &[String]| HeaderValue::try_from(list.join(", ")).ok();
        Self {
            origins: config.origins.iter().map(|origin| origin.as_bytes().into()).collect(),
            headers: join(&config.headers).unwrap_or(HeaderValue::from_static("")),
            exposed: join(&config.exposed_headers).filter(|value| !value.is_empty()),
            credentials: config.credentials,
            max_age: HeaderValue::from(config.max_age.as_secs()),
        }
    }

    /// Where `head` says that its page comes from.
    pub(crate) fn origin(&self, head: &Head<'_>) -> Origin {
        if !head.seen.has(Seen::ORIGIN) {
            return Origin::Absent;
        }
        let mut lines = head.all("origin");
        let (Some(origin), None) = (lines.next(), lines.next()) else { return Origin::Foreign };
        if self.origins.contains(origin) {
            return HeaderValue::from_bytes(origin).map_or(Origin::Foreign, Origin::Allowed);
        }
        let host = head.authority.map(str::as_bytes).or_else(|| head.field("host"));
        let own = ["http://", "https://"].iter().any(|scheme| {
            origin.strip_prefix(scheme.as_bytes()).is_some_and(|rest| Some(rest) == host)
        });
        if own { Origin::Own } else { Origin::Foreign }
    }

    /// Whether `head` only asks what a page may do.
    pub(crate) fn is_preflight(head: &Head<'_>) -> bool {
        head.method == "OPTIONS"
            && head.version != Version::Http10
            && head.seen.has(Seen::ORIGIN)
            && head.field("access-control-request-method").is_some()
    }

    /// Says what a page of `origin` may do.
    pub(crate) fn preflight(&self, origin: &Origin, headers: &mut HeaderMap) {
        if let Origin::Allowed(_) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(SERVED));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        let asked = HeaderValue::from_static(
            "Access-Control-Request-Method, Access-Control-Request-Headers",
        );
        headers.append(header::VARY, asked);
    }

    /// Makes an answer readable to a page of `origin`, and to no other.
    pub(crate) fn decorate(&self, origin: &Origin, out: &mut impl Sink) {
        if self.origins.is_empty() {
            return;
        }
        out.put("vary", b"Origin");
        let Origin::Allowed(origin) = origin else { return };
        out.put("access-control-allow-origin", origin.as_bytes());
        if self.credentials {
            out.put("access-control-allow-credentials", b"true");
        }
        if let Some(exposed) = &self.exposed {
            out.put("access-control-expose-headers", exposed.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::both_ways;

    fn cors() -> Cors {
        Cors::new(&Config {
            origins: vec!["http://localhost:3000".into()],
            headers: vec!["authorization".into()],
            exposed_headers: vec!["x-request-id".into()],
            credentials: true,
            max_age: Duration::from_mins(10),
        })
    }

    #[test]
    fn an_origin_is_allowed_by_its_whole_spelling() {
        let cors = cors();
        let allowed = Origin::Allowed(HeaderValue::from_static("http://localhost:3000"));
        for (fields, expected) in [
            ("", Origin::Absent),
            ("Origin: http://localhost:3000\r\n", allowed),
            ("Origin: http://gateway:8000\r\n", Origin::Own),
            ("Origin: http://localhost:30000\r\n", Origin::Foreign),
            ("Origin: http://localhost:3000.evil.example\r\n", Origin::Foreign),
            ("Origin: null\r\n", Origin::Foreign),
            ("Origin: http://localhost:3000\r\nOrigin: http://x\r\n", Origin::Foreign),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: gateway:8000\r\n{fields}\r\n");
            assert_eq!(both_ways(&head, |head| cors.origin(head)), expected, "{fields}");
        }
    }

    #[test]
    fn a_preflight_is_told_from_an_ordinary_options() {
        let preflight = "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\
                         Access-Control-Request-Method: PUT\r\n\r\n";
        assert!(both_ways(preflight, Cors::is_preflight));
        let plain = "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n";
        assert!(!both_ways(plain, Cors::is_preflight));
    }
}
