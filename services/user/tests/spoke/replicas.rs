//! Two of the service on one PostgreSQL database: a caller cannot tell which of them answers.

use harness::Engine;
use serde_json::json;

use crate::support::{PASSWORD, Spoke, access, account, fields, refresh, settings, spoke};

/// Races are run so often: one that goes wrong seldom shows itself.
const ROUNDS: u32 = 5;

async fn replicas() -> (Spoke, Spoke) {
    let one = spoke(Engine::Postgres).await;
    let two = one.replica().await;
    (one, two)
}

#[tokio::test]
async fn what_one_replica_did_the_other_knows() {
    let (one, two) = replicas().await;
    let session = one.registered("ada").await;
    two.get_as(access(&session), "/api/profile").await.is(200);
    two.log_in("ada", PASSWORD).await.is(200);
    let next = two.refresh(refresh(&session)).await.is(200);
    let change = json!({"bio": "counts"});
    two.put_as(access(&next), "/api/profile", &change).await.is(200);
    let profile = one.get_as(access(&next), "/api/profile").await.is(200);
    assert_eq!(profile["user"]["bio"], "counts");
    one.refresh(refresh(&session)).await.problem("bad-token", 401);
    two.refresh(refresh(&next)).await.problem("bad-token", 401);
}

#[tokio::test]
async fn of_two_uses_of_a_refresh_token_one_is_good_and_the_other_ends_its_family() {
    let (one, two) = replicas().await;
    for round in 0..ROUNDS {
        let session = one.registered(&format!("ada{round}")).await;
        let token = refresh(&session);
        let (here, there) = tokio::join!(one.refresh(token), two.refresh(token));
        let (good, bad) = if here.status == 200 { (here, there) } else { (there, here) };
        bad.problem("bad-token", 401);
        one.refresh(refresh(&good.is(200))).await.problem("bad-token", 401);
    }
}

#[tokio::test]
async fn changes_of_different_fields_are_both_kept() {
    let (one, two) = replicas().await;
    let session = one.registered("ada").await;
    for round in 0..ROUNDS {
        let (bio, place) =
            (json!({"bio": round.to_string()}), json!({"location": round.to_string()}));
        let (here, there) = tokio::join!(
            one.put_as(access(&session), "/api/profile", &bio),
            two.put_as(access(&session), "/api/profile", &place)
        );
        here.is(200);
        there.is(200);
        let kept = one.get_as(access(&session), "/api/profile").await.is(200);
        assert_eq!(kept["user"]["bio"], bio["bio"]);
        assert_eq!(kept["user"]["location"], place["location"]);
    }
}

#[tokio::test]
async fn of_two_registrations_of_one_name_one_wins() {
    let (one, two) = replicas().await;
    for round in 0..ROUNDS {
        let (ada, mut eve) = (account(&format!("ada{round}")), account(&format!("eve{round}")));
        eve["username"] = ada["username"].clone();
        let (here, there) =
            tokio::join!(one.post("/api/register", &ada), two.post("/api/register", &eve));
        let (good, bad) = if here.status == 201 { (here, there) } else { (there, here) };
        good.is(201);
        assert_eq!(fields(&bad.problem("taken", 409)), ["username"]);
    }
}

#[tokio::test]
async fn the_set_up_code_is_told_by_one_replica_and_makes_one_administrator() {
    let (one, two) = replicas().await;
    assert!(two.told("set-up").is_none());
    let with_code = |name: &str| {
        let mut body = account(name);
        body["code"] = json!(one.setup_code());
        body
    };
    let (ada, bob) = (with_code("ada"), with_code("bob"));
    let (here, there) = tokio::join!(one.post("/api/setup", &ada), two.post("/api/setup", &bob));
    let (good, bad) = if here.status == 201 { (here, there) } else { (there, here) };
    assert_eq!(good.is(201)["user"]["roles"], json!(["customer", "admin"]));
    bad.problem("gone", 410);
}

#[tokio::test]
async fn sign_ins_on_both_leave_an_account_no_more_sessions_than_it_may_have() {
    let settings = settings(Engine::Postgres).with("user.sessions.per_account_max=1");
    let one = settings.start().await;
    let two = one.replica().await;
    one.registered("ada").await;
    for _ in 0..ROUNDS {
        let (here, there) = tokio::join!(one.log_in("ada", PASSWORD), two.log_in("ada", PASSWORD));
        let (here, there) = (here.is(200), there.is(200));
        let alive = [one.refresh(refresh(&here)).await, one.refresh(refresh(&there)).await];
        assert_eq!(alive.iter().filter(|answer| answer.status == 200).count(), 1);
    }
}
