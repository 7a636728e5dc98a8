//! Starts services and reads like English.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chassis::config::{Layers, Settings as _};
use chassis::identity::ServiceTokens;
use chassis::running::Drained;
use chassis::{Bus, Clock, Deps, Random, Running, StartError, Stop};
use contract::Timestamp;
use harness::Engine;
use harness::postgres::Database;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use user::Config;

use crate::document;

/// When every test begins.
const START: Timestamp = Timestamp(1_795_194_000_000);
/// No test waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

const DROPS: &str = "DROP TABLE tickets; DROP TABLE api_keys; DROP TABLE one_time_tokens; \
    DROP TABLE refresh_tokens; DROP TABLE external_identities; DROP TABLE sessions; \
    DROP TABLE accounts";
/// In the order in which the service locks them, or the two would wait for each other.
const POSTGRES_DROPS: &str =
    "DROP TABLE accounts CASCADE; DROP TABLE sessions CASCADE; DROP TABLE refresh_tokens";

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A service about to be started.
#[derive(Clone)]
pub(crate) struct Settings {
    layers: Layers,
    folder: Arc<TempDir>,
    /// Where its database is, when that is no file.
    server: Option<Arc<Database>>,
}

/// A started one.
pub(crate) struct Spoke {
    running: Running,
    settings: Settings,
    hands: Arc<AtomicI64>,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn settings(engine: Engine) -> Settings {
    let (folder, server) = (tempfile::tempdir().unwrap(), engine.fresh());
    let url = server.as_ref().map(Database::url).unwrap_or_default();
    let (folder, server) = (Arc::new(folder), server.map(Arc::new));
    let layers = Layers::defaults();
    Settings { layers, folder, server }
        .with("user.listen=127.0.0.1:0")
        .with("user.grpc_listen=127.0.0.1:0")
        .at(&url)
}

pub(crate) async fn spoke(engine: Engine) -> Spoke {
    settings(engine).start().await
}

pub(crate) fn ada() -> Value {
    json!({"username": "ada", "email": "ada@example.com", "password": PASSWORD})
}

pub(crate) fn account(name: &str) -> Value {
    json!({"username": name, "email": format!("{name}@example.com"), "password": PASSWORD})
}

impl Settings {
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.layers.command_line(setting);
        self
    }

    /// With its database at `url`.
    pub(crate) fn at(mut self, url: &str) -> Self {
        self.layers.put("database.url", url);
        self
    }

    pub(crate) async fn start(self) -> Spoke {
        self.start_at(Arc::new(AtomicI64::new(START.0))).await
    }

    /// Starts when it really is, for what others do by the clock of the machine.
    pub(crate) async fn start_now(self) -> Spoke {
        self.start_at(Arc::new(AtomicI64::new(Clock::System.now().0))).await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Why it does not start.
    pub(crate) async fn fault(self) -> StartError {
        let deps = deps(&self.folder, Arc::new(AtomicI64::new(START.0)));
        user::start(Config::read(&self.layers).unwrap(), deps).await.unwrap_err()
    }

    async fn start_at(self, hands: Arc<AtomicI64>) -> Spoke {
        let deps = deps(&self.folder, hands.clone());
        let config = Config::read(&self.layers).unwrap();
        let running = user::start(config, deps).await.unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Spoke { running, settings: self, hands, http }
    }
}

fn deps(folder: &TempDir, hands: Arc<AtomicI64>) -> Deps {
    Deps {
        bus: Bus::local(16),
        clock: Clock::Fixed(hands),
        random: Random::System,
        data: folder.path().to_owned(),
    }
}

impl Spoke {
    /// Stops, and starts again on what was kept.
    pub(crate) async fn restart(self) -> Self {
        self.running.drain(PATIENCE).await;
        self.settings.start_at(self.hands).await
    }

    /// Likewise, with another setting.
    pub(crate) async fn restart_with(self, setting: &str) -> Self {
        self.running.drain(PATIENCE).await;
        self.settings.with(setting).start_at(self.hands).await
    }

    /// Starts another replica: on the same keys, the same database and the same time.
    pub(crate) async fn replica(&self) -> Self {
        self.settings.clone().start_at(self.hands.clone()).await
    }

    pub(crate) fn later(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap();
        self.hands.fetch_add(millis, Ordering::Relaxed);
    }

    /// What a process that shares its time would be given.
    pub(crate) fn deps(&self, data: &Path) -> Deps {
        Deps {
            bus: Bus::local(16),
            clock: Clock::Fixed(self.hands.clone()),
            random: Random::System,
            data: data.to_owned(),
        }
    }

