//! The sockets of a node by what their tokens can be revoked by, so that an ended session finds its
//! sockets without a look at the others.
//!
//! A socket is entered before it is looked at once more whether it may be here, and a fresh token before
//! the old one is forgotten: whatever is revoked is either found here or seen there.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::revocation::{Listener, News, Revocations};
use contract::live::CloseCode;
use contract::revocation::Revoked;
use contract::{SessionId, UserId};
use tokio::task::yield_now;

use super::holder::{Standing, revoked};
use super::line::{Ending, Line};
use crate::error::fault;

/// Sockets that are judged before others get their turn, when all are.
const SOCKETS_PER_TURN: usize = 256;

/// The sockets.
#[derive(Debug, Default)]
pub(crate) struct Roll(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    sockets: HashMap<u64, Entry>,
    sessions: HashMap<SessionId, Vec<u64>>,
    users: HashMap<UserId, Vec<u64>>,
}

/// One whose token can be revoked.
#[derive(Debug)]
struct Entry {
    standing: Standing,
    line: Arc<Line>,
}

/// A socket's entry; dropped, it is struck off.
#[derive(Debug)]
pub(super) struct Enrolled {
    roll: Arc<Roll>,
    number: u64,
    line: Arc<Line>,
}

impl Roll {
    /// Enters the socket `number`, whose token stands as `standing` says.
    pub(super) fn enter(
        self: &Arc<Self>,
        number: u64,
        standing: Option<Standing>,
        line: &Arc<Line>,
    ) -> Enrolled {
        let enrolled = Enrolled { roll: self.clone(), number, line: line.clone() };
        enrolled.renew(standing);
        enrolled
    }

    /// Ends sockets as their tokens are revoked, for as long as there is news. Safe to drop.
    pub(crate) async fn watch(&self, mut news: Listener, revocations: &Revocations) {
        while let Some(news) = news.next().await {
            match news {
                News::Revoked(item) => self.judge(&self.concerned(item.what), revocations),
                News::Anew => self.judge_all(revocations).await,
            }
        }
    }

    /// The sockets of a session or a user.
    fn concerned(&self, what: Revoked) -> Vec<u64> {
        let entries = self.entries();
        let found = match what {
            Revoked::Session { sid } => entries.sessions.get(&sid),
            Revoked::User { user_id } => entries.users.get(&user_id),
        };
        found.cloned().unwrap_or_default()
    }

    async fn judge_all(&self, revocations: &Revocations) {
        let all: Vec<u64> = self.entries().sockets.keys().copied().collect();
        for some in all.chunks(SOCKETS_PER_TURN) {
            self.judge(some, revocations);
            yield_now().await;
        }
    }

    /// Ends those whose newest tokens are revoked.
    fn judge(&self, numbers: &[u64], revocations: &Revocations) {
        let ended: Vec<_> = {
            let entries = self.entries();
            let sockets = numbers.iter().filter_map(|number| entries.sockets.get(number));
            let ended = sockets.filter(|entry| entry.standing.is_revoked(revocations));
            ended.map(|entry| entry.line.clone()).collect()
        };
        for line in ended {
            line.say(&fault(None, &revoked()));
            line.end(Ending::Close(CloseCode::Revoked));
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enrolled {
    /// From now on the socket is judged by a token that stands as `standing` says.
    pub(super) fn renew(&self, standing: Option<Standing>) {
        let mut entries = self.roll.entries();
        entries.strike(self.number);
        if let Some(standing) = standing {
            entries.sessions.entry(standing.session).or_default().push(self.number);
            entries.users.entry(standing.user).or_default().push(self.number);
            entries.sockets.insert(self.number, Entry { standing, line: self.line.clone() });
        }
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.roll.entries().strike(self.number);
    }
}

impl Entries {
    fn strike(&mut self, number: u64) {
        let Some(Entry { standing, .. }) = self.sockets.remove(&number) else { return };
        remove(&mut self.sessions, &standing.session, number);
        remove(&mut self.users, &standing.user, number);
    }
}

fn remove<K: Eq + Hash>(index: &mut HashMap<K, Vec<u64>>, key: &K, number: u64) {
    let Some(numbers) = index.get_mut(key) else { return };
    numbers.retain(|other| *other != number);
    if numbers.is_empty() {
        index.remove(key);
    }
}
