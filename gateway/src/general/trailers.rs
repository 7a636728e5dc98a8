//! Fields behind a body (RFC 9110 section 6.5): what may stand there, how many may, and who takes them.

use http::HeaderMap;

use crate::grpc::{self, Dialect};
use crate::head::{Head, Seen, Sink as _, Version, tokens};

/// Most trailer fields of a message.
const FIELDS_MAX: usize = 64;
/// Longest trailers of a message, names and values together, in bytes.
const BYTES_MAX: usize = 16 * 1024;
/// What no trailer may be: what belongs to one hop, frames, routes, names a caller, or has to be known
/// before the body is (RFC 9110 section 6.5.1).
const NONE: Seen = Seen::CONNECTION
    .and(Seen::UPGRADE)
    .and(Seen::HOP)
    .and(Seen::AUTHORIZATION)
    .and(Seen::API_KEY)
    .and(Seen::ORIGIN)
    .and(Seen::VIA)
    .and(Seen::EXPECT)
    .and(Seen::IDENTITY)
    .and(Seen::FORWARDED)
    .and(Seen::CONTENT_LENGTH)
    .and(Seen::TRANSFER_ENCODING)
    .and(Seen::CORS)
    .and(Seen::REQUEST_ID)
    .and(Seen::TRACE_PARENT)
    .and(Seen::TRACE_STATE)
    .and(Seen::HOST)
    .and(Seen::DATE)
    .and(Seen::CACHE_CONTROL)
    .and(Seen::MAX_FORWARDS);
/// The same, of fields that no door knows.
const NO_NAMES: [&str; 17] = [
    "accept-encoding",
    "age",
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "expires",
    "location",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "warning",
    "www-authenticate",
];

/// Whether a caller takes trailers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// None: they are left out.
    Nothing,
    /// On HTTP/1.1, where it said so (RFC 9110 section 6.5.1): those that were announced.
    Announced,
    /// On a stream.
    Trailers,
}

impl Takes {
    pub(super) fn of(head: &Head<'_>) -> Self {
        match head.version {
            Version::Http2 => Self::Trailers,
            Version::Http11 if asks(head) => Self::Announced,
            Version::Http10 | Version::Http11 => Self::Nothing,
        }
    }
}

/// Whether `head` says that trailers are welcome.
pub(super) fn asks(head: &Head<'_>) -> bool {
    head.seen.has(Seen::TE) && head.lists("te", "trailers")
}

/// More trailers than are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// Whose trailers they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// An underscore in a name is taken for a hyphen by too many.
    Caller,
    Upstream,
}

/// What of `trailers` goes on; nothing at all is `None`.
pub(super) fn pass_on(mut trailers: HeaderMap, from: From) -> Result<Option<HeaderMap>, TooMany> {
    let bytes = trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if trailers.len() > FIELDS_MAX || BYTES_MAX < bytes {
        return Err(TooMany);
    }
    let bad: Vec<_> =
        trailers.keys().filter(|name| !may_be(name.as_str(), from)).cloned().collect();
    for name in bad {
        trailers.remove(name);
    }
    Ok(Some(trailers).filter(|trailers| !trailers.is_empty()))
}

fn may_be(name: &str, from: From) -> bool {
    let kind = Seen::of(name);
    let is_odd = from == From::Caller && kind.has(Seen::UNDERSCORE);
    !is_odd && !kind.has_any(NONE) && !NO_NAMES.contains(&name)
}

/// Announces in `out` the trailers that `lines` announce; hyper writes no others on HTTP/1.1. Those of
/// gRPC go without saying.
pub(super) fn announce<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    dialect: Dialect,
    from: From,
    out: &mut HeaderMap,
) {
    let names = lines.flat_map(tokens).filter_map(|name| str::from_utf8(name).ok());
    let names = names.map(str::to_ascii_lowercase).filter(|name| may_be(name, from));
    let mut names: Vec<_> = names.take(FIELDS_MAX).collect();
    if (dialect, from) == (Dialect::Grpc, From::Upstream) {
        names.push(grpc::TRAILERS.to_owned());
    }
    if !names.is_empty() {
        out.put("trailer", names.join(", ").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(names: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for name in names {
            map.put(name, b"x");
        }
        map
    }

    #[test]
    fn what_frames_routes_or_names_a_caller_is_no_trailer() {
        let bad = ["content-length", "transfer-encoding", "host", "authorization", "x-user-id"];
        let odd =
            ["x-user_roles", "set-cookie", "trailer", "te", "content-type", "x-forwarded-for"];
        let all = [&bad[..], &odd, &["grpc-status", "x-sum"]].concat();
        let left = pass_on(map(&all), From::Caller).unwrap().unwrap();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.contains_key("grpc-status") && left.contains_key("x-sum"));
        assert_eq!(pass_on(map(&bad), From::Upstream), Ok(None));
        assert!(pass_on(map(&["a_b"]), From::Upstream).unwrap().is_some());
    }

    #[test]
    fn trailers_are_bounded_in_number_and_in_bytes() {
        let names: Vec<_> = (0..=FIELDS_MAX).map(|number| format!("x-{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(pass_on(map(&names), From::Upstream), Err(TooMany));
        assert!(pass_on(map(&names[1..]), From::Upstream).is_ok());
        let mut long = HeaderMap::new();
        long.put("x", &[b'a'; BYTES_MAX]);
        assert_eq!(pass_on(long, From::Upstream), Err(TooMany));
    }

    #[test]
    fn what_is_no_trailer_is_not_announced() {
        let mut out = HeaderMap::new();
        let lines = [&b"X-Sum, Content-Length"[..]].into_iter();
        announce(lines, Dialect::Http, From::Upstream, &mut out);
        assert_eq!(out["trailer"], "x-sum");
    }
}