    /// Makes the next key as the operator does, with a command of its own.
    pub(crate) fn rotate_keys(&self) -> String {
        user::rotate_keys(&self.settings.layers, self.settings.folder()).unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.hands.load(Ordering::Relaxed))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Asks `holds` again and again until it says yes.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let asked = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, asked).await;
        assert!(in_time.is_ok(), "{what} never came about");
    }

    /// The ids of the keys that it publishes.
    pub(crate) async fn published(&self) -> Vec<String> {
        let jwks = self.get("/.well-known/jwks.json").await.is(200);
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// A service token of `name`, whose key is made here, for this service.
    pub(crate) fn service_token(&self, name: &'static str) -> Arc<str> {
        let deps = deps(&self.settings.folder, self.hands.clone());
        ServiceTokens::open(name, &self.keys_folder(), &deps).unwrap().plain("user")
    }

    /// The signals of its end.
    pub(crate) fn stop(&self) -> &Stop {
        &self.running.stops()[0]
    }

    pub(crate) async fn drain(self) -> Drained {
        self.running.drain(PATIENCE).await
    }

    pub(crate) fn keys_folder(&self) -> PathBuf {
        self.settings.folder.path().join("keys")
    }

    /// Where it keeps what it has.
    pub(crate) fn data(&self) -> &Path {
        self.settings.folder.path()
    }

    /// Takes the tables away behind the service's back.
    pub(crate) async fn break_database(&self) {
        match &self.settings.server {
            None => {
                let path = self.settings.folder.path().join("user.db");
                let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(DROPS).execute(&mut connection).await.unwrap();
            }
            Some(server) => {
                let mut connection = PgConnection::connect(&server.url()).await.unwrap();
                sqlx::query("SET search_path = hubbub_user")
                    .execute(&mut connection)
                    .await
                    .unwrap();
                sqlx::raw_sql(POSTGRES_DROPS).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// Rows of `table`, read behind the service's back.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let text = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        match &self.settings.server {
            None => {
                let path = self.settings.folder.path().join("user.db");
                let options = SqliteConnectOptions::new().filename(path);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap()
            }
            Some(server) => {
                let mut connection = PgConnection::connect(&server.url()).await.unwrap();
                sqlx::query("SET search_path = hubbub_user")
                    .execute(&mut connection)
                    .await
                    .unwrap();
                sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// The text that was told under `label` when it started.
    pub(crate) fn told(&self, label: &str) -> Option<&str> {
        self.running.lines.iter().find(|line| line.0 == label).map(|line| line.1.as_str())
    }

    pub(crate) fn setup_code(&self) -> String {
        let told = self.told("set-up").expect("a code is told at the first start");
        told.split(' ').next().unwrap().to_owned()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.running.address))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        answer(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub(crate) async fn ask_as(&self, token: &str, path: &str) -> Answer {
        answer(self.request(Method::POST, path).bearer_auth(token)).await
    }

    pub(crate) async fn put_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).bearer_auth(token).json(body)).await
    }

    pub(crate) async fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).bearer_auth(token).json(body)).await
    }

    pub(crate) async fn delete_as(&self, token: &str, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path).bearer_auth(token)).await
    }

    /// The session of the first administrator, whose name is root.
    pub(crate) async fn admin(&self) -> Value {
        let mut body = account("root");
        body["code"] = json!(self.setup_code());
        self.post("/api/setup", &body).await.is(201)
    }

    /// Registers `name`, and gives the session.
    pub(crate) async fn registered(&self, name: &str) -> Value {
        self.post("/api/register", &account(name)).await.is(201)
    }

    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Answer {
        self.post("/api/login", &json!({"username": name, "password": password})).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/api/refresh-token", &json!({"refreshToken": token})).await
    }
}

/// The answer, which is one that the document of the service has.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let answer = Answer { status, headers, body };
    let faults = document::faults(&method, &path, &answer);
    assert!(faults.is_empty(), "{method} {path}: {faults:?} in {answer:?}");
    answer
}

impl Answer {
    /// The body, when the status is this.
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// The problem, when it is this one, complete with what every problem has.
    pub(crate) fn problem(self, slug: &str, status: u16) -> Value {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401);
        let request_id = self.headers["x-request-id"].to_str().unwrap().to_owned();
        let body = self.is(status);
        assert_eq!(body["type"], format!("urn:hubbub:problem:{slug}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["requestId"], request_id);
        assert!(body["error"].as_str().is_some_and(|line| !line.is_empty()));
        body
    }

    /// The fields that are wrong, when that is the problem.
    pub(crate) fn faulty_fields(self) -> Vec<String> {
        fields(&self.problem("invalid", 400))
    }
}

pub(crate) fn fields(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn access(session: &Value) -> &str {
    session["tokens"]["accessToken"].as_str().unwrap()
}

pub(crate) fn refresh(session: &Value) -> &str {
    session["tokens"]["refreshToken"].as_str().unwrap()
}
