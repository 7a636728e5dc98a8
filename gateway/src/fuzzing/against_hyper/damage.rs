//! What becomes of messages on their way: bytes lost, doubled, changed, or from somewhere else.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::messages::{Bytes, one_of};
use super::pieces::{ENDS, FRAMINGS, ODD_BYTES};

/// Bytes that a failure shows as a literal.
#[derive(Clone)]
pub(super) struct Literal(pub Bytes);

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// `bytes`, half of them with some damage.
pub(super) fn damaged(bytes: impl Strategy<Value = Bytes>) -> impl Strategy<Value = Literal> {
    let damages = prop_oneof![Just(Vec::new()), vec(damage(), 1..4)];
    (bytes, damages).prop_map(|(mut bytes, damages)| {
        for damage in &damages {
            damage.done(&mut bytes);
        }
        Literal(bytes)
    })
}

/// What happens to bytes.
#[derive(Debug, Clone)]
enum Damage {
    Remove(Index, usize),
    Repeat(Index, usize),
    Replace(Index, u8),
    Insert(Index, Bytes),
    /// What is at one place goes on as it does at another.
    Splice(Index, Index),
}

impl Damage {
    fn done(&self, bytes: &mut Bytes) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Remove(at, many) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + many));
            }
            Self::Repeat(at, many) => {
                let at = at.index(length);
                let part = bytes[at..length.min(at + many)].to_vec();
                bytes.splice(at..at, part);
            }
            Self::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Self::Insert(at, part) => {
                let at = at.index(length);
                bytes.splice(at..at, part.iter().copied());
            }
            Self::Splice(at, other) => {
                let tail = bytes[other.index(length)..].to_vec();
                bytes.truncate(at.index(length));
                bytes.extend(tail);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let byte = prop_oneof![4 => select(ODD_BYTES), 1 => any::<u8>()];
    let part = prop_oneof![
        vec(select(ODD_BYTES), 1..3),
        one_of(ENDS),
        one_of(FRAMINGS),
        Just(b"\r\n\r\nGET /next HTTP/1.1\r\nHost: hub\r\n\r\n".to_vec()),
    ];
    prop_oneof![
        (at(), 1_usize..6).prop_map(|(at, many)| Damage::Remove(at, many)),
        (at(), 1_usize..30).prop_map(|(at, many)| Damage::Repeat(at, many)),
        (at(), byte).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (at(), part).prop_map(|(at, part)| Damage::Insert(at, part)),
        (at(), at()).prop_map(|(at, other)| Damage::Splice(at, other)),
    ]
}
