//! Machine keys that were presented before, by their digests: the tokens that they were exchanged for,
//! and those that are none. Both are bounded, and keys that somebody makes up push no good ones out.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest as sha};
use contract::Timestamp;
use http::HeaderValue;

use super::exchange::{Digest, Outcome};

/// Longest machine key that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// How long before its end a token is exchanged for the next. Until then it serves, should the exchange be
/// away.
const AHEAD: Duration = Duration::from_secs(10);
/// How long a token that could not be renewed serves before the next try.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// What is known of a key.
#[derive(Debug)]
pub(super) enum Look {
    /// This is its token, as it is told to an upstream. Whether it holds is another question.
    Token(HeaderValue),
    /// It was no key a moment ago.
    Refused,
    /// Nothing that is new enough.
    Unknown,
}

#[derive(Debug)]
struct Token {
    /// `Bearer` and the token.
    field: HeaderValue,
    /// From when on another one is wanted.
    renew_at: Timestamp,
}

/// The keys that one core knows.
#[derive(Debug)]
pub(super) struct Held {
    tokens: Recent<Token>,
    /// Until when a key is taken for none.
    refused: Recent<Timestamp>,
    refused_for: Duration,
}

impl Held {
    /// Holds the tokens of `known_max` keys, and for `refused_for` each of `refused_max` bad ones.
    pub(super) fn new(known_max: usize, refused_max: usize, refused_for: Duration) -> Self {
        let (tokens, refused) = (Recent::new(known_max), Recent::new(refused_max));
        Self { tokens, refused, refused_for }
    }

    pub(super) fn look(&mut self, digest: &Digest, now: Timestamp) -> Look {
        if let Some(token) = self.tokens.find(digest) {
            let is_new = now < token.renew_at;
            return if is_new { Look::Token(token.field.clone()) } else { Look::Unknown };
        }
        match self.refused.find(digest) {
            Some(until) if now < *until => Look::Refused,
            Some(_) | None => Look::Unknown,
        }
    }

    pub(super) fn learn(&mut self, digest: &Digest, outcome: &Outcome, now: Timestamp) {
        match outcome {
            Outcome::Token { token, expires_at } => {
                let bearer = [b"Bearer ".as_slice(), token].concat();
                let Ok(mut field) = HeaderValue::from_maybe_shared(bytes::Bytes::from(bearer))
                else {
                    return;
                };
                field.set_sensitive(true);
                let end = Timestamp(expires_at.saturating_mul(1000));
                // A token that lives for less is used all the same, while it lives.
                let ahead = i64::try_from(AHEAD.as_millis()).unwrap_or(0);
                let renew_at = Timestamp(end.0 - ahead).max(now.plus(RENEWAL_PAUSE));
                self.tokens.keep(*digest, Token { field, renew_at });
            }
            Outcome::Refused => {
                self.tokens.forget(digest);
                self.refused.keep(*digest, now.plus(self.refused_for));
            }
            Outcome::Away | Outcome::Busy => {
                if let Some(token) = self.tokens.find(digest) {
                    token.renew_at = now.plus(RENEWAL_PAUSE);
                }
            }
        }
    }
}

/// The key as text, if it may be one.
pub(super) fn readable(key: &[u8]) -> Option<&str> {
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    fits.then(|| str::from_utf8(key).ok()).flatten()
}

/// What a key is known by.
pub(super) fn digest(key: &str) -> Digest {
    let mut bytes = [0; 32];
    let sum = sha(&SHA256, key.as_bytes());
    bytes.iter_mut().zip(sum.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// The most recent of many, forgetting the least used half at once. Strangers choose what is put in, so
/// the hash is a keyed one.
#[derive(Debug)]
struct Recent<V> {
    young: HashMap<Digest, V>,
    old: HashMap<Digest, V>,
    half_max: usize,
}

impl<V> Recent<V> {
    fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half_max: (max / 2).max(1) }
    }

    fn find(&mut self, digest: &Digest) -> Option<&mut V> {
        if !self.young.contains_key(digest) {
            let value = self.old.remove(digest)?;
            self.keep(*digest, value);
        }
        self.young.get_mut(digest)
    }

    fn keep(&mut self, digest: Digest, value: V) {
        self.old.remove(&digest);
        if self.young.len() >= self.half_max && !self.young.contains_key(&digest) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest, value);
    }

    fn forget(&mut self, digest: &Digest) {
        self.young.remove(digest);
        self.old.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_194_000_000);

    fn held() -> Held {
        Held::new(8, 8, Duration::from_secs(5))
    }

    fn token(seconds: i64) -> Outcome {
        Outcome::Token { token: "a.b.c".into(), expires_at: NOW.seconds() + seconds }
    }

    fn later(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn said(held: &mut Held, key: &str, now: Timestamp) -> &'static str {
        match held.look(&digest(key), now) {
            Look::Token(field) => {
                assert_eq!(field, "Bearer a.b.c");
                "token"
            }
            Look::Refused => "refused",
            Look::Unknown => "unknown",
        }
    }

    #[test]
    fn a_token_serves_until_shortly_before_its_end() {
        let mut held = held();
        assert_eq!(said(&mut held, "k", NOW), "unknown");
        held.learn(&digest("k"), &token(60), NOW);
        assert_eq!(said(&mut held, "k", later(49)), "token");
        assert_eq!(said(&mut held, "k", later(50)), "unknown");
        assert_eq!(said(&mut held, "other", NOW), "unknown");
    }

    #[test]
    fn a_token_that_cannot_be_renewed_serves_on_for_a_moment() {
        for outcome in [Outcome::Away, Outcome::Busy] {
            let mut held = held();
            held.learn(&digest("k"), &token(60), NOW);
            assert_eq!(said(&mut held, "k", later(55)), "unknown");
            held.learn(&digest("k"), &outcome, later(55));
            assert_eq!(said(&mut held, "k", later(55)), "token");
            assert_eq!(said(&mut held, "k", later(56)), "unknown");
            held.learn(&digest("never seen"), &outcome, NOW);
            assert_eq!(said(&mut held, "never seen", NOW), "unknown");
        }
    }

    #[test]
    fn a_bad_key_is_remembered_for_a_moment_and_a_good_one_that_ended_is_bad() {
        let mut held = held();
        held.learn(&digest("k"), &token(60), NOW);
        held.learn(&digest("k"), &Outcome::Refused, later(1));
        assert_eq!(said(&mut held, "k", later(5)), "refused");
        assert_eq!(said(&mut held, "k", later(6)), "unknown");
    }

    #[test]
    fn memory_is_bounded_and_made_up_keys_push_no_good_one_out() {
        let mut held = held();
        held.learn(&digest("k"), &token(60), NOW);
        for number in 0..1000 {
            held.learn(&digest(&format!("made up {number}")), &Outcome::Refused, NOW);
        }
        assert_eq!(said(&mut held, "k", NOW), "token");
        for number in 0..1000 {
            held.learn(&digest(&number.to_string()), &token(60), NOW);
            assert_eq!(said(&mut held, "k", NOW), "token", "it is in use, after {number}");
        }
        assert!(held.tokens.young.len() + held.tokens.old.len() <= 8);
        assert!(held.refused.young.len() + held.refused.old.len() <= 8);
    }

    #[test]
    fn what_is_no_key_is_not_asked_about() {
        assert_eq!(readable(b"hbk_abc"), Some("hbk_abc"));
        for bad in [b"".as_slice(), b"a b", b"a\xff", &[b'a'; KEY_BYTES_MAX + 1]] {
            assert_eq!(readable(bad), None);
        }
    }
}
