//! The days of the change log: PostgreSQL keeps each in a partition of its own, so that an old one
//! can be dropped as a whole. They are made ahead; what no day takes lies outside and is kept too.

use chassis::database::{Database, query};
use contract::Timestamp;

use crate::store::{Error, Store};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Days that are made before they come: a service that cannot make any for so long has been heard.
const DAYS_AHEAD: i64 = 7;

const MAKE_DAY: &str = "SELECT make_log_day($1)";

impl Store {
    /// Makes the days around `now` that are not there. SQLite has none.
    pub(crate) async fn make_days(&self, now: Timestamp) -> Result<(), Error> {
        match &self.database {
            Database::Sqlite(_) => Ok(()),
            Database::Postgres(_) => {
                let today = now.0.div_euclid(DAY_MS);
                // The clock of another replica may be behind midnight.
                for day in today - 1..=today + DAYS_AHEAD {
                    self.database.execute(query(MAKE_DAY).bind(day)).await?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use harness::Engine;

    use super::*;
    use crate::fixture::{NOW, author, bench_on, draft};

    #[tokio::test]
    async fn an_event_lies_in_its_day_and_one_of_another_time_is_kept_too() {
        let bench = bench_on(Engine::Postgres).await;
        let ada = author(1);
        let (first, second) = tokio::join!(bench.store.make_days(NOW), bench.store.make_days(NOW));
        first.unwrap();
        second.unwrap();
        bench.room(&ada, "tea").await;
        let far = NOW.0 + 30 * DAY_MS;
        bench.hands.store(far, std::sync::atomic::Ordering::Relaxed);
        bench.writer.send(ada, draft("tea", "from afar", None)).await.unwrap();
        let text = "SELECT tableoid::regclass::text AS day FROM log ORDER BY seq";
        let rows = bench.database.fetch_all(query(text)).await.unwrap();
        let days: Vec<&str> = rows.iter().map(|row| row.get("day").unwrap()).collect();
        assert_eq!(days, ["log_20270115", "log_outside"]);
    }
}
