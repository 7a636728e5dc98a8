//! What administrators do: say what accounts may be, and read the audit.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Spoke, access, answer, refresh, spoke};

on_both_engines!(
    an_administrator_says_what_an_account_may_be,
    a_change_of_roles_ends_tokens_and_no_sessions,
    changes_within_one_second_end_what_was_made_between_them,
    nobody_else_changes_roles,
    roles_that_make_no_sense_are_refused,
    there_is_always_an_administrator,
    refusals_and_changes_are_in_the_audit,
    the_audit_is_read_page_by_page_and_narrowed,
    the_audit_is_for_administrators,
    a_refusal_names_the_account_that_was_tried,
    no_secret_is_in_the_audit,
);

async fn admin(spoke: &Spoke) -> Value {
    let body = json!({
        "code": spoke.setup_code(), "username": "root", "email": "root@example.com",
        "password": PASSWORD,
    });
    spoke.post("/api/setup", &body).await.is(201)
}

fn id(session: &Value) -> &str {
    session["user"]["id"].as_str().unwrap()
}

async fn change(spoke: &Spoke, by: &Value, of: &str, roles: &Value) -> Answer {
    spoke.put_as(access(by), &format!("/api/users/{of}/roles"), roles).await
}

/// The audit as soon as it has `wanted` entries of this outcome: refusals are written after their
/// answers.
async fn audit(spoke: &Spoke, by: &Value, query: &str, outcome: &str, wanted: usize) -> Vec<Value> {
    let read = async {
        loop {
            let path = format!("/api/users/audit{query}");
            let entries = spoke.get_as(access(by), &path).await.is(200);
            let entries = entries.as_array().unwrap();
            let found: Vec<_> =
                entries.iter().filter(|entry| entry["outcome"] == outcome).cloned().collect();
            if found.len() >= wanted {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("the entries are written")
}

async fn an_administrator_says_what_an_account_may_be(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (admin(&spoke).await, spoke.registered("ada").await);
    let roles =
        json!({"roles": ["operator", "customer"], "storeId": "7", "operatorGroup": "sales"});
    let changed = change(&spoke, &root, id(&ada), &roles).await.is(200);
    assert_eq!(changed["user"]["roles"], json!(["customer", "operator"]));
    assert_eq!(changed["user"]["storeId"], "7");
    let ada = spoke.log_in("ada", PASSWORD).await.is(200);
    assert_eq!(ada["user"]["operatorGroup"], "sales");
    let found = spoke.get_as(access(&ada), "/api/users?role=operator").await.is(200);
    assert_eq!(found[0]["username"], "ada");
}

async fn a_change_of_roles_ends_tokens_and_no_sessions(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (admin(&spoke).await, spoke.registered("ada").await);
    change(&spoke, &root, id(&ada), &json!({"roles": ["admin"]})).await.is(200);
    spoke.get_as(access(&ada), "/api/profile").await.problem("revoked-token", 401);
    let ada = spoke.refresh(refresh(&ada)).await.is(200);
    spoke.get_as(access(&ada), "/api/users/audit").await.is(200);
}

async fn changes_within_one_second_end_what_was_made_between_them(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, mut ada) = (admin(&spoke).await, spoke.registered("ada").await);
    // The hands of the clock stand still.
    for roles in [["admin"], ["customer"], ["admin"], ["customer"]] {
        change(&spoke, &root, id(&ada), &json!({ "roles": roles })).await.is(200);
        spoke.get_as(access(&ada), "/api/profile").await.problem("revoked-token", 401);
        ada = spoke.refresh(refresh(&ada)).await.is(200);
        assert_eq!(ada["user"]["roles"], json!(roles));
        spoke.get_as(access(&ada), "/api/profile").await.is(200);
    }
}

async fn nobody_else_changes_roles(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let roles = json!({"roles": ["admin"]});
    change(&spoke, &ada, id(&ada), &roles).await.problem("forbidden", 403);
    let path = format!("/api/users/{}/roles", id(&ada));
    answer(spoke.request(Method::PUT, &path).json(&roles)).await.problem("unauthenticated", 401);
    assert_eq!(
        spoke.get_as(access(&ada), "/api/profile").await.is(200)["user"]["roles"],
        json!(["customer"])
    );
}

async fn roles_that_make_no_sense_are_refused(engine: Engine) {
    let spoke = spoke(engine).await;
    let root = admin(&spoke).await;
    let none = change(&spoke, &root, id(&root), &json!({"roles": []})).await;
    assert_eq!(none.faulty_fields(), ["roles"]);
    let nowhere = change(&spoke, &root, id(&root), &json!({"roles": ["staff", "admin"]})).await;
    assert_eq!(nowhere.faulty_fields(), ["storeId"]);
    change(&spoke, &root, id(&root), &json!({"roles": ["king"]})).await.problem("invalid", 400);
    for unknown in ["00000000-0000-7000-8000-000000000000", "no-id"] {
        let customer = json!({"roles": ["customer"]});
        change(&spoke, &root, unknown, &customer).await.problem("not-found", 404);
    }
}

async fn there_is_always_an_administrator(engine: Engine) {
    let spoke = spoke(engine).await;
    let root = admin(&spoke).await;
    let customer = json!({"roles": ["customer"]});
    change(&spoke, &root, id(&root), &customer).await.problem("forbidden", 403);
    let delete = spoke.request(Method::DELETE, "/api/users/me").bearer_auth(access(&root));
    answer(delete).await.problem("forbidden", 403);
    let ada = spoke.registered("ada").await;
    change(&spoke, &root, id(&ada), &json!({"roles": ["admin"]})).await.is(200);
    change(&spoke, &root, id(&root), &customer).await.is(200);
}

async fn refusals_and_changes_are_in_the_audit(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (admin(&spoke).await, spoke.registered("ada").await);
    let request = spoke.request(Method::POST, "/api/logout").header("x-forwarded-for", "192.0.2.7");
    answer(request).await.problem("unauthenticated", 401);
    let refused = audit(&spoke, &root, "", "unauthenticated", 1).await;
    assert_eq!(
        (&refused[0]["action"], &refused[0]["address"]),
        (&json!("log-out"), &json!("192.0.2.7"))
    );
    change(&spoke, &root, id(&ada), &json!({"roles": ["staff"], "storeId": "7"})).await.is(200);
    let mut done = audit(&spoke, &root, "", "done", 3).await;
    // Letters to those who register are sent when they are.
    done.retain(|entry| entry["action"] != "send-verification");
    let [roles, register, setup] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!(
        (&roles["action"], &roles["detail"]),
        (&json!("change-roles"), &json!("staff at 7"))
    );
    assert_eq!(
        (roles["actorId"].as_str(), roles["userId"].as_str()),
        (Some(id(&root)), Some(id(&ada)))
    );
    assert_eq!((&register["action"], &setup["action"]), (&json!("register"), &json!("set-up")));
}

async fn the_audit_is_read_page_by_page_and_narrowed(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (admin(&spoke).await, spoke.registered("ada").await);
    spoke.later(Duration::from_hours(1));
    let root = spoke.refresh(refresh(&root)).await.is(200);
    spoke.log_in("ada", PASSWORD).await.is(200);
    let (mut path, mut actions) = (Some("/api/users/audit?limit=1".to_owned()), Vec::new());
    while let Some(wanted) = path {
        let page = spoke.get_as(access(&root), &wanted).await;
        let link = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        path = link.map(|link| link.trim_start_matches('<').split('>').next().unwrap().to_owned());
        actions
            .extend(page.is(200).as_array().unwrap().iter().map(|entry| entry["action"].clone()));
    }
    assert_eq!((&actions[0], actions.last().unwrap()), (&json!("log-in"), &json!("set-up")));
    assert_eq!(actions.iter().filter(|action| **action == json!("register")).count(), 1);
    let of_ada = format!("/api/users/audit?user={}&to=2026-11-20T17:30:00Z", id(&ada));
    let found = spoke.get_as(access(&root), &of_ada).await.is(200).to_string();
    assert!(found.contains("register") && !found.contains("log-in"), "{found}");
    assert!(!found.contains("set-up"), "{found}");
    let bad = spoke.get_as(access(&root), "/api/users/audit?from=yesterday&cursor=x").await;
    assert_eq!(bad.faulty_fields(), ["from", "cursor"]);
}

async fn the_audit_is_for_administrators(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    spoke.get_as(access(&ada), "/api/users/audit").await.problem("forbidden", 403);
    spoke.get("/api/users/audit").await.problem("unauthenticated", 401);
}

async fn a_refusal_names_the_account_that_was_tried(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (admin(&spoke).await, spoke.registered("ada").await);
    spoke.log_in("ada", "wrong password").await.problem("wrong-credentials", 401);
    spoke.log_in("nobody", "wrong password").await.problem("wrong-credentials", 401);
    let refused = audit(&spoke, &root, "", "wrong-credentials", 2).await;
    let [nobody, known] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!(nobody["userId"], Value::Null);
    assert_eq!((known["userId"].as_str(), &known["actorId"]), (Some(id(&ada)), &Value::Null));
}

async fn no_secret_is_in_the_audit(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (admin(&spoke).await, spoke.registered("ada").await);
    spoke.log_in("ada", "wrong secret phrase").await.problem("wrong-credentials", 401);
    spoke.refresh(refresh(&ada)).await.is(200);
    spoke.refresh(refresh(&ada)).await.problem("bad-token", 401);
    audit(&spoke, &root, "", "bad-token", 1).await;
    let whole = spoke.get_as(access(&root), "/api/users/audit").await.is(200).to_string();
    for secret in ["wrong secret", PASSWORD, refresh(&ada), access(&ada)] {
        assert!(!whole.contains(secret), "{whole}");
    }
}
