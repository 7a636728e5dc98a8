//! How often something may be asked for that costs its receiver something: a mail, a message to a
//! telephone. Counts in windows, in bounded memory. Never waits, never does I/O.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chassis::refuse::Limit;
use contract::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::attempts::{TooMany, subscriber};

/// A limit's name and whom it counts, as a digest: it takes the same memory whatever was typed.
type Key = [u8; 16];

/// The counts of every limit.
#[derive(Debug)]
pub(crate) struct Allowance {
    counts: Mutex<Counts>,
}

/// Two generations: when the young one is full, the old one is forgotten.
#[derive(Debug)]
struct Counts {
    young: HashMap<Key, Spent>,
    old: HashMap<Key, Spent>,
    young_max: usize,
}

/// What was asked for since the first of a window.
#[derive(Debug, Clone, Copy)]
struct Spent {
    since: Timestamp,
    calls: u32,
}

impl Allowance {
    /// Remembers at most `entries_max` counts.
    pub(crate) fn new(entries_max: usize) -> Self {
        let young_max = (entries_max / 2).max(1);
        let counts = Counts { young: HashMap::new(), old: HashMap::new(), young_max };
        Self { counts: Mutex::new(counts) }
    }

    /// Counts one call of `whom`, or refuses it uncounted.
    pub(crate) fn spend(
        &self,
        limit: &'static Limit,
        whom: &str,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = counts.at(key(limit, whom), now);
        if now >= spent.since.plus(limit.window) {
            *spent = Spent { since: now, calls: 0 };
        }
        if spent.calls >= limit.calls {
            return Err(TooMany { wait: spent.since.plus(limit.window).since(now), limit });
        }
        spent.calls += 1;
        Ok(())
    }

    /// Likewise for a caller's address.
    pub(crate) fn spend_address(
        &self,
        limit: &'static Limit,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        self.spend(limit, &subscriber(address).to_string(), now)
    }
}

impl Counts {
    fn at(&mut self, key: Key, now: Timestamp) -> &mut Spent {
        let kept = self.old.remove(&key).unwrap_or(Spent { since: now, calls: 0 });
        if !self.young.contains_key(&key) && self.young.len() >= self.young_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.entry(key).or_insert(kept)
    }
}

fn key(limit: &Limit, whom: &str) -> Key {
    let whole: [u8; 32] = Sha256::digest(format!("{}:{whom}", limit.name)).into();
    let mut half = Key::default();
    half.copy_from_slice(&whole[..16]);
    half
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp(0);
    static TWO: Limit = Limit { name: "two", calls: 2, window: Duration::from_mins(1) };
    static ONE: Limit = Limit { name: "one", calls: 1, window: Duration::from_mins(1) };

    #[test]
    fn what_is_beyond_a_window_s_calls_waits_for_its_end() {
        let allowance = Allowance::new(100);
        allowance.spend(&TWO, "ada", NOW).unwrap();
        let later = NOW.plus(Duration::from_secs(20));
        allowance.spend(&TWO, "ada", later).unwrap();
        let refused = allowance.spend(&TWO, "ada", later).unwrap_err();
        assert_eq!((refused.wait, refused.limit.name), (Duration::from_secs(40), "two"));
        allowance.spend(&TWO, "bob", later).unwrap();
        allowance.spend(&ONE, "ada", later).unwrap();
        allowance.spend(&TWO, "ada", NOW.plus(TWO.window)).unwrap();
    }

    #[test]
    fn a_subscriber_s_network_is_one_caller() {
        let allowance = Allowance::new(100);
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        allowance.spend_address(&ONE, at("2001:db8::1"), NOW).unwrap();
        allowance.spend_address(&ONE, at("2001:db8::2"), NOW).unwrap_err();
        allowance.spend_address(&ONE, at("2001:db8:0:1::1"), NOW).unwrap();
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_remembered() {
        let allowance = Allowance::new(10);
        for number in 0..1_000 {
            allowance.spend(&ONE, &number.to_string(), NOW).unwrap();
        }
        let counts = allowance.counts.lock().unwrap();
        assert!(counts.young.len() + counts.old.len() <= 10);
        drop(counts);
        allowance.spend(&ONE, "999", NOW).unwrap_err();
    }
}
