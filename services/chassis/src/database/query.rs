//! A statement with its values, and a row that it finds, whatever the engine.

use std::borrow::Cow;

use sqlx::postgres::{PgRow, Postgres as PostgresEngine};
use sqlx::sqlite::{Sqlite as SqliteEngine, SqliteRow};
use sqlx::{Decode, Executor, Row as _, Type};
use uuid::Uuid;

use super::List;

/// A statement in both dialects. Both number their parameters `$1`, `$2`, so that one text often is
/// both.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// As SQLite takes it.
    pub sqlite: &'static str,
    /// As PostgreSQL takes it.
    pub postgres: &'static str,
}

impl From<&'static str> for Text {
    fn from(both: &'static str) -> Self {
        Self { sqlite: both, postgres: both }
    }
}

/// A value of a parameter. An id is 16 bytes in SQLite and a `uuid` in PostgreSQL.
#[derive(Debug, Clone)]
pub enum Value<'q> {
    /// Text, or none.
    Text(Option<Cow<'q, str>>),
    /// A whole number, or none.
    Integer(Option<i64>),
    /// Yes or no.
    Boolean(bool),
    /// Bytes.
    Bytes(&'q [u8]),
    /// An id, or none.
    Id(Option<Uuid>),
    /// Many values.
    List(List<'q>),
}

/// A statement and what it is about.
#[derive(Debug, Clone)]
pub struct Query<'q> {
    text: Text,
    values: Vec<Value<'q>>,
}

/// Begins a query of `text`.
pub fn query<'q>(text: impl Into<Text>) -> Query<'q> {
    Query { text: text.into(), values: Vec::new() }
}

impl<'q> Query<'q> {
    /// Gives the next parameter its value.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(super) async fn all_of_sqlite<'e>(
        self,
        on: impl Executor<'e, Database = SqliteEngine>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = self.for_sqlite().fetch_all(on).await?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    pub(super) async fn all_of_postgres<'e>(
        self,
        on: impl Executor<'e, Database = PostgresEngine>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = self.for_postgres().fetch_all(on).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    pub(super) async fn run_on_sqlite<'e>(
        self,
        on: impl Executor<'e, Database = SqliteEngine>,
    ) -> Result<u64, sqlx::Error> {
        Ok(self.for_sqlite().execute(on).await?.rows_affected())
    }

    pub(super) async fn run_on_postgres<'e>(
        self,
        on: impl Executor<'e, Database = PostgresEngine>,
    ) -> Result<u64, sqlx::Error> {
        Ok(self.for_postgres().execute(on).await?.rows_affected())
    }
}

/// Both engines take the same values, each by types of its own.
macro_rules! bound {
    ($name:ident, $engine:ty, $dialect:ident, $list:ident) => {
        impl<'q> Query<'q> {
            fn $name(
                self,
            ) -> sqlx::query::Query<'q, $engine, <$engine as sqlx::Database>::Arguments> {
                let query = sqlx::query::<$engine>(self.text.$dialect);
                self.values.into_iter().fold(query, |query, value| match value {
                    Value::Text(text) => query.bind(text),
                    Value::Integer(number) => query.bind(number),
                    Value::Boolean(yes) => query.bind(yes),
                    Value::Bytes(bytes) => query.bind(bytes),
                    Value::Id(id) => query.bind(id),
                    Value::List(list) => $list(query, list),
                })
            }
        }
    };
}

bound!(for_sqlite, SqliteEngine, sqlite, bind_json);
bound!(for_postgres, PostgresEngine, postgres, bind_array);

type Of<'q, E> = sqlx::query::Query<'q, E, <E as sqlx::Database>::Arguments>;

#[expect(
    clippy::needless_pass_by_value,
    reason = "called like the one below, which keeps the list"
)]
fn bind_json<'q>(query: Of<'q, SqliteEngine>, list: List<'q>) -> Of<'q, SqliteEngine> {
    query.bind(list.json())
}

fn bind_array<'q>(query: Of<'q, PostgresEngine>, list: List<'q>) -> Of<'q, PostgresEngine> {
    match list {
        List::Texts(texts) => query.bind(texts),
        List::Integers(numbers) => query.bind(numbers),
        List::Ids(ids) => query.bind(ids),
    }
}

/// A row that was found.
pub enum Row {
    /// In SQLite.
    Sqlite(SqliteRow),
    /// In PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    /// What stands in `column`.
    pub fn get<'r, T>(&'r self, column: &str) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, SqliteEngine> + Type<SqliteEngine>,
        T: Decode<'r, PostgresEngine> + Type<PostgresEngine>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What stands in a row is nobody's business.
        f.write_str("Row")
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(text: Option<&'q str>) -> Self {
        Self::Text(text.map(Into::into))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Into::into))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(Some(number.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Boolean(yes)
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(bytes: &'q [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Uuid> for Value<'_> {
    fn from(id: Uuid) -> Self {
        Self::Id(Some(id))
    }
}

impl<'q> From<List<'q>> for Value<'q> {
    fn from(list: List<'q>) -> Self {
        Self::List(list)
    }
}
