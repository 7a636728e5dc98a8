//! What holds on both engines, and what is said when it cannot.

use std::io::ErrorKind;
use std::time::Duration;

use harness::postgres::{Database as TestDatabase, Disk, Server};
use harness::{Engine, on_both_engines};
use tempfile::TempDir;

use super::*;
use crate::config::Layers;

const SCHEMA: Schema = Schema {
    name: "things",
    steps: &[Step {
        number: 1,
        name: "things",
        sql: Text {
            sqlite: "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, body BLOB, code BLOB, \
                     yes INTEGER NOT NULL) STRICT",
            postgres: "CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT, body BYTEA, code UUID, \
                       yes BOOLEAN NOT NULL)",
        },
    }],
};
const LOOK: Text =
    Text { sqlite: "SELECT id FROM things", postgres: "SELECT id FROM things FOR UPDATE" };
const INSERT: &str = "INSERT INTO things (id, name, body, code, yes) VALUES ($1, $2, $3, $4, $5)";

struct Bench {
    database: Database,
    folder: TempDir,
    server: Option<TestDatabase>,
}

fn config(url: &str) -> Config {
    let mut layers = Layers::defaults();
    layers.put("database.url", url);
    layers.put("database.start_window", "0s");
    Config::read(&layers).unwrap()
}

async fn bench(engine: Engine) -> Bench {
    let (folder, server) = (tempfile::tempdir().unwrap(), engine.fresh());
    let database = open(&folder, server.as_ref()).await.unwrap();
    Bench { database, folder, server }
}

async fn open(folder: &TempDir, server: Option<&TestDatabase>) -> Result<Database, StartError> {
    let url = server.map(TestDatabase::url).unwrap_or_default();
    Database::open(&config(&url), &folder.path().join("a/b.db"), &SCHEMA).await
}

fn insert(id: i64) -> Query<'static> {
    query(INSERT).bind(id).bind("n").bind(b"b".as_slice()).bind(uuid::Uuid::nil()).bind(true)
}

impl Bench {
    async fn ids(&self) -> Vec<i64> {
        let rows = self.database.fetch_all(query("SELECT id FROM things ORDER BY id")).await;
        rows.unwrap().iter().map(|row| row.get("id").unwrap()).collect()
    }
}

on_both_engines!(
    whatever_is_bound_comes_back,
    a_transaction_lasts_from_its_commit_on_and_leaves_no_trace_before,
    a_schema_is_brought_to_its_newest_step_once,
    work_that_reads_what_it_changes_is_never_lost,
    a_held_connection_survives_what_breaks_a_rule,
    a_list_is_one_parameter,
);

async fn whatever_is_bound_comes_back(engine: Engine) {
    let bench = bench(engine).await;
    let code = uuid::Uuid::from_u128(7);
    let full = query(INSERT).bind(i64::MAX).bind("ü \0".trim_end_matches('\0'));
    let full = full.bind([0, 255].as_slice()).bind(code).bind(true);
    assert_eq!(bench.database.execute(full).await.unwrap(), 1);
    let none = query(INSERT).bind(1_i64).bind(None::<&str>).bind([].as_slice());
    let none = none.bind(Value::Id(None)).bind(false);
    bench.database.execute(none).await.unwrap();
    let rows = bench.database.fetch_all(query("SELECT * FROM things ORDER BY id DESC")).await;
    let rows = rows.unwrap();
    assert_eq!(rows[0].get::<i64>("id").unwrap(), i64::MAX);
    assert_eq!(rows[0].get::<&str>("name").unwrap(), "ü ");
    assert_eq!(rows[0].get::<&[u8]>("body").unwrap(), [0, 255]);
    assert_eq!(rows[0].get::<Option<uuid::Uuid>>("code").unwrap(), Some(code));
    assert!(rows[0].get::<bool>("yes").unwrap());
    assert_eq!(rows[1].get::<Option<&str>>("name").unwrap(), None);
    assert_eq!(rows[1].get::<Option<uuid::Uuid>>("code").unwrap(), None);
}

async fn a_transaction_lasts_from_its_commit_on_and_leaves_no_trace_before(engine: Engine) {
    let bench = bench(engine).await;
    for (id, end) in [(1, "commit"), (2, "rollback"), (3, "drop")] {
        let mut transaction = bench.database.begin().await.unwrap();
        transaction.execute(insert(id)).await.unwrap();
        match end {
            "commit" => transaction.commit().await.unwrap(),
            "rollback" => transaction.rollback().await.unwrap(),
            _ => drop(transaction),
        }
    }
    assert_eq!(bench.ids().await, [1]);
}

