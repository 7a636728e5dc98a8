//! Which route a request takes: by path, then by method. The table is built once; finding a route
//! costs the same for ten routes and for ten thousand.

mod path;
mod table;

use std::time::Duration;

use serde::Deserialize;

pub(crate) use path::Path;
pub(crate) use table::{Found, Table};

use crate::config::Protocol;

/// The methods that some route may take, as `Allow` lists them.
pub(crate) const SERVED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Which upstream, in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UpstreamId(pub usize);

/// Which quota, in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaId(pub usize);

/// Which route, in the order of the configuration; the gateway's own come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteId(pub usize);

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A valid token is needed.
    Required,
    /// A token has to be valid; without one the caller is anonymous.
    Optional,
    /// A valid token is read, a bad one ignored.
    None,
    /// Credentials are the upstream's business.
    Passthrough,
}

/// `[gateway.routes.<name>]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The whole path. Either this or `prefix`.
    pub exact: Option<String>,
    /// The path's first elements.
    pub prefix: Option<String>,
    /// Methods that are let through, `GET` with `HEAD`; all when absent.
    pub methods: Option<Vec<String>>,
    /// A name under `[gateway.upstreams]`.
    pub upstream: String,
    /// What the matched part becomes on the way; unchanged when absent.
    pub rewrite: Option<String>,
    /// Who may use it; `required` when absent.
    pub auth: Option<Auth>,
    /// A name under `[gateway.quota.rules]`.
    pub quota: Option<String>,
    /// Longest request body, in bytes; `gateway.limits.body_bytes_max` when absent.
    pub body_bytes_max: Option<u64>,
    /// From the request's last byte to the answer's head; the upstream's when absent.
    #[serde(default, deserialize_with = "some_span")]
    pub response_timeout: Option<Duration>,
    /// Whether WebSockets are let through.
    #[serde(default)]
    pub websocket: bool,
}

fn some_span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    chassis::config::span::deserialize(from).map(Some)
}

/// A route as used.
#[derive(Debug)]
pub(crate) struct Route {
    pub name: Box<str>,
    pub matcher: Matcher,
    pub methods: Methods,
    pub goal: Goal,
    pub auth: Auth,
    pub quota: Option<QuotaId>,
    pub body_bytes_max: u64,
}

/// Where a route leads.
#[derive(Debug)]
pub(crate) enum Goal {
    Upstream(Forward),
    Own(Own),
}

/// How a route leads to an upstream.
#[derive(Debug)]
pub(crate) struct Forward {
    pub upstream: UpstreamId,
    pub rewrite: Option<Box<str>>,
    pub response_timeout: Duration,
    pub websocket: bool,
    /// What the upstream speaks.
    pub protocol: Protocol,
}

/// What the gateway answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Index,
    Health,
    Live,
    Ready,
}

impl Own {
    /// Each with its path.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Index, "/"),
        (Self::Health, "/health"),
        (Self::Live, "/health/live"),
        (Self::Ready, "/health/ready"),
    ];
}

/// Which paths a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matcher {
    Exact(Box<str>),
    /// Without a slash at its end: `/a` takes `/a`, `/a/` and `/a/b`, and not `/ab`.
    Prefix(Box<str>),
}

impl Forward {
    /// Writes what `path`, which `matcher` took, is called by the upstream, with its query.
    pub(crate) fn write_target(&self, matcher: &Matcher, path: &Path<'_>, out: &mut Vec<u8>) {
        let (kept, rest) = match (&self.rewrite, matcher) {
            (None, _) => (&*path.path, ""),
            (Some(rewrite), Matcher::Exact(_)) => (&**rewrite, ""),
            (Some(rewrite), Matcher::Prefix(prefix)) => {
                (&**rewrite, path.path.get(prefix.len()..).unwrap_or_default())
            }
        };
        // A rewrite to the root leaves the slash to what follows.
        let kept = if rest.starts_with('/') { kept.trim_end_matches('/') } else { kept };
        out.extend_from_slice(kept.as_bytes());
        out.extend_from_slice(rest.as_bytes());
        if kept.is_empty() && rest.is_empty() {
            out.push(b'/');
        }
        if let Some(query) = path.query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
    }
}

/// A method, as far as routes and metrics tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// Let through by routes that name no methods.
    Other,
}

impl Method {
    /// Every method, in the order of its number.
    pub(crate) const ALL: [(Self, &'static str); 8] = [
        (Self::Get, "GET"),
        (Self::Head, "HEAD"),
        (Self::Post, "POST"),
        (Self::Put, "PUT"),
        (Self::Patch, "PATCH"),
        (Self::Delete, "DELETE"),
        (Self::Options, "OPTIONS"),
        (Self::Other, "other"),
    ];

    /// The method that `name` is; names are case-sensitive (RFC 9110 section 9.1).
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// Whether doing it twice is doing it once (RFC 9110 section 9.2.2).
    pub(crate) const fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options)
    }
}

/// A set of methods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Methods(u8);

impl Methods {
    pub(crate) const ALL: Self = Self(u8::MAX);

    pub(crate) const fn with(self, method: Method) -> Self {
        Self(self.0 | 1 << method as u8)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, method: Method) -> bool {
        self.0 & (1 << method as u8) != 0
    }

    /// As `Allow` lists them.
    pub(crate) fn list(self) -> String {
        let named = Method::ALL.iter().filter(|(m, _)| *m != Method::Other && self.has(*m));
        named.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(matcher: &Matcher, rewrite: Option<&str>, target: &str) -> String {
        let forward = Forward {
            upstream: UpstreamId(0),
            rewrite: rewrite.map(Into::into),
            response_timeout: Duration::ZERO,
            websocket: false,
            protocol: Protocol::Http1,
        };
        let path = Path::canonical(target).unwrap();
        let mut out = Vec::new();
        forward.write_target(matcher, &path, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_rewrite_keeps_the_rest_the_query_and_the_last_slash() {
        let prefix = Matcher::Prefix("/api/chat".into());
        for (rewrite, given, expected) in [
            (Some("/api"), "/api/chat/rooms?x=1", "/api/rooms?x=1"),
            (Some("/api"), "/api/chat", "/api"),
            (Some("/api"), "/api/chat/", "/api/"),
            (Some("/"), "/api/chat/rooms", "/rooms"),
            (Some("/"), "/api/chat", "/"),
            (Some("/api"), "/api/chat/a%20b/", "/api/a%20b/"),
            (None, "/api/chat/rooms?", "/api/chat/rooms?"),
            (None, "/api//chat/./rooms?x", "/api/chat/rooms?x"),
        ] {
            assert_eq!(forwarded(&prefix, rewrite, given), expected);
        }
        let exact = Matcher::Exact("/a".into());
        assert_eq!(forwarded(&exact, Some("/b"), "/a?c"), "/b?c");
    }

    #[test]
    fn a_set_of_methods_lists_itself() {
        let methods = Methods::default().with(Method::Get).with(Method::Head).with(Method::Post);
        assert_eq!(methods.list(), "GET, HEAD, POST");
        assert!(!methods.has(Method::Other) && Methods::ALL.has(Method::Other));
    }
}
