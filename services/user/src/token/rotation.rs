//! Making keys: the first one, one of another kind, the next one; and noticing what others made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chassis::config::{Faults, Layers, Settings as _};
use chassis::keys::{self, SigningKey};
use chassis::tokens::KeyKind;
use chassis::{Clock, StartError, Stop};
use contract::Timestamp;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::ring::{KEYS_MAX, Ring};
use super::{Issuer, Keys, folder};
use crate::config::Config;
use crate::users::Users;

/// Makes the key that this service calls others with, where it is not there yet.
pub fn make_keys(folder: &Path) -> Result<(), StartError> {
    SigningKey::load_or_make(folder, crate::PROGRAM.name).map(drop)
}

/// Makes a key of access tokens, where the newest is not of the kind that is wanted.
pub fn make_token_keys(layers: &Layers, folder: &Path) -> Result<(), StartError> {
    let config = Config::read(layers).map_err(StartError::Config)?;
    if config.identity.token_secret().map_err(StartError::Config)?.is_some() {
        return Ok(());
    }
    let (kind, now) = (config.section.tokens.algorithm, Clock::System.now());
    newest_of_kind(folder, kind, now).map(drop)
}

/// Makes the next key of access tokens; says what will become of it.
pub fn rotate_keys(layers: &Layers, data: &Path) -> Result<String, StartError> {
    let config = Config::read(layers).map_err(StartError::Config)?;
    if config.identity.token_secret().map_err(StartError::Config)?.is_some() {
        let message = "signs the tokens: change it everywhere instead, there is no key to rotate";
        return Err(StartError::Config(Faults::one("identity.jwt_secret", message)));
    }
    let (folder, spans) = (config.identity.keys_folder(data), config.key_spans());
    let (kind, now) = (config.section.tokens.algorithm, Clock::System.now());
    keys::make_folder(&folder)?;
    let made = keys::in_turn(&folder, || {
        let (ring, _) = folder::read(&folder, &Ring::default())?.split(now, spans);
        if ring.keys().len() >= KEYS_MAX {
            let message =
                format!("{KEYS_MAX} token keys are published: wait until some have ended");
            return Err(StartError::Other(message.into()));
        }
        folder::make(&folder, kind, &ring, now)
    })?;
    let (id, from) = (made.key.id(), spans.signs_from(&made));
    Ok(format!(
        "The {} key {id} is in {}; it signs from {from} on.\n",
        kind.name(),
        folder.display()
    ))
}

/// The keys in `folder`, the newest of them of `kind`: made where it is not. A folder in which it is may
/// be read-only.
pub(super) fn newest_of_kind(
    folder: &Path,
    kind: KeyKind,
    now: Timestamp,
) -> Result<Ring, StartError> {
    let fits = |ring: &Ring| ring.newest().is_some_and(|newest| newest.key.kind() == Some(kind));
    let ring = folder::read(folder, &Ring::default())?;
    if fits(&ring) {
        return Ok(ring);
    }
    keys::in_turn(folder, || {
        let ring = folder::read(folder, &ring)?;
        if fits(&ring) {
            return Ok(ring);
        }
        let made = folder::make(folder, kind, &ring, now)?;
        Ok(Ring::new(ring.keys().iter().cloned().chain([Arc::new(made)]).collect()))
    })
}

/// Looks at the keys every `interval`, until the drain: what is in flight then lives with those that are
/// here.
pub(crate) async fn follow(users: Arc<Users>, interval: Duration, stop: Stop) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        tokio::select! {
            () = stop.drain_began() => return,
            _ = ticks.tick() => {}
        }
        let (users, now) = (users.clone(), users.clock.now());
        let look = stop.tracker().spawn_blocking(move || users.sessions.issuer.look(now));
        // A fault that stays is told once.
        let fault = look.await.ok().and_then(Result::err).map(|error| error.to_string());
        if let Some(cause) = fault.as_deref().filter(|_| fault != told) {
            warn!(cause, "The folder of token keys cannot be kept in order");
        }
        told = fault;
    }
}

impl Issuer {
    /// Looks whether there are other keys by now. Waits for the disk.
    fn look(&self, now: Timestamp) -> Result<(), StartError> {
        match &self.keys {
            Keys::Shared { .. } => Ok(()),
            Keys::Pairs(book) => book.look(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_194_000_000);

    #[test]
    fn of_replicas_that_start_together_one_makes_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let ids = thread::scope(|scope| {
            let id = || {
                let ring = newest_of_kind(folder.path(), KeyKind::Es256, NOW).unwrap();
                ring.newest().unwrap().key.id().to_owned()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(id)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(folder::read(folder.path(), &Ring::default()).unwrap().keys().len(), 1);
    }

    #[test]
    fn another_algorithm_is_another_key_beside_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, count) in [
            (KeyKind::EdDsa, 1),
            (KeyKind::EdDsa, 1),
            (KeyKind::Es256, 2),
            // Back again: who signed last must be the one made last.
            (KeyKind::EdDsa, 3),
        ] {
            let ring = newest_of_kind(folder.path(), kind, NOW).unwrap();
            assert_eq!((ring.keys().len(), ring.newest().unwrap().key.kind()), (count, Some(kind)));
        }
    }

    #[test]
    fn rotating_makes_the_next_key_until_there_are_too_many() {
        let data = tempfile::tempdir().unwrap();
        let layers = Layers::defaults();
        for _ in 0..KEYS_MAX {
            assert!(rotate_keys(&layers, data.path()).unwrap().contains("EdDSA key"));
        }
        let full = rotate_keys(&layers, data.path()).unwrap_err().to_string();
        assert!(full.contains("16 token keys"), "{full}");
    }

    #[test]
    fn a_secret_has_no_keys_to_rotate() {
        let data = tempfile::tempdir().unwrap();
        let mut layers = Layers::defaults();
        layers.put("identity.jwt_secret", "9f8c2d7be1a04c5f93d6e7b8a1c2f405");
        assert!(matches!(rotate_keys(&layers, data.path()), Err(StartError::Config(_))));
    }
}
