//! What the tests of this crate begin with: people, drafts, and a store in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use chassis::database::Sqlite;
use chassis::{Bus, Clock, Random, Stop};
use contract::room::Room;
use contract::{ClientId, RoomId, Timestamp, UserId};
use sqlx::Row;
use uuid::Uuid;

use crate::bell::Bell;
use crate::command::{Author, Draft, NewRoom};
use crate::store::{STEPS, Store};
use crate::text::{Content, MessageType};
use crate::writer::{Config, Writer};

/// A store, its writer and its bus.
pub(crate) struct Bench {
    /// What time it is for the writer.
    pub(crate) hands: Arc<AtomicI64>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sqlite: Sqlite,
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
    }
}

pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("message.db")
}

pub(crate) async fn bench() -> Bench {
    bench_with(settings(10_000)).await
}

pub(crate) async fn bench_with(config: Config) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&database(folder.path()), STEPS).await.unwrap();
    let store = Store::over(sqlite.clone(), &Random::System).await.unwrap();
    let (bus, stop) = (Bus::local(100_000), Stop::new());
    let (clock, hands) = Clock::fixed(Timestamp(1_800_000_000_000));
    let sources = (clock, Random::System);
    let writer = Writer::start(store.clone(), Bell::Bus(bus.clone()), sources, &config, &stop);
    Bench { hands, folder, sqlite, store, bus, writer, stop }
}

impl Bench {
    /// A public room of `creator`.
    pub(crate) async fn room(&self, creator: &Author, id: &str) -> Room {
        self.writer.create(creator.clone(), new_room(id)).await.unwrap()
    }
}

/// Fails when the statement reads a whole table of ours.
pub(crate) async fn assert_searches(statement: &str) {
    let bench = bench().await;
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let plan = sqlx::query(explain).fetch_all(&bench.sqlite.writer).await.unwrap();
    assert!(!plan.is_empty());
    for step in plan {
        let step: String = step.get("detail");
        let whole = step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE");
        assert!(!whole || step.contains("USING INDEX rooms_by_activity"), "{statement}: {step}");
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
