//! The keys of access tokens: made once, published, kept private.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use chassis::tokens::{KeySet, Rules};
use contract::Timestamp;
use harness::{Engine, on_both_engines};

use crate::support::{access, spoke};

on_both_engines!(the_published_keys_verify_what_the_service_signs);

async fn the_published_keys_verify_what_the_service_signs(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let published = spoke.get("/.well-known/jwks.json").await;
    assert_eq!(published.headers["content-type"], "application/json");
    let jwks = published.is(200);
    let key = &jwks["keys"][0];
    for (member, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("alg", "EdDSA"), ("use", "sig")] {
        assert_eq!(key[member], value);
    }
    assert!(key.get("d").is_none(), "the private half is nobody's");

    let keys = KeySet::parse(jwks.to_string().as_bytes(), 1).unwrap();
    let rules = Rules { issuer: "hubbub".to_owned(), audience: "hubbub".to_owned() };
    let now = Timestamp(1_795_194_000_000);
    let claims = keys.verify(access(&session), &rules, now).unwrap();
    assert_eq!(claims.sub.to_string(), session["user"]["id"]);
    assert_eq!(claims.name, "ada");
    assert_eq!(claims.exp - claims.iat, 900);
    assert_eq!(claims.nbf, now.seconds());
    assert!(!claims.email_verified);
    assert!(!claims.jti.is_empty());
}

#[tokio::test]
async fn private_keys_are_their_owners_alone() {
    let spoke = spoke(Engine::Sqlite).await;
    let private: Vec<_> = fs::read_dir(spoke.keys_folder())
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".key"))
        .collect();
    assert_eq!(private.len(), 1);
    for entry in private {
        assert!(entry.file_name().to_string_lossy().starts_with("tokens-"));
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
