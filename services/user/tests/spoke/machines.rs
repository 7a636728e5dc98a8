//! Machine keys: made, exchanged, narrowed, ended.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Spoke, access, settings, spoke};

on_both_engines!(
    the_secret_of_a_key_is_shown_once_and_never_kept,
    a_key_has_to_have_a_name_and_scopes_that_there_are,
    a_key_cannot_do_what_its_maker_may_not,
    an_account_has_so_many_keys_and_no_more,
    an_ended_session_makes_no_key,
    keys_that_have_expired_take_no_places_and_are_forgotten_in_the_end,
    no_more_expired_keys_are_kept_than_may_be_alive,
    a_key_of_somebody_else_is_no_key,
    a_key_is_exchanged_for_a_token_of_a_minute_with_its_scopes,
    a_key_is_exchanged_by_services_that_were_granted_it,
    a_key_that_is_unknown_deleted_or_over_gives_nothing,
    a_token_never_outlives_its_key,
    a_scope_lasts_as_long_as_the_right_behind_it,
    an_administrators_key_is_one_by_its_scope_alone,
    deleting_a_key_is_told_to_everybody_who_checks_tokens,
    a_key_goes_with_its_account,
    a_machine_reads_the_directory_and_touches_nothing_else,
    it_is_kept_when_a_key_was_last_used,
    keys_leave_their_traces_in_the_audit,
);

async fn make(spoke: &Spoke, token: &str, scopes: &[&str]) -> Value {
    let body = json!({"name": "robot", "scopes": scopes});
    spoke.post_as(token, "/api/api-keys", &body).await.is(201)
}

async fn exchange(spoke: &Spoke, key: &Value) -> Answer {
    let body = json!({ "key": key["key"] });
    spoke.post_as(&spoke.service_token("gateway"), "/internal/keys/exchange", &body).await
}

/// What a token says.
fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn set_roles(spoke: &Spoke, admin: &Value, of: &Value, roles: &Value) {
    let path = format!("/api/users/{}/roles", of["user"]["id"].as_str().unwrap());
    spoke.put_as(access(admin), &path, roles).await.is(200);
    // Tokens that were given in the second of the change are dead.
    spoke.later(Duration::from_secs(2));
}

async fn the_secret_of_a_key_is_shown_once_and_never_kept(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let body = json!({"name": " robot ", "scopes": ["messages:write", "rooms:read"]});
    let answer = spoke.post_as(access(&ada), "/api/api-keys", &body).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let made = answer.is(201);
    let secret = made["key"].as_str().unwrap();
    assert!(secret.starts_with("hbk_") && secret.len() == 52, "{}", secret.len());
    assert_eq!(made["name"], "robot");
    assert_eq!(made["scopes"], json!(["rooms:read", "messages:write"]));
    let listed = spoke.get_as(access(&ada), "/api/api-keys").await.is(200);
    assert_eq!(listed[0]["id"], made["id"]);
    assert_eq!(listed[0]["lastUsedAt"], Value::Null);
    assert!(!listed.to_string().contains(secret) && listed[0].get("key").is_none());
}

async fn a_key_has_to_have_a_name_and_scopes_that_there_are(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let post = async |body: Value| spoke.post_as(access(&ada), "/api/api-keys", &body).await;
    let body = json!({"name": "", "scopes": ["rooms:read", "everything"]});
    assert_eq!(post(body).await.faulty_fields(), ["name", "scopes"]);
    let over = json!({"name": "a", "scopes": ["rooms:read"], "expiresAt": "2020-01-01T00:00:00Z"});
    assert_eq!(post(over).await.faulty_fields(), ["expiresAt"]);
    assert_eq!(spoke.get_as(access(&ada), "/api/api-keys").await.is(200), json!([]));
}

async fn a_key_cannot_do_what_its_maker_may_not(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    for scope in ["store:publish", "store:read", "admin"] {
        let body = json!({"name": "robot", "scopes": [scope]});
        let refused = spoke.post_as(access(&ada), "/api/api-keys", &body).await;
        assert!(refused.problem("forbidden", 403)["error"].as_str().unwrap().contains(scope));
    }
    let root = spoke.admin().await;
    make(&spoke, access(&root), &["admin", "store:publish"]).await;
}