async fn a_schema_is_brought_to_its_newest_step_once(engine: Engine) {
    let bench = bench(engine).await;
    bench.database.execute(insert(7)).await.unwrap();
    bench.database.close().await;
    let (one, two) = tokio::join!(
        open(&bench.folder, bench.server.as_ref()),
        open(&bench.folder, bench.server.as_ref())
    );
    // Replicas share a server; a file has one process.
    let opened = [one, two].into_iter().filter_map(Result::ok).collect::<Vec<_>>();
    assert_eq!(opened.len(), if engine == Engine::Postgres { 2 } else { 1 });
    for database in opened {
        assert_eq!(database.fetch_all(query("SELECT id FROM things")).await.unwrap().len(), 1);
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failed(#[from] sqlx::Error);

impl BreaksOff for Failed {
    fn was_broken_off(&self) -> bool {
        is_worth_another_try(&self.0)
    }
}

async fn work_that_reads_what_it_changes_is_never_lost(engine: Engine) {
    let bench = bench(engine).await;
    bench.database.execute(insert(1)).await.unwrap();
    let add_one = async || {
        let mut transaction = bench.database.begin().await?;
        let found = transaction.fetch_all(query(LOOK)).await?;
        let id: i64 = found[0].get("id")?;
        transaction.execute(query("UPDATE things SET id = $1").bind(id + 1)).await?;
        transaction.commit().await?;
        Ok::<_, Failed>(())
    };
    let add_one = async || again(add_one).await.unwrap();
    tokio::join!(add_one(), add_one(), add_one());
    assert_eq!(bench.ids().await, [4]);
}

async fn a_held_connection_survives_what_breaks_a_rule(engine: Engine) {
    let bench = bench(engine).await;
    let mut held = Held::default();
    for (id, is_new) in [(1_i64, true), (1, false), (2, true)] {
        // As one text that is a transaction by itself: SQLite would leave it open where it broke.
        let text = Text {
            sqlite: "BEGIN IMMEDIATE; INSERT INTO things (id, yes) VALUES ($1, 1); COMMIT",
            postgres: "INSERT INTO things (id, yes) VALUES ($1, true)",
        };
        let done = bench.database.execute_on(&mut held, query(text).bind(id)).await;
        assert_eq!(done.is_ok(), is_new, "{id}");
    }
    let mut transaction = bench.database.begin_on(&mut held).await.unwrap();
    transaction.execute(insert(3)).await.unwrap();
    transaction.commit_on(&mut held).await.unwrap();
    let mut transaction = bench.database.begin_on(&mut held).await.unwrap();
    transaction.execute(insert(4)).await.unwrap();
    transaction.rollback_on(&mut held).await.unwrap();
    assert_eq!(bench.ids().await, [1, 2, 3]);
}

async fn a_list_is_one_parameter(engine: Engine) {
    let bench = bench(engine).await;
    let id = uuid::Uuid::from_u128(7);
    let text = Text {
        sqlite: "SELECT t.value AS t, n.value AS n, unhex(i.value, '-') AS i \
                 FROM json_each($1) AS t JOIN json_each($2) AS n USING (key) \
                 JOIN json_each($3) AS i USING (key) ORDER BY key",
        postgres: "SELECT * FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS l (t, n, i)",
    };
    let lists = [
        List::Texts(vec!["\"ü\"", "b"]),
        List::Integers(vec![-1, i64::MAX]),
        List::Ids(vec![Some(id), None]),
    ];
    let found = lists.into_iter().fold(query(text), Query::bind);
    let found = bench.database.fetch_all(found).await.unwrap();
    let row = |place: usize| {
        let row = &found[place];
        let id: Option<uuid::Uuid> = row.get("i").unwrap();
        (row.get::<String>("t").unwrap(), row.get::<i64>("n").unwrap(), id)
    };
    assert_eq!(row(0), ("\"ü\"".to_owned(), -1, Some(id)));
    assert_eq!(row(1), ("b".to_owned(), i64::MAX, None));
}

/// As one whose machine is gone: it took the statement and says nothing.
#[tokio::test]
async fn a_server_that_is_silent_is_given_up_and_keeps_no_connection() {
    const SILENCE: &str = "SELECT pg_sleep(60)";

    let mut bench = bench(Engine::Postgres).await;
    let Database::Postgres(postgres) = &mut bench.database else { panic!("not on a server") };
    postgres.answer_timeout = Duration::from_millis(100);
    let is_late = |error: &sqlx::Error| match error {
        sqlx::Error::Io(error) => error.kind() == ErrorKind::TimedOut,
        _ => false,
    };
    // More often than there are connections.
    for _ in 0..10 {
        let mut held = Held::default();
        let late = bench.database.execute_on(&mut held, query(SILENCE)).await;
        let late = late.unwrap_err();
        assert!(is_late(&late), "{late:?}");
        assert!(is_late(&bench.database.fetch_all(query(SILENCE)).await.unwrap_err()));
        let mut transaction = bench.database.begin().await.unwrap();
        assert!(is_late(&transaction.execute(query(SILENCE)).await.unwrap_err()));
    }
    bench.database.execute(insert(1)).await.unwrap();
    assert_eq!(bench.ids().await, [1]);
}

#[tokio::test]
async fn a_server_that_restarts_is_used_again() {
    let mut server = Server::start(Disk::Synced).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&config(&server.url("postgres")), folder.path(), &SCHEMA).await;
    let database = database.unwrap();
    database.execute(insert(1)).await.unwrap();
    server.crash();
    assert!(database.execute(insert(2)).await.is_err());
    assert!(database.begin().await.is_err());
    server.start_again().unwrap();
    database.execute(insert(3)).await.unwrap();
    assert_eq!(database.fetch_all(query("SELECT id FROM things")).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_forgets_or_is_not_there_is_not_used() {
    let bench = bench(Engine::Postgres).await;
    let url = bench.server.as_ref().unwrap().url();
    let name = url.rsplit('/').next().unwrap();
    let forget = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    let Database::Postgres(postgres) = &bench.database else { panic!("not on a server") };
    sqlx::query(sqlx::AssertSqlSafe(forget)).execute(&postgres.writers).await.unwrap();
    let refused = open(&bench.folder, bench.server.as_ref()).await.unwrap_err().to_string();
    assert!(refused.contains("synchronous_commit"), "{refused}");
    // Whoever is connected, or connects again, goes on as it began.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    bench.database.fetch_all(query(end)).await.ok();
    let commits = query("SELECT current_setting('synchronous_commit') AS found");
    let mut transaction = loop {
        if let Ok(transaction) = bench.database.begin().await {
            break transaction;
        }
    };
    let row = transaction.fetch_optional(commits).await.unwrap().unwrap();
    assert_eq!(row.get::<&str>("found").unwrap(), "on");

    let nobody = "postgres://somebody:hunter2@127.0.0.1:1/x";
    let refused = Database::open(&config(nobody), bench.folder.path(), &SCHEMA).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1:1") && !refused.contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn the_limits_of_statements_are_the_servers_too() {
    let bench = bench(Engine::Postgres).await;
    for (setting, want) in [
        ("statement_timeout", "5s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "3s"),
        ("search_path", "things"),
    ] {
        let row = query("SELECT current_setting($1) AS found").bind(setting);
        let row = bench.database.fetch_optional(row).await.unwrap().unwrap();
        assert_eq!(row.get::<&str>("found").unwrap(), want);
    }
}

#[test]
fn a_url_that_is_none_is_a_fault_that_does_not_show_it() {
    for bad in ["mysql://root:hunter2@h/x", "postgres//hunter2", "hunter2"] {
        let mut layers = Layers::defaults();
        layers.put("database.url", bad);
        layers.put("database.readers_max", 0);
        let faults = Config::read(&layers).unwrap_err();
        assert_eq!(faults.0.len(), 2, "{faults}");
        assert!(!faults.to_string().contains("hunter2") && !layers.print().contains("hunter2"));
    }
}

#[test]
fn a_url_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    std::fs::write(&path, "postgres://u:p@db.example/hubbub\n").unwrap();
    let config = Config { url_file: path.clone(), ..config("") };
    assert_eq!(config.server().unwrap().unwrap().get_host(), "db.example");
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(config.server(), Err(StartError::Config(_))));
    let config = Config { url_file: folder.path().join("absent"), ..config };
    assert!(matches!(config.server(), Err(StartError::Path { .. })));
    assert_eq!(config.start_window, Duration::ZERO);
}
