//! Somebody guesses at one account from everywhere, for hours: they get few guesses, and its owner gets
//! in all the same.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};

use crate::letters::letter;
use crate::support::{Answer, PASSWORD, Spoke, access, ada, answer, spoke};

on_both_engines!(
    guesses_from_everywhere_do_not_keep_the_owner_out_at_home,
    home_is_known_after_a_restart_and_after_signing_out,
    home_has_a_count_of_its_own_and_no_more_than_that,
    a_network_of_ipv6_is_one_home_and_the_next_one_is_not,
    guesses_from_everywhere_are_few_and_the_owner_s_coming_and_going_buys_no_more,
    one_address_gets_no_further_with_150_guesses_than_with_five,
    whoever_sets_a_new_password_signs_in_from_there,
    the_owner_changes_the_password_at_home_meanwhile,
);

/// Where the owner is, and where they come from next.
const HOME: &str = "192.0.2.7";
const ABROAD: &str = "203.0.113.9";
/// The longest that anybody has to wait.
const WINDOW: Duration = Duration::from_mins(15);

async fn call_from(spoke: &Spoke, address: &str, path: &str, body: &Value) -> Answer {
    let request = spoke.request(Method::POST, path).json(body);
    answer(request.header("x-forwarded-for", address)).await
}

async fn log_in_from(spoke: &Spoke, address: &str, password: &str) -> Answer {
    let body = json!({"username": "ada", "password": password});
    call_from(spoke, address, "/api/login", &body).await
}

/// A service with the account of somebody who made it at home.
async fn at_home(engine: Engine) -> (Spoke, Value) {
    let spoke = spoke(engine).await;
    let session = call_from(&spoke, HOME, "/api/register", &ada()).await.is(201);
    (spoke, session)
}

/// Guesses from as many addresses until all of them have to wait; says how often it was judged.
async fn besiege(spoke: &Spoke, addresses: u8) -> usize {
    let mut judged = 0;
    for number in 0..addresses {
        let answer = log_in_from(spoke, &format!("198.51.100.{number}"), "a wrong one").await;
        match answer.status.as_u16() {
            401 => judged += 1,
            status => assert_eq!(status, 429, "{}", answer.body),
        }
    }
    judged
}

async fn guesses_from_everywhere_do_not_keep_the_owner_out_at_home(engine: Engine) {
    let (spoke, _) = at_home(engine).await;
    for _ in 0..12 {
        besiege(&spoke, 8).await;
        log_in_from(&spoke, ABROAD, PASSWORD).await.problem("rate-limited", 429);
        log_in_from(&spoke, HOME, PASSWORD).await.is(200);
        // At the longest wait's end, the guesses come first again.
        spoke.later(WINDOW);
    }
}

async fn home_is_known_after_a_restart_and_after_signing_out(engine: Engine) {
    let (spoke, session) = at_home(engine).await;
    let log_out = spoke.request(Method::POST, "/api/logout").bearer_auth(access(&session));
    answer(log_out.json(&json!({}))).await.is(200);
    let spoke = spoke.restart().await;
    besiege(&spoke, 8).await;
    log_in_from(&spoke, ABROAD, PASSWORD).await.is(429);
    log_in_from(&spoke, HOME, PASSWORD).await.is(200);
}

async fn home_has_a_count_of_its_own_and_no_more_than_that(engine: Engine) {
    let (spoke, _) = at_home(engine).await;
    for _ in 0..5 {
        log_in_from(&spoke, HOME, "a wrong one").await.problem("wrong-credentials", 401);
    }
    let refused = log_in_from(&spoke, HOME, PASSWORD).await;
    assert_eq!(refused.headers["retry-after"], "15");
    assert_eq!(refused.headers["ratelimit-policy"], "\"sign-in-by-account\";q=5;w=900");
    refused.problem("rate-limited", 429);
    log_in_from(&spoke, ABROAD, PASSWORD).await.is(200);
}

async fn a_network_of_ipv6_is_one_home_and_the_next_one_is_not(engine: Engine) {
    let (spoke, _) = at_home(engine).await;
    log_in_from(&spoke, "2001:db8:0:7::1", PASSWORD).await.is(200);
    besiege(&spoke, 8).await;
    log_in_from(&spoke, "2001:db8:0:7:8000::99", PASSWORD).await.is(200);
    log_in_from(&spoke, "2001:db8:0:8::1", PASSWORD).await.is(429);
}

/// Five are free; then the waits double from 15 seconds on: four more in a window.
async fn guesses_from_everywhere_are_few_and_the_owner_s_coming_and_going_buys_no_more(
    engine: Engine,
) {
    let (spoke, _) = at_home(engine).await;
    let (mut judged, mut passed) = (0, Duration::ZERO);
    let mut waits = Vec::new();
    while passed < WINDOW {
        judged += besiege(&spoke, 8).await;
        log_in_from(&spoke, HOME, PASSWORD).await.is(200);
        let refused = log_in_from(&spoke, ABROAD, "a wrong one").await;
        let wait = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        waits.push(wait);
        passed += Duration::from_secs(wait);
        spoke.later(Duration::from_secs(wait));
    }
    assert_eq!(waits, [15, 30, 60, 120, 240, 480]);
    assert_eq!(judged, 10);
}

async fn one_address_gets_no_further_with_150_guesses_than_with_five(engine: Engine) {
    let (spoke, _) = at_home(engine).await;
    for guess in 0..150 {
        let answer = log_in_from(&spoke, ABROAD, "a wrong one").await;
        if guess < 5 {
            answer.problem("wrong-credentials", 401);
            continue;
        }
        assert_eq!(answer.headers["retry-after"], "15");
        assert_eq!(answer.headers["ratelimit"], "\"sign-in-by-account\";r=0;t=15");
        answer.problem("rate-limited", 429);
    }
    // What was refused uncounted is not held against the address either.
    let body = json!({"username": "somebody", "password": "a wrong one"});
    call_from(&spoke, ABROAD, "/api/login", &body).await.problem("wrong-credentials", 401);
}

async fn whoever_sets_a_new_password_signs_in_from_there(engine: Engine) {
    const NEW: &str = "another horse battery";
    let (spoke, _) = at_home(engine).await;
    besiege(&spoke, 8).await;
    log_in_from(&spoke, ABROAD, PASSWORD).await.is(429);
    let forgot = json!({"email": "ada@example.com"});
    call_from(&spoke, ABROAD, "/api/forgot-password", &forgot).await.is(202);
    let token = letter(&spoke, "Set a new password", 1).await.token();
    let reset = json!({"token": token, "password": NEW});
    call_from(&spoke, ABROAD, "/api/reset-password", &reset).await.is(200);
    log_in_from(&spoke, ABROAD, NEW).await.is(200);
    log_in_from(&spoke, "203.0.113.10", NEW).await.is(429);
}

async fn the_owner_changes_the_password_at_home_meanwhile(engine: Engine) {
    let (spoke, session) = at_home(engine).await;
    besiege(&spoke, 8).await;
    let body = json!({"currentPassword": PASSWORD, "newPassword": "another horse battery"});
    let change = |address: &'static str| {
        let request = spoke.request(Method::PUT, "/api/change-password").json(&body);
        answer(request.bearer_auth(access(&session)).header("x-forwarded-for", address))
    };
    change(ABROAD).await.problem("rate-limited", 429);
    change(HOME).await.is(200);
}
