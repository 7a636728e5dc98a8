//! The server asks who we are.

use harness::nats::Server;
use tokio::time::timeout;

use crate::world::{
    SOON, ear, event, hear, hear_revoked, open, revoked, revoked_ear, try_open, until,
};

/// A user's nkey that the documentation of NATS shows, and its seed.
const NKEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

/// The URL of `server` for whoever signs in as `name`.
fn url(server: &Server, name: &str) -> String {
    server.url().replace("://", &format!("://{name}@"))
}

/// Whoever has these settings rings and hears.
async fn gets_in(settings: &[(&str, &str)]) {
    let bus = open(settings).await;
    let mut ear = ear(&bus).await;
    bus.publish(event("tea", 1));
    assert_eq!(hear(&mut ear).await, "tea 1");
}

/// Whoever has these settings is not let in; ringing goes on waiting for nothing.
async fn stays_out(settings: &[(&str, &str)]) {
    let bus = open(settings).await;
    let _ear = bus.subscribe();
    bus.settled().await;
    bus.publish(event("tea", 1));
    assert_eq!((bus.counts().connections, bus.counts().rung), (0, 0));
    bus.close().await;
}

#[tokio::test]
async fn a_user_and_a_password_in_the_url_or_in_a_file() {
    let server =
        Server::start_with("authorization { user: ada, password: \"p@ss,word\" }").unwrap();
    let right = url(&server, "ada:p%40ss%2Cword");
    gets_in(&[("url", &right)]).await;
    let file = server.folder().join("url");
    std::fs::write(&file, format!("{right}\n")).unwrap();
    gets_in(&[("url_file", file.to_str().unwrap())]).await;
    stays_out(&[("url", &url(&server, "ada:wrong"))]).await;
    stays_out(&[("url", &server.url())]).await;
}

#[tokio::test]
async fn a_token_in_the_url() {
    let server = Server::start_with("authorization { token: \"t0k3n\" }").unwrap();
    gets_in(&[("url", &url(&server, "t0k3n"))]).await;
    stays_out(&[("url", &url(&server, "other"))]).await;
}

#[tokio::test]
async fn the_seed_of_an_nkey_in_a_file() {
    let users = format!("authorization {{ users: [ {{ nkey: {NKEY} }} ] }}");
    let server = Server::start_with(&users).unwrap();
    let file = server.folder().join("user.nk");
    std::fs::write(&file, format!("{SEED}\n")).unwrap();
    gets_in(&[("url", &server.url()), ("nkey_seed_file", file.to_str().unwrap())]).await;
    stays_out(&[("url", &server.url())]).await;
}

#[tokio::test]
async fn a_credentials_file_of_an_operator() {
    let server = Server::start_with(include_str!("operator/nats.conf")).unwrap();
    let file = server.folder().join("hubbub.creds");
    std::fs::write(&file, include_str!("operator/hubbub.creds")).unwrap();
    gets_in(&[("url", &server.url()), ("credentials_file", file.to_str().unwrap())]).await;
    stays_out(&[("url", &server.url())]).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad");
    std::fs::write(&bad, "nothing of use").unwrap();
    let (bad, none) = (bad.to_str().unwrap(), folder.path().join("none"));
    let none = none.to_str().unwrap();
    for key in ["url_file", "credentials_file", "nkey_seed_file", "tls_ca_file"] {
        for (path, wanted) in [(none, "cannot use"), (bad, "")] {
            let own = if key == "url_file" { (key, path) } else { ("url", "nats://127.0.0.1:9") };
            let error = try_open(&[own, (key, path)]).await.unwrap_err().to_string();
            assert!(error.contains(wanted), "{key}: {error}");
            assert!(!error.contains("nothing of use"), "{key}: {error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_forbids_proofs_is_believed_after_a_while() {
    let users = "authorization { users: [ { user: hubbub, password: x, permissions: {
        publish: \"room.*\", subscribe: \"room.*\" } }, { user: other, password: x } ] }";
    let server = Server::start_with(users).unwrap();
    let bus = open(&[("url", &url(&server, "hubbub:x"))]).await;
    let mut ear = ear(&bus).await;
    bus.publish(event("tea", 1));
    assert_eq!(hear(&mut ear).await, "tea 1");
    assert!(bus.counts().complaints > 0);
}

#[tokio::test]
async fn permissions_as_they_are_documented_suffice() {
    let users = "authorization { users: [ { user: hubbub, password: x, permissions: {
        publish: [\"room.*\", \"auth.revoked\", \"_INBOX.>\"],
        subscribe: [\"room.*\", \"auth.revoked\", \"_INBOX.>\"] } } ] }";
    let server = Server::start_with(users).unwrap();
    let bus = open(&[("url", &url(&server, "hubbub:x"))]).await;
    let mut ends = revoked_ear(&bus).await;
    let mut ear = ear(&bus).await;
    bus.publish(event("tea", 1));
    assert_eq!(hear(&mut ear).await, "tea 1");
    bus.publish_revoked(revoked(0, 1));
    while hear_revoked(&mut ends).await != "0 1" {}
    assert_eq!(bus.counts().complaints, 0);
}

#[tokio::test]
async fn a_bus_that_is_closed_leaves_the_server() {
    let server = Server::start_with("max_connections: 1").unwrap();
    let bus = open(&[("url", &server.url())]).await;
    until(|| bus.counts().connections == 1).await;
    let url = server.url();
    assert!(async_nats::connect(url).await.is_err());
    bus.close().await;
    // Soon its place is free again.
    let enter = async { while async_nats::connect(server.url()).await.is_err() {} };
    assert!(timeout(SOON, enter).await.is_ok());
}
