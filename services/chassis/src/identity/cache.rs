//! Tokens that were verified a moment ago: a check costs 50 µs, a look here less than one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use contract::Timestamp;

use super::Caller;

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
    young: HashMap<Box<str>, Caller>,
    old: HashMap<Box<str>, Caller>,
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { half_max: (entries_max / 2).max(1), halves: Mutex::default() }
    }

    /// Whoever holds `token`, if it was verified with the key set `keys` and lives at `now`.
    pub(super) fn get(&self, token: &str, keys: u64, now: Timestamp) -> Option<Caller> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.keys != keys {
            return None;
        }
        let found = if let Some(caller) = halves.young.get(token) {
            caller.clone()
        } else {
            let (token, caller) = halves.old.remove_entry(token)?;
            halves.young.insert(token, caller.clone());
            caller
        };
        (now < found.expires_at()).then_some(found)
    }

    /// Remembers that `token` was verified with the key set `keys`.
    pub(super) fn put(&self, token: &str, keys: u64, caller: Caller) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.keys != keys {
            *halves = Halves { keys, ..Halves::default() };
        }
        if halves.young.len() >= self.half_max {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(token.into(), caller);
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

    #[test]
    fn an_entry_lives_as_long_as_its_token_and_its_keys() {
        let cache = Cache::new(8);
        cache.put("t", 1, caller(100));
        assert!(cache.get("t", 1, Timestamp(99)).is_some());
        assert!(cache.get("t", 1, Timestamp(100)).is_none());
        assert!(cache.get("t", 2, Timestamp(99)).is_none());
        assert!(cache.get("other", 1, Timestamp(99)).is_none());
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_use_stays() {
        let cache = Cache::new(8);
        for number in 0..100 {
            cache.put("mine", 1, caller(100));
            cache.put(&number.to_string(), 1, caller(100));
            assert!(cache.get("mine", 1, Timestamp(0)).is_some());
        }
        let halves = cache.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 9);
    }
}
