//! Making an account: every rule of every field.

use harness::{Engine, on_both_engines};
use serde_json::json;

use crate::support::{access, account, ada, fields, refresh, settings, spoke};

on_both_engines!(
    registering_makes_an_account_and_signs_it_in,
    every_fault_of_the_body_is_listed,
    what_another_account_has_is_named,
    of_parallel_registrations_of_one_name_one_wins,
    a_common_password_is_refused_unless_the_list_is_off,
    nobody_registers_as_an_administrator,
);

async fn registering_makes_an_account_and_signs_it_in(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["displayName"] = json!("Ada Lovelace");
    body["phone"] = json!("+4930123456");
    let session = spoke.post("/api/register", &body).await.is(201);

    assert_eq!(session["user"]["username"], "ada");
    assert_eq!(session["user"]["email"], "ada@example.com");
    assert_eq!(session["user"]["emailVerified"], false);
    assert_eq!(session["user"]["displayName"], "Ada Lovelace");
    assert_eq!(session["user"]["phone"], "+4930123456");
    assert_eq!(session["user"]["roles"], json!(["customer"]));
    assert_eq!(session["user"]["createdAt"], "2026-11-20T17:00:00.000Z");
    assert!(session["user"].get("password").is_none());
    assert_eq!(session["token"], session["tokens"]["accessToken"]);
    assert_eq!(session["tokens"]["tokenType"], "Bearer");
    assert_eq!(session["tokens"]["expiresIn"], 900);
    assert!(session["message"].is_string());
    assert_eq!(refresh(&session).len(), 43);
    spoke.get_as(access(&session), "/api/profile").await.is(200);
}

async fn every_fault_of_the_body_is_listed(engine: Engine) {
    let spoke = spoke(engine).await;
    let body = json!({"username": "a b", "email": "x", "password": "short", "phone": "12"});
    let fields = spoke.post("/api/register", &body).await.faulty_fields();
    assert_eq!(fields, ["username", "email", "password", "phone"]);
}

async fn what_another_account_has_is_named(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["phone"] = json!("+4930123456");
    spoke.post("/api/register", &body).await.is(201);

    let same_name =
        json!({"username": "ADA", "email": "b@example.com", "password": body["password"]});
    let problem = spoke.post("/api/register", &same_name).await.problem("taken", 409);
    assert_eq!(fields(&problem), ["username"]);
    assert!(problem["error"].as_str().unwrap().contains("username"));

    let mut same_rest = account("bob");
    same_rest["email"] = json!("Ada@Example.COM");
    same_rest["phone"] = json!("+4930123456");
    let problem = spoke.post("/api/register", &same_rest).await.problem("taken", 409);
    assert_eq!(fields(&problem), ["email", "phone"]);
}

async fn of_parallel_registrations_of_one_name_one_wins(engine: Engine) {
    let spoke = spoke(engine).await;
    let body = ada();
    let (one, two, three) = tokio::join!(
        spoke.post("/api/register", &body),
        spoke.post("/api/register", &body),
        spoke.post("/api/register", &body),
    );
    let mut statuses = [one, two, three].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
}

async fn a_common_password_is_refused_unless_the_list_is_off(engine: Engine) {
    let mut body = ada();
    body["password"] = json!("Password123");
    let strict = spoke(engine).await;
    assert_eq!(strict.post("/api/register", &body).await.faulty_fields(), ["password"]);
    let lax = settings(engine).with("user.passwords.blocklist=false").start().await;
    lax.post("/api/register", &body).await.is(201);
}

async fn nobody_registers_as_an_administrator(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["roles"] = json!(["admin"]);
    let session = spoke.post("/api/register", &body).await.is(201);
    assert_eq!(session["user"]["roles"], json!(["customer"]));
}
