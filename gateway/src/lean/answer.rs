//! An upstream's answer as the caller gets it: its head is rewritten in the buffer that it was read
//! into, right before what came with it of the body, so that both go out in one piece.

use std::ops::Range;

use super::body::Body;
use super::job::Job;
use crate::core::Core;
use crate::head::{Seen, Sink as _};
use crate::rewrite::{self, Maker};
use crate::wire::{After, AnswerFraming, AnswerHead, Broken, status_line};

/// Room before what is read, for a head that grows on its way, in bytes.
pub(super) const HEADROOM: usize = 2048;
/// Room behind it, for the end of a chunk, in bytes.
pub(super) const TAILROOM: usize = CHUNK_END.len();
/// The end of a chunk.
const CHUNK_END: &[u8] = b"\r\n";
/// The end of a chunked body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the head that the caller gets.
pub(super) fn rewrite(head: &AnswerHead<'_>, core: &Core, job: &mut Job<'_>, out: &mut Vec<u8>) {
    if core.is_closing() {
        job.after = After::Closes;
    }
    let no_length = match head.status {
        204 => Seen::CONTENT_LENGTH,
        _ => Seen::default(),
    };
    status_line(head.status, head.reason, out);
    rewrite::answer(&head.fields, Maker::Upstream(job.audience), no_length, &job.visit, out);
    if !head.fields.seen().has(Seen::DATE) {
        out.put("date", &core.date.at(job.visit.at()));
    }
    if matches!(head.framing, AnswerFraming::Chunked | AnswerFraming::UntilClose) {
        out.put("transfer-encoding", b"chunked");
    }
    if job.after == After::Closes {
        out.put("connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
    job.visit.answered(head.status);
}

/// What of a part of an answer's body goes out.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Where it stands in the buffer.
    pub part: Range<usize>,
    /// How much of it is data.
    pub data: u64,
    /// Whether the upstream sent more than belongs to the answer.
    pub is_over_long: bool,
}

/// Takes the part of the body that stands in `part` of `buffer`, and makes it what goes out: a body
/// that only the connection's end delimits is chunked, so that the caller can tell its end from a
/// failure (RFC 9112 section 8).
pub(super) fn take(
    body: &mut Body,
    buffer: &mut [u8],
    part: Range<usize>,
) -> Result<Outgoing, Broken> {
    let bytes = buffer.get_mut(part.clone()).unwrap_or_default();
    let taken = body.take(bytes)?;
    let is_over_long = taken.read < bytes.len();
    let kept = part.start..part.start + taken.kept;
    let part = match body {
        Body::UntilClose if taken.kept > 0 => chunk(buffer, kept),
        Body::UntilClose | Body::Length(_) | Body::Chunked(_) => kept,
    };
    Ok(Outgoing { part, data: taken.data, is_over_long })
}

/// Makes a chunk of `part` of `buffer`, which has room around it.
fn chunk(buffer: &mut [u8], part: Range<usize>) -> Range<usize> {
    let size = format!("{:x}\r\n", part.len());
    let start = part.start.saturating_sub(size.len());
    put(buffer, start, size.as_bytes());
    put(buffer, part.end, CHUNK_END);
    start..part.end + CHUNK_END.len()
}

/// Copies `bytes` to `at` in `buffer`; they fit by the size of its rooms.
pub(super) fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    let room = buffer.get_mut(at..).unwrap_or_default();
    room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_connections_end_delimits_is_chunked() {
        let mut buffer = vec![b'.'; 40];
        put(&mut buffer, 10, b"hello world, hello");
        let outgoing = take(&mut Body::UntilClose, &mut buffer, 10..28).unwrap();
        assert_eq!(&buffer[outgoing.part], b"12\r\nhello world, hello\r\n");
        assert_eq!((outgoing.data, outgoing.is_over_long), (18, false));
    }

    #[test]
    fn what_is_too_much_is_noticed() {
        let mut buffer = b"..helloHTTP".to_vec();
        let mut body = Body::Length(5);
        let outgoing = take(&mut body, &mut buffer, 2..11).unwrap();
        assert_eq!((outgoing.part, outgoing.is_over_long), (2..7, true));
        assert!(body.is_done());
    }
}
