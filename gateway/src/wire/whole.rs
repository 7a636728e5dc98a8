//! Answers of the gateway's own as bytes: for the lean way, and for whoever never got as far as a
//! request.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::core::Core;
use crate::head::{Seen, Sink as _};
use crate::rewrite::{self, Maker};
use crate::route::Method;
use crate::visit::Visit;

/// What becomes of a connection after an answer (RFC 9112 section 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keeps,
    Closes,
}

/// Writes `response` to `out`, as the answer to the request of `visit`, which it completes.
pub(crate) fn whole(
    response: &Response<Bytes>,
    visit: &mut Visit,
    core: &Core,
    after: After,
    out: &mut Vec<u8>,
) {
    let status = response.status();
    status_line(status.as_u16(), status.canonical_reason().unwrap_or_default(), out);
    let fields = core.scratch.fields(response.headers());
    rewrite::answer(&fields, Maker::Gateway, Seen::default(), visit, out);
    out.put("date", &core.date.at(visit.at()));
    let body = response.body();
    if status != StatusCode::NO_CONTENT {
        out.put("content-length", body.len().to_string().as_bytes());
    }
    if after == After::Closes {
        out.put("connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
    visit.answered(status.as_u16());
    if visit.method != Method::Head {
        out.extend_from_slice(body);
        visit.bytes_out = body.len() as u64;
    }
}

/// Writes a status line (RFC 9112 section 4).
pub(crate) fn status_line(status: u16, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    let digits = [status / 100, status / 10, status].map(|d| u8::try_from(d % 10).unwrap_or(0));
    out.extend(digits.map(|digit| b'0' + digit));
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_has_three_digits_and_a_reason_or_none() {
        let mut out = Vec::new();
        status_line(200, "OK", &mut out);
        status_line(599, "", &mut out);
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nHTTP/1.1 599 \r\n");
    }
}
