//! What the tests of this crate begin with: people, drafts, and a store in a folder of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use chassis::config::Layers;
use chassis::database::{self, Database, Text, query};
use chassis::{Bus, Clock, Random, Stop};
use contract::room::Room;
use contract::{ClientId, RoomId, Timestamp, UserId};
use harness::Engine;
use sqlx::{ConnectOptions as _, Row as _};
use uuid::Uuid;

use crate::bell::Bell;
use crate::command::{Author, Draft, NewRoom};
use crate::store::{SCHEMA, Store};
use crate::text::{Content, MessageType};
use crate::writer::{Config, Writer};

/// A store, its writer and its bus.
pub(crate) struct Bench {
    /// What time it is for the writer.
    pub(crate) hands: Arc<AtomicI64>,
    home: Arc<Home>,
    pub(crate) database: Database,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) writer: Writer,
    pub(crate) stop: Stop,
}

pub(crate) fn settings(queue: usize) -> Config {
    Config {
        queue_commands_max: queue.try_into().unwrap(),
        batch_commands_max: 256.try_into().unwrap(),
        linger: std::time::Duration::from_millis(2),
        remembered_members_max: 1_000,
    }
}

/// Where a store is kept, and can be opened again.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    server: Option<harness::postgres::Database>,
}

impl Home {
    pub(crate) fn of(engine: Engine) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: engine.fresh() }
    }

    /// Where SQLite keeps it.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("message.db")
    }

    /// Where PostgreSQL keeps it; empty when SQLite does.
    pub(crate) fn url(&self) -> String {
        self.server.as_ref().map(harness::postgres::Database::url).unwrap_or_default()
    }

    pub(crate) async fn open(&self) -> Database {
        let mut layers = Layers::defaults();
        layers.put("database.url", self.url());
        let config = database::Config::read(&layers).unwrap();
        Database::open(&config, &self.file(), &SCHEMA).await.unwrap()
    }
}

/// What time it is for a writer, until its hands are moved.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) async fn bench_on(engine: Engine) -> Bench {
    bench_with(engine, settings(10_000)).await
}

pub(crate) async fn bench_with(engine: Engine, config: Config) -> Bench {
    Bench::at(Arc::new(Home::of(engine)), config).await
}

impl Bench {
    /// Another replica on the same database.
    pub(crate) async fn replica(&self) -> Self {
        Self::at(self.home.clone(), settings(10_000)).await
    }

    /// The same after everything was closed.
    pub(crate) async fn again(self) -> Self {
        let Self { home, database, writer, stop, .. } = self;
        // The writers hold connections until they end.
        drop(writer);
        stop.tracker().close();
        stop.tracker().wait().await;
        database.close().await;
        Self::at(home, settings(10_000)).await
    }

    /// Runs statements of somebody else on the database, one by one.
    pub(crate) async fn meddle(&self, statements: &[Text]) {
        for &statement in statements {
            self.database.execute(query(statement)).await.unwrap();
        }
    }

    async fn at(home: Arc<Home>, config: Config) -> Self {
        let database = home.open().await;
        let store = Store::over(database.clone(), &Random::System).await.unwrap();
        let (bus, stop) = (Bus::local(100_000), Stop::new());
        let (clock, hands) = Clock::fixed(NOW);
        let bell = Bell::Bus(bus.clone());
        let writer = Writer::start(&store, &bell, (clock, Random::System), &config, &stop);
        Self { hands, home, database, store, bus, writer, stop }
    }

    /// A public room of `creator`.
    pub(crate) async fn room(&self, creator: &Author, id: &str) -> Room {
        self.writer.create(creator.clone(), new_room(id)).await.unwrap()
    }
}

/// Fails when the statement reads a whole table of ours, on either engine.
pub(crate) async fn assert_searches(statement: Text) {
    assert_sqlite_searches(statement.sqlite).await;
    assert_postgres_searches(statement.postgres).await;
}

async fn assert_sqlite_searches(statement: &'static str) {
    let home = Home::of(Engine::Sqlite);
    home.open().await.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.file());
    let mut connection = options.connect().await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let plan = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
    assert!(!plan.is_empty());
    for step in plan {
        let step: String = step.get("detail");
        let whole = step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE");
        assert!(!whole || step.contains("USING INDEX rooms_by_activity"), "{statement}: {step}");
    }
}

/// Where an index serves, no table has to be read when that is forbidden.
pub(crate) async fn assert_postgres_searches(statement: &'static str) {
    let home = Home::of(Engine::Postgres);
    home.open().await.close().await;
    let options: sqlx::postgres::PgConnectOptions = home.url().parse().unwrap();
    let options = options.options([
        ("search_path", SCHEMA.name),
        ("enable_seqscan", "off"),
        ("plan_cache_mode", "force_generic_plan"),
    ]);
    let mut connection = options.connect().await.unwrap();
    let prepare = sqlx::AssertSqlSafe(format!("PREPARE asked AS {statement}"));
    sqlx::raw_sql(prepare).execute(&mut connection).await.unwrap();
    let parameters = (1..100).take_while(|n| statement.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; parameters].join(", ");
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN EXECUTE asked({nulls})"));
    let plan = sqlx::raw_sql(explain).fetch_all(&mut connection).await.unwrap();
    for step in plan {
        let step: String = step.get(0);
        assert!(!step.contains("Seq Scan"), "{statement}: {step}");
    }
}

pub(crate) fn author(number: u128) -> Author {
    Author { id: user(number), name: format!("user{number}").into() }
}

pub(crate) fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

pub(crate) fn id(text: &str) -> RoomId {
    text.parse().unwrap()
}

pub(crate) fn draft(room: &str, text: &str, client: Option<u128>) -> Draft {
    let content = Content::try_from(text.to_owned()).unwrap();
    let client = client.map(|number| ClientId(Uuid::from_u128(number)));
    Draft { room: id(room), content, kind: MessageType::default(), parent: None, client }
}

pub(crate) fn new_room(text: &str) -> NewRoom {
    NewRoom {
        id: Some(id(text)),
        name: "A room".parse().unwrap(),
        description: None,
        is_private: false,
        members: Vec::new(),
    }
}

pub(crate) fn private_room(text: &str) -> NewRoom {
    NewRoom { is_private: true, ..new_room(text) }
}
