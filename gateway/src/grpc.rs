//! How the gateway says no to a gRPC call: the status of HTTP is always 200, and what went wrong stands
//! in fields of gRPC's own, as in its protocol's "Trailers-Only" answers.

use bytes::Bytes;
use contract::Kind;
use http::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::head::Head;
use crate::refusal::Refusal;

/// The media type of a call.
const MEDIA_TYPE: &[u8] = b"application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// `UNAVAILABLE`.
const UNAVAILABLE: u8 = 14;
/// Names of the trailers of every call, for callers of HTTP/1.1, whose trailers are announced.
pub(crate) const TRAILERS: &str = "grpc-status, grpc-message, grpc-status-details-bin";

/// What a request speaks on top of HTTP, which says how its refusal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Http,
    Grpc,
}

impl Dialect {
    /// The dialect of the request with `head`.
    pub(crate) fn of(head: &Head<'_>) -> Self {
        head.field("content-type").map_or(Self::Http, Self::of_type)
    }

    /// The dialect of a media type; gRPC-Web, which is for HTTP/1.1, is another.
    pub(crate) fn of_type(value: &[u8]) -> Self {
        let Some((start, end)) = value.split_at_checked(MEDIA_TYPE.len()) else {
            return Self::Http;
        };
        let ends = matches!(end.first(), None | Some(b'+' | b';' | b' '));
        if start.eq_ignore_ascii_case(MEDIA_TYPE) && ends { Self::Grpc } else { Self::Http }
    }
}

/// The whole answer to a call that is not served.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Bytes> {
    let kind = refusal.kind();
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let detail = refusal.detail();
    write(code(kind), detail.as_deref().unwrap_or(kind.title()), headers);
    refusal.fields(headers);
    response
}

/// The trailers of a call whose answer broke off.
pub(crate) fn broke_off() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    write(UNAVAILABLE, "The answer broke off.", &mut trailers);
    trailers
}

fn write(code: u8, message: &str, out: &mut HeaderMap) {
    out.insert(STATUS, HeaderValue::from(u16::from(code)));
    out.extend(HeaderValue::try_from(encoded(message)).ok().map(|message| (MESSAGE, message)));
}

/// The code of gRPC for `kind`, by its status of HTTP.
const fn code(kind: Kind) -> u8 {
    match kind.status() {
        400 | 414 => 3,
        401 => 16,
        403 => 7,
        404 | 405 | 501 => 12,
        408 | 504 => 4,
        413 | 429 | 431 => 8,
        502 | 503 => UNAVAILABLE,
        500..=599 => 13,
        _ => 2,
    }
}

/// A message as gRPC has it: what is not printable ASCII, and the percent sign, in hexadecimal.
fn encoded(message: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(HEX.get(usize::from(nibble)).copied().unwrap_or_default());
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | 0..b' ' | 0x7f.. => out.extend(['%', digit(byte >> 4), digit(byte & 15)]),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_printable_ascii() {
        assert_eq!(encoded("50% f\u{fc}r\n~ "), "50%25 f%C3%BCr%0A~ ");
    }

    #[test]
    fn only_grpc_itself_is_told_in_its_words() {
        for (value, dialect) in [
            ("application/grpc", Dialect::Grpc),
            ("application/GRPC+proto", Dialect::Grpc),
            ("application/grpc;charset=x", Dialect::Grpc),
            ("application/grpc-web", Dialect::Http),
            ("application/grp", Dialect::Http),
            ("application/json", Dialect::Http),
        ] {
            assert_eq!(Dialect::of_type(value.as_bytes()), dialect, "{value}");
        }
    }

    #[test]
    fn each_refusal_has_its_code() {
        for (kind, expected) in [
            (Kind::BadRequest, 3),
            (Kind::BadToken, 16),
            (Kind::Forbidden, 7),
            (Kind::NotFound, 12),
            (Kind::MethodNotAllowed, 12),
            (Kind::RequestTimeout, 4),
            (Kind::UpstreamTimeout, 4),
            (Kind::BodyTooLarge, 8),
            (Kind::RateLimited, 8),
            (Kind::UpstreamUnreachable, 14),
            (Kind::UpstreamFailed, 14),
            (Kind::Overloaded, 14),
            (Kind::Internal, 13),
            (Kind::Loop, 13),
            (Kind::ExpectationFailed, 2),
        ] {
            assert_eq!(code(kind), expected, "{kind:?}");
        }
    }
}
