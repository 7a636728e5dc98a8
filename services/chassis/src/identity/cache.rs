//! Tokens that were verified a moment ago: a check costs 50 µs, a look here less than one.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use contract::Timestamp;

use super::Caller;
use crate::revocation::Revocations;

/// Two generations of entries: when the young one is full it becomes the old one, so that memory is
/// bounded and what is in use stays.
#[derive(Debug)]
pub(super) struct Cache {
    half_max: usize,
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    keys: u64,
    young: HashMap<Box<str>, Entry>,
    old: HashMap<Box<str>, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    caller: Caller,
    /// The generation of what is revoked at which it was found alive.
    alive_at: u64,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that still holds.
    Nothing,
    /// Its session has ended.
    Revoked,
    /// Whoever holds it.
    Alive(Caller),
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { half_max: (entries_max / 2).max(1), halves: Mutex::default() }
    }

    /// Whoever holds `token`, if it was verified with the key set `keys`, lives at `now`, and is not
    /// among `revocations`, where it is looked for only when something was added to them.
    pub(super) fn get(
        &self,
        token: &str,
        keys: u64,
        now: Timestamp,
        revocations: &Revocations,
    ) -> Found {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.keys != keys {
            return Found::Nothing;
        }
        let Some(entry) = halves.find(token) else { return Found::Nothing };
        if now >= entry.caller.expires_at() {
            return Found::Nothing;
        }
        let generation = revocations.generation();
        if entry.alive_at != generation {
            if is_revoked(&entry.caller, revocations) {
                return Found::Revoked;
            }
            entry.alive_at = generation;
        }
        Found::Alive(entry.caller.clone())
    }

    /// Remembers that `token` was verified with the key set `keys`, and found alive at the generation
    /// `alive_at` of what is revoked; not where a newer key set has come.
    pub(super) fn put(&self, token: &str, keys: u64, alive_at: u64, caller: Caller) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.cmp(&halves.keys) {
            Ordering::Less => return,
            Ordering::Equal => {}
            Ordering::Greater => *halves = Halves { keys, ..Halves::default() },
        }
        if halves.young.len() >= self.half_max {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(token.into(), Entry { caller, alive_at });
    }
}

impl Halves {
    fn find(&mut self, token: &str) -> Option<&mut Entry> {
        if !self.young.contains_key(token) {
            let (token, entry) = self.old.remove_entry(token)?;
            self.young.insert(token, entry);
        }
        self.young.get_mut(token)
    }
}

/// Services sign for themselves: what ends is a user's.
fn is_revoked(caller: &Caller, revocations: &Revocations) -> bool {
    match caller {
        Caller::User(user) => revocations.is_revoked(user.session, user.person.id, user.issued_at),
        Caller::Service(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::ServiceCaller;

    fn caller(expires_at: i64) -> Caller {
        Caller::Service(ServiceCaller {
            service: "chat".into(),
            grants: Arc::default(),
            on_behalf_of: None,
            expires_at: Timestamp(expires_at),
        })
    }

    fn get(cache: &Cache, token: &str, keys: u64, now: i64) -> Option<Caller> {
        match cache.get(token, keys, Timestamp(now), &Revocations::unfollowed()) {
            Found::Alive(caller) => Some(caller),
            Found::Nothing | Found::Revoked => None,
        }
    }

    #[test]
    fn an_entry_lives_as_long_as_its_token_and_its_keys() {
        let cache = Cache::new(8);
        cache.put("t", 1, 1, caller(100));
        assert!(get(&cache, "t", 1, 99).is_some());
        assert!(get(&cache, "t", 1, 100).is_none());
        assert!(get(&cache, "t", 2, 99).is_none());
        assert!(get(&cache, "other", 1, 99).is_none());
    }

    #[test]
    fn what_older_keys_said_comes_too_late_and_costs_nothing_that_is_there() {
        let cache = Cache::new(8);
        cache.put("new", 2, 1, caller(100));
        cache.put("late", 1, 1, caller(100));
        assert!(get(&cache, "new", 2, 0).is_some());
        for keys in [1, 2] {
            assert!(get(&cache, "late", keys, 0).is_none(), "{keys}");
        }
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_use_stays() {
        let cache = Cache::new(8);
        for number in 0..100 {
            cache.put("mine", 1, 1, caller(100));
            cache.put(&number.to_string(), 1, 1, caller(100));
            assert!(get(&cache, "mine", 1, 0).is_some());
        }
        let halves = cache.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 9);
    }
}
