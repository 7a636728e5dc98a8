//! `auth.AuthService` as gRPC clients meet it: what it answers, to whom, and what is kept of it.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

use crate::letters::{letters, wait_for};
use crate::support::{Settings, Spoke, access, account, answer, settings};

mod client;
mod listener;
mod standing;

use client::{Client, is_refused};

/// Reads of the audit until what was refused is there.
const READS_MAX: u32 = 1_000;
/// A service that was granted to have tokens made, and one that may do something else.
const GRANTS: [&str; 2] = [
    "identity.grants.user.bridge=[\"generate-token\"]",
    "identity.grants.user.chat=[\"revocations\"]",
];

on_both_engines!(
    a_good_token_names_its_account,
    a_token_that_does_not_hold_is_refused,
    a_machines_token_neither_asks_nor_stands_for_its_account,
    only_a_service_that_was_granted_it_gets_a_token,
    a_generated_token_is_good_and_can_be_ended_like_any_other,
    a_generated_token_makes_no_machine_keys_whatever_people_call_their_client,
    no_token_is_made_for_whoever_is_more_than_a_customer,
    an_address_that_nobody_confirmed_is_nobodys,
    an_address_that_nobody_has_is_not_found_and_one_that_is_none_is_invalid,
    a_service_pushes_nobody_out,
    what_was_made_and_what_was_refused_is_in_the_audit,
    without_its_store_it_is_unavailable_and_says_nothing_of_itself,
);

async fn spoke(engine: Engine) -> Spoke {
    let settings = GRANTS.into_iter().fold(settings(engine), Settings::with);
    settings.start().await
}

async fn admin(spoke: &Spoke) -> Value {
    let mut body = account("root");
    body["code"] = json!(spoke.setup_code());
    spoke.post("/api/setup", &body).await.is(201)
}

/// Confirms the address of `name` by what was sent there.
async fn confirm(spoke: &Spoke, name: &str) {
    let to = format!("\r\nTo: {name}@example.com\r\n");
    let find = || letters(spoke).into_iter().find(|letter| letter.text.contains(&to));
    let token = wait_for("a letter", find).await.token();
    spoke.post("/api/verify-email", &json!({ "token": token })).await.is(200);
}

/// Registers `name`, who confirms the address.
async fn confirmed(spoke: &Spoke, name: &str) -> Value {
    let session = spoke.registered(name).await;
    confirm(spoke, name).await;
    session
}

async fn a_good_token_names_its_account(engine: Engine) {
    let spoke = spoke(engine).await;
    let (ada, bob) = (spoke.registered("ada").await, spoke.registered("bob").await);
    let client = Client::of(&spoke);
    for caller in [access(&ada), access(&bob), &*spoke.service_token("chat")] {
        let id = client.validate(Some(caller), access(&ada)).await.unwrap();
        assert_eq!(id, ada["user"]["id"]);
    }
}

async fn a_token_that_does_not_hold_is_refused(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let good = access(&session).to_owned();
    let (client, service) = (Client::of(&spoke), spoke.service_token("chat"));
    let mut forged = good.clone();
    forged.replace_range(good.len() - 8.., "AAAAAAAA");
    for bad in ["", "nonsense", "a.b.c", &forged, &service] {
        let refused = client.validate(Some(&good), bad).await;
        is_refused(refused, Code::Unauthenticated, "bad-token", "not one of ours");
    }
    let long = client.validate(Some(&good), &"x".repeat(10_000)).await;
    is_refused(long, Code::Unauthenticated, "bad-token", "not valid");
    spoke.later(Duration::from_mins(16));
    let expired = client.validate(Some(&spoke.service_token("chat")), &good).await;
    is_refused(expired, Code::Unauthenticated, "expired-token", "refresh it");
}

async fn a_machines_token_neither_asks_nor_stands_for_its_account(engine: Engine) {
    let gateway = "identity.grants.user.gateway=[\"exchange\"]";
    let settings = GRANTS.into_iter().chain([gateway]).fold(settings(engine), Settings::with);
    let spoke = settings.start().await;
    let ada = spoke.registered("ada").await;
    let body = json!({"name": "robot", "scopes": ["users:read"]});
    let key = spoke.post_as(access(&ada), "/api/api-keys", &body).await.is(201);
    let (asker, body) = (spoke.service_token("gateway"), json!({ "key": key["key"] }));
    let traded = spoke.post_as(&asker, "/internal/keys/exchange", &body).await.is(200);
    let (client, machine) = (Client::of(&spoke), traded["token"].as_str().unwrap());
    let refused = client.validate(Some(machine), access(&ada)).await;
    is_refused(refused, Code::PermissionDenied, "forbidden", "machine keys");
    let refused = client.validate(Some(access(&ada)), machine).await;
    is_refused(refused, Code::Unauthenticated, "bad-token", "machine");
}

