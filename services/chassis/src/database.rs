//! Opening a service's own database. Committed means on the disk: a write-ahead log, synced at
//! every commit, on every connection.

use std::borrow::Cow;
use std::fs::{File, TryLockError};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    Sqlite as Engine, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Row as _, SqlSafeStr as _, SqliteConnection};

use crate::{StartError, keys};

/// How long a statement waits for another process that holds the file.
const BUSY_WINDOW: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const ACQUIRE_WINDOW: Duration = Duration::from_secs(3);
/// Connections that read.
const READERS: u32 = 4;
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 128;
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// A step of a schema: its number, its name and its statements, which are never changed once
/// shipped.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Rises by one.
    pub number: i64,
    /// What it is about.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// A SQLite database: one connection that writes, a few that read. It belongs to one process: two
/// would not hear of what the other stores.
#[derive(Debug, Clone)]
pub struct Sqlite {
    /// One connection.
    pub writer: SqlitePool,
    /// A few, which cannot write.
    pub reader: SqlitePool,
    /// Ours as long as this is open.
    lock: Arc<File>,
}

impl Sqlite {
    /// Opens the file, makes it if it is not there, and brings it to the newest step.
    pub async fn open(path: &Path, steps: &'static [Step]) -> Result<Self, StartError> {
        if let Some(folder) = path.parent() {
            keys::make_folder(folder)?;
        }
        make_private(path)?;
        let lock = Arc::new(lock(path)?);
        let fault = |source| StartError::Database { path: path.to_owned(), source };
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_WINDOW)
            .connect_with(options(path))
            .await
            .map_err(fault)?;
        migrate(&writer, steps, path).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_WINDOW)
            .connect_with(options(path).read_only(true))
            .await
            .map_err(fault)?;
        let database = Self { writer, reader, lock };
        database.check_durability(path).await?;
        Ok(database)
    }

    /// Begins to write, taking the right to at once: what is looked up still holds when it is used.
    pub async fn write(&self) -> Result<Write, sqlx::Error> {
        let mut write = Write { connection: self.writer.acquire().await?, stage: Stage::Open };
        sqlx::query(BEGIN).execute(&mut *write).await?;
        Ok(write)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.reader).await.map(|_| ())
    }

    /// Closes every connection, after what they are doing.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
        // What fails to be given back here is given back with the process.
        self.lock.unlock().ok();
    }

    /// A database that would forget what it committed is not used at all.
    async fn check_durability(&self, path: &Path) -> Result<(), StartError> {
        let durable = async {
            let mode = sqlx::query("PRAGMA journal_mode").fetch_one(&self.writer).await?;
            let sync = sqlx::query("PRAGMA synchronous").fetch_one(&self.writer).await?;
            Ok(mode.get::<String, _>(0) == "wal" && sync.get::<i64, _>(0) == 2)
        };
        match durable.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StartError::Other(
                format!("{} does not sync its commits", path.display()).into(),
            )),
            Err(source) => Err(StartError::Database { path: path.to_owned(), source }),
        }
    }
}

/// A transaction that writes; nobody else writes until it is gone. Dropped before its end it leaves
/// no trace, and its connection is closed: after a commit that failed nobody can say whether a
/// transaction is still open on it.
#[derive(Debug)]
pub struct Write {
    connection: PoolConnection<Engine>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Ended,
}

impl Write {
    /// Makes it last. When this returns, the disk has it.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.end(COMMIT).await
    }

    /// Gives it up.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.end(ROLLBACK).await
    }

    async fn end(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statement).execute(&mut *self.connection).await?;
        self.stage = Stage::Ended;
        Ok(())
    }
}

impl Deref for Write {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if self.stage == Stage::Open {
            self.connection.close_on_drop();
        }
    }
}

/// Makes the file if it is not there, for its owner alone; the log beside it takes after it.
fn make_private(path: &Path) -> Result<(), StartError> {
    let mut options = std::fs::OpenOptions::new();
    let made = options.create(true).append(true).mode(0o600).open(path);
    made.map(drop).map_err(|source| StartError::Path { path: path.to_owned(), source })
}

/// Takes the file beside the database that says whose it is; the system gives it back when the
/// process ends, however it ends.
fn lock(path: &Path) -> Result<File, StartError> {
    let path = path.with_extension("lock");
    let fault = |source| StartError::Path { path: path.clone(), source };
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(&path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_WINDOW)
        .statement_cache_capacity(STATEMENTS_KEPT)
}

async fn migrate(pool: &SqlitePool, steps: &'static [Step], path: &Path) -> Result<(), StartError> {
    let migrations = steps.iter().map(|step| {
        let name = Cow::Borrowed(step.name);
        let sql = step.sql.into_sql_str();
        Migration::new(step.number, name, MigrationType::Simple, sql, false)
    });
    let path: PathBuf = path.to_owned();
    Migrator::with_migrations(migrations.collect())
        .run(pool)
        .await
        .map_err(|source| StartError::Migrate { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] =
        &[Step { number: 1, name: "things", sql: "CREATE TABLE things (id INTEGER) STRICT" }];

    #[tokio::test]
    async fn every_connection_syncs_its_commits_and_readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&folder.path().join("a/b.db"), STEPS).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..READERS {
            held.push(database.reader.acquire().await.unwrap());
        }
        held.push(database.writer.acquire().await.unwrap());
        for connection in &mut held {
            for (pragma, want) in [("synchronous", 2_i64), ("foreign_keys", 1)] {
                let text = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
                let row = sqlx::query(text).fetch_one(&mut **connection).await.unwrap();
                assert_eq!(row.get::<i64, _>(0), want, "{pragma}");
            }
        }
        let write = sqlx::query("INSERT INTO things VALUES (1)");
        assert!(write.execute(&mut *held[0]).await.is_err());
    }

    #[tokio::test]
    async fn a_write_lasts_from_its_commit_on_and_leaves_no_trace_before() {
        let folder = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&folder.path().join("b.db"), STEPS).await.unwrap();
        for (number, end) in [(1, "commit"), (2, "rollback"), (3, "drop")] {
            let mut write = database.write().await.unwrap();
            let insert = sqlx::query("INSERT INTO things VALUES ($1)").bind(number);
            insert.execute(&mut *write).await.unwrap();
            match end {
                "commit" => write.commit().await.unwrap(),
                "rollback" => write.rollback().await.unwrap(),
                _ => drop(write),
            }
        }
        let rows = sqlx::query("SELECT id FROM things").fetch_all(&database.reader).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>(), [1]);
    }

    #[tokio::test]
    async fn a_database_is_private_and_opened_again_as_it_was() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.db");
        let first = Sqlite::open(&path, STEPS).await.unwrap();
        sqlx::query("INSERT INTO things VALUES (7)").execute(&first.writer).await.unwrap();
        for file in ["b.db", "b.db-wal"] {
            let rights = std::fs::metadata(folder.path().join(file)).unwrap().permissions();
            assert_eq!(rights.mode() & 0o777, 0o600, "{file}");
        }
        let twice = Sqlite::open(&path, STEPS).await;
        assert!(matches!(twice, Err(StartError::InUse { .. })), "{twice:?}");
        first.close().await;
        let second = Sqlite::open(&path, STEPS).await.unwrap();
        let row = sqlx::query("SELECT id FROM things").fetch_one(&second.reader).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 7);
        second.ping().await.unwrap();
    }
}
