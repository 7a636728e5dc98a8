//! Keeps a set as the feed has it: reads it at the start, waits for what comes, and listens to the bus,
//! which is quicker where there is one. Blocks nobody's start, and never gives up.

use std::path::Path;
use std::time::Duration;

use contract::revocation::{FeedQuery, Revocations as Stretch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::Revocations;
use super::feed::{NoAnswer, Source};
use super::progress::{Asked, Fit, Progress};
use crate::bus::{Heard, Subscription};
use crate::identity::ServiceTokens;
use crate::refuse::chain;
use crate::{Clock, Deps, Random, StartError, Stop, http_client};

/// The pause after the first question without an answer; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause, so that a feed that is back is heard within a second.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Between two looks at a service that has no feed: it may be replaced by one that has.
const ABSENCE_PAUSE: Duration = Duration::from_mins(1);
/// Shortest time between two questions to a feed that has nothing to tell and does not wait.
const IDLE_PAUSE: Duration = Duration::from_millis(250);

/// Whom to follow, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// Where it is; empty: nobody is followed, and nothing is ever revoked.
    pub url: &'a str,
    /// What the service that has it is called in service tokens.
    pub authority: &'a str,
    /// Folder of the services' keys.
    pub keys: &'a Path,
    /// Most things that are remembered.
    pub items_max: usize,
    /// How long to follow on while the part drains: as long as it lets callers in.
    pub linger: Duration,
}

impl Feed<'_> {
    /// Begins to follow for the service `me`, until `stop`. Does not wait for the first answer.
    pub fn follow(
        &self,
        me: &'static str,
        deps: &Deps,
        stop: &Stop,
    ) -> Result<Revocations, StartError> {
        if self.url.is_empty() {
            return Ok(Revocations::unfollowed());
        }
        let set = Revocations::unknown(self.items_max);
        let follower = Follower {
            source: Source {
                url: self.url.to_owned(),
                authority: self.authority.to_owned(),
                client: http_client::open()?,
                tokens: ServiceTokens::open(me, self.keys, deps)?,
            },
            bus: deps.bus.subscribe_revoked(),
            set: set.clone(),
            progress: Progress::default(),
            clock: deps.clock.clone(),
            random: deps.random.clone(),
            failures: 0,
        };
        stop.spawn(follower.run(stop.clone(), self.linger));
        Ok(set)
    }
}

struct Follower {
    source: Source,
    bus: Subscription<Stretch>,
    set: Revocations,
    progress: Progress,
    clock: Clock,
    random: Random,
    /// Questions in a row that led nowhere.
    failures: u32,
}

impl Follower {
    async fn run(mut self, stop: Stop, linger: Duration) {
        let end = async {
            stop.drain_began().await;
            sleep(linger).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = end => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        loop {
            let query = self.progress.question();
            let asked_at = Instant::now();
            let Some(answer) = self.ask(query).await else { continue };
            let pause = match answer {
                Ok(stretch) => self.take(query, &stretch, asked_at),
                Err(error) => self.fail(&error),
            };
            self.listen_for(pause).await;
        }
    }

    /// The answer to `query`; `None` when the bus tells that another question is due.
    async fn ask(&mut self, query: FeedQuery) -> Option<Result<Stretch, NoAnswer>> {
        let Self { source, bus, set, progress, clock, .. } = self;
        let answer = source.ask(query);
        tokio::pin!(answer);
        loop {
            let heard = tokio::select! {
                answer = &mut answer => return Some(answer),
                heard = hear(bus) => heard,
            };
            if learn(heard, progress, set, clock) == Asked::IsStale {
                return None;
            }
        }
    }

    /// Listens to the bus alone, for at most `pause`.
    async fn listen_for(&mut self, pause: Duration) {
        if pause.is_zero() {
            return;
        }
        let Self { bus, set, progress, clock, .. } = self;
        let listening = async {
            loop {
                let heard = hear(bus).await;
                if learn(heard, progress, set, clock) == Asked::IsStale {
                    return;
                }
            }
        };
        timeout(pause, listening).await.ok();
    }

    /// Takes an answer in; says how long to pause.
    fn take(&mut self, query: FeedQuery, stretch: &Stretch, asked_at: Instant) -> Duration {
        // Whatever the feed has become, what it says is dead is dead.
        self.set.apply(&stretch.items, self.clock.now());
        if self.progress.answered(query, stretch) == Fit::SetBack {
            warn!(cursor = stretch.cursor, "The feed of revocations was set back; reading it anew");
            return self.next_pause();
        }
        if self.progress.is_abreast() {
            self.rejoice();
        }
        let is_idle = query.wait.is_some() && stretch.items.is_empty();
        if is_idle { IDLE_PAUSE.saturating_sub(asked_at.elapsed()) } else { Duration::ZERO }
    }

    /// Everything is known that the feed has.
    fn rejoice(&mut self) {
        if !self.set.is_known() {
            info!("Took over what is revoked");
        } else if self.failures > 0 {
            info!("The feed of revocations is back");
        }
        self.failures = 0;
        self.set.mark_known();
    }

    fn fail(&mut self, error: &NoAnswer) -> Duration {
        self.progress.lost();
        if error.is_absence() {
            return self.do_without();
        }
        if self.failures == 0 {
            let (url, cause) = (&self.source.url, chain(error));
            warn!(url, cause, "The feed of revocations is away; going on with what is known");
        }
        self.set.mark_away();
        self.next_pause()
    }

    /// A user service of another make may have no feed: its tokens live until they expire.
    fn do_without(&mut self) -> Duration {
        if self.failures == 0 {
            let url = &self.source.url;
            warn!(url, "There is no feed of revocations: tokens live until they expire");
        }
        self.failures = self.failures.saturating_add(1);
        self.set.mark_known();
        ABSENCE_PAUSE
    }

    /// Doubles up to the most, and half of it is chance: everybody lost the feed at once.
    fn next_pause(&mut self) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let half = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX) / 2;
        let drawn = self.random.below(u64::try_from(half.as_millis()).unwrap_or(0));
        half + Duration::from_millis(drawn)
    }
}

/// What comes over the bus; never ends when that is gone.
async fn hear(bus: &mut Subscription<Stretch>) -> Heard<Stretch> {
    match bus.next().await {
        Some(heard) => heard,
        None => std::future::pending().await,
    }
}

/// Takes in what the bus tells.
fn learn(
    heard: Heard<Stretch>,
    progress: &mut Progress,
    set: &Revocations,
    clock: &Clock,
) -> Asked {
    match heard {
        Heard::Event(stretch) => {
            // Where it stands in the feed or not, it is dead.
            set.apply(&stretch.items, clock.now());
            progress.heard(&stretch)
        }
        Heard::Gap => progress.missed(),
    }
}
