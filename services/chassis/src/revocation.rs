//! What ended before its time: the sessions and tokens that are dead though they have not expired.
//!
//! ```text
//! feed of the user service ==long poll==> follower -> Revocations <- whoever checks a token
//! bus: auth.revoked        ==quick way==>     '
//! ```
//!
//! The set is bounded, shared and looked at without waiting; when it is full it forgets on the safe
//! side, and somebody alive has to refresh once. Whoever checks tokens again and again looks at a
//! number first, which moves when something was added. Until the feed has answered once, nothing is
//! known, and nobody's token may be called good. After that everybody goes on with what is known,
//! however long the feed is away.

mod feed;
mod follower;
mod held;
mod progress;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use contract::revocation::{FEED_ITEMS_MAX, Revocation, Revocations as Stretch};
use contract::{SessionId, Timestamp, UserId};
use serde::{Deserialize, Deserializer, de};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

pub use follower::Feed;
use held::{Change, Held};

/// News that a listener may lag behind before it has to look at everything anew.
const NEWS_MAX: usize = 1_024;
/// Longest that a part waits, when it starts, for the feed to answer or to be known to be away.
const SETTLE_WINDOW: Duration = Duration::from_millis(500);
/// Highest cursor that a feed can give.
const CURSOR_MAX: u64 = i64::MAX as u64;

/// What is revoked, as far as it is known here. Cheap to clone; clones are one set.
#[derive(Debug, Clone)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    generation: Generation,
    held: RwLock<Held>,
    news: broadcast::Sender<News>,
    stage: watch::Sender<Stage>,
}

/// Rises whenever something is added; 0 while nothing is known. Alone on its cache lines: cores look at
/// it for every request, and a lock that others take is not to disturb them.
#[derive(Debug)]
#[repr(align(128))]
struct Generation(AtomicU64);

/// How much is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing, and the feed has not answered yet.
    Opening,
    /// Nothing, for the feed is away.
    Away,
    /// All that the feed had to tell.
    Known,
}

impl Revocations {
    /// A set of which nothing is known yet, and that will hold at most `items_max` things.
    #[must_use]
    pub fn unknown(items_max: usize) -> Self {
        Self::at(Stage::Opening, items_max)
    }

    /// The set of those who follow nobody: nothing is ever revoked.
    #[must_use]
    pub fn unfollowed() -> Self {
        Self::at(Stage::Known, 0)
    }

    fn at(stage: Stage, items_max: usize) -> Self {
        Self(Arc::new(Shared {
            generation: Generation(AtomicU64::new(u64::from(stage == Stage::Known))),
            held: RwLock::new(Held::new(items_max)),
            news: broadcast::Sender::new(NEWS_MAX),
            stage: watch::Sender::new(stage),
        }))
    }

    /// Whether it is known what is revoked. Until then no user's token may be called good.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.generation() > 0
    }

    /// Moves whenever something was added: what was found alive at a generation is alive for as long
    /// as this one stays. Read it before [`Revocations::is_revoked`], not after.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.0.load(Ordering::Acquire)
    }

    /// Whether the token of `session` that `user` was given at `issued_at` is dead.
    #[must_use]
    pub fn is_revoked(&self, session: SessionId, user: UserId, issued_at: Timestamp) -> bool {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        held.is_revoked(session, user, issued_at)
    }

    /// Adds `items`, and forgets those that are over at `now`. What is there already is no news.
    pub fn apply(&self, items: &[Revocation], now: Timestamp) {
        let news = {
            let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
            let news: Vec<_> = items.iter().filter_map(|item| held.add(item, now)).collect();
            held.forget(now);
            if !news.is_empty() && self.is_known() {
                self.0.generation.0.fetch_add(1, Ordering::Release);
            }
            news
        };
        for change in news {
            // It is nobody's loss when nobody listens.
            let news = match change {
                Change::Added(item) => News::Revoked(item),
                Change::Floor => News::Anew,
            };
            self.0.news.send(news).ok();
        }
    }

    /// From now on it is known what is revoked.
    pub fn mark_known(&self) {
        let Generation(generation) = &self.0.generation;
        if generation.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.0.stage.send_replace(Stage::Known);
            self.0.news.send(News::Anew).ok();
        }
    }

    /// Hears everything that is added from now on.
    #[must_use]
    pub fn subscribe(&self) -> Listener {
        Listener(self.0.news.subscribe())
    }

    /// Waits until it is known what is revoked, or that the feed is away; a bounded time. Safe to drop.
    pub async fn settled(&self) {
        let mut stage = self.0.stage.subscribe();
        // Whoever goes on too early refuses tokens for a moment.
        timeout(SETTLE_WINDOW, stage.wait_for(|stage| *stage != Stage::Opening)).await.ok();
    }

    /// The feed does not answer.
    fn mark_away(&self) {
        self.0.stage.send_if_modified(|stage| {
            let is_first = *stage == Stage::Opening;
            if is_first {
                *stage = Stage::Away;
            }
            is_first
        });
    }
}

