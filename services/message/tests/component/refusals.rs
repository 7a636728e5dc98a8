//! What is bad gets a clear answer and changes nothing.

use chassis::keys::SigningKey;
use contract::caller::UserClaims;
use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::{claims, sign, started};

on_both_engines!(
    whoever_does_not_say_who_is_calling_is_turned_away,
    a_body_that_breaks_a_rule_is_refused_with_its_fields,
    the_longest_content_is_taken,
    what_is_no_json_is_told_apart_from_what_breaks_a_rule,
    unknown_things_are_404_whatever_their_form_and_other_methods_405,
    health_tells_of_the_database_without_a_token,
);

async fn whoever_does_not_say_who_is_calling_is_turned_away(engine: Engine) {
    let (world, service) = started(engine).await;
    let now = claims("ada").iat;
    let late = world.bearer(&service, &UserClaims { exp: now - 1, ..claims("ada") });
    late.get("/api/rooms").await.is_problem("expired-token", 401);
    let garbage = world.caller(service.address, "garbage".to_owned());
    garbage.get("/api/rooms").await.is_problem("bad-token", 401);
    let (other, _) = SigningKey::generate().unwrap();
    let forged = world.caller(service.address, sign(&other, &claims("ada")));
    forged.get("/api/rooms").await.is_problem("bad-token", 401);

    let headers = [("x-user-id", Uuid::from_u128(1).to_string()), ("x-user-name", "ada".into())];
    for path in ["/api/rooms", "/api/messages/room/tea", "/internal/log?channel=room:tea&after=0"] {
        let mut request = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("http://{}{path}", service.address));
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let answer = garbage.call(request).await;
        answer.is_problem("unauthenticated", 401);
        assert!(answer.headers.contains_key("www-authenticate"));
    }
}

async fn a_body_that_breaks_a_rule_is_refused_with_its_fields(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let text = |content: &str| json!({"roomId": "tea", "content": content});
    let with = |field: &str, value: Value| {
        let mut body = text("hi");
        body[field] = value;
        body
    };
    for (body, field) in [
        (text(""), "content"),
        (text("  \n"), "content"),
        (text(&"x".repeat(8_001)), "content"),
        (text("nul \0"), "content"),
        (with("content", json!(7)), "content"),
        (json!({"roomId": "tea"}), "content"),
        (json!({"content": "hi"}), "roomId"),
        (with("messageType", json!("Text")), "messageType"),
        (with("messageType", json!("x".repeat(33))), "messageType"),
        (with("clientId", json!("no uuid")), "clientId"),
        (with("parentId", json!("no uuid")), "parentId"),
        (with("deliverAt", json!("2030-01-01T00:00:00Z")), "deliverAt"),
    ] {
        let answer = ada.post("/api/messages", &body).await;
        answer.is_problem("invalid", 400);
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": " "}), "name"),
        (json!({"name": "x".repeat(81)}), "name"),
        (json!({"name": "x", "id": "a b"}), "id"),
        (json!({"name": "x", "description": "x".repeat(501)}), "description"),
        (json!({"name": "x", "members": vec![Uuid::nil(); 201]}), "members"),
        (json!({"name": "x", "isPrivate": "yes"}), "isPrivate"),
    ] {
        let answer = ada.post("/api/rooms", &body).await;
        answer.is_problem("invalid", 400);
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
    assert!(ada.get("/api/messages/room/tea").await.seqs().is_empty());
}

async fn the_longest_content_is_taken(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let text = "🫖".repeat(8_000);
    assert_eq!(ada.say("tea", &text).await.is(201)["content"], text);
}

async fn what_is_no_json_is_told_apart_from_what_breaks_a_rule(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    let send = async |body: String, content_type: &str| {
        let request = ada.request(Method::POST, "/api/messages");
        ada.call(request.header("content-type", content_type).body(body)).await
    };
    send("{".to_owned(), "application/json").await.is_problem("bad-json", 400);
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(65), "]".repeat(65));
    send(deep, "application/json").await.is_problem("bad-json", 400);
    send("{}".to_owned(), "text/plain").await.is_problem("unsupported-media-type", 415);
    let large = format!("{{\"content\":\"{}\"}}", "x".repeat(1024 * 1024));
    send(large, "application/json").await.is_problem("body-too-large", 413);
}

async fn unknown_things_are_404_whatever_their_form_and_other_methods_405(engine: Engine) {
    let (world, service) = started(engine).await;
    let ada = world.user(&service, "ada");
    for path in [
        "/api/messages/no-uuid".to_owned(),
        format!("/api/messages/{}", Uuid::from_u128(1)),
        "/api/messages/room/nowhere".to_owned(),
        "/api/messages/room/b%20ad".to_owned(),
        "/api/rooms/nowhere".to_owned(),
        format!("/api/rooms/{}", "x".repeat(65)),
        "/api/nothing".to_owned(),
    ] {
        ada.get(&path).await.is_problem("not-found", 404);
    }
    ada.say("nowhere", "hi").await.is_problem("not-found", 404);
    ada.say("b ad", "hi").await.is_problem("not-found", 404);
    let answer = ada.call(ada.request(Method::PUT, "/api/rooms")).await;
    answer.is_problem("method-not-allowed", 405);
    let allow = answer.headers["allow"].to_str().unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

async fn health_tells_of_the_database_without_a_token(engine: Engine) {
    let (world, service) = started(engine).await;
    let nobody = world.caller(service.address, String::new());
    let health = nobody.get("/health").await.is(200);
    assert_eq!(health["service"], "Message Service");
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["database"], "healthy");
}
