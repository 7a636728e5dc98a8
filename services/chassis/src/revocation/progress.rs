//! How far the feed was read, and what to ask next. Decides alone, does nothing: no clock, no
//! connection.
//!
//! At the start, after the feed was away and when it was set back, everything of the last minutes is
//! asked for. Page by page, until there is no more; from then on it is waited for what comes. The bus
//! moves the cursor too, where it tells of just what comes next.

use contract::revocation::{FeedQuery, Revocations};

/// Seconds that the feed may wait for something to tell. A connection that died without a word is noticed
/// when the question has no answer beyond this: nothing is heard until then where there is no bus.
pub(super) const WAIT_SECONDS: u32 = 5;

/// How far the feed was read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Where the next stretch begins; `None`: wherever the feed says.
    cursor: Option<u64>,
    reading: Reading,
}

/// Whether there is something to catch up with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    /// There is, or may be.
    #[default]
    Behind,
    /// As before, and since the last question it was heard that something was missed.
    BehindAgain,
    /// All was read.
    Abreast,
}

/// What to do about a question that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Wait for its answer.
    Goes,
    /// Ask anew at once.
    IsStale,
}

/// What an answer says about the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It goes on where it was.
    GoesOn,
    /// It was set back.
    SetBack,
}

impl Progress {
    /// What to ask next.
    pub(super) fn question(&self) -> FeedQuery {
        let wait = (self.reading == Reading::Abreast).then_some(WAIT_SECONDS);
        FeedQuery { after: self.cursor, wait }
    }

    /// Whether everything was read that the feed had.
    pub(super) fn is_abreast(&self) -> bool {
        self.reading == Reading::Abreast
    }

    /// The answer to `asked` came in.
    pub(super) fn answered(&mut self, asked: FeedQuery, answer: &Revocations) -> Fit {
        if asked.after.is_some_and(|after| after != answer.after) {
            self.lost();
            return Fit::SetBack;
        }
        // The bus may be ahead of it.
        self.cursor = self.cursor.max(Some(answer.cursor));
        self.reading = match self.reading {
            Reading::BehindAgain => Reading::Behind,
            Reading::Behind if !answer.items.is_empty() => Reading::Behind,
            Reading::Behind | Reading::Abreast => Reading::Abreast,
        };
        Fit::GoesOn
    }

    /// No answer came in: who knows what is there the next time.
    pub(super) fn lost(&mut self) {
        *self = Self::default();
    }

    /// The bus told `stretch`.
    pub(super) fn heard(&mut self, stretch: &Revocations) -> Asked {
        let Some(cursor) = self.cursor else { return Asked::Goes };
        if stretch.cursor <= cursor {
            return Asked::Goes;
        }
        if stretch.after > cursor {
            return self.missed();
        }
        self.cursor = Some(stretch.cursor);
        Asked::Goes
    }

    /// Something may have passed us by.
    pub(super) fn missed(&mut self) -> Asked {
        match self.reading {
            Reading::Abreast => {
                self.reading = Reading::Behind;
                Asked::IsStale
            }
            // It may have been answered already, without what was missed.
            Reading::Behind | Reading::BehindAgain => {
                self.reading = Reading::BehindAgain;
                Asked::Goes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::revocation::{Revocation, Revoked};
    use contract::{SessionId, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn stretch(after: u64, cursor: u64) -> Revocations {
        let item = |number: u64| Revocation {
            what: Revoked::Session { sid: SessionId(Uuid::from_u128(number.into())) },
            not_before: Timestamp(0),
            until: Timestamp(0).plus(Duration::from_mins(15)),
        };
        Revocations { after, cursor, items: (after + 1..=cursor).map(item).collect() }
    }

    fn asked(after: Option<u64>, wait: Option<u32>) -> FeedQuery {
        FeedQuery { after, wait }
    }

    /// All was read, up to 7.
    fn abreast() -> Progress {
        let mut progress = Progress::default();
        progress.answered(progress.question(), &stretch(7, 7));
        assert_eq!(progress.question(), asked(Some(7), Some(WAIT_SECONDS)));
        progress
    }

    #[test]
    fn the_last_minutes_are_read_page_by_page_before_anything_is_waited_for() {
        let mut progress = Progress::default();
        assert_eq!(progress.question(), asked(None, None));
        for (after, cursor) in [(3, 6), (6, 7)] {
            assert_eq!(
                progress.answered(progress.question(), &stretch(after, cursor)),
                Fit::GoesOn
            );
            assert_eq!(progress.question(), asked(Some(cursor), None));
            assert!(!progress.is_abreast());
        }
        progress.answered(progress.question(), &stretch(7, 7));
        assert!(progress.is_abreast());
        // From then on an answer with items is followed by a question that waits.
        progress.answered(progress.question(), &stretch(7, 9));
        assert_eq!(progress.question(), asked(Some(9), Some(WAIT_SECONDS)));
    }

    #[test]
    fn the_bus_moves_on_where_it_tells_what_comes_next() {
        let mut progress = abreast();
        let question = progress.question();
        assert_eq!(progress.heard(&stretch(7, 8)), Asked::Goes);
        assert_eq!(progress.heard(&stretch(7, 8)), Asked::Goes, "the same again");
        assert_eq!(progress.question().after, Some(8));
        // The question that was under way is answered with what is known.
        progress.answered(question, &stretch(7, 8));
        assert_eq!(progress.question().after, Some(8));
    }

    #[test]
    fn a_hole_and_a_gap_make_the_feed_be_asked_at_once() {
        let mut progress = abreast();
        assert_eq!(progress.heard(&stretch(8, 9)), Asked::IsStale);
        assert_eq!(progress.question(), asked(Some(7), None));
        // A question that does not wait is let go on, and another follows.
        assert_eq!(progress.missed(), Asked::Goes);
        progress.answered(progress.question(), &stretch(7, 7));
        assert_eq!(progress.question(), asked(Some(7), None));
        progress.answered(progress.question(), &stretch(7, 7));
        assert!(progress.is_abreast());
    }

    #[test]
    fn a_feed_that_was_set_back_is_read_anew() {
        let mut progress = abreast();
        let question = progress.question();
        assert_eq!(progress.answered(question, &stretch(5, 5)), Fit::SetBack);
        assert_eq!(progress.question(), asked(None, None));
        progress.answered(progress.question(), &stretch(2, 5));
        assert_eq!(progress.question(), asked(Some(5), None));
    }

    #[test]
    fn after_an_answer_that_did_not_come_the_last_minutes_are_read_again() {
        let mut progress = abreast();
        progress.lost();
        assert_eq!(progress.question(), asked(None, None));
        assert_eq!(progress.heard(&stretch(7, 8)), Asked::Goes);
        assert_eq!(progress.question(), asked(None, None));
    }
}
