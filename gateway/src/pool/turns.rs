//! Whose turn it is among the endpoints of an upstream, as one core sees them. Pure: no I/O, and the
//! time is handed in.
//!
//! An endpoint that could not be connected to rests: the others are picked while there are any. Each
//! rest ends with one trial, by a single request; when all of them rest, the one whose rest ends first
//! is picked anyway. Nothing else makes an endpoint rest, neither an answer nor a probe.

use std::cell::Cell;

use crate::config::Balance;
use crate::wheel::Ticks;

/// What counts of one endpoint when the next is picked.
#[derive(Debug, Default)]
pub(super) struct Standing {
    in_flight: Cell<usize>,
    rests_until: Cell<Option<Ticks>>,
}

/// Something with a standing.
pub(super) trait Stands {
    fn standing(&self) -> &Standing;
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    balance: Balance,
    /// How long an endpoint rests.
    pause: Ticks,
    /// How long a trial may take before there is another.
    trial: Ticks,
    /// The place of the one that comes first among equals.
    next: Cell<usize>,
}

/// Which endpoints a request has tried, a bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried(u64);

/// Why an endpoint was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chance {
    /// It serves, as far as is known, or all of them rest.
    Usual,
    /// Its rest is over, and whether it can be connected to is to be found out.
    Trial,
}

/// Whether it is news that an endpoint rests, or that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Changed,
    Same,
}

impl Standing {
    /// One more request goes there.
    pub(super) fn enter(&self) {
        self.in_flight.set(self.in_flight.get().saturating_add(1));
    }

    /// A request that went there is over.
    pub(super) fn leave(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// It was connected to, or a trial found a living connection of HTTP/2 with room.
    pub(super) fn serves(&self) -> News {
        self.rests_until.take().map_or(News::Same, |_| News::Changed)
    }

    /// What is smaller is picked before what is larger.
    fn rank(&self, balance: Balance, now: Ticks) -> (Ticks, usize) {
        match (self.rests_until.get(), balance) {
            (Some(until), _) if until > now => (until, 0),
            (_, Balance::RoundRobin) => (Ticks::new(0), 0),
            (_, Balance::LeastRequests) => (Ticks::new(0), self.in_flight.get()),
        }
    }
}

impl Tried {
    pub(super) const fn with(self, place: usize) -> Self {
        Self(self.0 | Self::bit(place))
    }

    const fn has(self, place: usize) -> bool {
        self.0 & Self::bit(place) != 0
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are ENDPOINTS_MAX places")]
    const fn bit(place: usize) -> u64 {
        1_u64.wrapping_shl(place as u32)
    }
}

impl Turns {
    /// The turns of `count` endpoints, of which the one at `first` has the first. Each rests for
    /// `pause`, but one alone never does. A trial ends within `trial`.
    pub(super) fn new(
        balance: Balance,
        count: usize,
        first: usize,
        pause: Ticks,
        trial: Ticks,
    ) -> Self {
        let pause = if count > 1 { pause } else { Ticks::new(0) };
        let next = Cell::new(first.checked_rem(count).unwrap_or(0));
        Self { balance, pause, trial: trial.max(pause), next }
    }

    /// The one of `all` whose turn it is at `now`, but for those that were tried.
    pub(super) fn pick<'e, E: Stands>(
        &self,
        all: &'e [E],
        tried: Tried,
        now: Ticks,
    ) -> Option<(&'e E, Chance)> {
        let (later, sooner) = all.split_at_checked(self.next.get())?;
        let places = (later.len()..).zip(sooner).chain((0..).zip(later));
        let (place, picked) = places
            .filter(|(place, _)| !tried.has(*place))
            .min_by_key(|(_, endpoint)| endpoint.standing().rank(self.balance, now))?;
        let next = place + 1;
        self.next.set(if next < all.len() { next } else { 0 });
        let rest = &picked.standing().rests_until;
        let chance = match rest.get() {
            None => return Some((picked, Chance::Usual)),
            Some(until) if until > now => Chance::Usual,
            Some(_) => Chance::Trial,
        };
        // One at a time finds out how it is.
        rest.set(Some(now.after(self.trial)));
        Some((picked, chance))
    }

