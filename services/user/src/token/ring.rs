//! Which key signs, and which are still published: told by when they were made alone, so that all
//! replicas on one folder agree without a word between them.
//!
//! A key is published as soon as it is there. It signs once it has been published for long enough, in
//! the place of the one made before it. That one is published until the last token that it can have
//! signed has ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chassis::tokens::{CLOCK_SKEW, TokenKey};
use contract::Timestamp;

/// Most token keys that are published at a time.
pub(super) const KEYS_MAX: usize = 16;

/// A key and the file that it is kept in.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) made: Timestamp,
    pub(super) path: PathBuf,
    pub(super) key: TokenKey,
}

/// How long what takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    /// From a key's making to its first signature.
    pub(crate) publish_ahead: Duration,
    /// From a token's signature to its end.
    pub(crate) token_life: Duration,
}

/// Keys, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Ring(Vec<Arc<Kept>>);

impl Ring {
    /// Puts `keys` in order; of too many the newest stay.
    pub(super) fn new(mut keys: Vec<Arc<Kept>>) -> Self {
        // Of two that were made at once, everybody has to take the same for the newer.
        keys.sort_by(|one, other| (one.made, one.key.id()).cmp(&(other.made, other.key.id())));
        let surplus = keys.len().saturating_sub(KEYS_MAX);
        keys.drain(..surplus);
        Self(keys)
    }

    pub(super) fn keys(&self) -> &[Arc<Kept>] {
        &self.0
    }

    pub(super) fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|kept| kept.key.id()).collect()
    }

    pub(super) fn newest(&self) -> Option<&Kept> {
        self.0.last().map(AsRef::as_ref)
    }

    /// The newest that has been published for long enough. Before there is one it is the oldest: the very
    /// first key has nobody to wait for.
    pub(super) fn signer(&self, now: Timestamp, spans: Spans) -> Option<Arc<Kept>> {
        let ripe = self.0.iter().rev().find(|key| spans.signs_from(key) <= now);
        ripe.or(self.0.first()).cloned()
    }

    /// Parts those that are still of use from those whose last token has ended. The newest stays.
    pub(super) fn split(self, now: Timestamp, spans: Spans) -> (Self, Vec<Arc<Kept>>) {
        let successors = self.0.iter().skip(1).map(Some).chain([None]);
        let ends: Vec<_> =
            successors.map(|next| next.map(|next| spans.superseded_ends(next))).collect();
        let (gone, alive): (Vec<_>, Vec<_>) =
            self.0.into_iter().zip(ends).partition(|(_, end)| end.is_some_and(|end| end <= now));
        let keys = |all: Vec<(Arc<Kept>, _)>| all.into_iter().map(|(key, _)| key).collect();
        (Self(keys(alive)), keys(gone))
    }
}

impl Spans {
    /// When `key` begins to sign.
    pub(super) fn signs_from(self, key: &Kept) -> Timestamp {
        key.made.plus(self.publish_ahead)
    }

    /// When the last token of the key before `successor` has ended, by anybody's clock.
    fn superseded_ends(self, successor: &Kept) -> Timestamp {
        self.signs_from(successor).plus(self.token_life).plus(CLOCK_SKEW)
    }
}

#[cfg(test)]
mod tests {
    use chassis::tokens::KeyKind;

    use super::*;

    const SPANS: Spans =
        Spans { publish_ahead: Duration::from_secs(30), token_life: Duration::from_mins(15) };
    /// When the last token of a key has ended, after its successor was made.
    const END: i64 = 30 + 900 + 30;

    fn ring(made: &[i64]) -> Ring {
        let keys = made.iter().map(|made| {
            let (key, _) = TokenKey::generate(KeyKind::EdDsa).unwrap();
            Arc::new(Kept { made: at(*made), path: PathBuf::new(), key })
        });
        Ring::new(keys.collect())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn signs(ring: &Ring, seconds: i64) -> i64 {
        ring.signer(at(seconds), SPANS).unwrap().made.seconds()
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_next_when_it_is_known() {
        let ring = ring(&[100, 0]);
        assert_eq!([0, 29, 100, 129].map(|now| signs(&ring, now)), [0; 4]);
        assert_eq!([130, 10_000].map(|now| signs(&ring, now)), [100; 2]);
        assert!(Ring::default().signer(at(0), SPANS).is_none());
    }

    #[test]
    fn of_two_fresh_keys_the_first_signs_on() {
        let ring = ring(&[0, 5]);
        assert_eq!([5, 29, 34, 35].map(|now| signs(&ring, now)), [0, 0, 0, 5]);
    }

    #[test]
    fn a_key_goes_when_the_last_token_before_its_successor_has_ended() {
        let made =
            |keys: &[Arc<Kept>]| -> Vec<_> { keys.iter().map(|key| key.made.seconds()).collect() };
        for (now, alive, gone) in [
            (100 + END - 1, &[0, 100, 200][..], &[][..]),
            (100 + END, &[100, 200], &[0]),
            (200 + END, &[200], &[0, 100]),
            (i64::from(u32::MAX), &[200], &[0, 100]),
        ] {
            let (left, ended) = ring(&[0, 100, 200]).split(at(now), SPANS);
            assert_eq!((&*made(&left.0), &*made(&ended)), (alive, gone), "at {now}");
        }
    }

    #[test]
    fn of_too_many_the_newest_are_kept() {
        let ring = ring(&(0..40).collect::<Vec<_>>());
        assert_eq!(ring.keys().len(), KEYS_MAX);
        assert_eq!(ring.newest().unwrap().made, at(39));
    }
}