async fn an_account_has_so_many_keys_and_no_more(engine: Engine) {
    let spoke = settings(engine).with("user.keys_per_account_max=2").start().await;
    let ada = spoke.registered("ada").await;
    let first = make(&spoke, access(&ada), &["rooms:read"]).await;
    make(&spoke, access(&ada), &["rooms:read"]).await;
    let body = json!({"name": "robot", "scopes": ["rooms:read"]});
    spoke.post_as(access(&ada), "/api/api-keys", &body).await.problem("forbidden", 403);
    let path = format!("/api/api-keys/{}", first["id"].as_str().unwrap());
    spoke.delete_as(access(&ada), &path).await.is(200);
    make(&spoke, access(&ada), &["rooms:read"]).await;
}

async fn an_ended_session_makes_no_key(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    spoke.ask_as(access(&ada), "/api/logout").await.is(200);
    let body = json!({"name": "robot", "scopes": ["rooms:read"]});
    spoke.post_as(access(&ada), "/api/api-keys", &body).await.problem("revoked-token", 401);
}

/// One that ends in a minute.
async fn make_short(spoke: &Spoke, token: &str) -> Value {
    let body = json!({"name": "robot", "scopes": ["rooms:read"], "expiresIn": 60});
    spoke.post_as(token, "/api/api-keys", &body).await.is(201)
}

async fn keys_that_have_expired_take_no_places_and_are_forgotten_in_the_end(engine: Engine) {
    let settings = settings(engine).with("user.keys_per_account_max=2");
    let spoke = settings.with("user.sweep_interval=10ms").start().await;
    let ada = spoke.registered("ada").await;
    make_short(&spoke, access(&ada)).await;
    make(&spoke, access(&ada), &["rooms:read"]).await;
    let body = json!({"name": "robot", "scopes": ["rooms:read"]});
    spoke.post_as(access(&ada), "/api/api-keys", &body).await.problem("forbidden", 403);
    spoke.later(Duration::from_mins(1));
    make(&spoke, access(&ada), &["rooms:read"]).await;
    assert_eq!(spoke.count("api_keys").await, 3, "its owner still sees what it was");
    spoke.later(Duration::from_hours(30 * 24) + Duration::from_millis(1));
    spoke.until("the sweep", || async { spoke.count("api_keys").await == 2 }).await;
}

async fn no_more_expired_keys_are_kept_than_may_be_alive(engine: Engine) {
    let spoke = settings(engine).with("user.keys_per_account_max=2").start().await;
    let ada = spoke.registered("ada").await;
    for _ in 0..5 {
        make_short(&spoke, access(&ada)).await;
        spoke.later(Duration::from_mins(1));
    }
    let kept = spoke.get_as(access(&ada), "/api/api-keys").await.is(200);
    assert_eq!(
        kept.as_array().unwrap().len(),
        3,
        "two that expired before the last was made: {kept}"
    );
}

async fn a_key_of_somebody_else_is_no_key(engine: Engine) {
    let spoke = spoke(engine).await;
    let (ada, bob) = (spoke.registered("ada").await, spoke.registered("bob").await);
    let key = make(&spoke, access(&ada), &["rooms:read"]).await;
    let path = format!("/api/api-keys/{}", key["id"].as_str().unwrap());
    spoke.delete_as(access(&bob), &path).await.problem("not-found", 404);
    spoke.delete_as(access(&bob), "/api/api-keys/none").await.problem("not-found", 404);
    assert_eq!(spoke.get_as(access(&bob), "/api/api-keys").await.is(200), json!([]));
    exchange(&spoke, &key).await.is(200);
}

async fn a_key_is_exchanged_for_a_token_of_a_minute_with_its_scopes(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let key = make(&spoke, access(&ada), &["users:read", "rooms:read"]).await;
    let exchanged = exchange(&spoke, &key).await.is(200);
    assert_eq!(exchanged["expiresIn"], 60);
    let claims = claims(&exchanged["token"]);
    assert_eq!(claims["sub"], ada["user"]["id"]);
    assert_eq!(claims["sid"], key["id"]);
    assert_eq!(claims["scope"], "users:read rooms:read");
    assert_eq!(claims["roles"], json!(["customer"]));
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 60);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("hubbub"), &json!("hubbub")));
}

async fn a_key_is_exchanged_by_services_that_were_granted_it(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let key = make(&spoke, access(&ada), &["rooms:read"]).await;
    let body = json!({ "key": key["key"] });
    let path = "/internal/keys/exchange";
    spoke.post(path, &body).await.problem("unauthenticated", 401);
    spoke.post_as(access(&ada), path, &body).await.problem("forbidden", 403);
    spoke.post_as(&spoke.service_token("message"), path, &body).await.problem("forbidden", 403);
    spoke.post_as(&spoke.service_token("chat"), path, &body).await.is(200);
}

