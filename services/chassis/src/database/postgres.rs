//! A schema of a PostgreSQL server, which replicas of a service share.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Row as _};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::connection::TRUSTED_FOR;
use super::{Config, Schema, Text, migrator};
use crate::StartError;

/// The oldest server that this is tested with.
const VERSION_MIN: i32 = 150_000;
/// Held by whoever changes a schema: "hubbub" in letters.
const MIGRATION_LOCK: i64 = 0x6875_6262_7562;
/// How much longer than the server lets a statement take its answer may take to come.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);
/// How long one try to reach the server may take.
const REACH_WINDOW: Duration = Duration::from_secs(5);
/// Between two tries to reach a server that is not there yet.
const PAUSE: Duration = Duration::from_millis(250);
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 128;
/// SQLSTATE of a server that is starting, or stopping.
const CANNOT_CONNECT_NOW: &str = "57P03";

const LOCK: &str = "SELECT pg_advisory_lock($1)";
const FIND_SCHEMA: &str = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
const PROMISES: &str = "
    SELECT current_setting('server_version_num')::int4 AS version,
        current_setting('synchronous_commit') AS commits, current_setting('fsync') AS syncs";

/// Connections to one schema.
#[derive(Debug, Clone)]
pub struct Postgres {
    pub(super) writers: PgPool,
    pub(super) readers: PgPool,
    /// From a statement to its answer. The server has limits of its own, but it may be gone without a
    /// word.
    pub(super) answer_timeout: Duration,
}

impl Postgres {
    /// Waits for the server, makes the schema if it is not there, brings it to the newest step, and
    /// connects. One of several replicas that start together does the work, the others wait for it.
    pub(super) async fn open(
        server: PgConnectOptions,
        config: &Config,
        schema: &Schema,
    ) -> Result<Self, StartError> {
        let place = format!("{}:{}", server.get_host(), server.get_port());
        let fault = |source| StartError::Server { place: place.clone(), source };
        let server = server
            .application_name(schema.name)
            .statement_cache_capacity(STATEMENTS_KEPT)
            .options([("search_path", schema.name)]);
        let first = waiting_for_others(&server, config);
        let mut first = reach(&first, config.start_window).await.map_err(fault)?;
        let commits = check_promises(&mut first, &place).await?;
        migrate(&mut first, schema, &place).await?;
        first.close().await.map_err(fault)?;
        let server = bounded(server, config).options([("synchronous_commit", commits)]);
        let pool = |most: u32| pool(config, most).connect_lazy_with(server.clone());
        Ok(Self {
            writers: pool(config.writers_max),
            readers: pool(config.readers_max),
            answer_timeout: config.statement_timeout + ANSWER_MARGIN,
        })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// The server's own limits: they hold when this process hangs.
fn bounded(server: PgConnectOptions, config: &Config) -> PgConnectOptions {
    let millis = |window: Duration| window.as_millis().to_string();
    server.options([
        ("statement_timeout", millis(config.statement_timeout)),
        ("lock_timeout", millis(config.lock_timeout)),
        ("idle_in_transaction_session_timeout", millis(config.idle_transaction_timeout)),
    ])
}

/// Another replica may be changing the schema, or have vanished while it did.
fn waiting_for_others(server: &PgConnectOptions, config: &Config) -> PgConnectOptions {
    let window = config.start_window.max(REACH_WINDOW).as_millis().to_string();
    server.clone().options([("lock_timeout", window)])
}

fn pool(config: &Config, most: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(config.acquire_timeout)
        // A question at every use would cost a round trip; one after a pause finds what a restart of
        // the server left behind.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < TRUSTED_FOR || stands(connection).await) })
        })
}

async fn stands(connection: &mut PgConnection) -> bool {
    matches!(timeout(ANSWER_MARGIN, connection.ping()).await, Ok(Ok(())))
}

/// Connects as soon as the server is there.
async fn reach(server: &PgConnectOptions, window: Duration) -> Result<PgConnection, sqlx::Error> {
    let end = Instant::now() + window;
    let mut is_told = false;
    loop {
        let tried = timeout(REACH_WINDOW, PgConnection::connect_with(server)).await;
        match tried.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()))) {
            Err(error) if may_come(&error) && Instant::now() < end => {
                if !is_told {
                    info!("Waiting for PostgreSQL");
                    is_told = true;
                }
                sleep(PAUSE).await;
            }
            reached => return reached,
        }
    }
}

/// Whether the server may be there in a moment; one that refuses us never will.
fn may_come(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().as_deref() == Some(CANNOT_CONNECT_NOW),
        _ => false,
    }
}

/// A server that would forget what it committed is not used; one that trusts the power supply is, and
/// the log says so.
/// Gives what a commit waits for, which every connection then holds on to whatever is set later.
async fn check_promises(connection: &mut PgConnection, place: &str) -> Result<String, StartError> {
    let fault = |source| StartError::Server { place: place.to_owned(), source };
    let row = sqlx::query(PROMISES).fetch_one(connection).await.map_err(fault)?;
    let version: i32 = row.try_get("version").map_err(fault)?;
    let commits: String = row.try_get("commits").map_err(fault)?;
    let syncs: &str = row.try_get("syncs").map_err(fault)?;
    if version < VERSION_MIN {
        return Err(StartError::Other(format!("PostgreSQL at {place} is older than 15").into()));
    }
    if commits == "off" {
        let fault =
            format!("PostgreSQL at {place} does not sync its commits: synchronous_commit is off");
        return Err(StartError::Other(fault.into()));
    }
    if syncs == "off" {
        warn!("PostgreSQL runs with fsync off: a power cut loses what was acknowledged");
    }
    Ok(commits)
}

async fn migrate(
    connection: &mut PgConnection,
    schema: &Schema,
    place: &str,
) -> Result<(), StartError> {
    let fault = |source| StartError::Server { place: place.to_owned(), source };
    // Given back with the connection, which nobody uses after this.
    sqlx::query(LOCK).bind(MIGRATION_LOCK).execute(&mut *connection).await.map_err(fault)?;
    let found = sqlx::query(FIND_SCHEMA).bind(schema.name).fetch_optional(&mut *connection).await;
    if found.map_err(fault)?.is_none() {
        let text = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {}", schema.name));
        sqlx::query(text).execute(&mut *connection).await.map_err(fault)?;
    }
    let mut migrator = migrator(schema, |text: Text| text.postgres);
    migrator.set_locking(false);
    migrator.run(connection).await.map_err(|source| StartError::Migrate {
        path: format!("{} at {place}", schema.name).into(),
        source,
    })
}
