//! A SQLite file: one connection that writes, a few that read, a write-ahead log that is synced at
//! every commit.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{Schema, Text, migrator};
use crate::{StartError, keys};

/// How long a statement waits for another process that holds the file.
const BUSY_WINDOW: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const ACQUIRE_WINDOW: Duration = Duration::from_secs(3);
/// Connections that read.
const READERS: u32 = 4;
/// Pages of 4 KiB that gather in the log before they are carried over into the file. Commits touch the
/// same pages over and over: the rarer that is, the fewer are written twice.
const CHECKPOINT_PAGES: &str = "16384";
/// Memory for pages of the connection that writes, in KiB (negative by SQLite's rule).
const WRITER_CACHE_KIB: &str = "-65536";
/// Likewise of each that reads.
const READER_CACHE_KIB: &str = "-16384";
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 128;

/// An open file. It belongs to one process: two would not hear of what the other stores.
#[derive(Debug, Clone)]
pub struct Sqlite {
    /// One connection.
    pub(super) writer: SqlitePool,
    /// A few, which cannot write.
    pub(super) reader: SqlitePool,
    /// Ours as long as this is open.
    lock: Arc<File>,
}

impl Sqlite {
    /// Opens the file, makes it if it is not there, and brings it to the newest step.
    pub(super) async fn open(path: &Path, schema: &Schema) -> Result<Self, StartError> {
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
            .connect_with(options(path).pragma("cache_size", WRITER_CACHE_KIB))
            .await
            .map_err(fault)?;
        let migrated = migrator(schema, |text: Text| text.sqlite).run(&writer).await;
        migrated.map_err(|source| StartError::Migrate { path: path.to_owned(), source })?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_WINDOW)
            .connect_with(options(path).pragma("cache_size", READER_CACHE_KIB).read_only(true))
            .await
            .map_err(fault)?;
        let database = Self { writer, reader, lock };
        database.check_durability(path).await?;
        Ok(database)
    }

    /// Closes every connection, after what they are doing.
    pub(super) async fn close(&self) {
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
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .statement_cache_capacity(STATEMENTS_KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Step;

    const SCHEMA: Schema = Schema {
        name: "things",
        steps: &[Step {
            number: 1,
            name: "things",
            sql: Text { sqlite: "CREATE TABLE things (id INTEGER) STRICT", postgres: "" },
        }],
    };

    #[tokio::test]
    async fn every_connection_syncs_its_commits_and_readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&folder.path().join("a/b.db"), &SCHEMA).await.unwrap();
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
    async fn a_file_is_private_and_belongs_to_one_process() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.db");
        let first = Sqlite::open(&path, &SCHEMA).await.unwrap();
        sqlx::query("INSERT INTO things VALUES (7)").execute(&first.writer).await.unwrap();
        for file in ["b.db", "b.db-wal"] {
            let rights = std::fs::metadata(folder.path().join(file)).unwrap().permissions();
            assert_eq!(rights.mode() & 0o777, 0o600, "{file}");
        }
        let twice = Sqlite::open(&path, &SCHEMA).await;
        assert!(matches!(twice, Err(StartError::InUse { .. })), "{twice:?}");
        first.close().await;
        let second = Sqlite::open(&path, &SCHEMA).await.unwrap();
        let row = sqlx::query("SELECT id FROM things").fetch_one(&second.reader).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 7);
    }
}
