//! A PostgreSQL server that crashes and comes back.

use std::time::Duration;

use futures_util::future::join_all;
use harness::Engine;
use harness::postgres::{Disk, Server};
use serde_json::json;
use tokio::join;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::support::{Answer, PASSWORD, Spoke, access, account, refresh, settings};

/// Accounts that are there when the server crashes, others being made at the moment.
const STORED_MIN: u32 = 8;
/// Callers that make them.
const CALLERS: u32 = 4;
/// A call that cannot be served hears of it before this.
const REFUSAL_WINDOW: Duration = Duration::from_secs(5);
/// Calls until the server is found again.
const CALLS_MAX: u32 = 50;

/// Registers one after the other until the store fails; the names that were acknowledged.
async fn register_until_refused(spoke: &Spoke, caller: u32, stored: &Semaphore) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let name = format!("ada-{caller}-{}", names.len());
        let answer = spoke.post("/api/register", &account(&name)).await;
        if answer.status != 201 {
            answer.problem("unavailable", 503);
            return names;
        }
        names.push(name);
        stored.add_permits(1);
    }
}

async fn wait_until_served(spoke: &Spoke) {
    for _ in 0..CALLS_MAX {
        if spoke.log_in("bob", PASSWORD).await.status == 200 {
            return;
        }
    }
    panic!("the server is back and the service does not find it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_is_missed_politely_found_again_and_has_what_was_acknowledged() {
    let mut server = Server::start(Disk::Synced).unwrap();
    let spoke = settings(Engine::Sqlite).at(&server.url("postgres")).start().await;
    let session = spoke.registered("bob").await;

    let stored = Semaphore::new(0);
    let callers = (0..CALLERS).map(|caller| register_until_refused(&spoke, caller, &stored));
    let crash = async {
        stored.acquire_many(STORED_MIN).await.unwrap().forget();
        tokio::task::block_in_place(|| server.crash());
    };
    let (names, ()) = join!(join_all(callers), crash);

    let (eve, bio) = (account("eve"), json!({"bio": "x"}));
    let calls = async {
        join!(
            spoke.post("/api/register", &eve),
            spoke.log_in("bob", PASSWORD),
            spoke.refresh(refresh(&session)),
            spoke.get_as(access(&session), "/api/profile"),
            spoke.put_as(access(&session), "/api/profile", &bio)
        )
    };
    let answers: [Answer; 5] = timeout(REFUSAL_WINDOW, calls).await.unwrap().into();
    for answer in answers {
        answer.problem("unavailable", 503);
    }
    assert_eq!(spoke.get("/health").await.is(503)["database"], "unhealthy");
    spoke.get("/health/ready").await.is(200);

    server.start_again().unwrap();
    wait_until_served(&spoke).await;
    for name in names.iter().flatten() {
        spoke.log_in(name, PASSWORD).await.is(200);
    }
    spoke.refresh(refresh(&session)).await.is(200);
    assert_eq!(spoke.get("/health").await.is(200)["database"], "healthy");
}
