//! Starts services and reads like English.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chassis::config::{Layers, Settings as _};
use chassis::{Bus, Clock, Deps, Random, Running};
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

/// When every test begins.
const START: Timestamp = Timestamp(1_795_194_000_000);
/// No test waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

const DROPS: &str = "DROP TABLE refresh_tokens; DROP TABLE sessions; DROP TABLE accounts";

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
    Settings { layers, folder, server }.with("user.listen=127.0.0.1:0").at(&url)
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

    async fn start_at(self, hands: Arc<AtomicI64>) -> Spoke {
        let deps = Deps {
            bus: Bus::local(16),
            clock: Clock::Fixed(hands.clone()),
            random: Random::System,
            data: self.folder.path().to_owned(),
        };
        let config = Config::read(&self.layers).unwrap();
        let running = user::start(config, deps).await.unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Spoke { running, settings: self, hands, http }
    }
}

impl Spoke {
    /// Stops, and starts again on what was kept.
    pub(crate) async fn restart(self) -> Self {
        self.running.drain(PATIENCE).await;
        self.settings.start_at(self.hands).await
    }

    /// Starts another replica: on the same keys, the same database and the same time.
    pub(crate) async fn replica(&self) -> Self {
        self.settings.clone().start_at(self.hands.clone()).await
    }

    pub(crate) fn later(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap();
        self.hands.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn keys_folder(&self) -> PathBuf {
        self.settings.folder.path().join("keys")
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
                sqlx::raw_sql(DROPS).execute(&mut connection).await.unwrap();
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

    pub(crate) async fn put_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).bearer_auth(token).json(body)).await
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

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
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
