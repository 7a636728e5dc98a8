//! Keys that change while tokens go on being made and checked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::config::Layers;
use chassis::identity::Identity;
use chassis::revocation::Revocations;
use chassis::tokens::{KeySet, Rules};
use harness::Engine;
use serde_json::Value;

use crate::support::{PASSWORD, Spoke, access, settings};

/// So often the folder is looked at in these tests.
const SOON: &str = "user.tokens.keys_interval=20ms";

fn header(token: &str) -> Value {
    let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&head).unwrap()
}

async fn token(spoke: &Spoke) -> String {
    access(&spoke.log_in("ada", PASSWORD).await.is(200)).to_owned()
}

/// Another service, which has the keys from `spoke` alone.
fn checker(spoke: &Spoke, folder: &std::path::Path) -> Identity {
    let mut layers = Layers::defaults();
    layers.put("identity.jwks_url", format!("{}/.well-known/jwks.json", spoke.url()));
    layers.command_line("identity.jwks_cooldown=10ms");
    let config = layers.section("identity").unwrap();
    Identity::open(&config, "message", &spoke.deps(folder), Revocations::unfollowed()).unwrap()
}

#[tokio::test]
async fn nobody_refuses_a_token_while_two_replicas_take_a_new_key_over() {
    let one = settings(Engine::Postgres).with(SOON).start_now().await;
    let two = one.replica().await;
    one.registered("ada").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (near, far) = (checker(&one, elsewhere.path()), checker(&two, elsewhere.path()));
    let old = token(&one).await;
    // Whoever checks has fetched the keys before there is another one.
    for checker in [&near, &far] {
        checker.verify(&old).await.unwrap();
    }
    let first = one.published().await;
    one.rotate_keys();
    for replica in [&one, &two] {
        replica.until("the new key", || async { replica.published().await.len() == 2 }).await;
    }
    assert_eq!(header(&token(&one).await)["kid"], first[0], "it is too new to sign");

    // By steps that are longer than a key is published before it signs and shorter than a token lives.
    let mut alive = Vec::new();
    let mut signers = Vec::new();
    for _ in 0..30 {
        for replica in [&one, &two] {
            let token = token(replica).await;
            signers.push(header(&token)["kid"].as_str().unwrap().to_owned());
            alive.push((one.now(), token));
        }
        alive.retain(|(made, _)| one.now().since(*made) < Duration::from_mins(15));
        for (_, token) in &alive {
            for replica in [&one, &two] {
                replica.get_as(token, "/api/profile").await.is(200);
            }
            for checker in [&near, &far] {
                checker.verify(token).await.unwrap();
            }
        }
        one.later(Duration::from_secs(40));
    }
    signers.dedup();
    assert_eq!(signers.len(), 2, "each key signed, one after the other");
    for replica in [&one, &two] {
        let is_alone = || async { replica.published().await == signers[1..] };
        replica.until("the end of the old key", is_alone).await;
    }
    let files = || fs::read_dir(one.keys_folder()).unwrap().map(|file| file.unwrap().file_name());
    let keys: Vec<_> =
        files().filter(|name| name.to_string_lossy().starts_with("tokens-")).collect();
    assert_eq!(keys, [format!("tokens-{}.key", signers[1]).as_str()]);
}

#[tokio::test]
async fn a_copy_of_the_keys_is_given_up_before_a_new_one_signs() {
    let spoke = settings(Engine::Sqlite).start().await;
    let published = spoke.get("/.well-known/jwks.json").await;
    assert_eq!(published.headers["cache-control"], "public, max-age=25");
}

#[tokio::test]
async fn a_switch_of_the_algorithm_refuses_no_token_from_before() {
    let first = settings(Engine::Sqlite).with(SOON).start_now().await;
    first.registered("ada").await;
    let mut tokens = vec![token(&first).await];
    let mut spoke = first;
    for algorithm in ["ES256", "RS256"] {
        spoke = spoke.restart_with(&format!("user.tokens.algorithm={algorithm}")).await;
        let before = token(&spoke).await;
        assert_ne!(header(&before)["alg"], algorithm, "nobody else has the key yet");
        spoke.later(Duration::from_secs(31));
        let after = token(&spoke).await;
        assert_eq!(header(&after)["alg"], algorithm);
        tokens.extend([before, after]);
    }
    let jwks = spoke.get("/.well-known/jwks.json").await.is(200);
    let algorithms: Vec<_> =
        jwks["keys"].as_array().unwrap().iter().map(|key| &key["alg"]).collect();
    assert_eq!(algorithms, ["RS256", "ES256", "EdDSA"]);
    let keys = KeySet::parse(jwks.to_string().as_bytes(), 1).unwrap();
    let rules = Rules { issuer: "hubbub".to_owned(), audience: "hubbub".to_owned() };
    for token in &tokens {
        spoke.get_as(token, "/api/profile").await.is(200);
        keys.verify(token, &rules, spoke.now()).unwrap();
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_removed_is_published_no_longer_all_the_same() {
    let spoke = settings(Engine::Sqlite).with(SOON).start_now().await;
    spoke.rotate_keys();
    spoke.until("the new key", || async { spoke.published().await.len() == 2 }).await;
    let folder = spoke.keys_folder();
    // Whoever is root may write all the same; a folder in the lock's place keeps root away, too.
    fs::remove_file(folder.join(".lock")).unwrap();
    fs::create_dir(folder.join(".lock")).unwrap();
    spoke.later(Duration::from_mins(17));
    spoke.until("the end of the old key", || async { spoke.published().await.len() == 1 }).await;
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "the lock and both keys");
}

#[tokio::test]
async fn a_rotated_key_is_its_owners_alone_and_named_without_its_secret() {
    let spoke = settings(Engine::Sqlite).start_now().await;
    let told = spoke.rotate_keys();
    assert!(told.contains("EdDSA") && !told.contains("PRIVATE"), "{told}");
    for entry in fs::read_dir(spoke.keys_folder()).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
