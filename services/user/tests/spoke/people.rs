//! What other services ask of accounts.

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::support::{Spoke, access, fields, spoke};

on_both_engines!(
    services_find_users_by_what_they_know,
    a_question_for_users_has_to_be_one_question,
    each_internal_call_takes_its_grant,
    a_service_makes_an_account_that_nobody_can_sign_in_to,
    a_service_makes_no_administrator_and_takes_nobodys_name,
    services_are_told_which_accounts_are_gone,
);

/// The usernames that a question finds.
async fn names(spoke: &Spoke, query: &str) -> Vec<String> {
    let path = format!("/internal/users?{query}");
    let found = spoke.get_as(&spoke.service_token("chat"), &path).await.is(200);
    let found = found.as_array().unwrap().iter();
    found.map(|user| user["username"].as_str().unwrap().to_owned()).collect()
}

async fn made(spoke: &Spoke, body: &Value) -> Value {
    spoke.post_as(&spoke.service_token("bridge"), "/internal/accounts", body).await.is(201)
}

async fn services_find_users_by_what_they_know(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let operator = |name: &str, store: &str| json!({"username": name, "roles": ["operator"], "storeId": store, "operatorGroup": "sales"});
    let bob = made(&spoke, &operator("bob", "7")).await;
    made(&spoke, &operator("eve", "8")).await;
    made(&spoke, &json!({"username": "kim", "phone": "+4930123456"})).await;
    let (ada, bob) = (ada["user"]["id"].as_str().unwrap(), bob["id"].as_str().unwrap());
    let unknown = "01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b";
    let both = names(&spoke, &format!("ids={bob},{unknown},{ada}")).await;
    assert_eq!(both, ["ada", "bob"]);
    assert_eq!(names(&spoke, "phone=%2B4930123456").await, ["kim"]);
    assert_eq!(names(&spoke, "username=ADA").await, ["ada"]);
    assert_eq!(names(&spoke, "username=nobody").await, [""; 0]);
    assert_eq!(names(&spoke, "role=operator").await, ["bob", "eve"]);
    assert_eq!(names(&spoke, "role=operator&storeId=8&operatorGroup=sales").await, ["eve"]);
    assert_eq!(names(&spoke, "role=operator&operatorGroup=support").await, [""; 0]);
}

async fn a_question_for_users_has_to_be_one_question(engine: Engine) {
    let spoke = spoke(engine).await;
    for query in ["", "?username=ada&phone=%2B4930123456", "?ids=ada", "?storeId=7"] {
        let path = format!("/internal/users{query}");
        let refused = spoke.get_as(&spoke.service_token("chat"), &path).await;
        assert!(!fields(&refused.problem("invalid", 400)).is_empty(), "{query}");
    }
}

async fn each_internal_call_takes_its_grant(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    for path in ["/internal/users?username=ada", "/internal/deleted"] {
        spoke.get(path).await.problem("unauthenticated", 401);
        spoke.get_as(access(&ada), path).await.problem("forbidden", 403);
        spoke.get_as(&spoke.service_token("gateway"), path).await.problem("forbidden", 403);
        spoke.get_as(&spoke.service_token("message"), path).await.is(200);
    }
    let body = json!({"username": "kim"});
    let refused = spoke.post_as(&spoke.service_token("chat"), "/internal/accounts", &body).await;
    refused.problem("forbidden", 403);
}

async fn a_service_makes_an_account_that_nobody_can_sign_in_to(engine: Engine) {
    let spoke = spoke(engine).await;
    let body = json!({"username": "kim", "displayName": "Kim", "phone": "+4930123456",
        "roles": ["staff"], "storeId": "7"});
    let made = made(&spoke, &body).await;
    assert_eq!((&made["displayName"], &made["storeId"]), (&json!("Kim"), &json!("7")));
    assert_eq!(made["roles"], json!(["staff"]));
    for password in ["", "null", "correct horse battery"] {
        let refused = spoke.log_in("kim", password).await;
        assert!(refused.status.is_client_error(), "{}", refused.body);
    }
    let root = spoke.admin().await;
    let audit = spoke.get_as(access(&root), "/api/users/audit").await.is(200);
    let entry = audit.as_array().unwrap().iter().find(|e| e["action"] == "make-account").unwrap();
    assert!(entry["detail"].as_str().unwrap().contains("bridge"), "{entry}");
    assert_eq!(entry["userId"], made["id"]);
}

async fn a_service_makes_no_administrator_and_takes_nobodys_name(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let bridge = spoke.service_token("bridge");
    let post = async |body: Value| spoke.post_as(&bridge, "/internal/accounts", &body).await;
    let admin = json!({"username": "kim", "roles": ["customer", "admin"]});
    post(admin).await.problem("forbidden", 403);
    let taken = post(json!({"username": "ADA"})).await.problem("taken", 409);
    assert_eq!(fields(&taken), ["username"]);
    let wrong = json!({"username": "k", "phone": "12", "roles": ["staff"]});
    assert_eq!(post(wrong).await.faulty_fields(), ["username", "phone", "storeId"]);
    assert_eq!(names(&spoke, "username=kim").await, [""; 0]);
}

async fn services_are_told_which_accounts_are_gone(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut gone = Vec::new();
    for name in ["ada", "bob", "eve"] {
        let session = spoke.registered(name).await;
        spoke.delete_as(access(&session), "/api/users/me").await.is(200);
        gone.push(session["user"]["id"].clone());
    }
    let ask = async |query: String| {
        let path = format!("/internal/deleted{query}");
        spoke.get_as(&spoke.service_token("message"), &path).await.is(200)
    };
    let first = ask("?limit=2".to_owned()).await;
    assert_eq!((&first["items"][0]["userId"], &first["items"][1]["userId"]), (&gone[0], &gone[1]));
    let rest = ask(format!("?after={}", first["cursor"])).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["items"][0]["userId"], gone[2]);
    let none = ask(format!("?after={}", rest["cursor"])).await;
    assert_eq!((&none["items"], &none["cursor"]), (&json!([]), &rest["cursor"]));
}
