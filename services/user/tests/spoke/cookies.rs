//! The session of a page: its refresh token is in a cookie that no script reads.

use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, PASSWORD, Spoke, access, ada, answer, spoke};

on_both_engines!(
    a_page_gets_the_token_in_a_cookie_alone,
    the_cookie_is_traded_without_a_body_and_replaced,
    the_body_counts_before_the_cookie,
    signing_out_takes_the_cookie_back,
    without_either_it_is_said_what_is_missing,
);

/// The value of the cookie that an answer sets, and its attributes.
fn cookie(answer: &Answer) -> (String, String) {
    let field = answer.headers["set-cookie"].to_str().unwrap();
    let (pair, attributes) = field.split_once("; ").unwrap();
    let value = pair.strip_prefix("hubbub_refresh=").unwrap();
    (value.to_owned(), attributes.to_owned())
}

async fn trade(spoke: &Spoke, cookie: &str) -> Answer {
    let request = spoke.request(Method::POST, "/api/refresh-token");
    answer(request.header("cookie", format!("theme=dark; hubbub_refresh={cookie}"))).await
}

async fn registered(spoke: &Spoke) -> Answer {
    let request = spoke.request(Method::POST, "/api/register").json(&ada());
    answer(request.header("accept-session", "cookie")).await
}

async fn a_page_gets_the_token_in_a_cookie_alone(engine: Engine) {
    let spoke = spoke(engine).await;
    let answer = registered(&spoke).await;
    let (value, attributes) = cookie(&answer);
    assert_eq!(value.len(), 43);
    assert_eq!(
        attributes,
        "Path=/api/auth/refresh-token; Max-Age=2592000; HttpOnly; Secure; SameSite=Strict"
    );
    let body = answer.is(201);
    assert!(!body.to_string().contains(&value) && body["tokens"].get("refreshToken").is_none());
    assert_eq!(body["token"], body["tokens"]["accessToken"]);
}

async fn the_cookie_is_traded_without_a_body_and_replaced(engine: Engine) {
    let spoke = spoke(engine).await;
    let (first, _) = cookie(&registered(&spoke).await);
    let traded = trade(&spoke, &first).await;
    let (second, _) = cookie(&traded);
    assert_ne!(first, second);
    assert!(traded.is(200)["tokens"].get("refreshToken").is_none());
    trade(&spoke, &first).await.problem("bad-token", 401);
    trade(&spoke, &second).await.problem("bad-token", 401);
}

async fn the_body_counts_before_the_cookie(engine: Engine) {
    let spoke = spoke(engine).await;
    let (cookie, _) = cookie(&registered(&spoke).await);
    let other = spoke.log_in("ada", PASSWORD).await.is(200);
    let request = spoke.request(Method::POST, "/api/refresh-token");
    let request = request.header("cookie", format!("hubbub_refresh={cookie}"));
    let body = json!({"refreshToken": other["tokens"]["refreshToken"]});
    let traded = answer(request.json(&body)).await.is(200);
    assert!(traded["tokens"]["refreshToken"].is_string());
    trade(&spoke, &cookie).await.is(200);
}

async fn signing_out_takes_the_cookie_back(engine: Engine) {
    let spoke = spoke(engine).await;
    let body = registered(&spoke).await.is(201);
    let request = spoke.request(Method::POST, "/api/logout").bearer_auth(access(&body));
    let (value, attributes) = cookie(&answer(request).await);
    assert_eq!(value, "");
    assert!(attributes.starts_with("Path=/api/auth/refresh-token; Max-Age=0;"), "{attributes}");
}

async fn without_either_it_is_said_what_is_missing(engine: Engine) {
    let spoke = spoke(engine).await;
    let none = answer(spoke.request(Method::POST, "/api/refresh-token")).await;
    assert_eq!(none.faulty_fields(), ["refreshToken"]);
    assert_eq!(
        spoke.post("/api/refresh-token", &json!({})).await.faulty_fields(),
        ["refreshToken"]
    );
}
