//! Follows which accounts are deleted, and takes their names off the conversations: memberships end, as
//! if they had left, and what they wrote stands under another name.
//!
//! ```text
//! user service: list of the deleted --cursor--> departed (noted with the cursor, as one)
//!                                                  '-> leave every room -> rename -> finished
//! ```
//!
//! What was noted is done to its end, whatever breaks off in between. Every step can be done again, so
//! that replicas need not know of each other. Nobody's start waits for this.

use std::time::Duration;

use axum::http::StatusCode;
use chassis::hop::Hop;
use chassis::peer::{On, Peer, PeerError};
use chassis::refuse::chain;
use chassis::revocation::{Listener, News};
use chassis::{Clock, Random, Stop};
use contract::UserId;
use contract::internal::accounts::DeletedAccounts;
use contract::revocation::Revoked;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::command::Author;
use crate::error::Error;
use crate::store::departed::DELETED_NAME;
use crate::store::{self, Store};
use crate::writer::Writer;

/// Accounts of one answer.
const PAGE_ITEMS: usize = 100;
/// Answers that are read before what they say is done; the rest come with the next turn.
const PAGES_MAX: u32 = 100;
/// Rooms that somebody leaves before the next are looked up.
const ROOMS_MAX: u32 = 100;
/// From a revocation to the question: a burst of them asks once.
const GATHERING: Duration = Duration::from_millis(200);
/// The pause after a first failure; it doubles up to the interval.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The follower.
#[derive(Debug)]
pub(crate) struct Departures {
    pub(crate) peer: Peer,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Between two questions while nothing is heard.
    pub(crate) interval: Duration,
}

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the user service keeps no list of deleted accounts")]
    NoList,
    #[error("the list of deleted accounts cannot be read")]
    Unread(#[source] PeerError),
    #[error("the list of deleted accounts is none")]
    Unsound,
    #[error("the store failed")]
    Store(#[from] store::Error),
    #[error("a membership could not be ended")]
    Membership(#[source] Error),
}

impl Departures {
    /// Runs until the drain.
    pub(crate) async fn run(self, mut news: Listener, stop: Stop) {
        tokio::select! {
            () = stop.drain_began() => {}
            () = self.follow(&mut news) => {}
        }
    }

    async fn follow(&self, news: &mut Listener) {
        let mut failures = 0;
        loop {
            failures = match self.turn().await {
                Ok(()) => {
                    if failures > 0 {
                        info!("The list of deleted accounts is read again");
                    }
                    0
                }
                Err(fault) => {
                    if failures == 0 {
                        let cause = chain(&fault);
                        warn!(cause, "Deleted accounts keep their names for now");
                    }
                    failures + 1
                }
            };
            // Whoever hears or not: what was lost on the way is found after the interval.
            if timeout(self.pause(failures), heard(news)).await.is_ok() {
                sleep(GATHERING).await;
                while timeout(Duration::ZERO, heard(news)).await.is_ok() {}
            }
        }
    }

    /// Half of it is chance: replicas start together.
    fn pause(&self, failures: u32) -> Duration {
        let pause = match failures {
            0 => self.interval,
            failures => PAUSE_MIN.saturating_mul(1 << failures.min(16)).min(self.interval),
        };
        let half = u64::try_from(pause.as_millis() / 2).unwrap_or(u64::MAX);
        pause / 2 + Duration::from_millis(self.random.below(half))
    }

    /// Notes who is new on the list, and does what is to be done, also about those of earlier turns.
    async fn turn(&self) -> Result<(), Fault> {
        let read = self.read().await;
        // One at a time: nobody waits for it.
        while let Some(user) = self.store.unfinished(1).await?.first() {
            self.forget(*user).await?;
        }
        read
    }

    async fn read(&self) -> Result<(), Fault> {
        let mut after = self.store.deleted_cursor().await?;
        for _ in 0..PAGES_MAX {
            let page = self.ask(after).await?;
            if page.cursor == after {
                return Ok(());
            }
            if page.cursor < after {
                warn!(after, cursor = page.cursor, "The list of deleted accounts was set back");
                after = 0;
                // Noted at once: an empty list would be set back anew with every turn.
                self.store.note_departed(&[], after).await?;
                continue;
            }
            self.store.note_departed(&page.items, page.cursor).await?;
            after = page.cursor;
        }
        Ok(())
    }

    async fn ask(&self, after: u64) -> Result<DeletedAccounts, Fault> {
        let path = format!("/internal/deleted?after={after}&limit={PAGE_ITEMS}");
        let answer = self.peer.get::<DeletedAccounts>(&path, On::OwnBehalf, &Hop::default()).await;
        let page = answer.map_err(|error| match error {
            PeerError::Garbled(StatusCode::NOT_FOUND) => Fault::NoList,
            PeerError::Refused(problem) if problem.status == 404 => Fault::NoList,
            error => Fault::Unread(error),
        })?;
        let is_sound =
            page.body.items.len() <= PAGE_ITEMS && i64::try_from(page.body.cursor).is_ok();
        if is_sound { Ok(page.body) } else { Err(Fault::Unsound) }
    }

    /// Ends the memberships first: from then on nothing is written under the name any more.
    async fn forget(&self, user: UserId) -> Result<(), Fault> {
        let author = Author { id: user, name: DELETED_NAME.into() };
        loop {
            let rooms = self.store.rooms_of(user, ROOMS_MAX).await?;
            if rooms.is_empty() {
                break;
            }
            self.writer.leave_all(&author, rooms).await.map_err(Fault::Membership)?;
        }
        self.store.take_name_off(user).await?;
        Ok(self.store.finish(user, self.clock.now()).await?)
    }
}

/// Ends when an account may have been deleted. Safe to drop.
async fn heard(news: &mut Listener) {
    loop {
        match news.next().await {
            Some(News::Anew) => return,
            Some(News::Revoked(item)) => match item.what {
                Revoked::User { .. } => return,
                Revoked::Session { .. } => {}
            },
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
