//! HTTP/1.1 as it stands on the wire, read to the letter (RFC 9112): what another parser might read
//! differently is refused, so that nobody behind the gateway ever sees it.

mod answer;
mod chunks;
mod date;
mod whole;

use std::mem::MaybeUninit;

use crate::head::{Fields, Head, Scratch};
use crate::limits::{self, Framing, Limits};
use crate::refusal::Refusal;

pub(crate) use answer::{AnswerFraming, AnswerHead, answer, answer_framing};
pub(crate) use chunks::{Broken, Chunks, Stripped};
pub(crate) use date::Date;
pub(crate) use whole::{After, status_line, whole};

/// Most field lines that are parsed: as many as hyper reads, so that both ways see the same messages.
const FIELDS_MAX: usize = 100;
/// What a connection of HTTP/2 begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest body that can be announced, in bytes: whoever counts in 63 bits would take a longer one for
/// less than nothing.
const LENGTH_MAX: u64 = u64::MAX >> 1;

/// A request's head that stands at the beginning of some bytes.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    line: Line<'a>,
    fields: Fields<'a>,
    /// Of the head, with its empty line.
    pub length: usize,
    pub framing: Framing,
}

/// The request line.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    method: &'a str,
    target: &'a str,
    version: u8,
}

impl Parsed<'_> {
    pub(crate) fn head(&self) -> Head<'_> {
        Head::of_raw(self.line.method, self.line.target, self.line.version, &self.fields)
    }
}

/// The head of a request at the beginning of `bytes`; `None` while it is not whole.
pub(crate) fn request<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    scratch: &'a Scratch,
) -> Result<Option<Parsed<'a>>, Refusal> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(length)) if length <= limits.head_bytes_max => length,
        Ok(httparse::Status::Partial) if bytes.len() <= limits.head_bytes_max => return Ok(None),
        Ok(_) if is_target_too_long(bytes, limits.uri_bytes_max) => {
            return Err(Refusal::UriTooLong { max: limits.uri_bytes_max });
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(limits::too_large(limits)),
        Err(error) => return Err(Refusal::Malformed(broken(error))),
    };
    if has_bare_line_feed(bytes.get(..length).unwrap_or_default()) {
        return Err(Refusal::Malformed("Lines have to end in CR LF."));
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed("The head is broken."));
    };
    let fields = scratch.raw_fields(request.headers);
    let line = Line { method, target, version };
    let head = Head::of_raw(method, target, version, &fields);
    limits::sizes(&head, limits)?;
    limits::target(method, target)?;
    let framing = limits::framing(&head)?;
    Ok(Some(Parsed { line, fields, length, framing }))
}

/// Whether `bytes` begin as a connection of HTTP/2 does.
pub(crate) fn is_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// Whether more bytes may yet make `bytes` the beginning of such a connection.
pub(crate) fn may_be_preface(bytes: &[u8]) -> bool {
    PREFACE.starts_with(bytes)
}

/// A length as `Content-Length` has it: digits and nothing else (RFC 9110 section 8.6).
pub(crate) fn length(text: &[u8]) -> Option<u64> {
    let digits = |text: &&[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let length = Some(text).filter(digits).and_then(|text| str::from_utf8(text).ok()?.parse().ok());
    length.filter(|length| *length <= LENGTH_MAX)
}

/// Whether an empty line stands in `bytes`: what tells that a head may be whole.
pub(crate) fn ends_a_head(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|end| end == b"\n\r\n")
}

/// Whether it is the target that makes the head too long.
fn is_target_too_long(bytes: &[u8], max: usize) -> bool {
    let line = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    bytes
        .get(..line)
        .unwrap_or_default()
        .split(|b| *b == b' ')
        .nth(1)
        .is_some_and(|t| t.len() > max)
}

const fn broken(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "A field's name is broken.",
        httparse::Error::HeaderValue => "A field's value is broken.",
        httparse::Error::NewLine => "Lines have to end in CR LF.",
        httparse::Error::Token => "The request line is broken.",
        httparse::Error::Version => "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
        httparse::Error::Status | httparse::Error::TooManyHeaders => "The head is broken.",
    }
}

/// Goes over every byte without a branch, which the compiler turns into wide steps.
fn has_bare_line_feed(head: &[u8]) -> bool {
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    let bare = pairs.map(|(before, byte)| u8::from(*byte == b'\n') & u8::from(*before != b'\r'));
    head.first() == Some(&b'\n') || bare.fold(0, |all, one| all | one) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_feed_is_seen_wherever_it_stands() {
        for (head, bare) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", true),
            ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ] {
            assert_eq!(has_bare_line_feed(head.as_bytes()), bare, "{head:?}");
        }
    }
}
