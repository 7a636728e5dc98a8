//! Machine keys: exchanged once for many requests, by one trade for many callers, and never seen behind
//! the gateway.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::caller::{Role, UserClaims};
use contract::scope::{Scope, Scopes};
use tokio::net::TcpSocket;
use tokio::sync::watch;

use crate::issuer::Issuer;
use crate::support::{Answer, Caller, Gateway, Saw, Upstream, gateway, until};

/// A path that takes a caller.
const PATH: &str = "/api/chat/rooms";
/// An address has one trade at a time.
const ONE_EACH: &str = "gateway.auth.exchanges_per_address_max=1";

/// What the exchange says to a key.
type Says = Arc<Mutex<Box<dyn Fn(&str) -> String + Send>>>;

/// A gateway that takes keys, an exchange that follows a script, and the upstream behind.
struct Place {
    gateway: Gateway,
    upstream: Upstream,
    exchange: Upstream,
    issuer: Arc<Issuer>,
    says: Says,
    /// Whether the exchange answers at all.
    answers: watch::Sender<bool>,
}

impl Place {
    /// Where every key but those that begin with "bad" is worth a token of a minute.
    async fn new(settings: &[&str]) -> Self {
        let issuer = Arc::new(Issuer::new("one"));
        let worth = issuer.clone();
        let says = move |key: &str| match key.strip_prefix("bad") {
            Some(_) => refused("wrong-credentials", 401),
            None => token(&worth.token(60, &[Role::Customer])),
        };
        let says: Says = Arc::new(Mutex::new(Box::new(says)));
        let answers = watch::Sender::new(true);
        let (script, open) = (says.clone(), answers.clone());
        let exchange = Upstream::start(move |mut peer| {
            let (script, mut open) = (script.clone(), open.subscribe());
            async move {
                while let Some(saw) = peer.request().await {
                    open.wait_for(|answers| *answers).await.unwrap();
                    let answer = script.lock().unwrap()(&key_of(&saw));
                    peer.caller.send(answer).await;
                }
            }
        })
        .await;
        let keys = Upstream::answering(Issuer::answer(&[&issuer])).await;
        let upstream = Upstream::ok().await;
        let jwks = format!("gateway.auth.jwks_url=http://{}/keys", keys.address);
        let url = format!("gateway.auth.exchange_url=http://{}/trade", exchange.address);
        let mut all = vec![jwks.as_str(), &url, "gateway.threads=1", "gateway.auth.key_form=any"];
        all.extend(settings);
        let gateway = gateway(upstream.address, &all).await;
        Self { gateway, upstream, exchange, issuer, says, answers }
    }

    /// From now on the exchange says this to every key.
    fn say(&self, answer: String) {
        *self.says.lock().unwrap() = Box::new(move |_| answer.clone());
    }

    /// A token as a key with `scopes` is worth it.
    fn scoped(&self, roles: &[Role], scopes: &[Scope]) -> String {
        let scope = Some(Scopes(scopes.iter().copied().collect()));
        self.issuer.sign(&UserClaims { scope, ..Issuer::claims(60, roles) })
    }

    async fn get(&self, path: &str, key: &str) -> Answer {
        self.ask(path, &format!("X-Api-Key: {key}\r\n")).await
    }

    async fn ask(&self, path: &str, fields: &str) -> Answer {
        self.gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: hub\r\n{fields}\r\n")).await
    }
}

fn key_of(saw: &Saw) -> String {
    let body: serde_json::Value = serde_json::from_slice(&saw.body).unwrap();
    body["key"].as_str().unwrap().to_owned()
}

fn token(token: &str) -> String {
    respond(200, &serde_json::json!({"token": token, "expiresIn": 60}).to_string())
}

fn refused(kind: &str, status: u16) -> String {
    let kind = format!("urn:hubbub:problem:{kind}");
    let problem = serde_json::json!({"type": kind, "title": "No", "status": status,
        "requestId": "x", "error": "No"});
    respond(status, &problem.to_string())
}

