//! Tokens that were verified before: bounded, forgetting the least used half at once, without a
//! clock or a list to keep in order.

use std::collections::HashMap;
use std::mem;
use std::rc::Rc;

use chassis::revocation::Revocations;
use contract::{SessionId, Timestamp};
use foldhash::fast::FixedState;

use super::Caller;
use crate::refusal::Refusal;

/// Where, from its end, a token is random: inside the signature, away from its last characters,
/// which hold few bits.
const RANDOM_PART: std::ops::Range<usize> = 8..24;

/// What is known of a token.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub caller: Rc<Caller>,
    pub session: SessionId,
    pub issued_at: Timestamp,
    /// The second from which on the token is dead; checked on every hit.
    pub expires_at: i64,
    /// The generation of what is revoked at which the token was found alive.
    pub alive_at: u64,
}

impl Known {
    /// Refuses the token when it is among `revocations`.
    pub(super) fn check(&self, revocations: &Revocations) -> Result<(), Refusal> {
        let is_revoked = revocations.is_revoked(self.session, self.caller.id, self.issued_at);
        if is_revoked { Err(Refusal::RevokedToken) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct Entry {
    token: Box<[u8]>,
    generation: u64,
    known: Known,
}

/// Entries by where their token is kept. Places are random bits that nobody chooses: a hash that is
/// quick will do.
type Places = HashMap<u128, Entry, FixedState>;

/// Verified tokens of one core.
#[derive(Debug)]
pub(super) struct Cache {
    young: Places,
    old: Places,
    half_max: usize,
}

impl Cache {
    /// A cache of at most `max` tokens.
    pub(super) fn new(max: usize) -> Self {
        Self { young: Places::default(), old: Places::default(), half_max: (max / 2).max(1) }
    }

    /// What is known of `token` under the keys of `generation`.
    pub(super) fn find(&mut self, token: &[u8], generation: u64) -> Option<&mut Known> {
        let place = place(token);
        if !self.young.contains_key(&place) {
            let entry = self.old.remove(&place)?;
            self.insert(place, entry);
        }
        let entry = self.young.get_mut(&place)?;
        (*entry.token == *token && entry.generation == generation).then_some(&mut entry.known)
    }

    /// Remembers `token`, which has just been verified with the keys of `generation`.
    pub(super) fn keep(&mut self, token: &[u8], generation: u64, known: Known) {
        self.insert(place(token), Entry { token: token.into(), generation, known });
    }

    fn insert(&mut self, place: u128, entry: Entry) {
        if self.young.len() >= self.half_max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(place, entry);
    }
}

/// Where a token is kept. Only verified tokens are, so nobody can choose places that collide; two
/// that do push each other out, for the whole token is compared.
fn place(token: &[u8]) -> u128 {
    let end = token.len();
    let from = end.saturating_sub(RANDOM_PART.end);
    let part = token.get(from..end.saturating_sub(RANDOM_PART.start)).unwrap_or_default();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use contract::UserId;
    use http::HeaderValue;

    use super::*;

    fn known() -> Known {
        let text = HeaderValue::from_static("x");
        let caller = Caller {
            id: UserId(uuid::Uuid::nil()),
            reach: crate::auth::Reach::Whole,
            is_admin: false,
            user_id: text.clone(),
            user_name: text.clone(),
            user_roles: text.clone(),
            session_id: text,
        };
        Known {
            caller: Rc::new(caller),
            session: SessionId(uuid::Uuid::nil()),
            issued_at: Timestamp(0),
            expires_at: 0,
            alive_at: 1,
        }
    }

    fn token(number: usize) -> Vec<u8> {
        format!("{number:0>40}{:0>8}", "").into_bytes()
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_is_used() {
        let mut cache = Cache::new(20);
        cache.keep(&token(0), 1, known());
        for number in 1..1000 {
            cache.keep(&token(number), 1, known());
            assert!(cache.find(&token(0), 1).is_some(), "used again and again, after {number}");
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert!(cache.find(&token(500), 1).is_none());
    }

    #[test]
    fn another_token_in_the_same_place_is_not_taken_for_it() {
        let mut cache = Cache::new(20);
        let mut other = token(1);
        cache.keep(&other, 1, known());
        if let Some(first) = other.first_mut() {
            *first = b'z';
        }
        assert!(cache.find(&other, 1).is_none());
        assert!(cache.find(&token(1), 2).is_none(), "other keys");
        assert!(cache.find(&token(1), 1).is_some());
    }

    #[test]
    fn a_short_token_has_a_place_too() {
        let mut cache = Cache::new(2);
        cache.keep(b"ab", 1, known());
        assert!(cache.find(b"ab", 1).is_some());
        assert!(cache.find(b"", 1).is_none());
    }
}
