//! Confirming an e-mail address by what was sent there.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::letters::{Log, letter, letters};
use crate::support::{Answer, PASSWORD, Spoke, access, refresh, settings, spoke};

const SUBJECT: &str = "Confirm your e-mail address";
const DAY: Duration = Duration::from_hours(24);

on_both_engines!(
    whoever_registers_gets_a_letter_that_confirms_the_address,
    an_unknown_token_and_a_broken_one_are_refused,
    a_token_is_good_once_however_many_use_it_at_once,
    a_token_is_good_for_a_day,
    a_token_of_another_purpose_is_unknown,
    a_changed_address_makes_what_was_sent_to_the_old_one_worthless,
    the_same_address_again_is_not_written_to,
    a_letter_may_be_asked_for_again_a_few_times_an_hour,
    nobody_asks_for_another_one_s_letter,
    following_the_link_changes_nothing_and_shows_a_page,
    a_link_that_is_not_whole_is_not_quoted,
    letters_are_private_files_and_never_in_the_log,
    letters_are_bounded_in_number,
);

async fn verify(spoke: &Spoke, token: &str) -> Answer {
    spoke.post("/api/verify-email", &json!({"token": token})).await
}

async fn is_verified(spoke: &Spoke, session: &Value) -> bool {
    let profile = spoke.get_as(access(session), "/api/profile").await.is(200);
    profile["user"]["emailVerified"].as_bool().unwrap()
}

async fn whoever_registers_gets_a_letter_that_confirms_the_address(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let letter = letter(&spoke, SUBJECT, 1).await;
    assert!(letter.text.contains("\r\nTo: ada@example.com\r\n"), "{}", letter.text);
    let link =
        format!("\r\nhttp://localhost:8000/api/auth/verify-email?token={}\r\n", letter.token());
    assert!(letter.text.contains(&link), "{}", letter.text);
    assert!(!is_verified(&spoke, &session).await);

    assert!(verify(&spoke, &letter.token()).await.is(200)["message"].is_string());
    assert!(is_verified(&spoke, &session).await);
    let renewed = spoke.refresh(refresh(&session)).await.is(200);
    assert_eq!(claims(access(&renewed))["email_verified"], true);
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let body = token.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap();
    serde_json::from_slice(&json).unwrap()
}

async fn an_unknown_token_and_a_broken_one_are_refused(engine: Engine) {
    let spoke = spoke(engine).await;
    for bad in ["", "x", &"A".repeat(43), &"A".repeat(100_000)] {
        assert_eq!(verify(&spoke, bad).await.faulty_fields(), ["token"]);
    }
}

async fn a_token_is_good_once_however_many_use_it_at_once(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let token = letter(&spoke, SUBJECT, 1).await.token();
    let answers = join_all((0..20).map(|_| verify(&spoke, &token))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(410)), (1, 19));
    verify(&spoke, &token).await.problem("gone", 410);
}

async fn a_token_is_good_for_a_day(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let token = letter(&spoke, SUBJECT, 1).await.token();
    spoke.later(DAY);
    verify(&spoke, &token).await.problem("gone", 410);
}

async fn a_token_of_another_purpose_is_unknown(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let token = letter(&spoke, SUBJECT, 1).await.token();
    let body = json!({"token": token, "password": "another good one"});
    assert_eq!(spoke.post("/api/reset-password", &body).await.faulty_fields(), ["token"]);
}

async fn a_changed_address_makes_what_was_sent_to_the_old_one_worthless(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let old = letter(&spoke, SUBJECT, 1).await.token();
    spoke.later(Duration::from_secs(1));
    let change = json!({"email": "ada@example.org"});
    spoke.put_as(access(&session), "/api/profile", &change).await.is(200);
    let new = letter(&spoke, SUBJECT, 2).await;
    assert!(new.text.contains("\r\nTo: ada@example.org\r\n"), "{}", new.text);

    verify(&spoke, &old).await.problem("gone", 410);
    assert!(!is_verified(&spoke, &session).await);
    verify(&spoke, &new.token()).await.is(200);
    assert!(is_verified(&spoke, &session).await);
}

