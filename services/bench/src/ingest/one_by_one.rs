//! What is usual elsewhere: a transaction for each message, on as many connections as there are
//! callers. It does the same work in the same tables, without HTTP in front.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::postgres::Server;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::kept::{Engine, Place, SENDER, name};
use super::{CALLERS, CONTENT_BYTES, Turn, turn};
use crate::Outcome;

/// The schema of the message service on a server.
const SCHEMA: &str = "hubbub_message";
/// Waiting for a connection is part of the wait that is measured.
const ACQUIRE_WINDOW: Duration = Duration::from_secs(30);

const REPEATED: &str = "SELECT id FROM messages WHERE user_id = $1 AND client_id = $2";
const MEMBER: &str = "SELECT role FROM members WHERE room_id = $1 AND user_id = $2";
const MOVE: &str = "
    UPDATE rooms SET head_seq = head_seq + 1, message_count = message_count + 1,
        last_message_seq = head_seq + 1, active_at = $2
    WHERE id = $1 RETURNING head_seq, message_count";
const APPEND: &str = "
    INSERT INTO messages (id, room_id, seq, n, user_id, username, content, message_type, client_id,
        created_at)
    VALUES ($1, $2, $3, $4, $5, 'bench', $6, 'text', $7, $8)";
const LOG: &str = "
    INSERT INTO log (shard_seq, shard, room_id, seq, type, ts, message_seq)
    VALUES ($1, 0, $2, $3, 'message.created', $4, $3)";
/// Any moment of this day will do.
const NOW: i64 = 1_800_000_000_000;

/// A store of the message service without the service.
pub(crate) struct OneByOne {
    pool: Pool,
    rooms: usize,
    /// Numbers of the log, given out here: a sequence would do it.
    commits: Arc<AtomicUsize>,
    _folder: TempDir,
}

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl OneByOne {
    /// Has the service make the tables and `rooms` rooms, and takes its place.
    pub(crate) async fn open(engine: Engine, server: &Server, rooms: usize) -> Outcome<Self> {
        let Place { folder, url, .. } = Place::open(engine, server, rooms).await?;
        let pool = match engine {
            Engine::Sqlite => {
                let file = folder.path().join("data/message.db");
                // The mode and the synchronous commits are the file's and this connection's.
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
                    .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
                    .foreign_keys(true);
                let pool = SqlitePoolOptions::new().max_connections(1);
                Pool::Sqlite(pool.acquire_timeout(ACQUIRE_WINDOW).connect_with(options).await?)
            }
            Engine::Postgres => {
                let options: PgConnectOptions = url.parse()?;
                let options = options.options([("search_path", SCHEMA)]);
                let most = u32::try_from(CALLERS)?;
                let pool = PgPoolOptions::new().max_connections(most).test_before_acquire(false);
                Pool::Postgres(pool.acquire_timeout(ACQUIRE_WINDOW).connect_with(options).await?)
            }
        };
        // Far beyond what the service gave out.
        let commits = Arc::new(AtomicUsize::new(1_000_000));
        Ok(Self { pool, rooms, commits, _folder: folder })
    }

    /// Lets `callers` store messages for `span`.
    pub(crate) async fn store(&self, callers: usize, span: Duration) -> Outcome<Turn> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..callers {
            let (pool, commits, rooms) = (self.pool.clone(), self.commits.clone(), self.rooms);
            tasks.spawn(async move {
                let (mut waits, mut room) = (Vec::new(), number * rooms / callers);
                while Instant::now() < began + span {
                    let sent = Instant::now();
                    let commit = i64::try_from(commits.fetch_add(1, Ordering::Relaxed))?;
                    pool.store(&name(room), commit).await?;
                    waits.push(sent.elapsed());
                    room = (room + 1) % rooms;
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(waits)
            });
        }
        let mut waits = Vec::new();
        while let Some(done) = tasks.join_next().await {
            waits.extend(done??);
        }
        Ok(turn(waits, 1, began.elapsed()))
    }
}

/// The same statements on either engine, which differ in types only.
macro_rules! store_on {
    ($connection:expr, $room:expr, $commit:expr) => {{
        let (id, client) = (Uuid::now_v7(), Uuid::now_v7());
        let repeated = sqlx::query(REPEATED).bind(SENDER.0).bind(client);
        repeated.fetch_optional(&mut *$connection).await?;
        let member = sqlx::query(MEMBER).bind($room).bind(SENDER.0);
        member.fetch_one(&mut *$connection).await?;
        let moved = sqlx::query_as::<_, (i64, i64)>(MOVE).bind($room).bind(NOW);
        let (seq, n) = moved.fetch_one(&mut *$connection).await?;
        let append = sqlx::query(APPEND).bind(id).bind($room).bind(seq).bind(n).bind(SENDER.0);
        let append = append.bind("x".repeat(CONTENT_BYTES)).bind(client).bind(NOW);
        append.execute(&mut *$connection).await?;
        let log = sqlx::query(LOG).bind($commit).bind($room).bind(seq).bind(NOW);
        log.execute(&mut *$connection).await?;
    }};
}

impl Pool {
    async fn store(&self, room: &str, commit: i64) -> Outcome<()> {
        match self {
            Self::Sqlite(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                store_on!(transaction, room, commit);
                transaction.commit().await?;
            }
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                store_on!(transaction, room, commit);
                transaction.commit().await?;
            }
        }
        Ok(())
    }
}
