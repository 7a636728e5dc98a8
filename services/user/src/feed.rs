//! Tells everybody who checks tokens what ended before its time: by the bus right after the commit, and
//! by the feed, which nobody can miss. This service is the first to know, and checks tokens by the
//! same set.

use std::sync::Arc;
use std::time::Duration;

use chassis::revocation::Revocations as Known;
use chassis::{Bus, Clock, Deps, Stop, refuse};
use contract::SessionId;
use contract::Timestamp;
use contract::revocation::{Revocation, Revocations, Revoked};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::account::Account;
use crate::error::Error;
use crate::store::ends::Ends;
use crate::store::{self, Store};

/// How far beyond the end of a token an item is kept: clocks differ.
const MARGIN: Duration = Duration::from_mins(1);
/// `iat` has whole seconds.
const SECOND: i64 = 1_000;

/// The way to it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    store: Store,
    bus: Bus,
    clock: Clock,
    /// What this process itself refuses.
    known: Known,
    /// The newest cursor that this process knows of.
    head: watch::Sender<u64>,
    /// Life of an access token.
    life: Duration,
    /// Whoever waits is answered when the service leaves.
    stop: Stop,
}

impl Feed {
    /// Opens the feed with everything in it that is not over.
    pub(crate) async fn open(
        store: Store,
        known: Known,
        deps: &Deps,
        life: Duration,
        stop: &Stop,
    ) -> Result<Self, store::Error> {
        let (bus, clock, head) = (deps.bus.clone(), deps.clock.clone(), watch::Sender::new(0));
        let stop = stop.clone();
        let feed = Self { store, bus, clock, known, head, life, stop };
        feed.catch_up(0).await?;
        feed.known.mark_known();
        Ok(feed)
    }

    fn item(&self, what: Revoked, not_before: Timestamp, now: Timestamp) -> Revocation {
        Revocation { what, not_before, until: now.plus(self.life).plus(MARGIN) }
    }

    /// Tells of what was just committed.
    pub(crate) fn tell(&self, stretch: Revocations) {
        if stretch.items.is_empty() {
            return;
        }
        self.known.apply(&stretch.items, self.clock.now());
        self.reached(stretch.cursor);
        self.bus.publish_revoked(Arc::new(stretch));
    }

    /// What came after `after`, or what is not over yet; waits up to `wait` for something. Safe to drop.
    pub(crate) async fn read(
        &self,
        after: Option<u64>,
        wait: Duration,
    ) -> Result<Revocations, Error> {
        let Some(after) = after else {
            return Ok(self.store.feed_after(0, self.clock.now()).await?);
        };
        let mut head = self.head.subscribe();
        let stretch = self.store.feed_after(after, self.clock.now()).await?;
        self.reached(stretch.cursor);
        if stretch.cursor != after {
            return Ok(stretch);
        }
        let moved = tokio::select! {
            moved = timeout(wait, head.wait_for(|head| *head > after)) => moved.is_ok(),
            () = self.stop.drain_began() => false,
        };
        if moved { Ok(self.store.feed_after(after, self.clock.now()).await?) } else { Ok(stretch) }
    }

    /// Looks now and then whether something was committed that was not told here: by another replica, or
    /// for a caller who hung up before its answer. Until the drain.
    pub(crate) async fn watch(self, every: Duration) {
        let mut seen = *self.head.borrow();
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.drain_began() => return,
                _ = ticks.tick() => {}
            }
            match self.catch_up(seen).await {
                Ok(cursor) => seen = cursor,
                Err(error) => {
                    warn!(cause = refuse::chain(&error), "What other replicas ended is not known");
                }
            }
        }
    }

    /// Takes over what came after `seen`; gives the newest cursor.
    async fn catch_up(&self, seen: u64) -> Result<u64, store::Error> {
        let mut seen = seen;
        while self.store.feed_head().await? != seen {
            let stretch = self.store.feed_after(seen, self.clock.now()).await?;
            self.known.apply(&stretch.items, self.clock.now());
            self.reached(stretch.cursor);
            seen = stretch.cursor;
        }
        Ok(seen)
    }

    fn reached(&self, cursor: u64) {
        self.head.send_if_modified(|head| {
            let is_newer = cursor > *head;
            *head = cursor.max(*head);
            is_newer
        });
    }
}

impl Ends for Feed {
    /// Every token of the session, or of the machine key, that has this id.
    fn session(&self, sid: SessionId) -> Revocation {
        let now = self.clock.now();
        self.item(Revoked::Session { sid }, now, now)
    }

    /// Every token that the account was given so far. Tokens tell the second in which they were made
    /// and no more, so those of this whole second are dead, and those that claim to be of a later one
    /// because of an end before this: its next ones claim to be of the second that follows.
    fn user(&self, account: &Account) -> Revocation {
        let now = self.clock.now();
        let from = now.seconds().max(account.tokens_from).saturating_add(1);
        let what = Revoked::User { user_id: account.id };
        self.item(what, Timestamp(from.saturating_mul(SECOND)), now)
    }
}