#[tokio::test]
async fn without_a_caller_nothing_is_said_of_a_token() {
    let spoke = spoke(Engine::Sqlite).await;
    let session = spoke.registered("ada").await;
    let client = Client::of(&spoke);
    let nobody = client.validate(None, access(&session)).await;
    is_refused(nobody, Code::Unauthenticated, "unauthenticated", "one Authorization field");
    let nobody = client.generate(None, "ada@example.com").await;
    is_refused(nobody, Code::Unauthenticated, "unauthenticated", "one Authorization field");
    let stranger = client.validate(Some("nonsense"), access(&session)).await;
    is_refused(stranger, Code::Unauthenticated, "bad-token", "not one of ours");
    let unknown = client.validate(Some(&spoke.service_token("mallory")), access(&session)).await;
    is_refused(unknown, Code::Unauthenticated, "bad-token", "not one of ours");
}

async fn only_a_service_that_was_granted_it_gets_a_token(engine: Engine) {
    let spoke = spoke(engine).await;
    let (ada, admin) = (spoke.registered("ada").await, admin(&spoke).await);
    let client = Client::of(&spoke);
    let chat = spoke.service_token("chat");
    for email in ["ada@example.com", "nobody@example.com"] {
        let refused = client.generate(Some(&chat), email).await;
        is_refused(refused, Code::PermissionDenied, "forbidden", "not allowed");
        for user in [&ada, &admin] {
            let refused = client.generate(Some(access(user)), email).await;
            is_refused(refused, Code::PermissionDenied, "forbidden", "for services");
        }
    }
}

async fn a_generated_token_is_good_and_can_be_ended_like_any_other(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = confirmed(&spoke, "ada").await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    let token = client.generate(Some(&bridge), "ADA@example.com").await.unwrap();
    let id = client.validate(Some(&bridge), &token).await.unwrap();
    assert_eq!(id, session["user"]["id"]);
    spoke.get_as(&token, "/api/profile").await.is(200);

    let sessions = spoke.get_as(access(&session), "/api/sessions").await.is(200);
    let made = sessions.as_array().unwrap().iter().find(|one| one["device"] == "service bridge");
    let path = format!("/api/sessions/{}", made.unwrap()["id"].as_str().unwrap());
    let request = spoke.request(Method::DELETE, &path).bearer_auth(access(&session));
    answer(request).await.is(200);
    let feed = spoke.get_as(&spoke.service_token("chat"), "/internal/revocations").await.is(200);
    assert_eq!(feed["items"][0]["sid"], made.unwrap()["id"]);
}

async fn a_generated_token_makes_no_machine_keys_whatever_people_call_their_client(engine: Engine) {
    let spoke = spoke(engine).await;
    confirmed(&spoke, "ada").await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    let token = client.generate(Some(&bridge), "ada@example.com").await.unwrap();
    let body = json!({"name": "robot", "scopes": ["users:read"]});
    let refused = spoke.post_as(&token, "/api/api-keys", &body).await.problem("forbidden", 403);
    assert!(refused["error"].as_str().unwrap().contains("service"), "{refused}");

    let login = json!({"username": "ada", "password": crate::support::PASSWORD});
    let request = spoke.request(Method::POST, "/api/login").json(&login);
    let ada = answer(request.header("user-agent", "Service bridge")).await.is(200);
    spoke.post_as(access(&ada), "/api/api-keys", &body).await.is(201);
    let sessions = spoke.get_as(access(&ada), "/api/sessions").await.is(200);
    let devices: Vec<_> = sessions.as_array().unwrap().iter().map(|one| &one["device"]).collect();
    assert_eq!(devices.iter().filter(|device| **device == "service bridge").count(), 1);
    assert!(!sessions.to_string().contains("Service bridge"), "{sessions}");
}

async fn no_token_is_made_for_whoever_is_more_than_a_customer(engine: Engine) {
    let spoke = spoke(engine).await;
    let admin = admin(&spoke).await;
    confirm(&spoke, "root").await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    let standings = [
        ("opal", json!({"roles": ["operator"], "storeId": "7", "operatorGroup": "sales"})),
        ("stan", json!({"roles": ["customer", "staff"], "storeId": "7"})),
    ];
    for (name, roles) in standings {
        let session = confirmed(&spoke, name).await;
        let path = format!("/api/users/{}/roles", session["user"]["id"].as_str().unwrap());
        spoke.put_as(access(&admin), &path, &roles).await.is(200);
    }
    for name in ["root", "opal", "stan"] {
        let refused = client.generate(Some(&bridge), &format!("{name}@example.com")).await;
        is_refused(refused, Code::PermissionDenied, "forbidden", "customers alone");
    }
}

