//! Slows down whoever guesses: counts failed sign-ins per account and per address in bounded
//! memory. Every attempt is counted before the password is looked at, so that a burst of parallel
//! guesses is counted too, and forgiven when it was right; where there is nothing to guess at, failures are
//! counted alone. Waits only for a turn, never does I/O.
//!
//! Whoever guesses at an account from everywhere must not keep its owner out. So an address that its
//! owner has come from before has a count of its own for that account, and does not hear of the others'.

mod turns;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chassis::refuse::Limit;
use contract::{Timestamp, UserId};

use turns::Turns;
pub(crate) use turns::{TooCrowded, Turn};

/// Failures are counted this long, from the first one on.
const WINDOW: Duration = Duration::from_mins(15);
/// The wait after the first failure too many; it doubles with each further one, up to [`WINDOW`].
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// Failures that an account has free.
static BY_ACCOUNT: Limit = Limit { name: "sign-in-by-account", calls: 5, window: WINDOW };
/// Failures that an address has free: many people may share one.
static BY_ADDRESS: Limit = Limit { name: "sign-in-by-address", calls: 100, window: WINDOW };

/// Whom a sign-in names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// An account, however it was named, from wherever its owner was never seen.
    Account(UserId),
    /// An account from where its owner was seen before: a [`subscriber`].
    Home(UserId, IpAddr),
    /// A name that no account has, as a digest, so that it takes the same memory as an account.
    Nobody([u8; 16]),
}

/// Too many failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// The next attempt is welcome after this.
    pub(crate) wait: Duration,
    /// Of what there were too many.
    pub(crate) limit: &'static Limit,
}

/// The counts of both.
#[derive(Debug)]
pub(crate) struct Attempts {
    counts: Mutex<Counts>,
    turns: Turns,
}

#[derive(Debug)]
struct Counts {
    targets: Generations<Target>,
    addresses: Generations<IpAddr>,
}

impl Attempts {
    /// Remembers at most `entries_max` accounts and as many addresses.
    pub(crate) fn new(entries_max: usize) -> Self {
        let targets = Generations::new(entries_max);
        let addresses = Generations::new(entries_max);
        Self { counts: Mutex::new(Counts { targets, addresses }), turns: Turns::new() }
    }

    /// The owner of `account` was at `address`, as something else than a password shows.
    pub(crate) fn welcome(&self, account: UserId, address: IpAddr, now: Timestamp) {
        let home = Target::Home(account, subscriber(address));
        // Being counted is what makes it known: nothing else puts a home there.
        self.lock().targets.at(&home, now);
    }

    /// Whether something of `target` is remembered.
    pub(crate) fn remember(&self, target: &Target) -> bool {
        self.lock().targets.has(target)
    }

    /// Waits until no other attempt at `target` is being judged. Safe to drop.
    pub(crate) async fn turn(
        &self,
        target: &Target,
        address: IpAddr,
    ) -> Result<Turn<'_>, TooCrowded> {
        self.turns.take(target, &subscriber(address)).await
    }

    /// Counts an attempt to sign in as `target`, or refuses it uncounted.
    pub(crate) fn spend(
        &self,
        target: &Target,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let mut counts = self.lock();
        counts.targets.at(target, now).admit(&BY_ACCOUNT, now)?;
        counts.addresses.at(&subscriber(address), now).admit(&BY_ADDRESS, now)?;
        counts.targets.at(target, now).fail(&BY_ACCOUNT, now);
        counts.addresses.at(&subscriber(address), now).fail(&BY_ADDRESS, now);
        Ok(())
    }

    /// Refuses whoever comes from where there were too many failures; counts nothing.
    pub(crate) fn admit_address(&self, address: IpAddr, now: Timestamp) -> Result<(), TooMany> {
        self.lock().addresses.at(&subscriber(address), now).admit(&BY_ADDRESS, now)
    }

    /// Counts an attempt that names no account, or refuses it uncounted.
    pub(crate) fn spend_address(&self, address: IpAddr, now: Timestamp) -> Result<(), TooMany> {
        let mut counts = self.lock();
        let failures = counts.addresses.at(&subscriber(address), now);
        failures.admit(&BY_ADDRESS, now)?;
        failures.fail(&BY_ADDRESS, now);
        Ok(())
    }

    /// The attempt was right: the account starts afresh, as far as this attempt was counted. The address
    /// keeps its other failures, or signing in to an account of one's own would buy more guesses at
    /// those of others.
    pub(crate) fn forgive(&self, target: &Target, address: IpAddr, now: Timestamp) {
        let mut counts = self.lock();
        counts.targets.forget(target);
        counts.addresses.at(&subscriber(address), now).take_back(&BY_ADDRESS);
    }

    /// The attempt was never judged, or was right and names no account.
    pub(crate) fn take_back(&self, target: Option<&Target>, address: IpAddr, now: Timestamp) {
        let mut counts = self.lock();
        if let Some(target) = target {
            counts.targets.at(target, now).take_back(&BY_ACCOUNT);
        }
        counts.addresses.at(&subscriber(address), now).take_back(&BY_ADDRESS);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is behind an address: one subscriber has a whole /64 of IPv6 (RFC 6177), and an IPv4
/// address stays itself however it is written.
pub(crate) fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
    }
}

/// The failures of one account or address.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Timestamp,
    blocked_until: Timestamp,
}

impl Failures {
    const fn none(now: Timestamp) -> Self {
        Self { count: 0, since: now, blocked_until: now }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.since.plus(WINDOW) && now >= self.blocked_until
    }

    fn admit(&self, limit: &'static Limit, now: Timestamp) -> Result<(), TooMany> {
        if now >= self.blocked_until {
            return Ok(());
        }
        Err(TooMany { wait: self.blocked_until.since(now), limit })
    }

    fn fail(&mut self, limit: &Limit, now: Timestamp) {
        self.count = self.count.saturating_add(1);
        if let Some(excess) = self.count.checked_sub(limit.calls) {
            let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(excess)).min(WINDOW);
            self.blocked_until = now.plus(wait);
        }
    }

    fn take_back(&mut self, limit: &Limit) {
        self.count = self.count.saturating_sub(1);
        if self.count < limit.calls {
            self.blocked_until = self.since;
        }
    }
}

/// A map that forgets the longest unused half of its entries when it is full.
#[derive(Debug)]
struct Generations<K> {
    young: HashMap<K, Failures>,
    old: HashMap<K, Failures>,
    young_max: usize,
}

impl<K: Clone + Eq + Hash> Generations<K> {
    fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_max: (entries_max / 2).max(1) }
    }

    fn at(&mut self, key: &K, now: Timestamp) -> &mut Failures {
        let kept = self.old.remove(key).unwrap_or(Failures::none(now));
        if !self.young.contains_key(key) && self.young.len() >= self.young_max {
            self.old = std::mem::take(&mut self.young);
        }
        let failures = self.young.entry(key.clone()).or_insert(kept);
        if failures.is_over(now) {
            *failures = Failures::none(now);
        }
        failures
    }

    fn has(&self, key: &K) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    fn forget(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests;
