//! Signing in, and trading refresh tokens one by one.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::support::{PASSWORD, access, ada, refresh, settings, spoke};

on_both_engines!(
    an_account_is_named_by_email_username_or_phone,
    an_account_has_to_be_named_in_exactly_one_way,
    an_unknown_account_and_a_wrong_password_sound_the_same,
    a_refresh_token_is_good_once_and_gives_the_next,
    using_a_dead_refresh_token_ends_the_whole_family,
    of_parallel_uses_exactly_one_gets_a_session,
    an_unknown_refresh_token_is_refused,
    a_session_ends_when_it_is_not_used,
    a_session_ends_when_it_is_old_however_much_it_is_used,
    the_least_recently_used_session_makes_room,
);

async fn an_account_is_named_by_email_username_or_phone(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["phone"] = json!("+4930123456");
    let made = spoke.post("/api/register", &body).await.is(201);
    for (way, name) in [("email", "ADA@example.com"), ("username", "Ada"), ("phone", "+4930123456")]
    {
        let session = spoke.post("/api/login", &json!({way: name, "password": PASSWORD})).await;
        assert_eq!(session.headers["cache-control"], "no-store");
        assert_eq!(session.is(200)["user"]["id"], made["user"]["id"], "{way}");
    }
}

async fn an_account_has_to_be_named_in_exactly_one_way(engine: Engine) {
    let spoke = spoke(engine).await;
    let none = spoke.post("/api/login", &json!({"password": PASSWORD})).await;
    assert_eq!(none.faulty_fields(), ["email", "username", "phone"]);
    let two = json!({"email": "ada@example.com", "username": "ada", "password": PASSWORD});
    assert_eq!(spoke.post("/api/login", &two).await.faulty_fields().len(), 3);
}

async fn an_unknown_account_and_a_wrong_password_sound_the_same(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.registered("ada").await;
    let said = |mut problem: Value| {
        problem["requestId"] = Value::Null;
        problem
    };
    let wrong = spoke.log_in("ada", "wrong password").await.problem("wrong-credentials", 401);
    let unknown = spoke.log_in("bob", PASSWORD).await.problem("wrong-credentials", 401);
    let absurd = spoke.log_in("no such name!", PASSWORD).await.problem("wrong-credentials", 401);
    assert_eq!(said(wrong.clone()), said(unknown));
    assert_eq!(said(wrong), said(absurd));
}

async fn a_refresh_token_is_good_once_and_gives_the_next(engine: Engine) {
    let spoke = spoke(engine).await;
    let first = spoke.registered("ada").await;
    spoke.later(Duration::from_secs(1));
    let second = spoke.refresh(refresh(&first)).await.is(200);
    assert_ne!(refresh(&first), refresh(&second));
    assert_ne!(access(&first), access(&second));
    assert_eq!(second["user"]["id"], first["user"]["id"]);
    spoke.refresh(refresh(&second)).await.is(200);
}

async fn using_a_dead_refresh_token_ends_the_whole_family(engine: Engine) {
    let spoke = spoke(engine).await;
    let first = spoke.registered("ada").await;
    let second = spoke.refresh(refresh(&first)).await.is(200);
    let other = spoke.log_in("ada", PASSWORD).await.is(200);

    spoke.refresh(refresh(&first)).await.problem("bad-token", 401);
    spoke.refresh(refresh(&second)).await.problem("bad-token", 401);
    spoke.refresh(refresh(&other)).await.is(200);
}

async fn of_parallel_uses_exactly_one_gets_a_session(engine: Engine) {
    let spoke = spoke(engine).await;
    for round in 0..5 {
        let session = spoke.registered(&format!("ada{round}")).await;
        let token = refresh(&session);
        let (one, two, three, four) = tokio::join!(
            spoke.refresh(token),
            spoke.refresh(token),
            spoke.refresh(token),
            spoke.refresh(token)
        );
        let mut statuses = [one, two, three, four].map(|answer| answer.status.as_u16());
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401, 401, 401]);
    }
}

async fn an_unknown_refresh_token_is_refused(engine: Engine) {
    let spoke = spoke(engine).await;
    spoke.refresh("nonsense").await.problem("bad-token", 401);
    spoke.refresh("").await.problem("bad-token", 401);
}

async fn a_session_ends_when_it_is_not_used(engine: Engine) {
    let spoke = settings(engine).with("user.sessions.idle_max=1h").start().await;
    let first = spoke.registered("ada").await;
    spoke.later(Duration::from_mins(50));
    let second = spoke.refresh(refresh(&first)).await.is(200);
    spoke.later(Duration::from_mins(50));
    let third = spoke.refresh(refresh(&second)).await.is(200);
    spoke.later(Duration::from_hours(1));
    spoke.refresh(refresh(&third)).await.problem("expired-token", 401);
}

async fn a_session_ends_when_it_is_old_however_much_it_is_used(engine: Engine) {
    let settings = settings(engine).with("user.sessions.idle_max=1h");
    let spoke = settings.with("user.sessions.age_max=2h").start().await;
    let mut session = spoke.registered("ada").await;
    for _ in 0..2 {
        spoke.later(Duration::from_mins(50));
        session = spoke.refresh(refresh(&session)).await.is(200);
    }
    spoke.later(Duration::from_mins(20));
    spoke.refresh(refresh(&session)).await.problem("expired-token", 401);
}

async fn the_least_recently_used_session_makes_room(engine: Engine) {
    let spoke = settings(engine).with("user.sessions.per_account_max=2").start().await;
    let first = spoke.registered("ada").await;
    spoke.later(Duration::from_secs(1));
    let second = spoke.log_in("ada", PASSWORD).await.is(200);
    spoke.later(Duration::from_secs(1));
    let third = spoke.log_in("ada", PASSWORD).await.is(200);
    spoke.refresh(refresh(&first)).await.problem("bad-token", 401);
    spoke.refresh(refresh(&second)).await.is(200);
    spoke.refresh(refresh(&third)).await.is(200);
}
