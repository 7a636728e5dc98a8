//! How often a caller or an address may do something: a bucket of tokens each, in bounded memory.
//!
//! Only routes that name a quota come here. The buckets are shared by all cores behind short locks,
//! because a limit that counted per core would allow a multiple of what it says.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contract::UserId;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde::Deserialize;

use crate::route::QuotaId;

/// Parts of the map with a lock each.
const SHARDS: usize = 32;

/// `[gateway.quota]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether anything is counted.
    pub enabled: bool,
    /// Most buckets that are kept; beyond it the fullest is forgotten.
    pub entries_max: usize,
    /// By name.
    pub rules: BTreeMap<String, Rule>,
}

/// `[gateway.quota.rules.<name>]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What is counted by.
    pub by: By,
    /// Calls that are refilled in each window, evenly.
    pub calls: u32,
    /// How long a window is.
    #[serde(with = "chassis::config::span")]
    pub window: Duration,
    /// Most calls at once, after a pause.
    pub burst: u32,
}

/// What a quota counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The address of the connection; an IPv6 address by its /64.
    Address,
    /// The verified caller; the address where there is none.
    Caller,
}

/// Whose bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Address(IpAddr),
    Caller(UserId),
}

impl Key {
    /// The key under which an address is counted.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(six) => match six.to_ipv4_mapped() {
                Some(four) => IpAddr::V4(four),
                None => IpAddr::V6((six.to_bits() & !u128::from(u64::MAX)).into()),
            },
        })
    }
}

/// A quota that is used up.
#[derive(Debug)]
pub(crate) struct Spent {
    name: Box<str>,
    calls: u32,
    window: Duration,
    /// Until one call is allowed again.
    wait: Duration,
}

impl Spent {
    pub(crate) fn detail(&self) -> String {
        format!("{} calls in {} s are allowed.", self.calls, self.window.as_secs().max(1))
    }

    /// What tells the caller when to come back (RFC 6585 section 4, and the draft for `RateLimit`).
    pub(crate) fn fields(&self, headers: &mut HeaderMap) {
        let wait = self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0);
        let wait = wait.max(1);
        headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        let Self { name, calls, window, .. } = self;
        let window = window.as_secs().max(1);
        for (field, value) in [
            ("ratelimit", format!("\"{name}\";r=0;t={wait}")),
            ("ratelimit-policy", format!("\"{name}\";q={calls};w={window}")),
        ] {
            let value = HeaderValue::try_from(value).ok();
            headers.extend(value.map(|value| (HeaderName::from_static(field), value)));
        }
    }
}

/// The buckets of every quota.
#[derive(Debug)]
pub(crate) struct Buckets {
    rules: Vec<(Box<str>, Rule)>,
    shards: Vec<Mutex<Shard>>,
    shard_max: usize,
    hasher: RandomState,
    enabled: bool,
}

type Shard = HashMap<(usize, Key), Bucket>;

/// Calls are counted in thousandths, so that a slow refill loses nothing.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    milli: u64,
    /// Since the gateway began.
    at: Duration,
}

impl Buckets {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            rules: config.rules.iter().map(|(n, rule)| (n.as_str().into(), rule.clone())).collect(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_max: config.entries_max.div_ceil(SHARDS).max(1),
            hasher: RandomState::new(),
            enabled: config.enabled,
        }
    }

    /// By what `quota` counts; `None` when nothing is counted.
    pub(crate) fn by(&self, quota: QuotaId) -> Option<By> {
        self.rules.get(quota.0).filter(|_| self.enabled).map(|(_, rule)| rule.by)
    }

    /// Takes one call out of the bucket of `key`. `now` is since the gateway began.
    pub(crate) fn spend(&self, quota: QuotaId, key: Key, now: Duration) -> Result<(), Spent> {
        let Some((name, rule)) = self.rules.get(quota.0) else { return Ok(()) };
        let key = (quota.0, key);
        let number = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(number) else { return Ok(()) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if !shard.contains_key(&key) {
            self.make_room(&mut shard, now);
        }
        let full = Bucket { milli: u64::from(rule.burst) * 1000, at: now };
        let bucket = shard.entry(key).or_insert(full);
        *bucket = bucket.refilled(rule, now);
        if let Some(milli) = bucket.milli.checked_sub(1000) {
            bucket.milli = milli;
            return Ok(());
        }
        let missing = Duration::from_millis(1000 - bucket.milli);
        let wait = missing.mul_f64(rule.window.as_secs_f64() / f64::from(rule.calls.max(1)));
        Err(Spent { name: name.clone(), calls: rule.calls, window: rule.window, wait })
    }

    /// Forgets what has refilled; if that is nobody, whoever has most left.
    fn make_room(&self, shard: &mut Shard, now: Duration) {
        if shard.len() < self.shard_max {
            return;
        }
        let left = |(rule, _): &(usize, Key), bucket: &Bucket| {
            let Some((_, rule)) = self.rules.get(*rule) else { return (true, 0) };
            let milli = bucket.refilled(rule, now).milli;
            (milli >= u64::from(rule.burst) * 1000, milli)
        };
        shard.retain(|key, bucket| !left(key, bucket).0);
        if shard.len() >= self.shard_max {
            let fullest = shard.iter().max_by_key(|(key, bucket)| left(key, bucket).1);
            if let Some(key) = fullest.map(|(key, _)| *key) {
                shard.remove(&key);
            }
        }
    }
}