fn respond(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_key_is_exchanged_once_and_its_token_takes_its_place_on_both_ways() {
    for way in ["gateway.lean_way=true", "gateway.lean_way=false"] {
        let place = Place::new(&[way]).await;
        for _ in 0..3 {
            let answer = place.get(PATH, "good").await;
            assert_eq!(answer.status, 200, "{way}");
            assert_eq!(answer.field("cache-control"), Some("no-store"));
        }
        let trade = place.exchange.saw_one();
        assert_eq!((trade.line(), &*key_of(&trade)), ("POST /trade HTTP/1.1", "good"));
        for saw in place.upstream.saw() {
            assert_eq!(saw.field("x-api-key"), None, "{way}");
            assert_eq!(saw.field("x-user-name"), Some("ada"));
            assert_eq!(saw.field("x-session-id"), Some("00000000-0000-0000-0000-000000000009"));
            let bearer = saw.field("authorization").unwrap();
            assert_eq!(bearer.matches('.').count(), 2, "{way}: {bearer}");
            assert_eq!(saw.head.to_lowercase().matches("authorization:").count(), 1);
        }
        assert_eq!(place.upstream.saw().len(), 3);
    }
}

#[tokio::test]
async fn the_exchange_is_asked_with_a_service_token() {
    let place = Place::new(&["gateway.auth.authority=accounts"]).await;
    assert_eq!(place.get(PATH, "good").await.status, 200);
    let trade = place.exchange.saw_one();
    let token = trade.field("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    rules.set_audience(&["accounts"]);
    rules.set_issuer(&["gateway"]);
    let key = place.gateway.data.path().join("keys/gateway.pub");
    let key = chassis::keys::PublicKey::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_ed_components(&key.x()).unwrap();
    assert!(jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).is_ok());
}

#[tokio::test]
async fn many_who_come_with_one_key_wait_for_one_trade() {
    let place = Place::new(&["gateway.threads=2"]).await;
    place.answers.send_replace(false);
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: hub\r\nX-Api-Key: good\r\n\r\n");
    let mut callers = Vec::new();
    for _ in 0..8 {
        let mut caller = place.gateway.connect().await;
        caller.send(&request).await;
        callers.push(caller);
    }
    let mut seen = false;
    while !seen {
        let metrics = place.gateway.operator("/metrics").await.body;
        seen = metrics.contains("gateway_way_requests_total{way=\"lean\"} 8");
    }
    until("a trade runs", || !place.exchange.saw().is_empty()).await;
    place.answers.send_replace(true);
    for caller in &mut callers {
        assert_eq!(caller.answer().await.status, 200);
    }
    assert_eq!(place.exchange.saw().len(), 1);
}

#[tokio::test]
async fn a_bad_key_is_refused_and_not_asked_about_again_for_a_while() {
    let place = Place::new(&["gateway.auth.refused_key_pause=1h"]).await;
    for _ in 0..3 {
        let refused = place.get(PATH, "bad").await;
        refused.is_problem("wrong-credentials", 401);
        assert_eq!(refused.field("www-authenticate"), Some("Bearer realm=\"hubbub\""));
    }
    assert_eq!(place.exchange.saw().len(), 1);
    assert_eq!(place.get(PATH, "good").await.status, 200);
    assert_eq!(place.upstream.saw().len(), 1);
}

#[tokio::test]
async fn a_bad_key_is_asked_about_again_later() {
    let place = Place::new(&["gateway.auth.refused_key_pause=20ms"]).await;
    place.get(PATH, "bad").await.is_problem("wrong-credentials", 401);
    place.say(token(&place.issuer.token(60, &[])));
    while place.get(PATH, "bad").await.status != 200 {}
    assert_eq!(place.exchange.saw().len(), 2);
}

#[tokio::test]
async fn a_key_that_cannot_be_looked_up_is_nobodys_fault() {
    let place = Place::new(&[]).await;
    let garbled = respond(200, "{}");
    let alien = token(&Issuer::new("two").token(60, &[]));
    for answer in [
        refused("unavailable", 503),
        // Our own token, or what we are granted: nothing that the key's holder could mend.
        refused("bad-token", 401),
        refused("forbidden", 403),
        garbled,
        alien,
    ] {
        place.say(answer);
        let away = place.get(PATH, "good").await;
        away.is_problem("unavailable", 503);
        assert_eq!(away.field("retry-after"), Some("1"));
    }
    assert!(place.upstream.saw().is_empty());
    place.say(token(&place.issuer.token(60, &[])));
    assert_eq!(place.get(PATH, "good").await.status, 200, "nothing of it is remembered");
}

#[tokio::test]
async fn a_known_key_goes_on_while_its_token_lives_and_the_exchange_is_away() {
    let place = Place::new(&[]).await;
    place.say(token(&place.issuer.token(9, &[])));
    assert_eq!(place.get(PATH, "good").await.status, 200);
    place.say(refused("unavailable", 503));
    // Its renewal is tried in vain, by a request that is served all the same.
    while place.exchange.saw().len() < 2 {
        assert_eq!(place.get(PATH, "good").await.status, 200);
    }
    place.get(PATH, "other").await.is_problem("unavailable", 503);
    assert_eq!(place.get(PATH, "good").await.status, 200);
}

#[tokio::test]
async fn trades_are_bounded_and_known_keys_do_not_wait_for_them() {
    let place = Place::new(&["gateway.auth.exchanges_max=1", ONE_EACH]).await;
    assert_eq!(place.get(PATH, "good").await.status, 200);
    place.answers.send_replace(false);
    let mut waiting = place.gateway.connect().await;
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: hub\r\nX-Api-Key: slow\r\n\r\n");
    waiting.send(&request).await;
    until("a trade runs", || place.exchange.saw().len() == 2).await;
    let busy = place.get(PATH, "another").await;
    busy.is_problem("overloaded", 503);
    assert_eq!(busy.field("retry-after"), Some("1"));
    assert_eq!(place.get(PATH, "good").await.status, 200);
    place.answers.send_replace(true);
    assert_eq!(waiting.answer().await.status, 200);
    assert_eq!(place.get(PATH, "another").await.status, 200);
}

#[tokio::test]
async fn one_address_leaves_trades_to_the_others() {
    let place = Place::new(&[ONE_EACH]).await;
    place.answers.send_replace(false);
    let request = |key| format!("GET {PATH} HTTP/1.1\r\nHost: hub\r\nX-Api-Key: {key}\r\n\r\n");
    let mut waiting = place.gateway.connect().await;
    waiting.send(request("slow")).await;
    until("a trade runs", || place.exchange.saw().len() == 1).await;
    place.get(PATH, "another").await.is_problem("overloaded", 503);
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(place.gateway.running.address).await.unwrap();
    let mut elsewhere = Caller { stream, ahead: Vec::new() };
    elsewhere.send(request("third")).await;
    until("another trade runs", || place.exchange.saw().len() == 2).await;
    place.answers.send_replace(true);
    for caller in [&mut waiting, &mut elsewhere] {
        assert_eq!(caller.answer().await.status, 200);
    }
    assert_eq!(place.get(PATH, "another").await.status, 200, "its share is free again");
}

#[tokio::test]
async fn what_has_not_the_form_of_a_key_is_refused_without_a_question() {
    let good = contract::key::written(&[7; 32]);
    let slip = format!("{}A", &good[..good.len() - 1]);
    for way in ["gateway.lean_way=true", "gateway.lean_way=false"] {
        let place = Place::new(&["gateway.auth.key_form=hubbub", way]).await;
        for key in ["good", "hbk_", "hbk_secret", &slip, &good[4..]] {
            place.get(PATH, key).await.is_problem("wrong-credentials", 401);
        }
        assert!(place.exchange.saw().is_empty(), "{way}");
        assert_eq!(place.get(PATH, &good).await.status, 200, "{way}");
    }
}

#[tokio::test]
async fn a_caller_has_one_kind_of_credentials() {
    let place = Place::new(&[]).await;
    let bearer = format!("Authorization: Bearer {}\r\n", place.issuer.token(60, &[]));
    let both = format!("{bearer}X-Api-Key: good\r\n");
    place.ask(PATH, &both).await.is_problem("bad-request", 400);
    let twice = "X-Api-Key: good\r\nX-Api-Key: good\r\n";
    place.ask(PATH, twice).await.is_problem("wrong-credentials", 401);
    for key in ["", "two words", &"x".repeat(257)] {
        place.get(PATH, key).await.is_problem("wrong-credentials", 401);
    }
    assert!(place.upstream.saw().is_empty() && place.exchange.saw().is_empty());
    assert_eq!(place.ask("/open/a", &both).await.status, 200);
    let saw = place.upstream.saw_one();
    assert_eq!((saw.field("x-user-name"), saw.field("x-api-key")), (None, None));
}

#[tokio::test]
async fn an_open_route_reads_a_good_key_and_ignores_a_bad_one() {
    let place = Place::new(&[]).await;
    for (key, name) in [("bad", None), ("good", Some("ada"))] {
        assert_eq!(place.get("/open/a", key).await.status, 200);
        let saw = place.upstream.saw().pop().unwrap();
        assert_eq!((saw.field("x-user-name"), saw.field("x-api-key")), (name, None), "{key}");
        assert_eq!(saw.field("authorization").is_some(), name.is_some(), "{key}");
    }
}

#[tokio::test]
async fn an_upstream_that_looks_itself_gets_the_key_as_it_came() {
    let place = Place::new(&[]).await;
    assert_eq!(place.get("/api/chat/ws", "good").await.status, 200);
    let saw = place.upstream.saw_one();
    assert_eq!((saw.field("x-api-key"), saw.field("authorization")), (Some("good"), None));
    assert!(place.exchange.saw().is_empty());
}

#[tokio::test]
async fn a_key_with_scopes_is_refused_where_its_upstream_would_not_see_them() {
    for way in ["gateway.lean_way=true", "gateway.lean_way=false"] {
        let place = Place::new(&["gateway.upstreams.chat.forward_authorization=false", way]).await;
        let scoped = place.scoped(&[Role::Admin], &[Scope::Admin]);
        place.say(token(&scoped));
        for _ in 0..2 {
            let refused = place.get(PATH, "good").await;
            refused.is_problem("forbidden", 403);
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("Machine keys are not taken here"), "{detail}");
        }
        let bearer = format!("Authorization: Bearer {scoped}\r\n");
        place.ask(PATH, &bearer).await.is_problem("forbidden", 403);
        assert!(place.upstream.saw().is_empty(), "{way}");
        assert_eq!(place.get("/open/a", "good").await.status, 200);
        assert_eq!(place.upstream.saw_one().field("x-user-id"), None, "{way}");
    }
}

