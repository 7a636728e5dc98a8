//! Tickets for sockets: good once, for a moment, and no longer than what they stand for.

use std::time::Duration;

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Spoke, access, settings, spoke};

on_both_engines!(
    a_ticket_says_once_whom_it_is_for,
    of_parallel_uses_of_a_ticket_exactly_one_is_taken,
    a_ticket_is_redeemed_by_services_that_were_granted_it,
    a_ticket_is_over_after_half_a_minute,
    a_ticket_ends_with_its_session,
    a_ticket_ends_with_the_token_that_it_was_got_with,
    a_session_that_has_ended_gets_no_ticket,
    a_session_has_so_many_tickets_at_a_time,
);

async fn ticket(spoke: &Spoke, session: &Value) -> String {
    let got = spoke.post_as(access(session), "/api/ws-ticket", &json!({})).await.is(201);
    assert_eq!(got["expiresIn"], 30);
    got["ticket"].as_str().unwrap().to_owned()
}

async fn redeem(spoke: &Spoke, ticket: &str) -> Answer {
    let body = json!({ "ticket": ticket });
    spoke.post_as(&spoke.service_token("chat"), "/internal/tickets/redeem", &body).await
}

async fn a_ticket_says_once_whom_it_is_for(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    spoke.later(Duration::from_secs(5));
    let ticket = ticket(&spoke, &ada).await;
    let of = redeem(&spoke, &ticket).await.is(200);
    assert_eq!(of["userId"], ada["user"]["id"]);
    assert_eq!((&of["username"], &of["roles"]), (&json!("ada"), &json!(["customer"])));
    let sessions = spoke.get_as(access(&ada), "/api/sessions").await.is(200);
    assert_eq!(of["sessionId"], sessions[0]["id"]);
    assert_eq!(of["issuedAt"], "2026-11-20T17:00:00.000Z", "as the token says");
    assert_eq!(of["expiresAt"], "2026-11-20T17:15:00.000Z", "as the token says");
    redeem(&spoke, &ticket).await.problem("wrong-credentials", 401);
    redeem(&spoke, "nonsense").await.problem("wrong-credentials", 401);
}

async fn of_parallel_uses_of_a_ticket_exactly_one_is_taken(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let ticket = ticket(&spoke, &ada).await;
    let uses = (0..8).map(|_| redeem(&spoke, &ticket));
    let answers = futures_util::future::join_all(uses).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 1);
}

async fn a_ticket_is_redeemed_by_services_that_were_granted_it(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let ticket = ticket(&spoke, &ada).await;
    let (body, path) = (json!({ "ticket": ticket }), "/internal/tickets/redeem");
    spoke.post(path, &body).await.problem("unauthenticated", 401);
    spoke.post_as(access(&ada), path, &body).await.problem("forbidden", 403);
    spoke.post_as(&spoke.service_token("gateway"), path, &body).await.problem("forbidden", 403);
    redeem(&spoke, &ticket).await.is(200);
}

async fn a_ticket_is_over_after_half_a_minute(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let (early, late) = (ticket(&spoke, &ada).await, ticket(&spoke, &ada).await);
    spoke.later(Duration::from_secs(29));
    redeem(&spoke, &early).await.is(200);
    spoke.later(Duration::from_secs(1));
    redeem(&spoke, &late).await.problem("wrong-credentials", 401);
}

async fn a_ticket_ends_with_its_session(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    let other = spoke.log_in("ada", PASSWORD).await.is(200);
    let (ended, alive) = (ticket(&spoke, &other).await, ticket(&spoke, &ada).await);
    spoke.post_as(access(&other), "/api/logout", &json!({})).await.is(200);
    redeem(&spoke, &ended).await.problem("wrong-credentials", 401);
    redeem(&spoke, &alive).await.is(200);
}

async fn a_ticket_ends_with_the_token_that_it_was_got_with(engine: Engine) {
    let spoke = spoke(engine).await;
    let (root, ada) = (spoke.admin().await, spoke.registered("ada").await);
    let old = ticket(&spoke, &ada).await;
    let path = format!("/api/users/{}/roles", ada["user"]["id"].as_str().unwrap());
    let roles = json!({"roles": ["staff"], "storeId": "7"});
    spoke.put_as(access(&root), &path, &roles).await.is(200);
    redeem(&spoke, &old).await.problem("wrong-credentials", 401);
    let bob = spoke.registered("bob").await;
    spoke.later(Duration::from_secs(15 * 60 - 10));
    let last = ticket(&spoke, &bob).await;
    spoke.later(Duration::from_secs(10));
    redeem(&spoke, &last).await.problem("wrong-credentials", 401);
}

async fn a_session_that_has_ended_gets_no_ticket(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    spoke.post_as(access(&ada), "/api/logout", &json!({})).await.is(200);
    let refused = spoke.post_as(access(&ada), "/api/ws-ticket", &json!({})).await;
    refused.problem("revoked-token", 401);
}

async fn a_session_has_so_many_tickets_at_a_time(engine: Engine) {
    let spoke = settings(engine).with("user.tickets_per_session_max=2").start().await;
    let ada = spoke.registered("ada").await;
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(ticket(&spoke, &ada).await);
        spoke.later(Duration::from_secs(1));
    }
    redeem(&spoke, &tickets[0]).await.problem("wrong-credentials", 401);
    redeem(&spoke, &tickets[1]).await.is(200);
    redeem(&spoke, &tickets[2]).await.is(200);
}