impl Bucket {
    fn refilled(self, rule: &Rule, now: Duration) -> Self {
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        let window = u64::try_from(rule.window.as_millis()).unwrap_or(u64::MAX).max(1);
        let refill = passed.saturating_mul(u64::from(rule.calls) * 1000) / window;
        if refill == 0 {
            return self;
        }
        // Only the time that the refill stands for is used up, or being asked often would cost.
        let used = refill.saturating_mul(window) / (u64::from(rule.calls) * 1000).max(1);
        let full = u64::from(rule.burst) * 1000;
        let milli = self.milli.saturating_add(refill).min(full);
        Self { milli, at: self.at + Duration::from_millis(used) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(entries_max: usize) -> Buckets {
        let rule = Rule { by: By::Address, calls: 10, window: Duration::from_secs(1), burst: 3 };
        let rules = BTreeMap::from([("login".to_owned(), rule)]);
        Buckets::new(&Config { enabled: true, entries_max, rules })
    }

    fn key(last: u8) -> Key {
        Key::address(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_is_refilled() {
        let buckets = buckets(100);
        let at = Duration::from_millis;
        for _ in 0..3 {
            assert!(buckets.spend(QuotaId(0), key(1), at(0)).is_ok());
        }
        let spent = buckets.spend(QuotaId(0), key(1), at(0)).unwrap_err();
        assert_eq!(spent.wait, Duration::from_millis(100));
        assert!(buckets.spend(QuotaId(0), key(2), at(0)).is_ok(), "another has its own");
        assert!(buckets.spend(QuotaId(0), key(1), at(99)).is_err());
        assert!(buckets.spend(QuotaId(0), key(1), at(100)).is_ok());
        assert!(buckets.spend(QuotaId(0), key(1), at(100)).is_err());
    }

    #[test]
    fn being_refused_often_does_not_slow_the_refill() {
        let buckets = buckets(100);
        let tries = (0..=1000).map(Duration::from_millis);
        let taken = tries.filter(|at| buckets.spend(QuotaId(0), key(1), *at).is_ok()).count();
        assert_eq!(taken, 13);
    }

    #[test]
    fn memory_is_bounded() {
        let buckets = buckets(64);
        for number in 0..10_000_u32 {
            let key = Key::address(IpAddr::from(number.to_be_bytes()));
            let _ = buckets.spend(QuotaId(0), key, Duration::ZERO);
        }
        let kept: usize = buckets.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= 64, "{kept} are kept");
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let spent = Spent {
            name: "login".into(),
            calls: 120,
            window: Duration::from_mins(1),
            wait: Duration::from_millis(1200),
        };
        let mut headers = HeaderMap::new();
        spent.fields(&mut headers);
        assert_eq!(headers[RETRY_AFTER], "2");
        assert_eq!(headers["ratelimit"], "\"login\";r=0;t=2");
        assert_eq!(headers["ratelimit-policy"], "\"login\";q=120;w=60");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let one = Key::address("2001:db8::1".parse().unwrap());
        assert_eq!(one, Key::address("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(one, Key::address("2001:db8:0:1::1".parse().unwrap()));
        let mapped = Key::address("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(mapped, key(1));
    }
}
