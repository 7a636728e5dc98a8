//! The bounded set itself. Decides alone: no clock, no lock.
//!
//! It keeps each thing until it is over. When there are too many, the oldest half gives way to a
//! floor: every token that was issued before the newest of them is dead. That kills what has to be
//! dead and some that is not, whose owners refresh once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use contract::revocation::{Revocation, Revoked};
use contract::{SessionId, Timestamp, UserId};

/// Between two searches for what is over, unless there is no place.
const SWEEP_PAUSE: Duration = Duration::from_mins(1);
/// Fewest things of which half can give way.
const ITEMS_MIN: usize = 2;

/// What is revoked.
#[derive(Debug)]
pub(super) struct Held {
    sessions: HashMap<SessionId, Span>,
    users: HashMap<UserId, Span>,
    items_max: usize,
    /// Tokens that were issued before this are dead, whosever they are.
    floor: Timestamp,
    swept_at: Timestamp,
}

/// From when on, and until when it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    not_before: Timestamp,
    until: Timestamp,
}

/// What an addition did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added(Revocation),
    /// It was one too many, and others had to make place.
    Floor,
}

impl Held {
    pub(super) fn new(items_max: usize) -> Self {
        Self {
            sessions: HashMap::new(),
            users: HashMap::new(),
            items_max: items_max.max(ITEMS_MIN),
            floor: Timestamp(i64::MIN),
            swept_at: Timestamp(i64::MIN),
        }
    }

    /// Whether the token of `session` that `user` was given at `issued_at` is dead.
    pub(super) fn is_revoked(
        &self,
        session: SessionId,
        user: UserId,
        issued_at: Timestamp,
    ) -> bool {
        issued_at < self.floor
            || self.sessions.contains_key(&session)
            || self.users.get(&user).is_some_and(|span| issued_at < span.not_before)
    }

    /// Adds `item`, unless it is over at `now`. `None` when that kills nothing that was alive.
    pub(super) fn add(&mut self, item: &Revocation, now: Timestamp) -> Option<Change> {
        if item.until <= now || reach(item) <= self.floor {
            return None;
        }
        let span = Span { not_before: item.not_before, until: item.until };
        let is_news = match item.what {
            Revoked::Session { sid } => merge(self.sessions.entry(sid), span) == Before::Absent,
            Revoked::User { user_id } => merge(self.users.entry(user_id), span) != Before::Later,
        };
        if self.len() > self.items_max {
            self.sweep(now);
        }
        if self.len() > self.items_max {
            self.drop_older_half();
            return Some(Change::Floor);
        }
        is_news.then_some(Change::Added(*item))
    }

    /// Forgets what is over at `now`, from time to time.
    pub(super) fn forget(&mut self, now: Timestamp) {
        if now >= self.swept_at.plus(SWEEP_PAUSE) {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        self.swept_at = now;
        self.sessions.retain(|_, span| span.until > now);
        self.users.retain(|_, span| span.until > now);
    }

    fn len(&self) -> usize {
        self.sessions.len() + self.users.len()
    }

    fn drop_older_half(&mut self) {
        let spans = self.sessions.values().chain(self.users.values());
        let mut moments: Vec<_> = spans.map(|span| span.not_before).collect();
        let middle = moments.len() / 2;
        let (_, &mut newest, _) = moments.select_nth_unstable(middle);
        // Of the same moment all go, or there might be no end to them.
        self.sessions.retain(|_, span| span.not_before > newest);
        self.users.retain(|_, span| span.not_before > newest);
        self.floor = self.floor.max(next_second(newest));
    }
}

/// What was known of something before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Absent,
    /// Its moment lay before the new one.
    Earlier,
    /// Its moment was the same or lay after it.
    Later,
}

/// Both hold from now on: an older one may last longer.
fn merge<K>(entry: Entry<'_, K, Span>, new: Span) -> Before {
    match entry {
        Entry::Vacant(vacant) => {
            vacant.insert(new);
            Before::Absent
        }
        Entry::Occupied(mut occupied) => {
            let span = occupied.get_mut();
            let is_later = span.not_before >= new.not_before;
            span.not_before = span.not_before.max(new.not_before);
            span.until = span.until.max(new.until);
            if is_later { Before::Later } else { Before::Earlier }
        }
    }
}

/// The moment before which all tokens were issued that `item` kills.
fn reach(item: &Revocation) -> Timestamp {
    match item.what {
        Revoked::Session { .. } => next_second(item.not_before),
        Revoked::User { .. } => item.not_before,
    }
}