    /// The one with `standing` could not be connected to: it rests.
    pub(super) fn rest(&self, standing: &Standing, now: Ticks) -> News {
        if self.pause == Ticks::new(0) {
            return News::Same;
        }
        let before = standing.rests_until.replace(Some(now.after(self.pause)));
        before.map_or(News::Changed, |_| News::Same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Ticks = Ticks::new(40);
    const TRIAL: Ticks = Ticks::new(100);

    /// An endpoint by its number.
    struct Numbered(usize, Standing);

    impl Stands for Numbered {
        fn standing(&self) -> &Standing {
            &self.1
        }
    }

    /// Some endpoints, and whose turn it is.
    struct Table {
        turns: Turns,
        all: Vec<Numbered>,
    }

    impl Table {
        fn new(balance: Balance, count: usize, first: usize) -> Self {
            let all = (0..count).map(|number| Numbered(number, Standing::default())).collect();
            Self { turns: Turns::new(balance, count, first, PAUSE, TRIAL), all }
        }

        fn pick_but(&self, tried: &[usize], now: u64) -> Option<(usize, Chance)> {
            let tried = tried.iter().fold(Tried::default(), |tried, number| tried.with(*number));
            let (picked, chance) = self.turns.pick(&self.all, tried, Ticks::new(now))?;
            Some((picked.0, chance))
        }

        fn pick(&self, now: u64) -> usize {
            self.pick_but(&[], now).unwrap().0
        }

        fn picks<const N: usize>(&self, now: u64) -> [usize; N] {
            [(); N].map(|()| self.pick(now))
        }

        fn rest(&self, number: usize, now: u64) -> News {
            self.turns.rest(&self.all[number].1, Ticks::new(now))
        }

        fn load(&self, number: usize, requests: usize) {
            self.all[number].1.in_flight.set(requests);
        }
    }

    const BOTH: [Balance; 2] = [Balance::RoundRobin, Balance::LeastRequests];

    #[test]
    fn those_that_are_alike_take_turns() {
        for balance in BOTH {
            assert_eq!(Table::new(balance, 3, 0).picks(7), [0, 1, 2, 0, 1, 2, 0]);
            assert_eq!(Table::new(balance, 1, 0).picks(7), [0, 0]);
            assert!(Table::new(balance, 0, 0).pick_but(&[], 7).is_none());
        }
    }

    #[test]
    fn each_core_begins_with_another() {
        for balance in BOTH {
            let first = [0, 1, 2, 3].map(|core| Table::new(balance, 3, core).pick(0));
            assert_eq!(first, [0, 1, 2, 0]);
        }
    }

    #[test]
    fn the_one_with_the_fewest_requests_is_picked_and_of_several_the_next() {
        let table = Table::new(Balance::LeastRequests, 4, 0);
        for (number, requests) in [(0, 5), (1, 2), (2, 3), (3, 2)] {
            table.load(number, requests);
        }
        assert_eq!(table.picks(0), [1, 3, 1, 3]);
        table.load(0, 1);
        assert_eq!(table.picks(0), [0, 0]);
        let table = Table::new(Balance::RoundRobin, 2, 0);
        table.load(0, 100);
        assert_eq!(table.picks(0), [0, 1, 0], "a turn does not ask");
    }

    #[test]
    fn requests_that_come_and_go_are_counted() {
        let standing = Standing::default();
        standing.enter();
        standing.enter();
        standing.leave();
        assert_eq!(standing.in_flight(), 1);
    }

    #[test]
    fn one_that_rests_is_passed_over_and_the_others_take_turns() {
        for balance in BOTH {
            let table = Table::new(balance, 3, 0);
            table.load(0, 9);
            table.load(2, 9);
            assert_eq!(table.rest(1, 10), News::Changed);
            assert_eq!(table.picks(10), [0, 2, 0, 2]);
            // The tick that was running was only partly left.
            assert_eq!(table.picks(50), [0, 2, 0, 2]);
        }
    }

    #[test]
    fn each_rest_ends_with_one_trial() {
        for balance in BOTH {
            let table = Table::new(balance, 2, 0);
            table.rest(0, 10);
            assert_eq!(table.pick_but(&[], 51), Some((0, Chance::Trial)));
            assert_eq!(table.picks(51), [1, 1, 1]);
            assert_eq!(table.rest(0, 60), News::Same);
            assert_eq!(table.picks(100), [1, 1, 1]);
            assert_eq!(table.pick_but(&[], 101), Some((0, Chance::Trial)));
            assert_eq!(table.all[0].1.serves(), News::Changed);
            assert_eq!(table.all[0].1.serves(), News::Same);
            assert_eq!(table.picks(101), [1, 0, 1, 0]);
            assert_eq!(table.pick_but(&[], 101), Some((1, Chance::Usual)));
        }
    }

    #[test]
    fn a_trial_that_nobody_waits_for_any_more_is_followed_by_another() {
        let table = Table::new(Balance::RoundRobin, 2, 0);
        table.rest(0, 10);
        assert_eq!(table.pick_but(&[], 51), Some((0, Chance::Trial)));
        assert_eq!(table.picks(151), [1, 1]);
        assert_eq!(table.pick_but(&[], 152), Some((0, Chance::Trial)));
    }

    #[test]
    fn when_all_rest_the_one_whose_rest_ends_first_is_picked_anyway() {
        for balance in BOTH {
            let table = Table::new(balance, 3, 0);
            for (number, now) in [(0, 12), (1, 10), (2, 11)] {
                table.rest(number, now);
            }
            let first = table.pick_but(&[], 13);
            assert_eq!(first, Some((1, Chance::Usual)));
            // Another request tries another one.
            assert_eq!(table.picks(13), [2, 0]);
        }
    }

    #[test]
    fn what_a_request_has_tried_is_not_picked_for_it_again() {
        for balance in BOTH {
            let table = Table::new(balance, 3, 0);
            assert_eq!(table.pick_but(&[0, 1], 0), Some((2, Chance::Usual)));
            table.rest(2, 0);
            assert_eq!(table.pick_but(&[0, 1], 0), Some((2, Chance::Usual)), "it is the last one");
            assert_eq!(table.pick_but(&[0, 1, 2], 0), None);
        }
        let all: Vec<_> = (0..64).collect();
        let table = Table::new(Balance::RoundRobin, 64, 0);
        assert_eq!(table.pick_but(&all[..63], 0), Some((63, Chance::Usual)));
        assert_eq!(table.pick_but(&all, 0), None);
    }

    #[test]
    fn one_alone_never_rests() {
        let table = Table::new(Balance::LeastRequests, 1, 0);
        assert_eq!(table.rest(0, 10), News::Same);
        assert_eq!(table.pick_but(&[], 100), Some((0, Chance::Usual)));
    }
}
