//! Bad calls get a clear error.

use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PASSWORD, access, ada, answer, fields, refresh, spoke};

on_both_engines!(
    a_body_that_is_no_json_is_told_apart_from_one_that_breaks_a_rule,
    a_missing_field_is_named,
    a_field_of_the_wrong_type_is_named,
    an_unknown_field_is_ignored,
    a_body_over_the_limit_is_refused_and_the_answer_read,
    a_body_that_does_not_say_that_it_is_json_is_refused,
    an_unknown_path_is_not_found,
    a_wrong_method_hears_which_are_right,
    a_duplicate_says_so_in_the_readable_line,
    when_too_many_passwords_wait_the_next_is_refused_at_once,
    a_broken_store_is_unavailable_and_says_nothing_of_itself,
    health_says_how_the_service_and_its_database_are,
);

const POSTS: [&str; 4] = ["/api/register", "/api/setup", "/api/login", "/api/refresh-token"];

async fn a_body_that_is_no_json_is_told_apart_from_one_that_breaks_a_rule(engine: Engine) {
    let spoke = spoke(engine).await;
    for path in POSTS {
        for body in ["", "{", "{\"username\": }", "nonsense"] {
            let request = spoke.request(Method::POST, path).body(body);
            let request = request.header("content-type", "application/json");
            answer(request).await.problem("bad-json", 400);
        }
        spoke.post(path, &json!([])).await.problem("invalid", 400);
    }
}

async fn a_missing_field_is_named(engine: Engine) {
    let spoke = spoke(engine).await;
    for (path, field) in POSTS.into_iter().zip(["username", "code", "password", "refreshToken"]) {
        assert_eq!(spoke.post(path, &json!({})).await.faulty_fields(), [field], "{path}");
    }
}

async fn a_field_of_the_wrong_type_is_named(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["email"] = json!(7);
    assert_eq!(spoke.post("/api/register", &body).await.faulty_fields(), ["email"]);
    let session = spoke.registered("bob").await;
    let problem = spoke.put_as(access(&session), "/api/profile", &json!({"bio": {}})).await;
    assert_eq!(problem.faulty_fields(), ["bio"]);
}

async fn an_unknown_field_is_ignored(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["favouriteColour"] = json!("green");
    spoke.post("/api/register", &body).await.is(201);
}

async fn a_body_over_the_limit_is_refused_and_the_answer_read(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["padding"] = Value::String("x".repeat(2 * 1024 * 1024));
    spoke.post("/api/register", &body).await.problem("body-too-large", 413);
}

async fn a_body_that_does_not_say_that_it_is_json_is_refused(engine: Engine) {
    let spoke = spoke(engine).await;
    let request = spoke.request(Method::POST, "/api/login").body(ada().to_string());
    let request = request.header("content-type", "text/plain");
    answer(request).await.problem("unsupported-media-type", 415);
}

async fn an_unknown_path_is_not_found(engine: Engine) {
    let spoke = spoke(engine).await;
    for path in ["/api", "/api/login/", "/api/logins", "/.well-known", "/internal/people"] {
        spoke.get(path).await.problem("not-found", 404);
    }
}

async fn a_wrong_method_hears_which_are_right(engine: Engine) {
    let spoke = spoke(engine).await;
    let cases = [
        ("/api/register", Method::GET, "POST"),
        ("/api/login", Method::PUT, "POST"),
        ("/api/setup", Method::DELETE, "POST"),
        ("/api/refresh-token", Method::GET, "POST"),
        ("/api/profile", Method::POST, "GET,HEAD,PUT"),
        ("/api/users", Method::POST, "GET,HEAD"),
        ("/.well-known/jwks.json", Method::POST, "GET,HEAD"),
    ];
    for (path, method, allowed) in cases {
        let answer = answer(spoke.request(method, path)).await;
        assert_eq!(answer.headers["allow"], allowed, "{path}");
        answer.problem("method-not-allowed", 405);
    }
}

async fn a_duplicate_says_so_in_the_readable_line(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let problem = spoke.post("/api/register", &ada()).await.problem("taken", 409);
    assert_eq!(fields(&problem), ["username", "email"]);
}

async fn when_too_many_passwords_wait_the_next_is_refused_at_once(engine: Engine) {
    let settings = crate::support::settings(engine).with("user.passwords.parallel=1");
    let spoke = settings.with("user.passwords.waiting_max=0").start().await;
    let calls = (0..8).map(|n| {
        let spoke = &spoke;
        async move { spoke.log_in(&format!("nobody{n}"), "wrong password").await }
    });
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().any(|answer| answer.status == 401));
    for answer in answers {
        if answer.status != 401 {
            assert!(answer.headers.contains_key("retry-after"));
            answer.problem("overloaded", 503);
        }
    }
}

async fn a_broken_store_is_unavailable_and_says_nothing_of_itself(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    spoke.break_database().await;
    let said = [
        spoke.post("/api/register", &ada()).await,
        spoke.log_in("ada", PASSWORD).await,
        spoke.refresh(refresh(&session)).await,
        spoke.get_as(access(&session), "/api/profile").await,
        spoke.put_as(access(&session), "/api/profile", &json!({"bio": "x"})).await,
        spoke.get_as(access(&session), "/api/users").await,
    ];
    for answer in said {
        assert!(answer.headers.contains_key("retry-after"));
        let problem = answer.problem("unavailable", 503).to_string();
        assert!(!problem.contains("table") && !problem.contains("accounts\""), "{problem}");
    }
}

async fn health_says_how_the_service_and_its_database_are(engine: Engine) {
    let spoke = spoke(engine).await;
    for path in ["/", "/health"] {
        let health = spoke.get(path).await.is(200);
        assert_eq!(health["status"], "healthy");
        assert_eq!(health["service"], "User Service");
        assert_eq!(health["database"], "healthy");
    }
    spoke.get("/health/live").await.is(200);
    spoke.get("/health/ready").await.is(200);
}
