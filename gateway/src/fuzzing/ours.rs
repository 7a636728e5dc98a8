//! Reads as the lean way does: heads where they lie, bodies on their way, in whatever pieces come.

use std::time::Duration;

use super::message::{self, End, Message, Reading, Rest, Values};
use super::onward;
use crate::head::Scratch;
use crate::lean::body::Body;
use crate::limits::{Framing, Limits};
use crate::pool::HEAD_BYTES_MAX;
use crate::route::Method;
use crate::wire::{self, AnswerFraming};

/// Most interim answers, as on the lean way.
const INTERIM_MAX: usize = 16;

/// What is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Requests,
    /// The answer to a request by this method.
    Answer(Method),
}

/// The bounds of a head; as they are shipped.
pub(super) const fn limits() -> Limits {
    const ANY: Duration = Duration::from_secs(1);
    Limits {
        uri_bytes_max: 8192,
        head_bytes_max: 32_768,
        head_fields_max: 100,
        body_bytes_max: u64::MAX,
        connections_max: 1,
        in_flight_max: 1,
        head_timeout: ANY,
        keep_alive_timeout: ANY,
        body_idle_timeout: ANY,
        tunnel_idle_timeout: ANY,
        tunnel_half_close_timeout: ANY,
        tunnel_total_timeout: ANY,
        tunnel_close_timeout: ANY,
    }
}

/// What a connection says in `pieces`, before it ends.
pub(super) fn read(of: Of, pieces: &[&[u8]]) -> Reading {
    let mut reader = Reader {
        of,
        kept: Vec::new(),
        judged: 0,
        current: None,
        interim: 0,
        is_over: false,
        reading: Reading { messages: Vec::new(), rest: Rest::Nothing, keeps: false },
    };
    for piece in pieces {
        reader.kept.extend_from_slice(piece);
        while !reader.is_over && reader.step() {}
    }
    reader.end()
}

struct Reader {
    of: Of,
    kept: Vec<u8>,
    /// How many of the kept bytes are known to be no whole head.
    judged: usize,
    current: Option<(Message, Body)>,
    interim: usize,
    is_over: bool,
    reading: Reading,
}

/// What stands at the beginning of some bytes.
enum Begins {
    /// A message, of which the head has so many bytes.
    Message(usize, Message, Body),
    Interim(usize),
    Partial,
    Refused,
}

impl Reader {
    /// Takes what can be taken; says whether it may be asked again.
    fn step(&mut self) -> bool {
        if self.current.is_some() { self.body() } else { self.has_news() && self.head() }
    }

    /// Whether the kept bytes may be a whole head now; as on the lean way, one that comes byte by byte
    /// is not parsed again for each of them.
    fn has_news(&mut self) -> bool {
        let judged = std::mem::replace(&mut self.judged, self.kept.len());
        let news = self.kept.get(judged.saturating_sub(3)..).unwrap_or_default();
        let is_too_long = self.kept.len() > limits().head_bytes_max;
        let has = judged == 0 || is_too_long || wire::ends_a_head(news);
        if has {
            // What is found now may not have been overlooked before.
            self.judged = judged;
        }
        has && !self.kept.is_empty()
    }

    fn head(&mut self) -> bool {
        let begins = match self.of {
            Of::Requests => request(&self.kept),
            Of::Answer(method) => self.answer(method),
        };
        match begins {
            Begins::Message(length, message, body) => {
                self.takes(length);
                self.current = Some((message, body));
            }
            Begins::Interim(length) => self.takes(length),
            Begins::Partial => {
                self.judged = self.kept.len();
                return false;
            }
            Begins::Refused => {
                self.reading.rest = Rest::Refused;
                self.is_over = true;
            }
        }
        true
    }

    /// A head of `length` bytes is whole, and was not before.
    fn takes(&mut self, length: usize) {
        assert!(length > self.judged, "a head was whole before that was seen");
        self.judged = 0;
        self.kept.drain(..length);
    }

    fn body(&mut self) -> bool {
        let Some((message, body)) = &mut self.current else { return false };
        let Ok(taken) = body.take(&mut self.kept) else {
            message.end = End::Broken;
            // How much of it went on before that was noticed depends on the cuts.
            message.body.clear();
            self.finish();
            self.is_over = true;
            return true;
        };
        assert!(taken.kept <= taken.read && taken.read <= self.kept.len());
        assert!(taken.data <= taken.kept as u64);
        message.body.extend_from_slice(self.kept.get(..taken.kept).unwrap_or_default());
        self.kept.drain(..taken.read);
        if !body.is_done() {
            assert!(self.kept.is_empty(), "a body leaves bytes behind before its end");
            return false;
        }
        message.end = End::Whole;
        self.finish();
        true
    }

    fn finish(&mut self) {
        let Some((message, _)) = self.current.take() else { return };
        self.reading.messages.push(message);
        self.is_over = matches!(self.of, Of::Answer(_));
    }

    /// Nothing more comes.
    fn end(mut self) -> Reading {
        if !self.is_over && self.current.is_none() && !self.kept.is_empty() {
            self.head();
        }
        if let Some((message, Body::UntilClose)) = &mut self.current {
            message.end = End::Whole;
        }
        let is_whole = self.reading.messages.iter().all(|message| message.end == End::Whole);
        // Whatever stands behind an answer would be taken for the next one.
        self.reading.keeps &= is_whole && self.kept.is_empty() && self.current.is_none();
        if self.current.is_some() {
            self.finish();
        } else if !self.is_over && !self.kept.is_empty() {
            self.reading.rest = Rest::Partial;
        }
        self.reading
    }

    fn answer(&mut self, method: Method) -> Begins {
        let scratch = Scratch::default();
        let Ok(parsed) = wire::answer(&self.kept, &scratch, method) else { return Begins::Refused };
        let Some(head) = parsed else {
            let is_too_long = self.kept.len() > HEAD_BYTES_MAX;
            return if is_too_long { Begins::Refused } else { Begins::Partial };
        };
        if head.length > HEAD_BYTES_MAX || head.status == 101 || self.interim > INTERIM_MAX {
            return Begins::Refused;
        }
        onward::answer(&head);
        if head.status < 200 {
            self.interim += 1;
            return Begins::Interim(head.length);
        }
        let line = format!("{} {:?}", head.status, head.reason);
        let mut message = Message::new(line, Values::of(head.fields.list()));
        message.is_chunked = head.framing == AnswerFraming::Chunked;
        message.is_last = true;
        self.reading.keeps = head.keeps;
        Begins::Message(head.length, message, head.framing.into())
    }
}

fn request(bytes: &[u8]) -> Begins {
    let (limits, scratch) = (limits(), Scratch::default());
    let parsed = match wire::request(bytes, &limits, &scratch) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => {
            assert!(bytes.len() <= limits.head_bytes_max, "a head without an end is waited for");
            return Begins::Partial;
        }
        Err(_) => return Begins::Refused,
    };
    let head = parsed.head();
    onward::request(&head, parsed.framing);
    let mut message = Message::new(message::request_line(&head), Values::of(head.fields));
    message.is_chunked = parsed.framing == Framing::Chunked;
    message.is_last = message::is_last(&head);
    Begins::Message(parsed.length, message, parsed.framing.into())
}
