//! Sessions that end before their time, and tokens that end with them.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Spoke, access, answer, refresh, settings, spoke};

on_both_engines!(
    signing_out_ends_the_session_and_its_token_at_once,
    signing_out_everywhere_ends_every_session_of_the_account_alone,
    one_s_sessions_are_listed_and_ended_one_by_one,
    somebody_else_s_session_is_not_there,
    a_new_password_ends_the_other_sessions_and_is_the_only_one_that_fits,
    a_new_password_takes_the_one_so_far_and_keeps_the_rules,
    guessing_at_the_current_password_is_slowed_down,
    a_deleted_account_is_gone_and_its_names_are_free,
    using_a_dead_refresh_token_ends_the_access_tokens_of_its_family,
    a_session_that_has_to_make_room_ends_with_its_token,
    sessions_that_have_ended_take_no_place,
    a_refused_change_costs_nobody_the_way_to_write,
    whoever_signs_in_again_in_the_same_second_is_let_in,
    what_ended_is_still_known_after_a_restart,
);

impl Spoke {
    async fn call(&self, token: &str, method: Method, path: &str) -> Answer {
        answer(self.request(method, path).bearer_auth(token)).await
    }

    async fn sign_out(&self, token: &str) -> Answer {
        self.call(token, Method::POST, "/api/logout").await
    }

    async fn is_dead(&self, token: &str) {
        self.get_as(token, "/api/profile").await.problem("revoked-token", 401);
    }

    async fn is_alive(&self, token: &str) {
        self.get_as(token, "/api/profile").await.is(200);
    }
}

fn ids(sessions: &Value) -> Vec<&str> {
    let list = sessions.as_array().unwrap();
    list.iter().map(|session| session["id"].as_str().unwrap()).collect()
}

async fn signing_out_ends_the_session_and_its_token_at_once(engine: Engine) {
    let spoke = spoke(engine).await;
    let one = spoke.registered("ada").await;
    let two = spoke.log_in("ada", PASSWORD).await.is(200);
    let said = spoke.sign_out(access(&one)).await;
    assert_eq!(said.headers["cache-control"], "no-store");
    assert_eq!(said.is(200)["message"], "You are signed out.");
    spoke.is_dead(access(&one)).await;
    spoke.refresh(refresh(&one)).await.problem("bad-token", 401);
    spoke.is_alive(access(&two)).await;
    spoke.refresh(refresh(&two)).await.is(200);
}

async fn signing_out_everywhere_ends_every_session_of_the_account_alone(engine: Engine) {
    let spoke = spoke(engine).await;
    let one = spoke.registered("ada").await;
    let two = spoke.log_in("ada", PASSWORD).await.is(200);
    let bob = spoke.registered("bob").await;
    spoke.call(access(&one), Method::POST, "/api/logout?all=true").await.is(200);
    for session in [&one, &two] {
        spoke.is_dead(access(session)).await;
        spoke.refresh(refresh(session)).await.problem("bad-token", 401);
    }
    spoke.is_alive(access(&bob)).await;
}

async fn one_s_sessions_are_listed_and_ended_one_by_one(engine: Engine) {
    let spoke = spoke(engine).await;
    let one = spoke.registered("ada").await;
    spoke.later(Duration::from_secs(1));
    let body = json!({"username": "ada", "password": PASSWORD});
    let request = spoke.request(Method::POST, "/api/login").json(&body);
    let phone = request.header("user-agent", "Phone/7").header("x-forwarded-for", "192.0.2.7");
    let two = answer(phone).await.is(200);

    let sessions = spoke.get_as(access(&one), "/api/sessions").await.is(200);
    let [newest, first] = sessions.as_array().unwrap().as_slice() else { panic!("{sessions}") };
    assert_eq!((&newest["device"], &newest["address"]), (&json!("Phone/7"), &json!("192.0.2.7")));
    assert_eq!((&newest["current"], &first["current"]), (&json!(false), &json!(true)));

    let path = format!("/api/sessions/{}", newest["id"].as_str().unwrap());
    spoke.call(access(&one), Method::DELETE, &path).await.is(200);
    spoke.is_dead(access(&two)).await;
    spoke.is_alive(access(&one)).await;
    let left = spoke.get_as(access(&one), "/api/sessions").await.is(200);
    assert_eq!(ids(&left), [first["id"].as_str().unwrap()]);
    spoke.call(access(&one), Method::DELETE, &path).await.problem("not-found", 404);
}

async fn somebody_else_s_session_is_not_there(engine: Engine) {
    let spoke = spoke(engine).await;
    let (ada, bob) = (spoke.registered("ada").await, spoke.registered("bob").await);
    let sessions = spoke.get_as(access(&ada), "/api/sessions").await.is(200);
    for id in [ids(&sessions)[0], "no-id", "00000000-0000-7000-8000-000000000000"] {
        let path = format!("/api/sessions/{id}");
        spoke.call(access(&bob), Method::DELETE, &path).await.problem("not-found", 404);
    }
    spoke.is_alive(access(&ada)).await;
}