/// What a listener hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// This is dead from now on.
    Revoked(Revocation),
    /// More than can be told one by one, or some of it was missed: look at everything that was found
    /// alive before with [`Revocations::is_revoked`].
    Anew,
}

/// Hears what is revoked.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<News>);

impl Listener {
    /// The next piece of news; `None` when the set is gone. Safe to drop: nothing is lost by it.
    pub async fn next(&mut self) -> Option<News> {
        match self.0.recv().await {
            Ok(news) => Some(news),
            Err(RecvError::Lagged(_)) => Some(News::Anew),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Whether `stretch` can be one of the feed's: bounded, and forward.
pub(crate) const fn is_sound(stretch: &Stretch) -> bool {
    let Some(length) = stretch.cursor.checked_sub(stretch.after) else { return false };
    stretch.items.len() <= FEED_ITEMS_MAX
        && stretch.items.len() as u64 <= length
        && stretch.cursor <= CURSOR_MAX
}

/// Reads the URL of a feed, or nothing; for `#[serde(deserialize_with)]`.
pub fn feed_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = String::deserialize(deserializer)?;
    let is_good = url.is_empty() || url.strip_prefix("http://").is_some_and(|at| !at.is_empty());
    let wanted = "expected a URL that begins with http://, or nothing";
    if is_good { Ok(url) } else { Err(de::Error::custom(wanted)) }
}

#[cfg(test)]
mod tests {
    use contract::revocation::Revoked;
    use uuid::Uuid;

    use super::*;

    const ADA: UserId = UserId(Uuid::from_u128(1));
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn session(number: u128) -> SessionId {
        SessionId(Uuid::from_u128(number))
    }

    fn ended(number: u128) -> Revocation {
        let what = Revoked::Session { sid: session(number) };
        Revocation { what, not_before: NOW, until: NOW.plus(Duration::from_mins(15)) }
    }

    #[test]
    fn the_generation_moves_with_news_alone() {
        let set = Revocations::unknown(8);
        set.apply(&[ended(1)], NOW);
        assert!(!set.is_known(), "what the bus tells first is not all");
        set.mark_known();
        let before = set.generation();
        set.apply(&[ended(1)], NOW);
        set.apply(&[], NOW);
        set.mark_known();
        assert_eq!(set.generation(), before);
        set.apply(&[ended(2)], NOW);
        assert!(set.generation() > before);
        assert!(set.is_revoked(session(2), ADA, NOW) && !set.is_revoked(session(3), ADA, NOW));
    }

    #[tokio::test]
    async fn a_listener_hears_what_is_new_and_that_it_lagged() {
        let set = Revocations::unknown(10_000);
        set.mark_known();
        let mut listener = set.subscribe();
        set.apply(&[ended(1), ended(1)], NOW);
        set.apply(&[ended(2)], NOW);
        assert_eq!(listener.next().await, Some(News::Revoked(ended(1))));
        assert_eq!(listener.next().await, Some(News::Revoked(ended(2))));
        let many: Vec<_> = (10..10 + 2 * NEWS_MAX as u128).map(ended).collect();
        set.apply(&many, NOW);
        assert_eq!(listener.next().await, Some(News::Anew));
    }

    #[test]
    fn a_stretch_that_goes_back_or_skips_is_none() {
        let stretch = |after, cursor, items| Stretch { after, cursor, items };
        assert!(is_sound(&stretch(3, 3, vec![])));
        assert!(is_sound(&stretch(3, 5, vec![ended(1)])));
        assert!(!is_sound(&stretch(3, 2, vec![])));
        assert!(!is_sound(&stretch(3, 3, vec![ended(1)])));
        assert!(!is_sound(&stretch(0, u64::MAX, vec![])));
        let many = vec![ended(1); FEED_ITEMS_MAX + 1];
        assert!(!is_sound(&stretch(0, 1 << 20, many)));
    }
}
