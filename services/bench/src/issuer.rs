//! Who signs the token that every request carries, and publishes the keys to check it with.

use chassis::keys::SigningKey;
use contract::caller::{Role, UserClaims};
use contract::{SessionId, UserId};
use jsonwebtoken::{Algorithm, Header};
use uuid::Uuid;

use crate::Outcome;
use crate::machine::Place;
use crate::program::Process;

/// How long the token lives: longer than any benchmark.
const TOKEN_SECONDS: i64 = 6 * 3600;

/// An issuer that runs.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// What callers send.
    pub(crate) token: String,
    /// The base of its URLs.
    pub(crate) url: String,
    /// It answers everything else with 1 KiB, so it is an upstream too.
    pub(crate) process: Process,
}

impl Issuer {
    /// Starts one beside the load.
    pub(crate) fn start(load: Place) -> Outcome<Self> {
        let (token, keys) = token_and_keys()?;
        let process = Process::own("upstream", load, load, &[keys], "  upstream")?;
        let url = process.line("upstream")?.to_owned();
        Ok(Self { token, url, process })
    }
}

/// A token that the gateway accepts, and the key set that says so.
pub(crate) fn token_and_keys() -> Outcome<(String, String)> {
    let (key, _) = SigningKey::generate()?;
    let now = chassis::Clock::System.now().seconds();
    let claims = UserClaims {
        iss: "hubbub".to_owned(),
        sub: UserId(Uuid::new_v4()),
        aud: "hubbub".to_owned(),
        exp: now + TOKEN_SECONDS,
        nbf: now,
        iat: now,
        jti: "bench".to_owned(),
        sid: SessionId(Uuid::new_v4()),
        name: "bench".to_owned(),
        roles: vec![Role::Customer],
        email_verified: false,
        scope: None,
    };
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key.public().id());
    let token = jsonwebtoken::encode(&header, &claims, key.encoding())?;
    let keys = serde_json::json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
        "kid": key.public().id(), "x": key.public().x(),
    }]});
    Ok((token, keys.to_string()))
}
