//! How an event looks in NATS: the channel is the subject, the rest is JSON; and what was revoked, all
//! of which has one subject. Nothing that comes in is trusted.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use contract::internal::Ring;
use contract::revocation::Revocations;
use contract::{Channel, Event};

use crate::revocation::is_sound;

/// Longest epoch that is taken.
const EPOCH_BYTES_MAX: usize = 64;
/// Highest number that a store can give.
const SEQ_MAX: u64 = i64::MAX as u64;

/// What comes in is no event of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The subjects of every channel, under `prefix`.
pub(super) fn subjects(prefix: &str) -> String {
    format!("{prefix}room.*")
}

/// The subject of `channel`. Its id is one token: it has neither dots nor wildcards.
pub(super) fn subject(prefix: &str, channel: &Channel) -> String {
    match channel {
        Channel::Room(room) => format!("{prefix}room.{room}"),
    }
}

pub(super) fn encode(event: &Event) -> Result<Bytes, serde_json::Error> {
    let ring = Ring {
        epoch: Cow::Borrowed(&event.epoch),
        seq: event.seq,
        kind: event.kind,
        ts: event.ts,
        data: &event.data,
    };
    serde_json::to_vec(&ring).map(Bytes::from)
}

/// The event that `payload` is, of at most `bytes_max`.
pub(super) fn decode(
    prefix: &str,
    subject: &str,
    payload: &[u8],
    bytes_max: usize,
) -> Result<Arc<Event>, Unreadable> {
    if payload.len() > bytes_max {
        return Err(Unreadable);
    }
    let channel = channel(prefix, subject).ok_or(Unreadable)?;
    let ring: Ring<'_> = serde_json::from_slice(payload).map_err(|_| Unreadable)?;
    let is_position =
        (1..=EPOCH_BYTES_MAX).contains(&ring.epoch.len()) && (1..=SEQ_MAX).contains(&ring.seq);
    if !is_position {
        return Err(Unreadable);
    }
    let Ring { epoch, seq, kind, ts, data } = ring;
    let (epoch, data) = (epoch.into_owned(), data.to_owned());
    Ok(Arc::new(Event { channel, epoch, seq, kind, ts, data }))
}

/// The subject of everything that is revoked, under `prefix`.
pub(super) fn revoked(prefix: &str) -> String {
    format!("{prefix}auth.revoked")
}

pub(super) fn encode_revoked(stretch: &Revocations) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(stretch).map(Bytes::from)
}

/// The stretch of the feed that `payload` is, of at most `bytes_max`.
pub(super) fn decode_revoked(
    payload: &[u8],
    bytes_max: usize,
) -> Result<Arc<Revocations>, Unreadable> {
    if payload.len() > bytes_max {
        return Err(Unreadable);
    }
    let stretch: Revocations = serde_json::from_slice(payload).map_err(|_| Unreadable)?;
    if is_sound(&stretch) { Ok(Arc::new(stretch)) } else { Err(Unreadable) }
}

fn channel(prefix: &str, subject: &str) -> Option<Channel> {
    let room = subject.strip_prefix(prefix)?.strip_prefix("room.")?;
    room.parse().ok().map(Channel::Room)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"epoch":"e1","seq":7,"type":"message.created","ts":"2026-11-20T17:00:00.123Z","data":{"content":"hi"}}"#;

    fn read(subject: &str, payload: &str) -> Result<Arc<Event>, Unreadable> {
        decode("a.", subject, payload.as_bytes(), 1_000)
    }

    #[test]
    fn an_event_comes_back_as_it_was_sent() {
        let event = read("a.room.tea", WHOLE).unwrap();
        assert_eq!(subject("a.", &event.channel), "a.room.tea");
        assert_eq!(encode(&event).unwrap(), WHOLE);
    }

    #[test]
    fn fields_of_a_later_version_are_read_over() {
        assert!(read("a.room.tea", &WHOLE.replacen('{', r#"{"new":[1],"#, 1)).is_ok());
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for subject in
            ["room.tea", "a.room.", "a.room.*", "a.room.x.y", "a.room.ü", "a.store.1", "b.room.tea"]
        {
            assert!(read(subject, WHOLE).is_err(), "{subject}");
        }
        let long = "x".repeat(65);
        for (field, other) in [
            ("message.created", "message.sung"),
            ("\"e1\"", "\"\""),
            ("\"e1\"", &format!("\"{long}\"")),
            ("\"e1\"", "1"),
            ("7", "0"),
            ("7", "-1"),
            ("7", "9223372036854775808"),
            ("7", "\"7\""),
            ("2026-11-20T17:00:00.123Z", "yesterday"),
            (r#""data":{"content":"hi"}"#, r#""data":"#),
            ("\"seq\":7,", ""),
        ] {
            assert!(read("a.room.tea", &WHOLE.replace(field, other)).is_err(), "{other}");
        }
        for payload in ["", "hello", "[]", "null", "{", &"[".repeat(900), &" ".repeat(1_001)] {
            assert!(read("a.room.tea", payload).is_err(), "{payload}");
        }
        assert!(decode("a.", "a.room.tea", &[0xff, 0xfe], 1_000).is_err());
        assert!(decode("a.", "a.room.tea", WHOLE.as_bytes(), WHOLE.len() - 1).is_err());
    }
}