async fn a_key_that_is_unknown_deleted_or_over_gives_nothing(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let deleted = make(&spoke, access(&ada), &["rooms:read"]).await;
    let path = format!("/api/api-keys/{}", deleted["id"].as_str().unwrap());
    spoke.delete_as(access(&ada), &path).await.is(200);
    let body = json!({"name": "short", "scopes": ["rooms:read"], "expiresIn": 120});
    let over = spoke.post_as(access(&ada), "/api/api-keys", &body).await.is(201);
    exchange(&spoke, &over).await.is(200);
    spoke.later(Duration::from_mins(2));
    for key in [deleted, over, json!({"key": "hbk_x"}), json!({ "key": "" })] {
        let refused = exchange(&spoke, &key).await.problem("wrong-credentials", 401);
        assert!(!refused.to_string().contains("hbk_"), "{refused}");
    }
}

async fn a_token_never_outlives_its_key(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let body = json!({"name": "short", "scopes": ["rooms:read"], "expiresIn": 90});
    let key = spoke.post_as(access(&ada), "/api/api-keys", &body).await.is(201);
    spoke.later(Duration::from_secs(70));
    assert_eq!(exchange(&spoke, &key).await.is(200)["expiresIn"], 20);
}

async fn a_scope_lasts_as_long_as_the_right_behind_it(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (spoke.admin().await, spoke.registered("ada").await);
    set_roles(&spoke, &root, &ada, &json!({"roles": ["staff"], "storeId": "7"})).await;
    let ada = spoke.log_in("ada", PASSWORD).await.is(200);
    let key = make(&spoke, access(&ada), &["store:publish", "rooms:read"]).await;
    let before = exchange(&spoke, &key).await.is(200);
    assert_eq!(claims(&before["token"])["scope"], "rooms:read store:publish");
    set_roles(&spoke, &root, &ada, &json!({"roles": ["customer"]})).await;
    let after = exchange(&spoke, &key).await.is(200);
    assert_eq!(claims(&after["token"])["scope"], "rooms:read");
    assert_eq!(claims(&after["token"])["roles"], json!(["customer"]));
}

async fn an_administrators_key_is_one_by_its_scope_alone(engine: Engine) {
    let spoke = spoke(engine).await;
    let root = spoke.admin().await;
    let plain = make(&spoke, access(&root), &["users:read"]).await;
    let plain = exchange(&spoke, &plain).await.is(200);
    assert_eq!(claims(&plain["token"])["roles"], json!(["customer"]));
    let admin = make(&spoke, access(&root), &["admin"]).await;
    let admin = exchange(&spoke, &admin).await.is(200);
    let (plain, admin) = (plain["token"].as_str().unwrap(), admin["token"].as_str().unwrap());
    spoke.get_as(admin, "/api/users/audit").await.is(200);
    spoke.get_as(plain, "/api/users/audit").await.problem("forbidden", 403);
    spoke.get_as(plain, "/api/users").await.is(200);
}

async fn deleting_a_key_is_told_to_everybody_who_checks_tokens(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let key = make(&spoke, access(&ada), &["rooms:read"]).await;
    let path = format!("/api/api-keys/{}", key["id"].as_str().unwrap());
    assert!(!spoke.delete_as(access(&ada), &path).await.is(200)["message"].is_null());
    let feed = spoke.get_as(&spoke.service_token("gateway"), "/internal/revocations").await.is(200);
    let items = feed["items"].as_array().unwrap();
    assert!(items.iter().any(|item| item["sid"] == key["id"]), "{feed}");
    spoke.delete_as(access(&ada), &path).await.problem("not-found", 404);
}

async fn a_key_goes_with_its_account(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let key = make(&spoke, access(&ada), &["rooms:read"]).await;
    spoke.delete_as(access(&ada), "/api/users/me").await.is(200);
    exchange(&spoke, &key).await.problem("wrong-credentials", 401);
    let feed = spoke.get_as(&spoke.service_token("gateway"), "/internal/revocations").await.is(200);
    assert!(feed.to_string().contains(ada["user"]["id"].as_str().unwrap()), "{feed}");
}

