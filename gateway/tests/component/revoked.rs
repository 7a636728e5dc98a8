//! Who is let in no more, though the token has not expired: on both ways, within a second.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::revocation::{Revocation, Revocations, Revoked};
use contract::{SessionId, UserId};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::issuer::Issuer;
use crate::support::{Gateway, Upstream, gateway, until};

/// Within this time of its end a session is refused everywhere.
const PROMISE: Duration = Duration::from_secs(1);
/// Of every token that the issuer makes.
const SESSION: Revoked = Revoked::Session { sid: SessionId(Uuid::from_u128(9)) };
const USER: Revoked = Revoked::User { user_id: UserId(Uuid::from_u128(7)) };

/// Whether the feed answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    Everything,
}

/// A gateway that follows a feed, with an issuer and an upstream.
struct Place {
    gateway: Gateway,
    issuer: Issuer,
    feed: Upstream,
    items: Arc<Mutex<Vec<Revocation>>>,
    /// Rung when something ended, or the feed begins to answer.
    says: watch::Sender<Says>,
}

impl Place {
    async fn new(says: Says, settings: &[&str]) -> Self {
        let issuer = Issuer::new("one");
        let items = Arc::<Mutex<Vec<Revocation>>>::default();
        let says = watch::Sender::new(says);
        let (told, ears) = (items.clone(), says.clone());
        let feed = Upstream::start(move |mut peer| {
            let (told, mut ears) = (told.clone(), ears.subscribe());
            async move {
                while let Some(saw) = peer.request().await {
                    let answer = answer(saw.line(), &told, &mut ears).await;
                    peer.caller.send(answer).await;
                }
            }
        })
        .await;
        let keys = Upstream::answering(Issuer::answer(&[&issuer])).await;
        let upstream = Upstream::ok().await;
        let jwks = format!("gateway.auth.jwks_url=http://{}/keys", keys.address);
        let url = format!("gateway.auth.revocations_url=http://{}/ended", feed.address);
        let mut all = vec![jwks.as_str(), &url, "gateway.threads=1"];
        all.extend(settings);
        let gateway = gateway(upstream.address, &all).await;
        Self { gateway, issuer, feed, items, says }
    }

    /// `what` has ended.
    fn end(&self, what: Revoked) {
        let now = chassis::Clock::System.now();
        let until = now.plus(Duration::from_mins(15));
        self.items.lock().unwrap().push(Revocation { what, not_before: now, until });
        self.says.send_replace(Says::Everything);
    }

    async fn status(&self, token: &str) -> u16 {
        self.gateway.get_as("/api/chat/rooms", token).await.status
    }

    /// Waits until the gateway waits for news.
    async fn until_it_waits(&self) {
        let waits = || self.feed.saw().last().is_some_and(|saw| saw.line().contains("wait="));
        until("the gateway waits for news", waits).await;
    }
}

