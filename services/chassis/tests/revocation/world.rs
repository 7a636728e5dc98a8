//! A feed, a part that follows it, and what ends.

use std::net::SocketAddr;
use std::time::Duration;

use chassis::revocation::{Feed as Followed, Revocations};
use chassis::{Bus, Clock, Deps, Random, Running, Stop};
use contract::revocation::{Revocation, Revoked};
use contract::{SessionId, UserId};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::feed::Feed;

/// Within this time of its end a session is refused everywhere.
pub(crate) const PROMISE: Duration = Duration::from_secs(1);
/// Longer than anything takes that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Between two looks at whether something has become true.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) struct World {
    pub(crate) feed: Feed,
    pub(crate) deps: Deps,
    /// Where the feed is served.
    pub(crate) address: SocketAddr,
    running: Option<Running>,
    _data: tempfile::TempDir,
}

/// A part that follows.
pub(crate) struct Part {
    pub(crate) set: Revocations,
    stop: Stop,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// A world whose feed is at `after`, and served.
    pub(crate) fn at(after: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let deps = Deps {
            bus: Bus::local(16),
            clock: Clock::System,
            random: Random::System,
            data: data.path().to_owned(),
        };
        let feed = Feed::new(&deps, after);
        let running = feed.serve(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = running.address;
        Self { feed, deps, address, running: Some(running), _data: data }
    }

    /// The feed goes away, with every connection.
    pub(crate) async fn stop_feed(&mut self) {
        self.running.take().unwrap().cut().await;
    }

    /// It is back where it was.
    pub(crate) fn start_feed(&mut self) {
        self.running = Some(self.feed.serve(self.address));
    }

    /// A part that begins to follow.
    pub(crate) fn part(&self) -> Part {
        self.part_as("gateway")
    }

    pub(crate) fn part_as(&self, me: &'static str) -> Part {
        let stop = Stop::new();
        let followed = Followed {
            url: &format!("http://{}/internal/revocations", self.address),
            authority: "user",
            keys: &self.deps.data.join("keys"),
            items_max: 100,
            linger: Duration::ZERO,
        };
        let set = followed.follow(me, &self.deps, &stop).unwrap();
        Part { set, stop }
    }

    /// A part that knows everything and waits for more.
    pub(crate) async fn abreast(&self) -> Part {
        let part = self.part();
        self.until_it_waits().await;
        assert!(part.set.is_known());
        part
    }

    /// Waits until somebody waits at the feed.
    pub(crate) async fn until_it_waits(&self) {
        until(|| self.feed.asked().last().is_some_and(|query| query.wait.is_some())).await;
    }
}

impl Part {
    /// Whether tokens of the session `number` are dead.
    pub(crate) fn refuses(&self, number: u128) -> bool {
        let now = Clock::System.now();
        self.set.is_revoked(session(number), UserId(Uuid::nil()), now)
    }

    /// Waits until those of all of `numbers` are; fails when that takes longer than promised.
    pub(crate) async fn soon_refuses(&self, numbers: &[u128]) {
        let began = Instant::now();
        until(|| numbers.iter().all(|number| self.refuses(*number))).await;
        assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
    }
}

/// The session `number` has just ended.
pub(crate) fn ended(number: u128) -> Revocation {
    let now = Clock::System.now();
    let what = Revoked::Session { sid: session(number) };
    Revocation { what, not_before: now, until: now.plus(Duration::from_mins(15)) }
}

fn session(number: u128) -> SessionId {
    SessionId(Uuid::from_u128(number))
}

/// Waits until `fact` is true.
pub(crate) async fn until(mut fact: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !fact() {
        assert!(Instant::now() < end, "it did not come true");
        sleep(PAUSE).await;
    }
}
