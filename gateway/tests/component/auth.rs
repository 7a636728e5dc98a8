//! Who is let in, and as whom.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use chassis::secret::Secret;
use chassis::tokens::{TokenKey, TokenSecret};
use contract::caller::Role;

use crate::issuer::Issuer;
use crate::support::{Gateway, PATIENCE, Upstream, gateway};

/// A gateway that takes tokens of `issuers`, which can be replaced, and the upstream behind it.
struct Place {
    gateway: Gateway,
    upstream: Upstream,
    keys: Upstream,
    answer: Arc<Mutex<String>>,
}

async fn place(issuers: &[&Issuer], settings: &[&str]) -> Place {
    let upstream = Upstream::ok().await;
    let answer = Arc::new(Mutex::new(Issuer::answer(issuers)));
    let said = answer.clone();
    let keys = Upstream::start(move |mut peer| {
        let said = said.clone();
        async move {
            while peer.request().await.is_some() {
                let answer = said.lock().unwrap().clone();
                peer.caller.send(answer).await;
            }
        }
    })
    .await;
    let url = format!("gateway.auth.jwks_url=http://{}/keys", keys.address);
    let mut all = vec![url.as_str()];
    all.extend(settings);
    let gateway = gateway(upstream.address, &all).await;
    Place { gateway, upstream, keys, answer }
}

#[tokio::test]
async fn a_verified_caller_is_named_to_the_upstream() {
    let issuer = Issuer::new("one");
    let place = place(&[&issuer], &[]).await;
    let token = issuer.token(60, &[Role::Customer, Role::Admin]);
    let request = format!(
        "GET /api/chat/rooms HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\
         X-User-Id: forged\r\n\r\n"
    );
    for _ in 0..3 {
        let answer = place.gateway.ask(&request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("cache-control"), Some("no-store"));
    }
    let saw = place.upstream.saw().pop().unwrap();
    assert_eq!(saw.line(), "GET /api/rooms HTTP/1.1");
    assert_eq!(saw.field("x-user-id"), Some("00000000-0000-0000-0000-000000000007"));
    assert_eq!(saw.field("x-user-name"), Some("ada"));
    assert_eq!(saw.field("x-user-roles"), Some("customer,admin"));
    assert_eq!(saw.field("x-session-id"), Some("00000000-0000-0000-0000-000000000009"));
    assert_eq!(saw.field("authorization"), Some(format!("Bearer {token}").as_str()));
    assert!(!saw.head.contains("forged"));
}

#[tokio::test]
async fn each_kind_of_bad_credentials_is_told_apart() {
    let (issuer, other) = (Issuer::new("one"), Issuer::new("one"));
    let place = place(&[&issuer], &[]).await;
    let path = "/api/messages/room/x";
    let anonymous = place.gateway.get(path).await;
    anonymous.is_problem("unauthenticated", 401);
    assert_eq!(anonymous.field("www-authenticate"), Some("Bearer realm=\"hubbub\""));
    for (token, kind) in [
        ("garbage".to_owned(), "bad-token"),
        ("a.b.c".to_owned(), "bad-token"),
        (other.token(60, &[]), "bad-token"),
        (issuer.token(-60, &[]), "expired-token"),
    ] {
        let answer = place.gateway.get_as(path, &token).await;
        answer.is_problem(kind, 401);
        assert!(answer.field("www-authenticate").unwrap().contains("invalid_token"));
    }
    let key = format!("GET {path} HTTP/1.1\r\nHost: hub\r\nX-Api-Key: k\r\n\r\n");
    place.gateway.ask(&key).await.is_problem("unauthenticated", 401);
    for value in ["InvalidFormat", "Basic YTpi", "Bearer"] {
        let field = format!("Host: hub\r\nAuthorization: {value}\r\n");
        let answer = place.gateway.ask(&format!("GET {path} HTTP/1.1\r\n{field}\r\n")).await;
        answer.is_problem("unauthenticated", 401);
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"hubbub\""));
    }
    assert!(place.upstream.saw().is_empty());
}

#[tokio::test]
async fn an_open_route_reads_a_good_token_and_ignores_a_bad_one() {
    let issuer = Issuer::new("one");
    let place = place(&[&issuer], &[]).await;
    assert_eq!(place.gateway.get_as("/open/a", "garbage").await.status, 200);
    assert_eq!(place.upstream.saw_one().field("x-user-name"), None);
    assert_eq!(place.gateway.get_as("/open/a", &issuer.token(60, &[])).await.status, 200);
    assert_eq!(place.upstream.saw().pop().unwrap().field("x-user-name"), Some("ada"));
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let place = place(&[&old], &["gateway.auth.refetch_cooldown=0s"]).await;
    let path = "/api/chat/rooms";
    assert_eq!(place.gateway.get_as(path, &old.token(60, &[])).await.status, 200);
    *place.answer.lock().unwrap() = Issuer::answer(&[&old, &new]);
    assert_eq!(place.gateway.get_as(path, &new.token(60, &[])).await.status, 200);
    assert_eq!(place.gateway.get_as(path, &old.token(60, &[])).await.status, 200);
}

