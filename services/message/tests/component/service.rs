//! Starts the service with whatever it stands on, and calls it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chassis::config::{Layers, Settings};
use chassis::health::Health;
use chassis::identity::{Person, ServiceTokens};
use chassis::keys::SigningKey;
use chassis::running::Drained;
use chassis::serve::serve;
use chassis::{Bus, Clock, Deps, Random, Running, Stop};
use contract::caller::{Role, UserClaims};
use contract::{SessionId, UserId};
use harness::Engine;
use harness::postgres::Database;
use jsonwebtoken::{Algorithm, Header};
use message::Config;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// A user service reduced to its keys, and the settings that point to it.
pub(crate) struct World {
    pub(crate) data: tempfile::TempDir,
    pub(crate) bus: Bus,
    pub(crate) layers: Layers,
    pub(crate) jwks_url: String,
    key: SigningKey,
    http: reqwest::Client,
    _keys: Running,
    _database: Option<Database>,
}

/// A running message service.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    running: Running,
}

/// Somebody with credentials.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) id: UserId,
    http: reqwest::Client,
    address: SocketAddr,
    token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

/// A world and a service in it.
pub(crate) async fn started(engine: Engine) -> (World, Service) {
    let world = World::on(engine);
    let service = world.start().await;
    (world, service)
}

/// Serves `router` on a free port.
pub(crate) fn listen(router: Router) -> Running {
    let stop = Stop::new();
    let server = Layers::defaults().section("message.server").unwrap();
    let health = Health::new("Test", "0", Clock::System, stop.clone());
    let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), &server, router, health, &stop);
    Running::new("test", address.unwrap(), stop)
}

impl World {
    pub(crate) fn on(engine: Engine) -> Self {
        let (key, _) = SigningKey::generate().unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": key.public().id(), "x": key.public().x()});
        let jwks = json!({"keys": [jwk]});
        let keys = listen(Router::new().route("/jwks", get(move || async { axum::Json(jwks) })));
        let mut layers = Layers::defaults();
        let database = engine.fresh();
        layers.put("database.url", database.as_ref().map(Database::url).unwrap_or_default());
        layers.put("message.listen", "127.0.0.1:0");
        layers.put("message.bell", "bus");
        let jwks_url = format!("http://{}/jwks", keys.address);
        layers.put("identity.jwks_url", jwks_url.as_str());
        layers.put("identity.revocations_url", "");
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20));
        Self {
            data: tempfile::tempdir().unwrap(),
            bus: Bus::local(10_000),
            layers,
            jwks_url,
            key,
            _database: database,
            http: http.build().unwrap(),
            _keys: keys,
        }
    }

    pub(crate) async fn start(&self) -> Service {
        let config = Config::read(&self.layers).unwrap();
        let running = message::start(config, self.deps()).await.unwrap();
        Service { address: running.address, running }
    }

    pub(crate) fn deps(&self) -> Deps {
        Deps {
            bus: self.bus.clone(),
            clock: Clock::System,
            random: Random::System,
            data: self.data.path().to_owned(),
        }
    }

    /// A user of this name, signed in.
    pub(crate) fn user(&self, service: &Service, name: &str) -> Caller {
        self.user_at(service.address, name)
    }

    /// A user of this name, signed in, who calls `address`.
    pub(crate) fn user_at(&self, address: SocketAddr, name: &str) -> Caller {
        let claims = claims(name);
        let token = sign(&self.key, &claims);
        Caller { id: claims.sub, ..self.caller(address, token) }
    }

    /// Whoever holds a token with these claims, signed by the right key.
    pub(crate) fn bearer(&self, service: &Service, claims: &UserClaims) -> Caller {
        self.caller(service.address, sign(&self.key, claims))
    }

    /// Whoever sends this token.
    pub(crate) fn caller(&self, address: SocketAddr, token: String) -> Caller {
        Caller { id: UserId(Uuid::nil()), http: self.http.clone(), address, token }
    }

    /// The service `name`, for itself.
    pub(crate) fn service(&self, service: &Service, name: &'static str) -> Caller {
        self.caller(service.address, self.tokens(name).plain("message").to_string())
    }

    /// The service `name`, on behalf of `person`.
    pub(crate) fn acting(&self, service: &Service, name: &'static str, person: &Person) -> Caller {
        let token = self.tokens(name).on_behalf_of("message", person);
        Caller { id: person.id, ..self.caller(service.address, token.to_string()) }
    }

    fn tokens(&self, name: &'static str) -> ServiceTokens {
        ServiceTokens::open(name, &self.data.path().join("keys"), &self.deps()).unwrap()
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

impl Service {
    pub(crate) async fn stop(self) {
        assert_eq!(self.running.drain(Duration::from_secs(10)).await, Drained::Clean);
    }
}

/// What a good token of a user called `name` says. The same name is the same account.
pub(crate) fn claims(name: &str) -> UserClaims {
    let number = name.bytes().fold(7, |number: u128, byte| number * 251 + u128::from(byte));
    let now = Clock::System.now().seconds();
    UserClaims {
        iss: "hubbub".to_owned(),
        sub: UserId(Uuid::from_u128(number)),
        aud: "hubbub".to_owned(),
        exp: now + 900,
        nbf: now - 1,
        iat: now,
        jti: "j".to_owned(),
        sid: SessionId(Uuid::from_u128(number)),
        name: name.to_owned(),
        roles: vec![Role::Customer],
        email_verified: false,
        scope: None,
    }
}

pub(crate) fn sign(key: &SigningKey, claims: &UserClaims) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key.public().id());
    jsonwebtoken::encode(&header, claims, key.encoding()).unwrap()
}

impl Caller {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(self.request(Method::POST, path).json(body)).await
    }

    /// Sends a text into a room.
    pub(crate) async fn say(&self, room: &str, text: &str) -> Answer {
        self.post("/api/messages", &json!({"roomId": room, "content": text})).await
    }

    /// Makes a public room.
    pub(crate) async fn create(&self, id: &str) -> Answer {
        self.post("/api/rooms", &json!({"id": id, "name": format!("Room {id}")})).await
    }

    /// Makes a private room with `members`.
    pub(crate) async fn create_private(&self, id: &str, members: &[&Caller]) -> Answer {
        let members: Vec<_> = members.iter().map(|member| member.id).collect();
        let body = json!({"id": id, "name": "Secret", "isPrivate": true, "members": members});
        self.post("/api/rooms", &body).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.request(method, url).bearer_auth(&self.token)
    }

    pub(crate) async fn call(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status, headers, body }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    #[track_caller]
    pub(crate) fn is_problem(&self, kind: &str, status: u16) {
        assert_eq!(self.body["type"], format!("urn:hubbub:problem:{kind}"), "{}", self.body);
        assert_eq!(self.status.as_u16(), status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["requestId"], self.headers["x-request-id"].to_str().unwrap());
    }

    /// The numbers in a list of messages.
    #[track_caller]
    pub(crate) fn seqs(self) -> Vec<u64> {
        let list = self.is(200);
        let list = list.as_array().unwrap().iter();
        list.map(|message| message["seq"].as_u64().unwrap()).collect()
    }

    /// The ids in a list of rooms.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<&str> {
        let list = self.body.as_array().unwrap_or_else(|| panic!("{}", self.body));
        list.iter().map(|room| room["id"].as_str().unwrap()).collect()
    }
}
