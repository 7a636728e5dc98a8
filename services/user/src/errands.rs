//! Work that no caller waits for: writing to people. A bounded number of errands is under way at a
//! time, each tries again a bounded number of times, and all of them end soon after the drain began.
//!
//! What is not delivered is counted and told of in the log, without saying to whom or what it was. An
//! errand that a crash ends is lost; what it is about can be asked for again.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chassis::{Random, Stop, refuse};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::warn;

/// How long an errand may go on after the drain began.
const DRAIN_WINDOW: Duration = Duration::from_secs(2);

/// How much of it, and how stubbornly: keys of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounds {
    /// Errands under way; beyond them none is taken.
    pub(crate) waiting_max: usize,
    /// Tries at a time.
    pub(crate) parallel: usize,
    /// Tries of one errand.
    pub(crate) tries_max: u32,
    /// Between the first try and the second; it doubles each time,
    #[serde(with = "chassis::config::span")]
    pub(crate) pause_first: Duration,
    /// up to this.
    #[serde(with = "chassis::config::span")]
    pub(crate) pause_max: Duration,
}

/// Why a try failed, in words that name nobody.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The next one may succeed.
    Passing(String),
    /// No other one would.
    Lasting(String),
}

impl Fault {
    /// Something that is needed is away.
    pub(crate) fn passing(error: &dyn std::error::Error) -> Self {
        Self::Passing(refuse::chain(error))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(reason) | Self::Lasting(reason) => f.write_str(reason),
        }
    }
}

/// There was no place for another errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Takes errands in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Errands {
    /// What is carried, for the log.
    what: &'static str,
    bounds: Bounds,
    places: Arc<Semaphore>,
    seats: Arc<Semaphore>,
    lost: Arc<AtomicU64>,
    random: Random,
    stop: Stop,
}

impl Errands {
    /// For `what`, as a log line begins; tasks are those of `stop`.
    pub(crate) fn new(what: &'static str, bounds: Bounds, random: Random, stop: Stop) -> Self {
        Self {
            what,
            places: Arc::new(Semaphore::new(bounds.waiting_max)),
            seats: Arc::new(Semaphore::new(bounds.parallel)),
            lost: Arc::default(),
            bounds,
            random,
            stop,
        }
    }

    /// Begins `errand`, unless there are too many.
    pub(crate) fn begin(
        &self,
        errand: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Full> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.lose("too many are waiting");
            return Err(Full);
        };
        self.stop.spawn(async move {
            errand.await;
            drop(place);
        });
        Ok(())
    }

    /// Tries until it is done; `None` when it was given up, which is told of. Safe to drop.
    pub(crate) async fn insist<T, F>(&self, attempt: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut pause = self.bounds.pause_first;
        for left in (0..self.bounds.tries_max).rev() {
            match self.try_once(attempt()).await {
                Ok(done) => return Some(done),
                Err(Fault::Passing(reason)) if left > 0 && !self.stop.is_draining() => {
                    warn!(cause = reason, "{} has to wait: {reason}", self.what);
                }
                Err(fault) => {
                    self.lose(&fault.to_string());
                    return None;
                }
            }
            tokio::select! {
                () = sleep(self.jittered(pause)) => {}
                // One more try is all that there is time for.
                () = self.stop.drain_began() => {}
            }
            pause = pause.saturating_mul(2).min(self.bounds.pause_max);
        }
        None
    }

    async fn try_once<T>(
        &self,
        attempt: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let seated = async {
            let _seat = self.seats.acquire().await;
            attempt.await
        };
        let too_late = async {
            self.stop.drain_began().await;
            sleep(DRAIN_WINDOW).await;
        };
        tokio::select! {
            done = seated => done,
            () = too_late => Err(Fault::Lasting("the service stops".to_owned())),
        }
    }

    /// From half of `pause` to all of it, so that those who failed together do not come back together.
    fn jittered(&self, pause: Duration) -> Duration {
        let half = pause / 2;
        let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
        half + Duration::from_millis(self.random.below(millis.saturating_add(1)))
    }

    fn lose(&self, reason: &str) {
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        warn!(lost, cause = reason, "{} was not delivered: {reason}", self.what);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn errands(stop: &Stop) -> Errands {
        let bounds = Bounds {
            waiting_max: 2,
            parallel: 1,
            tries_max: 3,
            pause_first: Duration::from_secs(10),
            pause_max: Duration::from_secs(15),
        };
        Errands::new("A thing", bounds, Random::seeded(1), stop.clone())
    }

    fn passing<T>() -> Result<T, Fault> {
        Err(Fault::Passing("away".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_passing_fault_is_tried_again_a_bounded_number_of_times() {
        let (errands, tries) = (errands(&Stop::new()), AtomicU32::new(0));
        let attempt =
            || async { if tries.fetch_add(1, Ordering::Relaxed) < 2 { passing() } else { Ok(7) } };
        assert_eq!(errands.insist(attempt).await, Some(7));
        tries.store(0, Ordering::Relaxed);
        let hopeless = || async {
            tries.fetch_add(1, Ordering::Relaxed);
            passing::<()>()
        };
        assert_eq!(errands.insist(hopeless).await, None);
        assert_eq!(tries.load(Ordering::Relaxed), 3);
        assert_eq!(errands.lost.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_fault_is_not_tried_again() {
        let (errands, tries) = (errands(&Stop::new()), AtomicU32::new(0));
        let attempt = || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Fault::Lasting("no".to_owned()))
        };
        assert_eq!(errands.insist(attempt).await, None);
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_is_not_taken() {
        let stop = Stop::new();
        let errands = errands(&stop);
        for _ in 0..2 {
            errands.begin(std::future::pending()).unwrap();
        }
        assert_eq!(errands.begin(async {}), Err(Full));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_gives_one_last_try_and_cuts_what_hangs() {
        let stop = Stop::new();
        let (errands, tries) = (errands(&stop), AtomicU32::new(0));
        let hopeless = || async {
            stop.drain();
            tries.fetch_add(1, Ordering::Relaxed);
            passing::<()>()
        };
        assert_eq!(errands.insist(hopeless).await, None);
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        assert_eq!(errands.insist(std::future::pending::<Result<(), Fault>>).await, None);
    }
}