/// A session may have been given a token in the very second in which it ended.
const fn next_second(moment: Timestamp) -> Timestamp {
    Timestamp(moment.seconds().saturating_add(1).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const START: i64 = 1_800_000_000;
    /// How long an item matters.
    const LIFE: Duration = Duration::from_mins(15);

    fn session(number: u8) -> SessionId {
        SessionId(Uuid::from_u128(number.into()))
    }

    fn user(number: u8) -> UserId {
        UserId(Uuid::from_u128(number.into()))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp((START + second) * 1_000)
    }

    fn revocation(what: Revoked, second: i64) -> Revocation {
        Revocation { what, not_before: at(second), until: at(second).plus(LIFE) }
    }

    fn of_session(number: u8, second: i64) -> Revocation {
        revocation(Revoked::Session { sid: session(number) }, second)
    }

    fn of_user(number: u8, second: i64) -> Revocation {
        revocation(Revoked::User { user_id: user(number) }, second)
    }

    #[test]
    fn a_session_is_dead_whole_and_a_user_up_to_a_moment() {
        let mut held = Held::new(8);
        held.add(&of_session(1, 10), at(10));
        held.add(&of_user(2, 10), at(10));
        assert!(held.is_revoked(session(1), user(9), at(99)));
        assert!(held.is_revoked(session(9), user(2), at(9)));
        assert!(!held.is_revoked(session(9), user(2), at(10)));
        assert!(!held.is_revoked(session(9), user(9), at(9)));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut held = Held::new(8);
        held.add(&of_session(1, 0), at(0));
        held.forget(at(1));
        let end = at(0).plus(LIFE);
        assert_eq!(held.add(&of_session(2, 0), end), None);
        held.forget(end);
        assert_eq!(held.len(), 0);
    }

    #[test]
    fn a_full_set_fails_safe_and_spares_those_who_were_issued_later() {
        let mut held = Held::new(4);
        for number in 1..=4 {
            held.add(&of_session(number, number.into()), at(5));
        }
        assert_eq!(held.add(&of_session(5, 5), at(5)), Some(Change::Floor));
        for number in 1..=5 {
            assert!(held.is_revoked(session(number), user(9), at(number.into())), "{number}");
        }
        assert!(held.is_revoked(session(9), user(9), at(3)), "not told apart any more");
        assert!(!held.is_revoked(session(9), user(9), at(4)));
        assert_eq!(held.add(&of_session(2, 2), at(5)), None, "the floor has it");
    }

    #[test]
    fn what_ended_in_one_moment_is_bounded_too() {
        let (mut sessions, mut users) = (Held::new(4), Held::new(4));
        for number in 0..100 {
            sessions.add(&of_session(number, 7), at(7));
            users.add(&of_user(number, 7), at(7));
            assert!(sessions.len() <= 4 && users.len() <= 4);
            assert!(sessions.is_revoked(session(number), user(200), at(7)));
            assert!(users.is_revoked(session(200), user(number), at(6)));
        }
    }

    #[test]
    fn an_older_end_that_is_told_later_shortens_nothing() {
        let mut held = Held::new(8);
        for second in [60, 0] {
            held.add(&of_user(1, second), at(60));
        }
        held.forget(at(1).plus(LIFE));
        assert!(held.is_revoked(session(9), user(1), at(59)));
    }

    /// One addition, `wait` seconds after the one before.
    #[derive(Debug, Clone)]
    struct Turn {
        wait: i64,
        item: fn(u8, i64) -> Revocation,
        number: u8,
        /// Seconds that its moment lies back.
        back: i64,
    }

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let item = prop_oneof![
            Just(of_session as fn(u8, i64) -> Revocation),
            Just(of_user as fn(u8, i64) -> Revocation)
        ];
        let turn = (0..120_i64, item, 0..40_u8, 0..60_i64);
        let turn = turn.prop_map(|(wait, item, number, back)| Turn { wait, item, number, back });
        prop::collection::vec(turn, 1..120)
    }

    /// Whether one of `items` kills the token.
    fn kills(items: &[Revocation], sid: SessionId, sub: UserId, issued_at: Timestamp) -> bool {
        items.iter().any(|item| match item.what {
            Revoked::Session { sid: dead } => dead == sid,
            Revoked::User { user_id } => user_id == sub && issued_at < item.not_before,
        })
    }

    proptest! {
        /// Every token that may still live, of every session and user, against the plain list.
        #[test]
        fn nobody_dead_is_let_in_and_nobody_refused_without_reason(
            turns in turns(),
            items_max in prop_oneof![Just(4_usize), Just(16), Just(1_000)],
        ) {
            let mut held = Held::new(items_max);
            let mut all = Vec::new();
            let mut second = 0;
            let mut is_full = false;
            for turn in &turns {
                second += turn.wait;
                let item = (turn.item)(turn.number, second - turn.back);
                is_full |= held.add(&item, at(second)) == Some(Change::Floor);
                held.forget(at(second));
                all.push(item);
                prop_assert!(held.len() <= items_max);
            }
            let now = at(second);
            let living: Vec<_> = all.iter().copied().filter(|item| item.until > now).collect();
            for number in 0..41 {
                // A session is given no token after its end; users go on.
                let ends = all.iter().filter_map(|item| match item.what {
                    Revoked::Session { sid } if sid == session(number) => Some(item.not_before),
                    Revoked::Session { .. } | Revoked::User { .. } => None,
                });
                let last = ends.min().unwrap_or(now);
                for back in [0, 1, 30, 59, 300, 800] {
                    let issued = Timestamp(last.seconds() * 1_000 - back * 1_000);
                    for sub in [user(number), user(200)] {
                        let dead = held.is_revoked(session(number), sub, issued);
                        if kills(&living, session(number), sub, issued) {
                            prop_assert!(dead, "{number} {back}");
                        } else if !is_full && !kills(&all, session(number), sub, issued) {
                            prop_assert!(!dead, "{number} {back}");
                        } else if dead && !kills(&all, session(number), sub, issued) {
                            prop_assert!(issued < held.floor);
                        }
                    }
                }
            }
            let newest = all.iter().map(|item| item.not_before).max().unwrap();
            prop_assert!(held.floor <= next_second(newest));
        }
    }
}
