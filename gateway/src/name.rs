//! What a request is called: its id and its trace context, the caller's own where they are good.

use std::cell::RefCell;
use std::ops::Range;

use chassis::Random;
use contract::caller::{REQUEST_ID, TRACEPARENT};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::head::{Head, Seen};

/// Longest request id ([`chassis::hop::is_request_id`]), in bytes.
const ID_BYTES_MAX: usize = 64;
/// Of an id that is made here.
const ID_BYTES: usize = 32;
/// Length of a `traceparent` (W3C Trace Context section 3.2.2).
const TRACE_BYTES: usize = 55;
/// Where the trace's id stands in it.
const TRACE_ID: Range<usize> = 3..35;
/// Where the id of whoever calls stands in it.
const PARENT_ID: Range<usize> = 36..52;

/// Makes names for requests.
#[derive(Debug)]
pub(crate) struct Names(RefCell<StdRng>);

/// What a request is called. Held in place, since every request has one.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    id: [u8; ID_BYTES_MAX],
    id_bytes: usize,
    trace: [u8; TRACE_BYTES],
    /// Whether the trace is the caller's, whose `tracestate` then belongs to it.
    pub keeps_trace: bool,
}

impl Names {
    pub(crate) fn new(random: &Random) -> Self {
        Self(RefCell::new(StdRng::from_seed(random.bytes())))
    }

    /// The name of the request with `head`.
    pub(crate) fn of(&self, head: &Head<'_>) -> Name {
        let mut name = self.make();
        if head.seen.has(Seen::REQUEST_ID)
            && let Some(id) = only(head, REQUEST_ID).filter(|id| chassis::hop::is_request_id(id))
        {
            name.id.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
            name.id_bytes = id.len();
        }
        if head.seen.has(Seen::TRACE_PARENT)
            && let Some(trace) = only(head, TRACEPARENT).filter(|trace| is_traceparent(trace))
        {
            name.trace.iter_mut().zip(trace).for_each(|(to, from)| *to = *from);
            name.keeps_trace = true;
        }
        name
    }

    /// A request id, which is also the trace's (W3C Trace Context section 3.2).
    pub(crate) fn make(&self) -> Name {
        let mut random = [0; 24];
        self.0.borrow_mut().fill_bytes(&mut random);
        let (trace_id, parent_id) = random.split_at(16);
        let mut trace = *b"00-________________________________-________________-01";
        write_hex(trace_id, trace.get_mut(TRACE_ID));
        write_hex(parent_id, trace.get_mut(PARENT_ID));
        let mut id = [0; ID_BYTES_MAX];
        let made = trace.get(TRACE_ID).unwrap_or_default();
        id.iter_mut().zip(made).for_each(|(to, from)| *to = *from);
        Name { id, id_bytes: ID_BYTES, trace, keeps_trace: false }
    }
}

impl Name {
    /// As in `X-Request-Id`: characters that need no care anywhere.
    pub(crate) fn request_id(&self) -> &[u8] {
        self.id.get(..self.id_bytes).unwrap_or_default()
    }

    /// As [`Name::request_id`].
    pub(crate) fn request_id_text(&self) -> &str {
        str::from_utf8(self.request_id()).unwrap_or_default()
    }

    pub(crate) const fn traceparent(&self) -> &[u8] {
        &self.trace
    }
}

/// Writes `bytes` in hexadecimal.
fn write_hex(bytes: &[u8], out: Option<&mut [u8]>) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    let pairs = out.unwrap_or_default().chunks_exact_mut(2);
    for (pair, byte) in pairs.zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// The field `name`, if it stands there once.
fn only<'a>(head: &Head<'a>, name: &str) -> Option<&'a [u8]> {
    let mut lines = head.all(name);
    lines.next().filter(|_| lines.next().is_none())
}

/// `00-<32 hexadecimal digits>-<16>-<2>`, neither id zero (W3C Trace Context section 3.2.2).
fn is_traceparent(text: &[u8]) -> bool {
    let mut parts = text.split(|b| *b == b'-');
    let hex = |part: Option<&[u8]>, length: usize| {
        part.is_some_and(|part| {
            part.len() == length && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let zero = |range| text.get(range).is_none_or(|id: &[u8]| id.iter().all(|b| *b == b'0'));
    text.len() == TRACE_BYTES
        && parts.next() == Some(b"00")
        && hex(parts.next(), 32)
        && hex(parts.next(), 16)
        && hex(parts.next(), 2)
        && !zero(TRACE_ID)
        && !zero(PARENT_ID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::both_ways;

    #[test]
    fn a_made_name_fits_its_fields_and_is_made_once() {
        let names = Names::new(&Random::seeded(1));
        let (one, two) = (names.make(), names.make());
        let trace = str::from_utf8(one.traceparent()).unwrap();
        assert_eq!(one.request_id().len(), ID_BYTES);
        assert!(is_traceparent(trace.as_bytes()), "{trace}");
        assert!(trace.starts_with(&format!("00-{}-", one.request_id_text())), "{trace}");
        assert_ne!(one.request_id(), two.request_id());
    }

    #[test]
    fn a_callers_name_is_kept_where_it_is_good() {
        let names = Names::new(&Random::seeded(1));
        let long = "x".repeat(ID_BYTES_MAX);
        for (fields, kept) in [
            ("X-Request-Id: abc\r\n".to_owned(), Some("abc")),
            (format!("X-Request-Id: {long}\r\n"), Some(&*long)),
            (format!("X-Request-Id: {long}x\r\n"), None),
            ("X-Request-Id: a b\r\n".to_owned(), None),
            ("X-Request-Id: a\r\nX-Request-Id: b\r\n".to_owned(), None),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let is_kept = both_ways(&head, |head| {
                let name = names.of(head);
                kept.map_or(name.id_bytes == ID_BYTES, |kept| name.request_id_text() == kept)
            });
            assert!(is_kept, "{fields:?}");
        }
    }

    #[test]
    fn a_traceparent_is_taken_to_the_letter() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good.as_bytes()));
        for bad in [
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}
