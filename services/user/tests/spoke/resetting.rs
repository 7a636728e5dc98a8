//! Setting a new password by what was sent to the account's address.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::letters::{Log, letter, letters};
use crate::support::{Answer, PASSWORD, Spoke, access, account, refresh, settings, spoke};

const SUBJECT: &str = "Set a new password";
const NEW: &str = "battery staple horse";

on_both_engines!(
    a_forgotten_password_is_set_anew_and_every_session_ends,
    it_takes_away_every_other_way_in_of_whoever_claimed_the_address,
    nobody_learns_whether_there_is_an_account,
    a_letter_goes_to_the_address_of_the_account_alone,
    a_token_is_good_once_however_many_use_it_at_once,
    a_token_is_good_for_an_hour,
    a_password_that_breaks_the_rules_leaves_the_token_good,
    an_unknown_token_is_refused,
    one_reset_kills_all_that_was_sent,
    a_changed_password_kills_what_was_sent,
    a_changed_address_kills_what_was_sent,
    a_receiver_gets_a_few_letters_an_hour,
    an_address_asks_a_bounded_number_of_times,
    it_is_in_the_audit_and_no_secret_is_in_the_log,
);

async fn forget(spoke: &Spoke, email: &str) -> Answer {
    spoke.post("/api/forgot-password", &json!({"email": email})).await
}

async fn reset(spoke: &Spoke, token: &str, password: &str) -> Answer {
    spoke.post("/api/reset-password", &json!({"token": token, "password": password})).await
}

/// A service with ada's account, the session, and a token that resets its password.
async fn forgotten(engine: Engine) -> (Spoke, Value, String) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    forget(&spoke, "ada@example.com").await.is(202);
    let token = letter(&spoke, SUBJECT, 1).await.token();
    (spoke, session, token)
}

async fn a_forgotten_password_is_set_anew_and_every_session_ends(engine: Engine) {
    let (spoke, session, token) = forgotten(engine).await;
    let text = letter(&spoke, SUBJECT, 1).await.text;
    let link = format!("\r\nhttp://localhost:8000/ui/reset-password#token={token}\r\n");
    assert!(text.contains(&link), "{text}");

    reset(&spoke, &token, NEW).await.is(200);
    spoke.refresh(refresh(&session)).await.problem("bad-token", 401);
    spoke.log_in("ada", PASSWORD).await.problem("wrong-credentials", 401);
    let session = spoke.log_in("ada", NEW).await.is(200);
    assert_eq!(session["user"]["emailVerified"], true, "its owner read the letter");
}

async fn it_takes_away_every_other_way_in_of_whoever_claimed_the_address(engine: Engine) {
    let gateway = "identity.grants.user.gateway=[\"exchange\"]";
    let spoke = settings(engine).with(gateway).start().await;
    // Mallory was first to register with the address, which is not hers.
    let mut body = account("ada");
    body["phone"] = json!("+4930123456");
    let mallory = spoke.post("/api/register", &body).await.is(201);
    let key = json!({"name": "robot", "scopes": ["messages:read"]});
    let key = spoke.post_as(access(&mallory), "/api/api-keys", &key).await.is(201);
    forget(&spoke, "ada@example.com").await.is(202);
    let token = letter(&spoke, SUBJECT, 1).await.token();
    reset(&spoke, &token, NEW).await.is(200);

    let body = json!({"key": key["key"]});
    let service = spoke.service_token("gateway");
    let refused = spoke.post_as(&service, "/internal/keys/exchange", &body).await;
    refused.problem("wrong-credentials", 401);
    let ada = spoke.log_in("ada", NEW).await.is(200);
    assert_eq!(ada["user"]["phone"], Value::Null);
}

async fn nobody_learns_whether_there_is_an_account(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let known = forget(&spoke, "ada@example.com").await;
    let unknown = forget(&spoke, "nobody@example.com").await;
    assert_eq!((known.status, known.body.clone()), (unknown.status, unknown.body));
    assert_eq!(known.headers.len(), unknown.headers.len());
    known.is(202);
    // Nor when the store is away: nothing of it is asked before the answer.
    spoke.break_database().await;
    forget(&spoke, "ada@example.com").await.is(202);
}

async fn a_letter_goes_to_the_address_of_the_account_alone(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    for email in ["nobody@example.com", "ADA@EXAMPLE.COM"] {
        forget(&spoke, email).await.is(202);
    }
    for bad in ["", "ada", "ada@example.com\r\nbcc: eve@example.com", "ada@example.com, eve@x.org"]
    {
        assert_eq!(forget(&spoke, bad).await.faulty_fields(), ["email"], "{bad}");
    }
    let spoke = spoke.restart().await;
    let letters = letters(&spoke);
    let resets: Vec<_> = letters.iter().filter(|one| one.text.contains(SUBJECT)).collect();
    assert_eq!(resets.len(), 1);
    assert!(resets[0].text.contains("\r\nTo: ada@example.com\r\n"), "as its owner spelled it");
}

