//! Forged tokens over HTTP; `chassis::tokens` has the long list of them. And secrets in the place of keys.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::secret::Secret;
use chassis::tokens::{KeyKind, TokenKey, TokenSecret};
use harness::Engine;
use serde_json::{Value, json};

use crate::support::{access, settings, spoke};

const SECRET: &str = "9f8c2d7be1a04c5f93d6e7b8a1c2f405";

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn claims(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// A token with the claims of `good` under `header`, with the signature of `key`: over something else.
fn under(header: &Value, good: &str, key: &TokenKey) -> String {
    let signed = key.sign(&claims(good)).unwrap();
    let signature = signed.rsplit('.').next().unwrap();
    format!("{}.{}.{signature}", encoded(&header.to_string()), encoded(&claims(good).to_string()))
}

#[tokio::test]
async fn a_running_service_refuses_forged_tokens_and_follows_no_url_in_them() {
    let spoke = spoke(Engine::Sqlite).await;
    let session = spoke.registered("ada").await;
    let good = access(&session);
    let jwks = spoke.get("/.well-known/jwks.json").await.is(200);
    let (kid, x) = (&jwks["keys"][0]["kid"], jwks["keys"][0]["x"].as_str().unwrap());
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", trap.local_addr().unwrap());
    let (theirs, _) = TokenKey::generate(KeyKind::EdDsa).unwrap();
    let public = TokenKey::shared(&TokenSecret::new(Secret::new(x.to_owned())));
    let parts: Vec<_> = good.split('.').collect();
    let none = encoded(&json!({"alg": "none", "kid": kid}).to_string());
    for (name, token) in [
        ("alg none", format!("{none}.{}.", parts[1])),
        ("stripped", format!("{}.{}.", parts[0], parts[1])),
        ("HS256 with the public key", under(&json!({"alg": "HS256", "kid": kid}), good, &public)),
        ("their key, our kid", under(&json!({"alg": "EdDSA", "kid": kid}), good, &theirs)),
        ("their key and kid", theirs.sign(&claims(good)).unwrap()),
        ("jwk", under(&json!({"alg": "EdDSA", "kid": kid, "jwk": theirs.jwk()}), good, &theirs)),
        ("jku", under(&json!({"alg": "EdDSA", "kid": kid, "jku": url}), good, &theirs)),
        ("kid is a URL", under(&json!({"alg": "EdDSA", "kid": url}), good, &theirs)),
        ("kid is a path", under(&json!({"alg": "EdDSA", "kid": "../../dev/null"}), good, &theirs)),
        ("padded", format!("{good}==")),
    ] {
        let answer = spoke.get_as(&token, "/api/profile").await;
        assert_eq!(answer.status, 401, "{name}");
        answer.problem("bad-token", 401);
    }
    spoke.get_as(good, "/api/profile").await.is(200);
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_shared_secret_signs_and_checks_and_is_published_nowhere() {
    let keyed = spoke(Engine::Sqlite).await;
    let with_key = access(&keyed.registered("ada").await).to_owned();
    let spoke = keyed.restart_with(&format!("identity.jwt_secret={SECRET}")).await;
    let session = spoke.registered("eve").await;
    let token = access(&session);
    let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&head).unwrap()["alg"], "HS256");
    spoke.get_as(token, "/api/profile").await.is(200);
    assert_eq!(spoke.get("/.well-known/jwks.json").await.is(200), json!({"keys": []}));
    spoke.get_as(&with_key, "/api/profile").await.problem("bad-token", 401);
    let secret = TokenKey::shared(&TokenSecret::new(Secret::new("x".repeat(32))));
    spoke
        .get_as(&secret.sign(&claims(token)).unwrap(), "/api/profile")
        .await
        .problem("bad-token", 401);
}

#[tokio::test]
async fn with_a_secret_no_key_is_made() {
    let settings = settings(Engine::Sqlite).with(&format!("identity.jwt_secret={SECRET}"));
    let spoke = settings.start().await;
    spoke.registered("ada").await;
    assert!(!spoke.keys_folder().exists());
}