async fn a_machine_reads_the_directory_and_touches_nothing_else(engine: Engine) {
    let spoke = spoke(engine).await;
    let root = spoke.admin().await;
    let all: Vec<_> = contract::scope::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let key = make(&spoke, access(&root), &all).await;
    let exchanged = exchange(&spoke, &key).await.is(200);
    let machine = exchanged["token"].as_str().unwrap();
    let id = root["user"]["id"].as_str().unwrap();
    spoke.get_as(machine, &format!("/api/users/{id}")).await.is(200);
    for path in ["/api/profile", "/api/sessions", "/api/api-keys"] {
        spoke.get_as(machine, path).await.problem("forbidden", 403);
    }
    let body = json!({"name": "robot", "scopes": ["rooms:read"]});
    for path in ["/api/api-keys", "/api/ws-ticket", "/api/logout"] {
        spoke.post_as(machine, path, &body).await.problem("forbidden", 403);
    }
    let roles = json!({"roles": ["admin"]});
    let path = format!("/api/users/{id}/roles");
    spoke.put_as(machine, &path, &roles).await.problem("forbidden", 403);
    spoke.put_as(machine, "/api/profile", &json!({})).await.problem("forbidden", 403);
    let body = json!({"currentPassword": PASSWORD, "newPassword": "another horse"});
    spoke.put_as(machine, "/api/change-password", &body).await.problem("forbidden", 403);
    spoke.delete_as(machine, "/api/users/me").await.problem("forbidden", 403);
    let path = format!("/api/api-keys/{}", key["id"].as_str().unwrap());
    spoke.delete_as(machine, &path).await.problem("forbidden", 403);
    let none = make(&spoke, access(&root), &["rooms:read"]).await;
    let none = exchange(&spoke, &none).await.is(200);
    let refused = spoke.get_as(none["token"].as_str().unwrap(), "/api/users").await;
    let said = refused.problem("forbidden", 403);
    assert!(said["error"].as_str().unwrap().contains("users:read"), "{said}");
}

async fn it_is_kept_when_a_key_was_last_used(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let key = make(&spoke, access(&ada), &["rooms:read"]).await;
    let used = async || {
        let listed = spoke.get_as(access(&ada), "/api/api-keys").await.is(200);
        listed[0]["lastUsedAt"].clone()
    };
    exchange(&spoke, &key).await.is(200);
    let first = used().await;
    assert!(first.is_string());
    spoke.later(Duration::from_secs(30));
    exchange(&spoke, &key).await.is(200);
    assert_eq!(used().await, first, "not more than once a minute");
    spoke.later(Duration::from_secs(31));
    exchange(&spoke, &key).await.is(200);
    assert_ne!(used().await, first);
}

async fn keys_leave_their_traces_in_the_audit(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (spoke.admin().await, spoke.registered("ada").await);
    let key = make(&spoke, access(&ada), &["users:read"]).await;
    let machine = exchange(&spoke, &key).await.is(200)["token"].as_str().unwrap().to_owned();
    spoke.get_as(&machine, "/api/sessions").await.problem("forbidden", 403);
    let path = format!("/api/api-keys/{}", key["id"].as_str().unwrap());
    spoke.delete_as(access(&ada), &path).await.is(200);
    exchange(&spoke, &key).await.problem("wrong-credentials", 401);
    let (secret, id) = (key["key"].as_str().unwrap(), key["id"].as_str().unwrap());
    let wanted = [
        ("make-key", "done"),
        ("delete-key", "done"),
        ("exchange-key", "wrong-credentials"),
        ("list-sessions", "forbidden"),
    ];
    let audit = loop {
        let audit = spoke.get_as(access(&root), "/api/users/audit").await.is(200);
        let entries = audit.as_array().unwrap().clone();
        let has = |(action, outcome): &(&str, &str)| {
            entries.iter().any(|e| e["action"] == *action && e["outcome"] == *outcome)
        };
        if wanted.iter().all(has) {
            break entries;
        }
        tokio::task::yield_now().await;
    };
    let made = audit.iter().find(|entry| entry["action"] == "make-key").unwrap();
    assert_eq!(made["actorId"], ada["user"]["id"]);
    assert!(made["detail"].as_str().unwrap().contains(id));
    let refused = audit.iter().find(|entry| entry["action"] == "list-sessions").unwrap();
    assert_eq!(refused["actorId"], ada["user"]["id"], "also where a scope was missing");
    assert!(!Value::from(audit).to_string().contains(secret));
}