#[tokio::test]
async fn unknown_keys_do_not_make_it_fetch_again_and_again() {
    let (issuer, unknown) = (Issuer::new("one"), Issuer::new("two"));
    let place = place(&[&issuer], &["gateway.auth.refetch_cooldown=1h"]).await;
    let path = "/api/chat/rooms";
    assert_eq!(place.gateway.get_as(path, &issuer.token(60, &[])).await.status, 200);
    for _ in 0..5 {
        place.gateway.get_as(path, &unknown.token(60, &[])).await.is_problem("bad-token", 401);
    }
    assert!(place.keys.saw().len() <= 2, "{} fetches", place.keys.saw().len());
}

#[tokio::test]
async fn an_issuer_that_breaks_down_takes_no_good_keys_away() {
    let issuer = Issuer::new("one");
    let settings = ["gateway.auth.refresh_interval=20ms", "gateway.auth.refetch_cooldown=0s"];
    let place = place(&[&issuer], &settings).await;
    let path = "/api/chat/rooms";
    assert_eq!(place.gateway.get_as(path, &issuer.token(60, &[])).await.status, 200);
    let broken = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned();
    *place.answer.lock().unwrap() = broken;
    let before = place.keys.saw().len();
    crate::support::until("it is asked in vain", || place.keys.saw().len() > before + 1).await;
    assert_eq!(place.gateway.get_as(path, &issuer.token(61, &[])).await.status, 200);
}

#[tokio::test]
async fn with_a_shared_secret_nothing_else_is_believed_and_nobody_is_asked() {
    const SECRET: &str = "9f8c2d7be1a04c5f93d6e7b8a1c2f405";
    let issuer = Issuer::new("one");
    let place = place(&[&issuer], &[&format!("identity.jwt_secret={SECRET}")]).await;
    let path = "/api/chat/rooms";
    let shared = TokenKey::shared(&TokenSecret::new(Secret::new(SECRET.to_owned())));
    let token = shared.sign(&Issuer::claims(60, &[])).unwrap();
    assert_eq!(place.gateway.get_as(path, &token).await.status, 200);
    place.gateway.get_as(path, &issuer.token(60, &[])).await.is_problem("bad-token", 401);
    assert!(place.keys.saw().is_empty());
}

#[tokio::test]
async fn before_any_key_is_here_tokens_cannot_be_judged() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let answer = gateway.get_as("/api/chat/rooms", &Issuer::new("one").token(60, &[])).await;
    answer.is_problem("unavailable", 503);
    assert_eq!(answer.field("retry-after"), Some("1"));
}

#[tokio::test]
async fn administrators_alone_read_why_something_is_down() {
    let issuer = Issuer::new("one");
    let place = place(&[&issuer], &[]).await;
    let see = async |roles: &[Role]| {
        let health = place.gateway.get_as("/health", &issuer.token(60, roles)).await.json();
        health["services"][0]["instances"].is_array()
    };
    assert!(see(&[Role::Admin]).await);
    assert!(!see(&[Role::Customer]).await);
}

#[tokio::test]
async fn a_caller_that_calls_too_often_is_told_when_to_come_back() {
    let issuer = Issuer::new("one");
    let settings = [
        "gateway.quota.enabled=true",
        "gateway.quota.rules.sends.burst=2",
        "gateway.quota.rules.sends.calls=1",
        "gateway.quota.rules.sends.window=1h",
        "gateway.quota.rules.credentials.burst=1",
        "gateway.quota.rules.credentials.calls=1",
        "gateway.quota.rules.credentials.window=1h",
    ];
    let place = place(&[&issuer], &settings).await;
    let token = issuer.token(60, &[]);
    let send = format!(
        "POST /api/messages HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    for _ in 0..2 {
        assert_eq!(place.gateway.ask(&send).await.status, 200);
    }
    let refused = place.gateway.ask(&send).await;
    refused.is_problem("rate-limited", 429);
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!(wait > 3000 && wait <= 3600, "{wait}");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"sends\";q=1;w=3600"));
    assert!(refused.field("ratelimit").unwrap().starts_with("\"sends\";r=0;t="));
    // Another quota, another bucket.
    let login = "POST /api/auth/login HTTP/1.1\r\nHost: hub\r\n\r\n";
    assert_eq!(place.gateway.ask(login).await.status, 200);
    place.gateway.ask(login).await.is_problem("rate-limited", 429);
    let read = place.gateway.get_as("/api/messages/room/x", &token).await;
    assert_eq!(read.status, 200, "reading is not counted");
}

#[tokio::test]
async fn tokens_are_good_on_every_core() {
    let issuer = Issuer::new("one");
    let place = place(&[&issuer], &["gateway.threads=4"]).await;
    let token = issuer.token(60, &[]);
    let asked = async {
        for _ in 0..40 {
            assert_eq!(place.gateway.get_as("/api/chat/rooms", &token).await.status, 200);
        }
    };
    tokio::time::timeout(PATIENCE.max(Duration::from_secs(10)), asked).await.unwrap();
}
