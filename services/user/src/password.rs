//! Hashes and checks passwords away from the async threads, a bounded number at once.
//!
//! Argon2id with 19 MiB, two passes and one lane (OWASP's first choice). Checking takes the same
//! time whether or not there is an account to check against. Never logs, never keeps a password.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

mod common;
pub(crate) mod rules;

/// Bytes of salt (RFC 9106 section 3.1).
pub(crate) const SALT_BYTES: usize = 16;

/// Checked when there is no account, so that a caller cannot tell by the time that there is none.
/// The output is no digest of anything, so no password fits.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IG5vYm9keSBuLg\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password could be neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("more passwords are waiting to be hashed than is allowed")]
    Overloaded,
    #[error("hashing failed")]
    Hash(#[from] argon2::Error),
    #[error("a stored password hash is malformed")]
    Stored(#[from] argon2::password_hash::phc::Error),
    #[error("the parameters of a password hash cannot be used")]
    Params(#[from] argon2::password_hash::Error),
    #[error("the hashing thread broke off")]
    BrokeOff(#[from] tokio::task::JoinError),
}

/// The way to the hashing threads. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    /// Places for those that hash and those that wait.
    places: Arc<Semaphore>,
    /// Places for those that hash.
    seats: Arc<Semaphore>,
    memory: Arc<Memory>,
    tasks: TaskTracker,
}

impl Passwords {
    /// At most `parallel` at once and `waiting_max` behind them; the threads are counted in `tasks`.
    pub(crate) fn new(parallel: usize, waiting_max: usize, tasks: TaskTracker) -> Self {
        Self {
            places: Arc::new(Semaphore::new(parallel.saturating_add(waiting_max))),
            seats: Arc::new(Semaphore::new(parallel)),
            memory: Arc::new(Memory::default()),
            tasks,
        }
    }

    /// The PHC string to store for `password`, which keeps the rules or was drawn here.
    pub(crate) async fn hash(
        &self,
        password: &str,
        salt: [u8; SALT_BYTES],
    ) -> Result<String, Error> {
        let password = password.to_owned();
        self.run(move |memory| memory.hash(&password, &salt)).await
    }

    /// Whether `password` is the one behind `stored`; never when nothing is stored.
    pub(crate) async fn verify(
        &self,
        password: &str,
        stored: Option<String>,
    ) -> Result<bool, Error> {
        let password = rules::normal(password);
        self.run(move |memory| {
            let fits = memory.verify(&password, stored.as_deref().unwrap_or(NOBODY))?;
            Ok(fits && stored.is_some())
        })
        .await
    }

    /// Dropping the future while the work runs loses its result alone: the seat is given back by
    /// the thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Memory) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
        let seat = self.seats.clone().acquire_owned().await.map_err(|_| Error::Overloaded)?;
        let memory = self.memory.clone();
        let job = move || {
            let done = work(&memory);
            drop((seat, place));
            done
        };
        self.tasks.spawn_blocking(job).await?
    }
}

/// Argon2's working memory, kept between uses: as much as was ever hashed in at once. Taken anew each
/// time it costs half as much time again, and the allocator keeps a copy for every thread.
#[derive(Default)]
struct Memory(Mutex<Vec<Vec<Block>>>);

impl fmt::Debug for Memory {
    /// What is left in the blocks is nobody's to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory(***)")
    }
}

impl Memory {
    fn hash(&self, password: &str, salt: &[u8]) -> Result<String, Error> {
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.fill(&Params::DEFAULT, password, salt, &mut output)?;
        let hash = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&Params::DEFAULT)?,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(&output)?),
        };
        Ok(hash.to_string())
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, Error> {
        let stored = PasswordHash::new(stored)?;
        let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
            return Ok(false);
        };
        let params = Params::try_from(&stored)?;
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.fill(&params, password, salt, &mut output)?;
        Ok(output.ct_eq(expected.as_bytes()).into())
    }

    fn fill(
        &self,
        params: &Params,
        password: &str,
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), Error> {
        let mut blocks = self.take();
        blocks.resize(params.block_count(), Block::default());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let done =
            argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut blocks);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
        Ok(done?)
    }

    fn take(&self) -> Vec<Block> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(1, 1, TaskTracker::new())
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_alone() {
        let passwords = passwords();
        let stored = passwords.hash("correct horse", [7; SALT_BYTES]).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse", Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("Correct horse", Some(stored)).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_password_is_stored_differently_each_time() {
        let passwords = passwords();
        let one = passwords.hash("correct horse", [1; SALT_BYTES]).await.unwrap();
        let two = passwords.hash("correct horse", [2; SALT_BYTES]).await.unwrap();
        assert_ne!(one, two);
    }

    #[tokio::test]
    async fn nobody_has_a_password_and_it_costs_the_same_work_to_say_so() {
        assert!(!passwords().verify("correct horse", None).await.unwrap());
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        assert_eq!(params.block_count(), Params::DEFAULT.block_count());
        assert_eq!(params.t_cost(), Params::DEFAULT.t_cost());
        assert_eq!(nobody.salt.unwrap().len(), SALT_BYTES);
    }

    #[tokio::test]
    async fn beyond_the_bound_it_refuses_at_once() {
        let passwords = Passwords::new(0, 1, TaskTracker::new());
        let waiting = passwords.verify("a", None);
        let refused = passwords.verify("b", None);
        tokio::select! {
            biased;
            _ = waiting => panic!("there is no seat"),
            answer = refused => assert!(matches!(answer, Err(Error::Overloaded))),
        }
    }

    #[tokio::test]
    async fn a_malformed_hash_is_an_error_and_no_match() {
        let answer = passwords().verify("a", Some("plain".to_owned())).await;
        assert!(matches!(answer, Err(Error::Stored(_))));
    }
}
