//! Where chance comes from: the system's generator, or a seeded one that a test can repeat.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use contract::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

/// A source of randomness, fit for secrets when it is the system's.
#[derive(Clone)]
pub enum Random {
    /// A cryptographic generator, seeded and reseeded by the system.
    System,
    /// The same numbers for the same seed.
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// Repeats itself for the same `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            Self::System => rand::rng().fill_bytes(&mut bytes),
            Self::Seeded(rng) => {
                rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
            }
        }
        bytes
    }

    /// A number from 0 up to but not including `bound`; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(u64::from_le_bytes(self.bytes()));
        u64::try_from((wide * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// An id that sorts by the moment of its making (RFC 9562 section 5.7).
    #[must_use]
    pub fn uuid_v7(&self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.0).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "Random::System",
            Self::Seeded(_) => "Random::Seeded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_within_the_bound() {
        let (one, two) = (Random::seeded(7), Random::seeded(7));
        for _ in 0..100 {
            let drawn = one.below(10);
            assert_eq!(drawn, two.below(10));
            assert!(drawn < 10);
        }
        assert_eq!(one.below(0), 0);
    }

    #[test]
    fn a_made_id_is_of_version_7_and_tells_its_moment() {
        let id = Random::System.uuid_v7(Timestamp(1_795_194_000_123));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().map(|at| at.to_unix().0), Some(1_795_194_000));
    }
}