/// What the feed says to a request, when it has something to say.
async fn answer(
    line: &str,
    items: &Mutex<Vec<Revocation>>,
    says: &mut watch::Receiver<Says>,
) -> String {
    let target = line.split(' ').nth(1).unwrap();
    let number = |name: &str| {
        let (_, rest) = target.split_once(name)?;
        rest.split('&').next().unwrap().parse::<usize>().ok()
    };
    let after = number("after=").unwrap_or(0);
    loop {
        let is_silent = *says.borrow_and_update() == Says::Nothing;
        let items = items.lock().unwrap().get(after..).unwrap_or_default().to_vec();
        if !is_silent && (number("wait=").is_none() || !items.is_empty()) {
            let (after, length) = (after as u64, items.len() as u64);
            let stretch = Revocations { after, cursor: after + length, items };
            let body = serde_json::to_string(&stretch).unwrap();
            return format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
        if says.changed().await.is_err() {
            return String::new();
        }
    }
}

async fn an_ended_token_is_refused_within_a_second(what: Revoked, way: &str) {
    let place = Place::new(Says::Everything, &[way]).await;
    let (seen, unseen) = (place.issuer.token(60, &[]), place.issuer.token(61, &[]));
    place.until_it_waits().await;
    for _ in 0..2 {
        assert_eq!(place.status(&seen).await, 200);
    }
    place.end(what);
    let began = Instant::now();
    while place.status(&seen).await == 200 {
        assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
    }
    for token in [&seen, &seen, &unseen] {
        let answer = place.gateway.get_as("/api/chat/rooms", token).await;
        answer.is_problem("revoked-token", 401);
        let challenge = answer.field("www-authenticate").unwrap();
        assert!(challenge.contains("invalid_token") && challenge.contains("revoked"));
    }
    // Where nobody has to be somebody, it is nobody's.
    assert_eq!(place.gateway.get_as("/open/x", &seen).await.status, 200);
}

const LEAN: &str = "gateway.lean_way=true";
const GENERAL: &str = "gateway.lean_way=false";

#[tokio::test]
async fn a_session_that_ended_is_refused_on_the_lean_way() {
    an_ended_token_is_refused_within_a_second(SESSION, LEAN).await;
}

#[tokio::test]
async fn a_session_that_ended_is_refused_on_the_general_way() {
    an_ended_token_is_refused_within_a_second(SESSION, GENERAL).await;
}

#[tokio::test]
async fn a_user_who_signed_out_everywhere_is_refused_on_both_ways() {
    an_ended_token_is_refused_within_a_second(USER, LEAN).await;
    an_ended_token_is_refused_within_a_second(USER, GENERAL).await;
}

#[tokio::test]
async fn a_session_of_somebody_else_changes_nothing() {
    let place = Place::new(Says::Everything, &[]).await;
    let token = place.issuer.token(60, &[]);
    place.until_it_waits().await;
    assert_eq!(place.status(&token).await, 200);
    place.end(Revoked::Session { sid: SessionId(Uuid::from_u128(1)) });
    let asked = || place.feed.saw().last().is_some_and(|saw| saw.line().contains("after=1"));
    until("the gateway has heard of it", asked).await;
    assert_eq!(place.status(&token).await, 200);
}

#[tokio::test]
async fn before_the_feed_has_answered_the_gateway_is_not_ready_and_no_token_is_judged() {
    let place = Place::new(Says::Nothing, &[]).await;
    let token = place.issuer.token(60, &[]);
    for path in ["/health/ready", "/health/live", "/health", "/open/x"] {
        let status = if path == "/health/ready" { 503 } else { 200 };
        assert_eq!(place.gateway.get_as(path, &token).await.status, status, "{path}");
    }
    assert_eq!(place.gateway.get("/health/ready").await.body, "starting\n");
    assert_eq!(place.gateway.operator("/health/ready").await.status, 503);
    let answer = place.gateway.get_as("/api/chat/rooms", &token).await;
    answer.is_problem("unavailable", 503);
    assert_eq!(answer.field("retry-after"), Some("1"));

    place.end(Revoked::Session { sid: SessionId(Uuid::from_u128(1)) });
    place.until_it_waits().await;
    assert_eq!(place.gateway.get("/health/ready").await.body, "ready\n");
    assert_eq!(place.gateway.operator("/health/ready").await.status, 200);
    assert_eq!(place.status(&token).await, 200);
}

#[tokio::test]
async fn the_feed_is_asked_with_a_service_token_of_the_gateways_own() {
    let place = Place::new(Says::Everything, &["gateway.auth.authority=accounts"]).await;
    place.until_it_waits().await;
    let key = place.gateway.data.path().join("keys/gateway.pub");
    let key = chassis::keys::PublicKey::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    rules.set_audience(&["accounts"]);
    rules.set_issuer(&["gateway"]);
    for saw in place.feed.saw() {
        let token = saw.field("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        let decoding = jsonwebtoken::DecodingKey::from_ed_components(&key.x()).unwrap();
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &decoding, &rules);
        assert!(claims.unwrap().claims["sub"].is_null());
    }
}
