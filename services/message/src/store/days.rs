//! The days of the change log. PostgreSQL keeps each in a partition of its own, made ahead and dropped
//! as a whole; SQLite deletes what is old in small steps. Whoever comes back with a position that is
//! older than the log reads the history instead: messages are kept, whatever becomes of the log.

use chassis::database::{Database, query};
use contract::Timestamp;

use crate::store::{Error, Store};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Days that are made before they come: a service that cannot make any for so long has been heard.
const DAYS_AHEAD: i64 = 7;
/// Rows that are deleted at a time, so that nobody who writes waits long.
const ROWS_MAX: u32 = 1_000;
/// How often that is done in one turn; the next one goes on.
const STEPS_MAX: u32 = 1_000;

const MAKE_DAY: &str = "SELECT make_log_day($1)";
const DROP_DAYS: &str = "SELECT drop_log_days($1)";
const DELETE_OLD: &str = "
    DELETE FROM log WHERE shard_seq IN (SELECT shard_seq FROM log ORDER BY shard_seq LIMIT $2)
        AND ts < $1";

impl Store {
    /// Makes the days around `now` that are not there, as far as that goes, and forgets what is older
    /// than `kept` days. The first thing that went wrong is told when everything was tried.
    pub(crate) async fn turn_days(&self, now: Timestamp, kept: u32) -> Result<(), Error> {
        let today = now.0.div_euclid(DAY_MS);
        let oldest = today - i64::from(kept);
        match &self.database {
            Database::Sqlite(_) => self.delete_before(oldest).await,
            Database::Postgres(_) => {
                let mut first = Ok(());
                // The clock of another replica may be behind midnight.
                for day in today - 1..=today + DAYS_AHEAD {
                    let made = self.database.fetch_all(query(MAKE_DAY).bind(day)).await;
                    first = first.and(made.map(drop));
                }
                let dropped = self.database.fetch_all(query(DROP_DAYS).bind(oldest)).await;
                Ok(first.and(dropped.map(drop))?)
            }
        }
    }

    /// The log is in the order of its commits, so that what is oldest comes first.
    async fn delete_before(&self, day: i64) -> Result<(), Error> {
        for _ in 0..STEPS_MAX {
            let query = query(DELETE_OLD).bind(day * DAY_MS).bind(ROWS_MAX);
            if self.database.execute(query).await? < u64::from(ROWS_MAX) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use harness::{Engine, on_both_engines};

    use super::*;
    use crate::fixture::{Bench, NOW, author, bench_on, draft, id};

    const KEPT: u32 = 90;

    fn days_later(days: i64) -> Timestamp {
        Timestamp(NOW.0 + days * DAY_MS)
    }

    async fn days(bench: &Bench) -> Vec<String> {
        let text = "SELECT tableoid::regclass::text AS day FROM log ORDER BY room_id, seq";
        let rows = bench.database.fetch_all(query(text)).await.unwrap();
        rows.iter().map(|row| row.get("day").unwrap()).collect()
    }

    on_both_engines!(what_is_old_is_forgotten_and_messages_stay);

    async fn what_is_old_is_forgotten_and_messages_stay(engine: Engine) {
        let bench = bench_on(engine).await;
        let ada = author(1);
        bench.store.turn_days(NOW, KEPT).await.unwrap();
        bench.room(&ada, "tea").await;
        let old = bench.writer.send(ada.clone(), draft("tea", "old", None)).await.unwrap();
        let later = days_later(91);
        bench.hands.store(later.0, Ordering::Relaxed);
        bench.writer.send(ada.clone(), draft("tea", "new", None)).await.unwrap();
        bench.store.turn_days(days_later(90), KEPT).await.unwrap();
        let seqs = async || {
            let events = bench.store.events(&id("tea"), 0, u64::MAX, 10).await.unwrap();
            events.iter().map(|event| event.seq).collect::<Vec<_>>()
        };
        assert_eq!(seqs().await, [1, 2, 3]);
        bench.store.turn_days(later, KEPT).await.unwrap();
        assert_eq!(seqs().await, [3]);
        assert!(bench.store.find_message(old.message.id, ada.id).await.unwrap().is_some());
        let next = bench.writer.send(ada, draft("tea", "next", None)).await.unwrap();
        assert_eq!(next.message.seq, 4);
    }

    #[tokio::test]
    async fn an_event_lies_in_its_day_and_one_that_came_too_early_moves_there() {
        let bench = bench_on(Engine::Postgres).await;
        let ada = author(1);
        let turn = |now| bench.store.turn_days(now, KEPT);
        // Two replicas may give way to each other, but not both.
        let (first, second) = tokio::join!(turn(NOW), turn(NOW));
        assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
        bench.room(&ada, "tea").await;
        bench.hands.store(days_later(30).0, Ordering::Relaxed);
        bench.writer.send(ada, draft("tea", "from afar", None)).await.unwrap();
        assert_eq!(days(&bench).await, ["log_20270115", "log_outside"]);
        turn(days_later(23)).await.unwrap();
        assert_eq!(days(&bench).await, ["log_20270115", "log_20270214"]);
        turn(days_later(23)).await.unwrap();
    }
}
