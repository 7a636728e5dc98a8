//! What goes on is read back, by us and by hyper, as just the fields that were meant, with one framing.

use std::time::Duration;

use super::message::Values;
use super::{ours, peer};
use crate::head::{Head, Scratch, Sink};
use crate::limits::Framing;
use crate::rewrite;
use crate::route::{self, Forward, Matcher, Method, UpstreamId};
use crate::wire::{self, AnswerHead, status_line};

/// A head that is written, and the fields that were meant to be in it.
#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    meant: Values,
}

impl Sink for Written {
    fn put(&mut self, name: &str, value: &[u8]) {
        self.bytes.put(name, value);
        self.meant.put(name, value);
    }
}

/// A request with `head`, whose body is delimited as `framing` says.
pub(super) fn request(head: &Head<'_>, framing: Framing) {
    let Ok(path) = route::Path::canonical(head.target) else { return };
    if head.method == "CONNECT" {
        return;
    }
    let forward = Forward {
        upstream: UpstreamId(0),
        rewrite: Some("/".into()),
        response_timeout: Duration::ZERO,
        websocket: false,
        protocol: crate::config::Protocol::Http1,
    };
    let mut out = Written::default();
    out.bytes.extend_from_slice(head.method.as_bytes());
    out.bytes.push(b' ');
    forward.write_target(&Matcher::Prefix("/a".into()), &path, &mut out.bytes);
    out.bytes.extend_from_slice(b" HTTP/1.1\r\n");
    rewrite::carried(head, rewrite::ENDS_HERE, Method::of(head.method), &mut out);
    out.bytes.extend_from_slice(b"\r\n");
    let scratch = Scratch::default();
    let Ok(Some(parsed)) = wire::request(&out.bytes, &ours::limits(), &scratch) else {
        panic!("what goes on is no request: {:?}", String::from_utf8_lossy(&out.bytes));
    };
    assert_eq!(parsed.length, out.bytes.len(), "what goes on is more than a head");
    let is_same = parsed.framing == framing
        || (framing == Framing::Empty && parsed.framing == Framing::Length(0));
    assert!(is_same, "{framing:?} goes on as {:?}", parsed.framing);
    let lines = out.meant.lines("content-length") + out.meant.lines("transfer-encoding");
    assert!(lines <= 1, "two framings go on");
    assert_eq!(Values::of(parsed.head().fields), out.meant);
    let reading = peer::requests(&out.bytes);
    let [read] = reading.messages.as_slice() else { panic!("hyper does not read {out:?}") };
    assert_eq!(read.fields, out.meant, "as hyper reads what goes on");
}

/// An answer with `head`.
pub(super) fn answer(head: &AnswerHead<'_>) {
    let mut out = Written::default();
    status_line(head.status, head.reason, &mut out.bytes);
    rewrite::interim(&head.fields, &mut out);
    out.bytes.extend_from_slice(b"\r\n");
    let scratch = Scratch::default();
    let Ok(Some(read)) = wire::answer(&out.bytes, &scratch, Method::Head) else {
        panic!("what goes on is no answer: {:?}", String::from_utf8_lossy(&out.bytes));
    };
    assert_eq!(read.length, out.bytes.len(), "what goes on is more than a head");
    assert_eq!((read.status, read.reason), (head.status, head.reason));
    assert_eq!(Values::of(read.fields.list()), out.meant);
}