async fn an_address_that_nobody_confirmed_is_nobodys(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    let refused = client.generate(Some(&bridge), "ada@example.com").await;
    is_refused(refused, Code::NotFound, "not-found", "no such user");
    confirm(&spoke, "ada").await;
    client.generate(Some(&bridge), "ada@example.com").await.unwrap();
    // Nor is one that its owner took a moment ago.
    let change = json!({"email": "bob@example.com"});
    spoke.put_as(access(&session), "/api/profile", &change).await.is(200);
    let refused = client.generate(Some(&bridge), "bob@example.com").await;
    is_refused(refused, Code::NotFound, "not-found", "no such user");
}

async fn an_address_that_nobody_has_is_not_found_and_one_that_is_none_is_invalid(engine: Engine) {
    let spoke = spoke(engine).await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    let unknown = client.generate(Some(&bridge), "nobody@example.com").await;
    is_refused(unknown, Code::NotFound, "not-found", "no such user");
    for none in ["", "ada", "ada@", "ada@example.com, bob@example.com"] {
        let refused = client.generate(Some(&bridge), none).await;
        is_refused(refused, Code::InvalidArgument, "invalid", "email: must be");
    }
}

async fn a_service_pushes_nobody_out(engine: Engine) {
    let two = settings(engine).with("user.sessions.per_account_max=4").with(GRANTS[0]);
    let spoke = two.start().await;
    let session = confirmed(&spoke, "ada").await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    client.generate(Some(&bridge), "ada@example.com").await.unwrap();
    let refused = client.generate(Some(&bridge), "ada@example.com").await;
    is_refused(refused, Code::ResourceExhausted, "overloaded", "overloaded");
    let sessions = spoke.get_as(access(&session), "/api/sessions").await.is(200);
    assert_eq!(sessions.as_array().unwrap().len(), 2, "{sessions}");
    // They end by themselves, and make room.
    spoke.later(Duration::from_mins(16));
    let next = spoke.log_in("ada", crate::support::PASSWORD).await.is(200);
    let sessions = spoke.get_as(access(&next), "/api/sessions").await.is(200);
    assert_eq!(sessions.as_array().unwrap().len(), 2, "{sessions}");
}

async fn what_was_made_and_what_was_refused_is_in_the_audit(engine: Engine) {
    let spoke = spoke(engine).await;
    let (admin, ada) = (admin(&spoke).await, confirmed(&spoke, "ada").await);
    confirm(&spoke, "root").await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    client.generate(Some(&bridge), "ada@example.com").await.unwrap();
    client.generate(Some(&bridge), "root@example.com").await.unwrap_err();
    client.generate(Some(&bridge), "nobody@example.com").await.unwrap_err();
    client.generate(Some(access(&ada)), "root@example.com").await.unwrap_err();
    client.validate(Some(access(&ada)), "nonsense").await.unwrap_err();
    client.validate(None, "nonsense").await.unwrap_err();

    let (id, root) = (&ada["user"]["id"], &admin["user"]["id"]);
    let wanted = [
        json!(["generate-token", "done", null, id, "service bridge"]),
        json!(["generate-token", "forbidden", null, root, "service bridge"]),
        json!(["generate-token", "not-found", null, null, "service bridge"]),
        json!(["generate-token", "forbidden", id, id, null]),
        json!(["validate-token", "bad-token", id, id, null]),
        json!(["validate-token", "unauthenticated", null, null, null]),
    ];
    let columns = ["action", "outcome", "actorId", "userId", "detail"];
    for _ in 0..READS_MAX {
        let page = spoke.get_as(access(&admin), "/api/users/audit").await.is(200);
        let rows = page.as_array().unwrap().iter().rev();
        let rows = rows.filter(|row| row["action"].as_str().unwrap().ends_with("-token"));
        let rows: Vec<_> = rows.collect();
        if rows.len() == wanted.len() {
            assert!(rows.iter().all(|row| row["address"] == "127.0.0.1"), "{page}");
            let rows: Vec<_> =
                rows.iter().map(|row| json!(columns.map(|name| &row[name]))).collect();
            assert_eq!(rows, wanted);
            return;
        }
    }
    panic!("not everything is in the audit");
}

async fn without_its_store_it_is_unavailable_and_says_nothing_of_itself(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = confirmed(&spoke, "ada").await;
    let (client, bridge) = (Client::of(&spoke), spoke.service_token("bridge"));
    spoke.break_database().await;
    let refused = client.generate(Some(&bridge), "ada@example.com").await;
    is_refused(
        refused,
        Code::Unavailable,
        "unavailable",
        "The accounts cannot be reached. Try again.",
    );
    // Checking a token takes no store.
    client.validate(Some(&bridge), access(&session)).await.unwrap();
}
