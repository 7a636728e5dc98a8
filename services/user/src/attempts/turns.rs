//! Whoever signs in takes a turn, so that an attempt is judged before the next of its kind is
//! counted: people who sign in rightly at the same moment are not taken for one who guesses.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Targets and addresses are dealt out to so many shards each.
const SHARDS: usize = 256;
/// Attempts at one address, and at others of its shard, that are judged at a time: fewer than the
/// failures that an address has free.
const AT_AN_ADDRESS: usize = 32;
/// The longest that an attempt waits for its turn.
const TURN_WINDOW: Duration = Duration::from_secs(5);

/// The turn did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooCrowded;

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _target: SemaphorePermit<'a>,
    _address: SemaphorePermit<'a>,
}

/// Deals out turns.
#[derive(Debug)]
pub(super) struct Turns {
    targets: Vec<Semaphore>,
    addresses: Vec<Semaphore>,
}

impl Turns {
    pub(super) fn new() -> Self {
        let shards = |turns| (0..SHARDS).map(|_| Semaphore::new(turns)).collect();
        Self { targets: shards(1), addresses: shards(AT_AN_ADDRESS) }
    }

    /// Waits for a turn of `target`, alone, at `address`. Safe to drop.
    pub(super) async fn take(
        &self,
        target: &impl Hash,
        address: &impl Hash,
    ) -> Result<Turn<'_>, TooCrowded> {
        let both = async {
            let of_target = shard(&self.targets, target).acquire().await.ok()?;
            let of_address = shard(&self.addresses, address).acquire().await.ok()?;
            Some(Turn { _target: of_target, _address: of_address })
        };
        timeout(TURN_WINDOW, both).await.ok().flatten().ok_or(TooCrowded)
    }
}

fn shard<'a>(shards: &'a [Semaphore], key: &impl Hash) -> &'a Semaphore {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let place = hasher.finish() % shards.len() as u64;
    &shards[usize::try_from(place).unwrap_or(0)]
}
