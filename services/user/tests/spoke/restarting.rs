//! What outlives the process.

use std::fs;

use chassis::config::{Layers, Settings as _};
use chassis::{Bus, Clock, Deps, Random};
use harness::{Engine, on_both_engines};

use crate::support::{PASSWORD, access, refresh, spoke};

on_both_engines!(accounts_sessions_and_keys_outlive_the_process, a_spent_refresh_token_stays_spent);

async fn accounts_sessions_and_keys_outlive_the_process(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let keys = spoke.get("/.well-known/jwks.json").await.is(200);
    let spoke = spoke.restart().await;
    assert_eq!(spoke.get("/.well-known/jwks.json").await.is(200), keys);
    spoke.get_as(access(&session), "/api/profile").await.is(200);
    spoke.refresh(refresh(&session)).await.is(200);
    spoke.log_in("ada", PASSWORD).await.is(200);
}

async fn a_spent_refresh_token_stays_spent(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    spoke.refresh(refresh(&session)).await.is(200);
    let spoke = spoke.restart().await;
    spoke.refresh(refresh(&session)).await.problem("bad-token", 401);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    fs::write(folder.path().join("keys/tokens-x.key"), "nonsense").unwrap();
    let mut layers = Layers::defaults();
    layers.command_line("user.listen=127.0.0.1:0");
    layers.command_line("user.grpc_listen=127.0.0.1:0");
    let deps = Deps {
        bus: Bus::local(16),
        clock: Clock::System,
        random: Random::System,
        data: folder.path().to_owned(),
    };
    let started = user::start(user::Config::read(&layers).unwrap(), deps).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("tokens-x.key"), "{error}");
}
