//! Messages as somebody has read them, in a form that can be compared.

use std::collections::BTreeMap;

use crate::head::{Field, Head, Sink, Version};
use crate::limits;
use crate::route::Path;
use crate::way::Way;

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// The bytes ended before it.
    CutOff,
    /// Its body breaks the rules.
    Broken,
}

/// The values of each field as literals, by its name in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Values(BTreeMap<String, Vec<String>>);

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its first line, and whatever is known by its head alone.
    pub line: String,
    pub fields: Values,
    /// As it goes on: chunked if the message is.
    pub body: Vec<u8>,
    pub is_chunked: bool,
    pub end: End,
    /// Nothing behind it belongs to anybody.
    pub is_last: bool,
}

/// What follows the last message of which the head is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Part of a head.
    Partial,
    Refused,
}

/// What a connection's bytes are to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub messages: Vec<Message>,
    pub rest: Rest,
    /// Whether the connection may be used again.
    pub keeps: bool,
}

impl Message {
    /// A message whose body is still to come.
    pub(super) const fn new(line: String, fields: Values) -> Self {
        Self { line, fields, body: Vec::new(), is_chunked: false, end: End::CutOff, is_last: false }
    }

    /// The body without its chunks, which are as plain as they can be.
    pub(super) fn data(&self) -> Vec<u8> {
        if !self.is_chunked {
            return self.body.clone();
        }
        let (mut rest, mut data) = (self.body.as_slice(), Vec::new());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\r') {
            let (size, tail) = rest.split_at(end);
            let size =
                str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
            let Some(size) = size else { panic!("no chunk size in {:?}", self.body) };
            let tail = tail.get(2..).unwrap_or_default();
            let size = usize::try_from(size).unwrap_or(usize::MAX).min(tail.len());
            let (chunk, tail) = tail.split_at(size);
            data.extend_from_slice(chunk);
            rest = tail.get(2..).unwrap_or_default();
        }
        data
    }
}

impl Values {
    pub(super) fn of<'a>(fields: impl IntoIterator<Item = &'a Field<'a>>) -> Self {
        let mut values = Self::default();
        fields.into_iter().for_each(|field| values.put(field.name, field.value));
        values
    }

    /// How many lines there are called `name`.
    pub(super) fn lines(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, Vec::len)
    }
}

impl Sink for Values {
    fn put(&mut self, name: &str, value: &[u8]) {
        let lines = self.0.entry(name.to_ascii_lowercase()).or_default();
        lines.push(value.escape_ascii().to_string());
    }
}

/// What the doors see of a request, and what they make of it.
pub(super) fn request_line(head: &Head<'_>) -> String {
    let Head { method, target, authority, version, seen, .. } = head;
    if *method == "CONNECT" {
        // Its target has a form of its own, and is refused whatever it is.
        return format!("CONNECT {version:?}");
    }
    let checked = limits::check(head).map_err(|refusal| refusal.kind());
    let path = Path::canonical(target).map_err(|refusal| refusal.kind());
    let way = Way::of(head);
    format!("{method} {authority:?} {target} {version:?} {seen:?} {checked:?} {path:?} {way:?}")
}

/// Whether whoever sent `head` expects nothing more from the connection.
pub(super) fn is_last(head: &Head<'_>) -> bool {
    head.method == "CONNECT" || head.version == Version::Http10 || head.lists("connection", "close")
}
