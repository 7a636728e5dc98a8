//! Whoever guesses waits longer and longer; nobody else does.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, PASSWORD, Spoke, ada, answer, settings, spoke};

on_both_engines!(
    the_sixth_guess_at_an_account_has_to_wait_and_the_owner_gets_in_afterwards,
    each_further_guess_waits_longer,
    it_does_not_matter_how_the_account_is_named_or_whether_there_is_one,
    no_spelling_tells_whether_there_is_an_account,
    a_burst_of_right_passwords_is_not_taken_for_guessing,
    a_burst_of_guesses_at_once_is_counted_too,
    an_address_is_slowed_down_whoever_it_guesses_at,
    a_stranger_cannot_name_another_address_as_its_own,
    guesses_at_the_set_up_code_are_slowed_down,
);

async fn guess_from(spoke: &Spoke, address: &str, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password});
    let request = spoke.request(Method::POST, "/api/login").json(&body);
    answer(request.header("x-forwarded-for", address)).await
}

async fn the_sixth_guess_at_an_account_has_to_wait_and_the_owner_gets_in_afterwards(
    engine: Engine,
) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    for _ in 0..5 {
        spoke.log_in("ada", "wrong password").await.problem("wrong-credentials", 401);
    }
    let refused = spoke.log_in("ada", PASSWORD).await;
    assert_eq!(refused.headers["retry-after"], "15");
    assert_eq!(refused.headers["ratelimit"], "\"sign-in-by-account\";r=0;t=15");
    assert_eq!(refused.headers["ratelimit-policy"], "\"sign-in-by-account\";q=5;w=900");
    refused.problem("rate-limited", 429);
    spoke.later(Duration::from_secs(15));
    spoke.log_in("ada", PASSWORD).await.is(200);
    spoke.log_in("ada", "wrong password").await.problem("wrong-credentials", 401);
}

async fn each_further_guess_waits_longer(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    for _ in 0..5 {
        spoke.log_in("ada", "wrong password").await.is(401);
    }
    spoke.later(Duration::from_secs(15));
    spoke.log_in("ada", "wrong password").await.is(401);
    assert_eq!(spoke.log_in("ada", PASSWORD).await.headers["retry-after"], "30");
}

async fn it_does_not_matter_how_the_account_is_named_or_whether_there_is_one(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.post("/api/register", &ada()).await.is(201);
    for _ in 0..5 {
        let body = json!({"email": "ada@example.com", "password": "wrong password"});
        spoke.post("/api/login", &body).await.is(401);
        spoke.log_in("nobody", "wrong password").await.is(401);
    }
    spoke.log_in("ada", "wrong password").await.problem("rate-limited", 429);
    spoke.log_in("nobody", "wrong password").await.problem("rate-limited", 429);
}

async fn no_spelling_tells_whether_there_is_an_account(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("kim").await;
    let guess = async |way: &str, name: &str| {
        let body = json!({way: name, "password": "wrong password"});
        spoke.post("/api/login", &body).await.status.as_u16()
    };
    for name in ["kim", "kit"] {
        for _ in 0..5 {
            assert_eq!(guess("username", name).await, 401);
        }
        let spelled = [name.to_uppercase(), format!(" {name}"), name.replace('k', "\u{212a}")];
        let mut said = Vec::new();
        for name in &spelled {
            said.push(guess("username", name).await);
        }
        assert_eq!(said, [429, 401, 401], "{name}");
    }
    for name in ["kim", "kit"] {
        spoke.later(Duration::from_mins(16));
        for _ in 0..5 {
            assert_eq!(guess("email", &format!("{name}@example.com")).await, 401);
        }
        assert_eq!(guess("email", &format!(" {name}@EXAMPLE.com ")).await, 429, "{name}");
    }
}

async fn a_burst_of_right_passwords_is_not_taken_for_guessing(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let logins = (0..20).map(|_| spoke.log_in("ada", PASSWORD));
    for login in join_all(logins).await {
        login.is(200);
    }
}

async fn a_burst_of_guesses_at_once_is_counted_too(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let guesses = (0..20).map(|_| spoke.log_in("ada", "wrong password"));
    let answers = join_all(guesses).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 5);
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 15);
}

async fn an_address_is_slowed_down_whoever_it_guesses_at(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    for guess in 0..100 {
        let name = format!("nobody{guess}");
        guess_from(&spoke, "192.0.2.1", &name, "wrong password").await.is(401);
    }
    let refused = guess_from(&spoke, "192.0.2.1", "ada", PASSWORD).await;
    refused.problem("rate-limited", 429);
    guess_from(&spoke, "192.0.2.2", "ada", PASSWORD).await.is(200);
}

async fn a_stranger_cannot_name_another_address_as_its_own(engine: Engine) {
    let spoke = settings(engine).with("user.trusted_proxies=[]").start().await;
    spoke.registered("ada").await;
    for guess in 0..100 {
        let (name, address) = (format!("nobody{guess}"), format!("192.0.2.{guess}"));
        guess_from(&spoke, &address, &name, "wrong password").await.is(401);
    }
    guess_from(&spoke, "198.51.100.1", "ada", PASSWORD).await.problem("rate-limited", 429);
}

async fn guesses_at_the_set_up_code_are_slowed_down(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["code"] = json!("wrong");
    for _ in 0..100 {
        spoke.post("/api/setup", &body).await.problem("wrong-credentials", 401);
    }
    spoke.post("/api/setup", &body).await.problem("rate-limited", 429);
}
