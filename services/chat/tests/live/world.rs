//! Starts the service with whatever it stands on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chassis::config::{Layers, Settings as _};
use chassis::health::Health;
use chassis::identity::ServiceTokens;
use chassis::keys::SigningKey;
use chassis::running::Drained;
use chassis::serve::serve;
use chassis::{Bus, Clock, Deps, Random, Running, Stop};
use contract::caller::{Role, UserClaims};
use contract::{SessionId, UserId};
use jsonwebtoken::{Algorithm, Header};
use serde_json::json;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::script::Script;

/// Longer than anything takes that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Between two looks at whether something has become true.
const PAUSE: Duration = Duration::from_millis(5);

/// A user service reduced to its keys, a scripted message service, and settings that point there.
pub(crate) struct World {
    pub(crate) bus: Bus,
    pub(crate) script: Script,
    pub(crate) layers: Layers,
    data: tempfile::TempDir,
    key: Arc<SigningKey>,
    _parts: [Running; 2],
}

/// A running chat service.
pub(crate) struct Chat {
    pub(crate) address: SocketAddr,
    running: Running,
}

/// Serves `router` on a free port.
pub(crate) fn listen(router: Router) -> Running {
    let stop = Stop::new();
    let server = Layers::defaults().section("chat.server").unwrap();
    let health = Health::new("Test", "0", Clock::System, stop.clone());
    let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), &server, router, health, &stop);
    Running::new("test", address.unwrap(), stop)
}

impl World {
    /// A world on whose bus a listener may lag by `bus_capacity` events.
    pub(crate) fn with_bus(bus_capacity: usize) -> Self {
        let bus = Bus::local(bus_capacity);
        Self::between(bus.clone(), bus)
    }

    /// A world in which the service has `bus`, and its message service has `theirs`.
    pub(crate) fn between(bus: Bus, theirs: Bus) -> Self {
        let (key, _) = SigningKey::generate().unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": key.public().id(), "x": key.public().x()});
        let jwks = json!({"keys": [jwk]});
        let keys = listen(Router::new().route("/jwks", get(move || async { axum::Json(jwks) })));
        let script = Script::new(theirs);
        let message = listen(script.routes());
        let mut layers = Layers::defaults();
        layers.put("chat.listen", "127.0.0.1:0");
        layers.put("chat.node", "chat-1");
        layers.put("chat.drain_window", "50ms");
        layers.put("chat.message_url", format!("http://{}", message.address));
        layers.put("identity.jwks_url", format!("http://{}/jwks", keys.address));
        layers.put("identity.revocations_url", "");
        let data = tempfile::tempdir().unwrap();
        let key = Arc::new(key);
        Self { bus, script, layers, data, key, _parts: [keys, message] }
    }

    pub(crate) fn new() -> Self {
        Self::with_bus(1_000)
    }

    pub(crate) async fn start(&self) -> Chat {
        let config = chat::Config::read(&self.layers).unwrap();
        let running = chat::start(config, self.deps()).await.unwrap();
        Chat { address: running.address, running }
    }

    /// A good token of the user `name`.
    pub(crate) fn token(&self, name: &str) -> String {
        self.sign(&claims(name))
    }

    /// A token with these claims, signed by the right key.
    pub(crate) fn sign(&self, claims: &UserClaims) -> String {
        sign(&self.key, claims)
    }

    /// What signs users' tokens.
    pub(crate) fn key(&self) -> Arc<SigningKey> {
        self.key.clone()
    }

    /// The tokens of another service.
    pub(crate) fn service(&self, name: &'static str) -> ServiceTokens {
        ServiceTokens::open(name, &self.data.path().join("keys"), &self.deps()).unwrap()
    }

    fn deps(&self) -> Deps {
        Deps {
            bus: self.bus.clone(),
            clock: Clock::System,
            random: Random::System,
            data: self.data.path().to_owned(),
        }
    }
}

impl Chat {
    pub(crate) async fn stop(self) -> Drained {
        self.running.drain(SOON).await
    }
}

/// Waits until `fact` is true.
pub(crate) async fn until(fact: impl Fn() -> bool) {
    let wait = async {
        while !fact() {
            sleep(PAUSE).await;
        }
    };
    assert!(timeout(SOON, wait).await.is_ok(), "it did not come true");
}

/// The account called `name`.
pub(crate) fn user(name: &str) -> UserId {
    let number = name.bytes().fold(7, |number: u128, byte| number * 251 + u128::from(byte));
    UserId(Uuid::from_u128(number))
}

/// A token with these claims.
pub(crate) fn sign(key: &SigningKey, claims: &UserClaims) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key.public().id());
    jsonwebtoken::encode(&header, claims, key.encoding()).unwrap()
}

/// What a good token of the user `name` says.
pub(crate) fn claims(name: &str) -> UserClaims {
    let now = Clock::System.now().seconds();
    UserClaims {
        iss: "hubbub".to_owned(),
        sub: user(name),
        aud: "hubbub".to_owned(),
        exp: now + 900,
        nbf: now - 1,
        iat: now,
        jti: "j".to_owned(),
        sid: SessionId(user(name).0),
        name: name.to_owned(),
        roles: vec![Role::Customer],
        email_verified: false,
        scope: None,
    }
}