async fn a_new_password_ends_the_other_sessions_and_is_the_only_one_that_fits(engine: Engine) {
    let spoke = spoke(engine).await;
    let one = spoke.registered("ada").await;
    let two = spoke.log_in("ada", PASSWORD).await.is(200);
    let body = json!({"currentPassword": PASSWORD, "newPassword": "staple battery"});
    spoke.put_as(access(&one), "/api/change-password", &body).await.is(200);
    spoke.is_dead(access(&two)).await;
    spoke.refresh(refresh(&two)).await.problem("bad-token", 401);
    spoke.is_alive(access(&one)).await;
    spoke.refresh(refresh(&one)).await.is(200);
    spoke.log_in("ada", PASSWORD).await.problem("wrong-credentials", 401);
    spoke.log_in("ada", "staple battery").await.is(200);
}

async fn a_new_password_takes_the_one_so_far_and_keeps_the_rules(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let change = async |current: &str, new: &str| {
        let body = json!({"currentPassword": current, "newPassword": new});
        spoke.put_as(access(&ada), "/api/change-password", &body).await
    };
    change("wrong password", "staple battery").await.problem("wrong-credentials", 401);
    for bad in ["short", "password123", &"x".repeat(257)] {
        assert_eq!(change(PASSWORD, bad).await.faulty_fields(), ["newPassword"], "{bad}");
    }
    spoke.log_in("ada", PASSWORD).await.is(200);
}

async fn guessing_at_the_current_password_is_slowed_down(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let body = json!({"currentPassword": "wrong password", "newPassword": "staple battery"});
    for _ in 0..5 {
        let refused = spoke.put_as(access(&ada), "/api/change-password", &body).await;
        refused.problem("wrong-credentials", 401);
    }
    let refused = spoke.put_as(access(&ada), "/api/change-password", &body).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem("rate-limited", 429);
}

async fn a_deleted_account_is_gone_and_its_names_are_free(engine: Engine) {
    let spoke = spoke(engine).await;
    let (ada, bob) = (spoke.registered("ada").await, spoke.registered("bob").await);
    spoke.call(access(&ada), Method::DELETE, "/api/users/me").await.is(200);
    spoke.is_dead(access(&ada)).await;
    spoke.refresh(refresh(&ada)).await.problem("bad-token", 401);
    spoke.log_in("ada", PASSWORD).await.problem("wrong-credentials", 401);
    let path = format!("/api/users/{}", ada["user"]["id"].as_str().unwrap());
    spoke.get_as(access(&bob), &path).await.problem("not-found", 404);
    let again = spoke.registered("ada").await;
    assert_ne!(again["user"]["id"], ada["user"]["id"]);
    spoke.is_alive(access(&again)).await;
}

async fn using_a_dead_refresh_token_ends_the_access_tokens_of_its_family(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let next = spoke.refresh(refresh(&ada)).await.is(200);
    spoke.refresh(refresh(&ada)).await.problem("bad-token", 401);
    spoke.is_dead(access(&next)).await;
    spoke.is_dead(access(&ada)).await;
}

async fn a_session_that_has_to_make_room_ends_with_its_token(engine: Engine) {
    let spoke = settings(engine).with("user.sessions.per_account_max=1").start().await;
    let one = spoke.registered("ada").await;
    let two = spoke.log_in("ada", PASSWORD).await.is(200);
    spoke.is_dead(access(&one)).await;
    spoke.is_alive(access(&two)).await;
}

async fn sessions_that_have_ended_take_no_place(engine: Engine) {
    let spoke = settings(engine).with("user.sessions.per_account_max=2").start().await;
    let phone = spoke.registered("ada").await;
    for _ in 0..4 {
        spoke.later(Duration::from_secs(1));
        let script = spoke.log_in("ada", PASSWORD).await.is(200);
        spoke.sign_out(access(&script)).await.is(200);
    }
    spoke.is_alive(access(&phone)).await;
    spoke.refresh(refresh(&phone)).await.is(200);
}

async fn a_refused_change_costs_nobody_the_way_to_write(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    spoke.registered("bob").await;
    for _ in 0..20 {
        let taken = json!({"email": "bob@example.com"});
        spoke.put_as(access(&ada), "/api/profile", &taken).await.problem("taken", 409);
    }
    let bio = json!({"bio": "counts"});
    spoke.put_as(access(&ada), "/api/profile", &bio).await.is(200);
}

async fn whoever_signs_in_again_in_the_same_second_is_let_in(engine: Engine) {
    let spoke = spoke(engine).await;
    let one = spoke.registered("ada").await;
    spoke.call(access(&one), Method::POST, "/api/logout?all=true").await.is(200);
    let two = spoke.log_in("ada", PASSWORD).await.is(200);
    spoke.is_dead(access(&one)).await;
    spoke.is_alive(access(&two)).await;
}

async fn what_ended_is_still_known_after_a_restart(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    spoke.sign_out(access(&ada)).await.is(200);
    let spoke = spoke.restart().await;
    spoke.is_dead(access(&ada)).await;
}

#[tokio::test]
async fn what_one_replica_ends_the_other_refuses_within_a_second() {
    let one = spoke(Engine::Postgres).await;
    let two = one.replica().await;
    let ada = one.registered("ada").await;
    two.is_alive(access(&ada)).await;
    one.sign_out(access(&ada)).await.is(200);
    let refused = async {
        while two.get_as(access(&ada), "/api/profile").await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), refused).await.expect("the token goes on");
}