#[tokio::test]
async fn a_key_with_scopes_goes_on_where_its_upstream_sees_them() {
    let place = Place::new(&[]).await;
    place.say(token(&place.scoped(&[Role::Customer], &[Scope::RoomsRead])));
    assert_eq!(place.get(PATH, "good").await.status, 200);
    let saw = place.upstream.saw_one();
    assert_eq!(saw.field("x-user-name"), Some("ada"));
    assert!(saw.field("authorization").is_some());
}

#[tokio::test]
async fn an_administrators_key_reads_details_with_the_scope_for_them_alone() {
    for (scope, has_details) in [(Scope::RoomsRead, false), (Scope::Admin, true)] {
        let place = Place::new(&[]).await;
        place.say(token(&place.scoped(&[Role::Admin], &[scope])));
        let health = place.get("/health", "good").await.json();
        assert_eq!(health["services"][0].get("instances").is_some(), has_details, "{scope:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_gets_no_tokens_gets_none_for_a_key_either() {
    let place = Place::new(&["gateway.upstreams.chat.forward_authorization=false"]).await;
    assert_eq!(place.get(PATH, "good").await.status, 200);
    let saw = place.upstream.saw_one();
    assert_eq!((saw.field("x-api-key"), saw.field("authorization")), (None, None));
    assert_eq!(saw.field("x-user-name"), Some("ada"));
}

#[tokio::test]
async fn a_keys_token_that_names_a_new_key_of_the_issuer_is_good() {
    // The gateway has fetched no keys at all when the first machine comes.
    let place = Place::new(&["gateway.auth.refetch_cooldown=0s"]).await;
    for key in ["one", "two"] {
        assert_eq!(place.get(PATH, key).await.status, 200);
    }
}

#[tokio::test]
async fn no_key_and_no_token_stands_in_the_access_log() {
    let place = Place::new(&[]).await;
    assert_eq!(place.get(PATH, "hbk_secret").await.status, 200);
    place.get(PATH, "bad_secret").await.is_problem("wrong-credentials", 401);
    place.get("/api/chat/rooms?api_key=hbk_secret", "hbk_secret").await;
    let log = place.gateway.data.path().join("access.log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    until("the lines are written", || lines().lines().count() >= 3).await;
    let text = lines();
    assert!(!text.contains("_secret") && !text.contains("eyJ"), "{text}");
    tokio::time::timeout(Duration::from_secs(10), place.gateway.drain(Duration::from_secs(5)))
        .await
        .unwrap();
}