async fn a_token_is_good_once_however_many_use_it_at_once(engine: Engine) {
    let (spoke, _, token) = forgotten(engine).await;
    let passwords: Vec<_> = (0..20).map(|number| format!("{NEW} {number}")).collect();
    let uses = passwords.iter().map(|password| reset(&spoke, &token, password));
    let answers = join_all(uses).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(410)), (1, 19));
    let winner = answers.iter().position(|answer| answer.status == 200).unwrap();
    spoke.log_in("ada", &passwords[winner]).await.is(200);
}

async fn a_token_is_good_for_an_hour(engine: Engine) {
    let (spoke, _, token) = forgotten(engine).await;
    spoke.later(Duration::from_hours(1));
    reset(&spoke, &token, NEW).await.problem("gone", 410);
    spoke.log_in("ada", PASSWORD).await.is(200);
}

async fn a_password_that_breaks_the_rules_leaves_the_token_good(engine: Engine) {
    let (spoke, _, token) = forgotten(engine).await;
    for bad in ["short", "Password123", "ada@example.com"] {
        assert_eq!(reset(&spoke, &token, bad).await.faulty_fields(), ["password"], "{bad}");
    }
    reset(&spoke, &token, NEW).await.is(200);
}

async fn an_unknown_token_is_refused(engine: Engine) {
    let spoke = spoke(engine).await;
    for bad in ["", "x", &"A".repeat(43)] {
        assert_eq!(reset(&spoke, bad, NEW).await.faulty_fields(), ["token"], "{bad}");
    }
}

async fn one_reset_kills_all_that_was_sent(engine: Engine) {
    let (spoke, _, first) = forgotten(engine).await;
    spoke.later(Duration::from_secs(1));
    forget(&spoke, "ada@example.com").await.is(202);
    let second = letter(&spoke, SUBJECT, 2).await.token();
    reset(&spoke, &first, NEW).await.is(200);
    reset(&spoke, &second, "yet another good one").await.problem("gone", 410);
}

async fn a_changed_password_kills_what_was_sent(engine: Engine) {
    let (spoke, session, token) = forgotten(engine).await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": NEW});
    spoke.put_as(access(&session), "/api/change-password", &change).await.is(200);
    reset(&spoke, &token, "yet another good one").await.problem("gone", 410);
}

async fn a_changed_address_kills_what_was_sent(engine: Engine) {
    let (spoke, session, token) = forgotten(engine).await;
    let change = json!({"email": "ada@example.org"});
    spoke.put_as(access(&session), "/api/profile", &change).await.is(200);
    reset(&spoke, &token, NEW).await.problem("gone", 410);
}

async fn a_receiver_gets_a_few_letters_an_hour(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    for _ in 0..6 {
        forget(&spoke, "ada@example.com").await.is(202);
    }
    let spoke = spoke.restart().await;
    let resets = letters(&spoke).into_iter().filter(|letter| letter.text.contains(SUBJECT));
    assert_eq!(resets.count(), 3);
}

async fn an_address_asks_a_bounded_number_of_times(engine: Engine) {
    let spoke = spoke(engine).await;
    for number in 0..20 {
        forget(&spoke, &format!("nobody{number}@example.com")).await.is(202);
    }
    forget(&spoke, "ada@example.com").await.problem("rate-limited", 429);
    spoke.later(Duration::from_mins(15));
    forget(&spoke, "ada@example.com").await.is(202);
}

async fn it_is_in_the_audit_and_no_secret_is_in_the_log(engine: Engine) {
    let log = Log::of_this_thread();
    let spoke = settings(engine).with("user.setup_code=open-sesame").start().await;
    let code = json!({"code": "open-sesame", "username": "ada", "email": "ada@example.com", "password": PASSWORD});
    spoke.post("/api/setup", &code).await.is(201);
    forget(&spoke, "ada@example.com").await.is(202);
    let token = letter(&spoke, SUBJECT, 1).await.token();
    reset(&spoke, &token, NEW).await.is(200);
    let session = spoke.log_in("ada", NEW).await.is(200);
    let audit = spoke.get_as(access(&session), "/api/users/audit").await.is(200);
    let of = |action: &str| {
        let mut entries = audit.as_array().unwrap().iter();
        entries.any(|entry| entry["action"] == action && entry["outcome"] == "done")
    };
    assert!(of("forgot-password") && of("reset-password"), "{audit}");
    for secret in [token.as_str(), NEW, PASSWORD, "ada@example.com"] {
        assert!(!log.text().contains(secret), "{secret} is in the log");
        assert!(!audit.to_string().contains(secret), "{secret} is in the audit");
    }
}
