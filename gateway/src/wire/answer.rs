//! The head of an upstream's answer, read to the letter: an upstream that could be read in two ways
//! is not believed (RFC 9112 sections 4 to 6).

use std::mem::MaybeUninit;

use super::FIELDS_MAX;
use crate::head::{Fields, Scratch, Seen, tokens};
use crate::route::Method;

/// An answer's head that stands at the beginning of some bytes.
#[derive(Debug)]
pub(crate) struct AnswerHead<'a> {
    pub status: u16,
    pub reason: &'a str,
    pub fields: Fields<'a>,
    /// Of the head, with its empty line.
    pub length: usize,
    pub framing: AnswerFraming,
    /// Whether the upstream keeps the connection.
    pub keeps: bool,
}

/// How an answer's body is delimited (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerFraming {
    /// There is none, whatever the fields say.
    None,
    Length(u64),
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// Reads the status line and fields at the beginning of `bytes`, the answer to a request by `method`;
/// `None` while they are not whole. An error says what is wrong.
pub(crate) fn answer<'a>(
    bytes: &'a [u8],
    scratch: &'a Scratch,
    method: Method,
) -> Result<Option<AnswerHead<'a>>, &'static str> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut slots)
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => "its answer has too many fields",
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version => "its answer is not HTTP/1.1",
        })?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err("its answer has no status line");
    };
    if status < 100 {
        return Err("its status is no status");
    }
    let fields = scratch.raw_fields(response.headers);
    let framing = answer_framing(&fields, status, version, method)?;
    // One that announces a body where none may be perhaps sends it, too.
    let announced = Seen::TRANSFER_ENCODING.and(Seen::CONTENT_LENGTH);
    let is_odd = status == 204 && fields.seen().has_any(announced);
    let keeps =
        version == 1 && framing != AnswerFraming::UntilClose && !is_odd && !says_close(&fields);
    let reason = response.reason.unwrap_or_default();
    Ok(Some(AnswerHead { status, reason, fields, length, framing, keeps }))
}

fn says_close(fields: &Fields<'_>) -> bool {
    fields.seen().has(Seen::CONNECTION)
        && of_kind(fields, Seen::CONNECTION)
            .flat_map(tokens)
            .any(|token| token.eq_ignore_ascii_case(b"close"))
}

fn of_kind<'a>(fields: &Fields<'a>, kind: Seen) -> impl Iterator<Item = &'a [u8]> {
    fields.list().iter().filter(move |field| field.kind.has(kind)).map(|field| field.value)
}

/// How the body of an answer with `fields` to a request by `method` is delimited, if everybody reads that
/// alike. An error says what is wrong.
pub(crate) fn answer_framing(
    fields: &Fields<'_>,
    status: u16,
    version: u8,
    method: Method,
) -> Result<AnswerFraming, &'static str> {
    let coded = fields.seen().has(Seen::TRANSFER_ENCODING);
    let sized = fields.seen().has(Seen::CONTENT_LENGTH);
    if coded && sized {
        return Err("its answer has both Content-Length and Transfer-Encoding");
    }
    let length = if sized { Some(content_length(fields)?) } else { None };
    if coded {
        chunked(fields, version)?;
    }
    if method == Method::Head || status < 200 || status == 204 || status == 304 {
        return Ok(AnswerFraming::None);
    }
    Ok(match length {
        _ if coded => AnswerFraming::Chunked,
        Some(length) => AnswerFraming::Length(length),
        None => AnswerFraming::UntilClose,
    })
}

fn chunked(fields: &Fields<'_>, version: u8) -> Result<(), &'static str> {
    let mut lines = of_kind(fields, Seen::TRANSFER_ENCODING);
    match (lines.next(), lines.next()) {
        (Some(value), None) if version == 1 && value.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("its answer has a transfer coding that nobody asked for"),
    }
}

fn content_length(fields: &Fields<'_>) -> Result<u64, &'static str> {
    let mut lines = of_kind(fields, Seen::CONTENT_LENGTH);
    let (Some(value), None) = (lines.next(), lines.next()) else {
        return Err("its answer has more than one Content-Length");
    };
    super::length(value).ok_or("its Content-Length is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str, method: Method) -> Result<Option<(AnswerFraming, bool)>, &'static str> {
        let scratch = Scratch::default();
        let answer = answer(head.as_bytes(), &scratch, method)?;
        Ok(answer.map(|answer| (answer.framing, answer.keeps)))
    }

    #[test]
    fn an_answer_has_as_many_fields_as_hyper_reads() {
        for (count, is_read) in [(100, true), (101, false)] {
            let head = format!("HTTP/1.1 204 \r\n{}\r\n", "A: b\r\n".repeat(count));
            assert_eq!(read(&head, Method::Get).is_ok(), is_read, "{count}");
        }
    }

    #[test]
    fn an_answers_body_is_delimited_by_one_rule() {
        use AnswerFraming::{Chunked, Length, None as Nothing, UntilClose};
        for (line, fields, expected) in [
            ("1.1 200 OK", "Content-Length: 5\r\n", Some((Length(5), true))),
            (
                "1.1 200 OK",
                "Content-Length: 5\r\nConnection: a, Close\r\n",
                Some((Length(5), false)),
            ),
            ("1.1 200 OK", "Transfer-Encoding: Chunked\r\n", Some((Chunked, true))),
            ("1.1 200 OK", "", Some((UntilClose, false))),
            ("1.1 204 No Content", "", Some((Nothing, true))),
            ("1.1 204 No Content", "Content-Length: 5\r\n", Some((Nothing, false))),
            ("1.1 304 Not Modified", "Content-Length: 5\r\n", Some((Nothing, true))),
            ("1.0 200 OK", "Content-Length: 5\r\n", Some((Length(5), false))),
            ("1.0 200 OK", "Transfer-Encoding: chunked\r\n", None),
            ("1.1 200 OK", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None),
            ("1.1 200 OK", "Content-Length: 5\r\nContent-Length: 5\r\n", None),
            ("1.1 200 OK", "Content-Length: 5\r\nContent-Length: 6\r\n", None),
            ("1.1 200 OK", "Content-Length: 5, 5\r\n", None),
            ("1.1 200 OK", "Content-Length: -5\r\n", None),
            ("1.1 200 OK", "Content-Length: 9223372036854775808\r\n", None),
            ("1.1 200 OK", "Transfer-Encoding: gzip, chunked\r\n", None),
            ("1.1 200 OK", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", None),
            ("1.1 099 Odd", "Content-Length: 5\r\n", None),
        ] {
            let head = format!("HTTP/{line}\r\n{fields}\r\n");
            assert_eq!(read(&head, Method::Get).ok().flatten(), expected, "{head:?}");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read(head, Method::Head), Ok(Some((Nothing, true))));
        assert_eq!(read("HTTP/1.1 200 OK\r\nA: ", Method::Get), Ok(None));
        assert!(read("HTTP/2 200 OK\r\n\r\n", Method::Get).is_err());
    }
}