async fn the_same_address_again_is_not_written_to(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    letter(&spoke, SUBJECT, 1).await;
    let same = json!({"email": "Ada@example.com", "bio": "counts"});
    spoke.put_as(access(&session), "/api/profile", &same).await.is(200);
    let spoke = spoke.restart().await;
    assert_eq!(letters(&spoke).len(), 1);
}

async fn a_letter_may_be_asked_for_again_a_few_times_an_hour(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    letter(&spoke, SUBJECT, 1).await;
    for _ in 0..2 {
        spoke.later(Duration::from_secs(1));
        spoke.ask_as(access(&session), "/api/verify-email/resend").await.is(202);
    }
    let refused = spoke.ask_as(access(&session), "/api/verify-email/resend").await;
    refused.problem("rate-limited", 429);
    // Whichever of them is read first.
    let first = letter(&spoke, SUBJECT, 1).await.token();
    letter(&spoke, SUBJECT, 3).await;
    verify(&spoke, &first).await.is(200);
    spoke.ask_as(access(&session), "/api/verify-email/resend").await.is(202);
    let spoke = spoke.restart().await;
    assert_eq!(letters(&spoke).len(), 3, "a confirmed address is not written to");
}

async fn nobody_asks_for_another_one_s_letter(engine: Engine) {
    let spoke = spoke(engine).await;
    let body = json!({"email": "ada@example.com"});
    spoke.post("/api/verify-email/resend", &body).await.problem("unauthenticated", 401);
}

async fn following_the_link_changes_nothing_and_shows_a_page(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let token = letter(&spoke, SUBJECT, 1).await.token();
    let page = spoke.get(&format!("/api/verify-email?token={token}")).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let html = page.is(200);
    let html = html.as_str().unwrap();
    assert!(!html.contains(&token) && !html.contains("src=") && !html.contains("href="), "{html}");
    for (tag, source) in [("script", "script-src"), ("style", "style-src")] {
        let text = html.split_once(&format!("<{tag}>")).unwrap().1;
        let text = text.split_once(&format!("</{tag}>")).unwrap().0;
        assert!(policy.contains(&format!("{source} 'sha256-{}'", sha256(text))), "{policy}");
    }
    assert!(!is_verified(&spoke, &session).await);
    verify(&spoke, &token).await.is(200);
}

fn sha256(text: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(text.as_bytes()))
}

async fn a_link_that_is_not_whole_is_not_quoted(engine: Engine) {
    let spoke = spoke(engine).await;
    for bad in ["", "?token=", "?token=%3Cscript%3Ex%3C/script%3E", "?token=AAAA"] {
        let page = spoke.get(&format!("/api/verify-email{bad}")).await;
        let html = page.is(400);
        let html = html.as_str().unwrap();
        assert!(!html.contains("<script") && !html.contains("AAAA"), "{html}");
    }
}

async fn letters_are_private_files_and_never_in_the_log(engine: Engine) {
    let log = Log::of_this_thread();
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    let letter = letter(&spoke, SUBJECT, 1).await;
    verify(&spoke, &letter.token()).await.is(200);
    spoke.ask_as(access(&session), "/api/verify-email/resend").await.is(202);

    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&letter.path), 0o600);
    assert_eq!(mode(letter.path.parent().unwrap()), 0o700);
    let (name, text) = (letter.path.file_name().unwrap().to_str().unwrap(), log.text());
    assert!(name.starts_with("20261120T170000.000Z-"), "{name}");
    assert!(text.contains(name), "the log says which file");
    for secret in [letter.token().as_str(), "ada@example.com", SUBJECT, PASSWORD] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

async fn letters_are_bounded_in_number(engine: Engine) {
    let spoke = settings(engine).with("user.mail.files_max=2").start().await;
    for name in ["ada", "bob", "eve"] {
        spoke.registered(name).await;
        letter(&spoke, SUBJECT, if name == "ada" { 1 } else { 2 }).await;
        spoke.later(Duration::from_secs(1));
    }
    let spoke = spoke.restart().await;
    let letters = letters(&spoke);
    assert_eq!(letters.len(), 2);
    assert!(letters[1].text.contains("To: eve@example.com"));
}
