//! Whoever owns an account hears of changes to what lets people into it.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::letters::{Log, letter, letters};
use crate::support::{PASSWORD, Spoke, access, spoke};

const CONFIRM: &str = "Confirm your e-mail address";
const RESET: &str = "Set a new password";
const ADDRESS: &str = "Your e-mail address was changed";
const CHANGED: &str = "Your password was changed";
const NEW: &str = "battery staple horse";

on_both_engines!(
    a_confirmed_address_that_is_left_is_told,
    an_address_that_nobody_confirmed_is_told_nothing,
    a_changed_password_is_told_to_the_confirmed_address,
    a_reset_password_is_told_to_the_address,
    a_receiver_is_told_a_few_times_an_hour,
);

/// A service with ada, who confirmed the address, and her session.
async fn confirmed(engine: Engine) -> (Spoke, Value) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let token = letter(&spoke, CONFIRM, 1).await.token();
    spoke.post("/api/verify-email", &json!({ "token": token })).await.is(200);
    (spoke, session)
}

async fn move_to(spoke: &Spoke, session: &Value, email: &str) {
    let change = json!({ "email": email });
    spoke.put_as(access(session), "/api/profile", &change).await.is(200);
}

async fn change_password(spoke: &Spoke, session: &Value, old: &str, new: &str) -> u16 {
    let change = json!({"currentPassword": old, "newPassword": new});
    spoke.put_as(access(session), "/api/change-password", &change).await.status.as_u16()
}

/// What was sent with this `subject`, once everything was: a drain waits for it.
async fn sent(spoke: Spoke, subject: &str) -> Vec<String> {
    let spoke = spoke.restart().await;
    let subject = format!("Subject: {subject}\r\n");
    let texts = letters(&spoke).into_iter().map(|letter| letter.text);
    texts.filter(|text| text.contains(&subject)).collect()
}

async fn a_confirmed_address_that_is_left_is_told(engine: Engine) {
    let log = Log::of_this_thread();
    let (spoke, session) = confirmed(engine).await;
    move_to(&spoke, &session, "Ada@Example.com").await;
    move_to(&spoke, &session, "eve@example.org").await;
    let text = letter(&spoke, ADDRESS, 1).await.text;
    // As its owner spelled it last.
    assert!(text.contains("\r\nTo: Ada@Example.com\r\n"), "{text}");
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    for quoted in ["http", "token", "eve@", "ada@", "127.0.0.1"] {
        assert!(!body.contains(quoted), "{quoted} is in {body}");
    }
    // The one after was never confirmed.
    move_to(&spoke, &session, "eve@example.net").await;
    assert_eq!(sent(spoke, ADDRESS).await.len(), 1);
    assert!(!log.text().contains("xample.com"), "an address is in the log");
}

async fn an_address_that_nobody_confirmed_is_told_nothing(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    assert_eq!(change_password(&spoke, &session, PASSWORD, NEW).await, 200);
    move_to(&spoke, &session, "ada@example.org").await;
    let spoke = spoke.restart().await;
    for letter in letters(&spoke) {
        assert!(letter.text.contains(CONFIRM), "{}", letter.text);
    }
}

async fn a_changed_password_is_told_to_the_confirmed_address(engine: Engine) {
    let (spoke, session) = confirmed(engine).await;
    assert_eq!(change_password(&spoke, &session, "wrong password", NEW).await, 401);
    assert_eq!(change_password(&spoke, &session, PASSWORD, NEW).await, 200);
    let texts = sent(spoke, CHANGED).await;
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("\r\nTo: ada@example.com\r\n"), "{}", texts[0]);
    for secret in [PASSWORD, NEW, "http", "token"] {
        assert!(!texts[0].contains(secret), "{secret} is in {}", texts[0]);
    }
}

async fn a_reset_password_is_told_to_the_address(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    spoke.post("/api/forgot-password", &json!({"email": "ada@example.com"})).await.is(202);
    let token = letter(&spoke, RESET, 1).await.token();
    let body = |password: &str| json!({"token": token, "password": password});
    spoke.post("/api/reset-password", &body("short")).await.is(400);
    spoke.post("/api/reset-password", &body(NEW)).await.is(200);
    spoke.post("/api/reset-password", &body("yet another good one")).await.is(410);
    let texts = sent(spoke, CHANGED).await;
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("\r\nTo: ada@example.com\r\n"), "{}", texts[0]);
}

async fn a_receiver_is_told_a_few_times_an_hour(engine: Engine) {
    let (spoke, session) = confirmed(engine).await;
    let (mut old, mut new) = (PASSWORD, NEW);
    for number in 1..=6 {
        assert_eq!(change_password(&spoke, &session, old, new).await, 200);
        if number <= 5 {
            letter(&spoke, CHANGED, number).await;
        }
        (old, new) = (new, old);
    }
    // The count for addresses is another one.
    spoke.later(Duration::from_secs(1));
    move_to(&spoke, &session, "eve@example.org").await;
    letter(&spoke, ADDRESS, 1).await;
    assert_eq!(sent(spoke, CHANGED).await.len(), 5);
}
