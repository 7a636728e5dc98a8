//! Two dialects of a schema are held against each other by what the engines made of them.

#![expect(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use std::path::Path;

use harness::Engine;
use harness::schema::{Shape, assert_alike, assert_same_steps};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const SQLITE: &str = "
    CREATE TABLE people (
        id BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, note TEXT, is_here INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE visits (
        number INTEGER PRIMARY KEY, person BLOB REFERENCES people (id) ON DELETE CASCADE, seen INTEGER
    ) STRICT;
    CREATE INDEX visits_by_time ON visits (person, seen DESC) WHERE seen IS NOT NULL;";
const POSTGRES: &str = r#"
    CREATE TABLE people (
        id UUID NOT NULL PRIMARY KEY, name TEXT COLLATE "C" NOT NULL CONSTRAINT name_is_free UNIQUE,
        note TEXT, is_here BOOLEAN NOT NULL
    );
    CREATE TABLE visits (
        number BIGINT PRIMARY KEY, person UUID REFERENCES people (id) ON DELETE CASCADE, seen BIGINT
    );
    CREATE INDEX visits_by_time ON visits (person, seen DESC) WHERE seen IS NOT NULL;"#;

async fn sqlite() -> Shape {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(SQLITE).execute(&mut connection).await.unwrap();
    Shape::of_sqlite(&path).await.unwrap()
}

async fn postgres(statements: &str) -> Shape {
    let database = Engine::Postgres.fresh().unwrap();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let text = format!("CREATE SCHEMA here; SET search_path = here; {statements}");
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    Shape::of_postgres(&database.url(), "here").await.unwrap()
}

#[tokio::test]
async fn what_means_the_same_is_alike() {
    assert_alike(&sqlite().await, &postgres(POSTGRES).await);
}

#[tokio::test]
async fn every_difference_is_told() {
    let sqlite = sqlite().await;
    for (here, there, told) in [
        (", seen BIGINT", ", seen BIGINT NOT NULL", "visits: column 3 seen INTEGER NOT NULL"),
        (", seen BIGINT", ", seen INTEGER", "visits: column 3 seen integer"),
        (", seen BIGINT", ", seen BIGINT, more TEXT", "visits: column 4 more TEXT"),
        (r#"COLLATE "C""#, "", "people: UNIQUE (name COLLATE default)"),
        ("CONSTRAINT name_is_free UNIQUE", "", "SQLite alone: people: UNIQUE (name)"),
        ("seen DESC", "seen", "visits: INDEX visits_by_time (person, seen) in part"),
        ("WHERE seen IS NOT NULL", "", "visits: INDEX visits_by_time (person, seen DESC)\n"),
        ("ON DELETE CASCADE", "", "visits: (person) REFERENCES people (id) ON DELETE NO ACTION"),
        ("number BIGINT PRIMARY KEY", "number BIGINT NOT NULL", "visits: PRIMARY KEY (number)"),
    ] {
        let postgres = postgres(&POSTGRES.replace(here, there)).await;
        let failed = std::panic::catch_unwind(|| assert_alike(&sqlite, &postgres)).unwrap_err();
        let said = format!("{}\n", failed.downcast::<String>().unwrap());
        assert!(said.contains(told), "{here} → {there}: {said}");
    }
}

#[test]
fn a_step_that_one_engine_lacks_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let make = |path: &Path| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    };
    make(&folder.path().join("sqlite/0001_a.sql"));
    make(&folder.path().join("postgres/0001_a.sql"));
    assert_same_steps(folder.path()).unwrap();
    make(&folder.path().join("postgres/0002_b.sql"));
    let path = folder.path().to_owned();
    assert!(std::panic::catch_unwind(|| assert_same_steps(&path)).is_err());
    assert!(assert_same_steps(&path.join("nowhere")).is_err());
}
