//! Who is listed, and what others may read of an account.

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::support::{Answer, access, ada, spoke};

on_both_engines!(
    others_are_seen_without_their_address_and_number,
    an_id_that_nobody_has_or_could_have_is_not_found,
    pages_follow_each_other_to_the_end,
    a_search_looks_at_names_and_takes_no_character_for_another,
    what_cannot_be_asked_for_is_refused,
);

fn names(body: &Value) -> Vec<&str> {
    body.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect()
}

fn next(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?.to_str().unwrap();
    let (target, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    Some(target.to_owned())
}

async fn others_are_seen_without_their_address_and_number(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = ada();
    body["phone"] = json!("+4930123456");
    let ada = spoke.post("/api/register", &body).await.is(201);
    let bob = spoke.registered("bob").await;
    let path = format!("/api/users/{}", ada["user"]["id"].as_str().unwrap());
    let user = spoke.get_as(access(&bob), &path).await.is(200);
    assert_eq!(user["username"], "ada");
    let text = user.to_string();
    assert!(!text.contains("example.com") && !text.contains("4930"), "{text}");
}

async fn an_id_that_nobody_has_or_could_have_is_not_found(engine: Engine) {
    let spoke = spoke(engine).await;
    let ada = spoke.registered("ada").await;
    for id in ["01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b", "7", "..%2f", "%ff"] {
        let path = format!("/api/users/{id}");
        spoke.get_as(access(&ada), &path).await.problem("not-found", 404);
    }
}

async fn pages_follow_each_other_to_the_end(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut session = Value::Null;
    for name in ["eve", "ada", "Cid", "bob", "dan"] {
        session = spoke.registered(name).await;
    }
    let mut path = "/api/users?limit=2".to_owned();
    let mut pages = Vec::new();
    loop {
        let answer = spoke.get_as(access(&session), &path).await;
        let link = next(&answer);
        pages.push(names(&answer.is(200)).join(" "));
        match link {
            Some(link) => path = link,
            None => break,
        }
    }
    assert_eq!(pages, ["ada bob", "Cid dan", "eve"]);
}

async fn a_search_looks_at_names_and_takes_no_character_for_another(engine: Engine) {
    let spoke = spoke(engine).await;
    for name in ["ada", "a_a", "bob"] {
        spoke.registered(name).await;
    }
    let session = spoke.registered("eve").await;
    let change = json!({"displayName": "Bobbie 100%"});
    spoke.put_as(access(&session), "/api/profile", &change).await.is(200);
    for (query, found) in [
        ("q=BOB", vec!["bob", "eve"]),
        ("q=_", vec!["a_a"]),
        ("q=%25", vec!["eve"]),
        ("q=example.com", vec![]),
        ("role=admin", vec![]),
        ("q=a&role=customer", vec!["a_a", "ada"]),
    ] {
        let path = format!("/api/users?{query}");
        let page = spoke.get_as(access(&session), &path).await.is(200);
        assert_eq!(names(&page), found, "{query}");
    }
}

async fn what_cannot_be_asked_for_is_refused(engine: Engine) {
    let spoke = spoke(engine).await;
    let session = spoke.registered("ada").await;
    for query in ["limit=0", "limit=x", "cursor=!", "role=king"] {
        let path = format!("/api/users?{query}");
        spoke.get_as(access(&session), &path).await.problem("invalid", 400);
    }
    spoke.get("/api/users").await.problem("unauthenticated", 401);
    spoke.get("/api/users/7").await.problem("unauthenticated", 401);
}
