//! An account as its owner reads and changes it.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use serde_json::json;

use crate::support::{access, ada, fields, spoke};

on_both_engines!(
    a_profile_changes_where_the_body_says_so,
    the_new_address_signs_in_and_the_old_one_does_not,
    what_another_account_has_is_refused_and_named,
    every_fault_of_a_change_is_listed,
    a_profile_takes_a_token_that_holds,
    a_token_signed_by_another_key_is_refused,
    headers_that_name_a_caller_are_not_believed,
);

async fn a_profile_changes_where_the_body_says_so(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let change = json!({"displayName": " Ada ", "bio": "one\ntwo", "location": "London",
        "avatarUrl": "https://example.com/a.png", "firstName": "Ada", "lastName": "Lovelace"});
    let changed = spoke.put_as(access(&session), "/api/profile", &change).await.is(200);
    assert_eq!(changed["user"]["displayName"], "Ada");
    assert_eq!(changed["user"]["email"], "ada@example.com");

    let change = json!({"displayName": null, "location": "Paris"});
    spoke.put_as(access(&session), "/api/profile", &change).await.is(200);
    let kept = spoke.get_as(access(&session), "/api/profile").await;
    assert_eq!(kept.headers["cache-control"], "no-store");
    let user = &kept.is(200)["user"];
    assert_eq!(user["displayName"], json!(null));
    assert_eq!(user["location"], "Paris");
    assert_eq!(user["bio"], "one\ntwo");
}

async fn the_new_address_signs_in_and_the_old_one_does_not(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let change = json!({"email": "ada@example.org"});
    let changed = spoke.put_as(access(&session), "/api/profile", &change).await.is(200);
    assert_eq!(changed["user"]["emailVerified"], false);
    let password = ada()["password"].clone();
    let body = |email: &str| json!({"email": email, "password": password});
    spoke.post("/api/login", &body("ada@example.org")).await.is(200);
    spoke.post("/api/login", &body("ada@example.com")).await.is(401);
}

async fn what_another_account_has_is_refused_and_named(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut with_phone = ada();
    with_phone["phone"] = json!("+4930123456");
    spoke.post("/api/register", &with_phone).await.is(201);
    let bob = spoke.registered("bob").await;
    for (field, value) in [("email", "ADA@example.com"), ("phone", "+4930123456")] {
        let change = json!({field: value, "bio": "not stored either"});
        let answer = spoke.put_as(access(&bob), "/api/profile", &change).await;
        assert_eq!(fields(&answer.problem("taken", 409)), [field]);
    }
    let kept = spoke.get_as(access(&bob), "/api/profile").await.is(200);
    assert_eq!(kept["user"]["bio"], json!(null));
}

async fn every_fault_of_a_change_is_listed(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let change = json!({"displayName": "a\u{0}", "avatarUrl": "javascript:x", "email": null});
    let answer = spoke.put_as(access(&session), "/api/profile", &change).await;
    assert_eq!(answer.faulty_fields(), ["displayName", "avatarUrl", "email"]);
}

async fn a_profile_takes_a_token_that_holds(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    spoke.get("/api/profile").await.problem("unauthenticated", 401);
    spoke.get_as("garbage", "/api/profile").await.problem("bad-token", 401);
    spoke.get_as(&format!("{}x", access(&session)), "/api/profile").await.problem("bad-token", 401);
    spoke.later(Duration::from_mins(15));
    spoke.get_as(access(&session), "/api/profile").await.problem("expired-token", 401);
}

async fn a_token_signed_by_another_key_is_refused(engine: Engine) {
    let (here, elsewhere) = (spoke(engine).await, spoke(engine).await);
    let session = elsewhere.registered("ada").await;
    here.get_as(access(&session), "/api/profile").await.problem("bad-token", 401);
}

async fn headers_that_name_a_caller_are_not_believed(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let request = spoke.request(reqwest::Method::GET, "/api/profile");
    let request = request.header("x-user-id", session["user"]["id"].as_str().unwrap());
    crate::support::answer(request).await.problem("unauthenticated", 401);
}
