//! Tokens that are not what they claim to be, and accounts that somebody else would like to have.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::secret::Secret;
use chassis::tokens::{KeyKind, TokenKey, TokenSecret};
use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::issuer::{
    Issuer, claims, claims_with, encoded, exchange, exchange_claims, exchange_from, key,
};
use crate::support::{Settings, Spoke, account, settings};

on_both_engines!(
    forged_tokens_are_refused_and_lead_nowhere,
    claims_that_are_for_others_or_of_other_times_are_refused,
    an_unknown_issuer_costs_no_fetch,
    new_keys_are_followed_and_old_ones_forgotten,
    keys_are_kept_while_the_issuer_is_away,
    without_any_key_nothing_can_be_said,
    a_flood_of_unknown_keys_is_one_fetch,
    whoever_guesses_is_slowed_down_and_whoever_is_right_is_not,
    those_who_wait_for_an_issuer_s_keys_are_not_taken_for_guessers,
    an_account_is_linked_when_everybody_agrees,
    an_account_is_not_linked_unless_the_operator_says_so,
    an_account_whose_address_was_never_verified_here_is_not_linked,
    an_address_that_the_issuer_did_not_verify_is_nobodys,
    whoever_wants_verified_addresses_gets_no_others,
);

/// A token with `claims` under `header`, with a signature of `key` over something else.
fn under(header: &Value, claims: &Value, key: &TokenKey) -> String {
    let signed = key.sign(claims).unwrap();
    let signature = signed.rsplit('.').next().unwrap();
    format!("{}.{}.{signature}", encoded(header), encoded(claims))
}

async fn forged_tokens_are_refused_and_lead_nowhere(engine: Engine) {
    let (theirs, evil) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let claims = claims(&spoke, "ada");
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", trap.local_addr().unwrap());
    let good = theirs.sign(&claims).unwrap();
    let parts: Vec<_> = good.split('.').collect();
    let kid = theirs.id();
    let public = theirs.jwk().unwrap()["x"].as_str().unwrap().to_owned();
    let secret = TokenKey::shared(&TokenSecret::new(Secret::new(public)));
    let by_evil = |mut header: Value| {
        header["alg"] = json!("EdDSA");
        under(&header, &claims, &evil)
    };
    for (name, token) in [
        ("alg none", format!("{}.{}.", encoded(&json!({"alg": "none", "kid": kid})), parts[1])),
        ("stripped", format!("{}.{}.", parts[0], parts[1])),
        ("HS256 with the public key", secret.sign(&claims).unwrap()),
        ("HS256, kid", under(&json!({"alg": "HS256", "kid": kid}), &claims, &secret)),
        ("another's key", evil.sign(&claims).unwrap()),
        ("another's key, this kid", by_evil(json!({ "kid": kid }))),
        ("jwk", by_evil(json!({"kid": evil.id(), "jwk": evil.jwk()}))),
        ("jku", by_evil(json!({"kid": evil.id(), "jku": url}))),
        ("x5u", by_evil(json!({"kid": evil.id(), "x5u": url}))),
        ("kid is a URL", by_evil(json!({ "kid": url }))),
        ("crit", by_evil(json!({"kid": kid, "crit": ["exp"]}))),
        (
            "an access token",
            under(&json!({"alg": "EdDSA", "kid": kid, "typ": "at+jwt"}), &claims, &theirs),
        ),
        (
            "other claims",
            format!("{}.{}.{}", parts[0], encoded(&json!({"iss": claims["iss"]})), parts[2]),
        ),
        ("padded", format!("{good}==")),
        ("nothing", String::new()),
        ("9 kB", format!("{good}{}", "x".repeat(9000))),
    ] {
        let refused = exchange(&spoke, &token).await;
        assert_eq!(refused.status, 401, "{name}");
        refused.problem("bad-token", 401);
    }
    exchange(&spoke, &good).await.is(200);
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

async fn claims_that_are_for_others_or_of_other_times_are_refused(engine: Engine) {
    let theirs = key(KeyKind::Es256);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let now = spoke.now().seconds();
    for change in [
        json!({"aud": "another-client"}),
        json!({"aud": ["our-client", "another-client"]}),
        json!({"aud": null}),
        json!({"iss": "https://issuer.example"}),
        json!({"iss": null}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "x".repeat(5000)}),
        json!({"exp": null}),
        json!({"exp": "never"}),
        json!({"iat": null}),
        json!({"iat": now + 120}),
        json!({"nbf": now + 120}),
        json!({"auth_time": now + 120}),
    ] {
        let refused = exchange_claims(&spoke, &theirs, &claims_with(&spoke, "ada", &change)).await;
        assert_eq!(refused.status, 401, "{change}");
        refused.problem("bad-token", 401);
    }
    let old = claims_with(&spoke, "ada", &json!({ "exp": now }));
    exchange_claims(&spoke, &theirs, &old).await.problem("expired-token", 401);
    exchange_claims(&spoke, &theirs, &claims(&spoke, "ada")).await.is(200);
}

async fn an_unknown_issuer_costs_no_fetch(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    for iss in [issuer.url.as_str(), "hubbub", "", "https://issuer.example/%2e"] {
        let claims = claims_with(&spoke, "ada", &json!({ "iss": iss }));
        exchange_claims(&spoke, &theirs, &claims).await.problem("bad-token", 401);
    }
    // Nor does an algorithm that this issuer does not have.
    let secret = TokenKey::shared(&TokenSecret::new(Secret::new("x".repeat(32))));
    exchange_claims(&spoke, &secret, &claims(&spoke, "ada")).await.problem("bad-token", 401);
    assert_eq!(issuer.fetches(), 0);
}

async fn new_keys_are_followed_and_old_ones_forgotten(engine: Engine) {
    let (old, new) = (key(KeyKind::Rs256), key(KeyKind::Rs256));
    let issuer = Issuer::with(&[&old]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let claims = claims(&spoke, "ada");
    let first = exchange_claims(&spoke, &old, &claims).await.is(200);
    issuer.publish(&[&old, &new]);
    let second = exchange_claims(&spoke, &new, &claims).await.is(200);
    assert_eq!(first["user"]["id"], second["user"]["id"]);
    exchange_claims(&spoke, &old, &claims).await.is(200);
    assert_eq!(issuer.fetches(), 2);
    // With keys that are never young enough, one that left is missed though nobody names another.
    let spoke = spoke.restart_with("user.issuers.ext.jwks_age_max=0s").await;
    exchange_claims(&spoke, &old, &claims).await.is(200);
    issuer.publish(&[&new]);
    exchange_claims(&spoke, &old, &claims).await.problem("bad-token", 401);
    exchange_claims(&spoke, &new, &claims).await.is(200);
}

async fn keys_are_kept_while_the_issuer_is_away(engine: Engine) {
    let (theirs, unknown) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
    let issuer = Issuer::with(&[&theirs]).await;
    let settings = issuer.trusted(settings(engine)).with("user.issuers.ext.jwks_age_max=0s");
    let spoke = settings.start().await;
    let claims = claims(&spoke, "ada");
    exchange_claims(&spoke, &theirs, &claims).await.is(200);
    issuer.go_away();
    exchange_claims(&spoke, &theirs, &claims).await.is(200);
    exchange_claims(&spoke, &unknown, &claims).await.problem("bad-token", 401);
    assert!(issuer.fetches() > 1);
}

async fn without_any_key_nothing_can_be_said(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    issuer.go_away();
    let spoke = issuer.trusted(settings(engine)).start().await;
    let claims = claims(&spoke, "ada");
    let refused = exchange_claims(&spoke, &theirs, &claims).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem("unavailable", 503);
    issuer.publish(&[&theirs]);
    exchange_claims(&spoke, &theirs, &claims).await.is(200);
}

async fn a_flood_of_unknown_keys_is_one_fetch(engine: Engine) {
    let (theirs, evil) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
    let issuer = Issuer::with(&[&theirs]).await;
    let settings = issuer.trusted(settings(engine)).with("user.issuers.ext.jwks_cooldown=1h");
    let spoke = settings.start().await;
    let token = evil.sign(&claims(&spoke, "ada")).unwrap();
    let flood = (0..20).map(|_| exchange(&spoke, &token));
    for refused in futures_util::future::join_all(flood).await {
        refused.problem("bad-token", 401);
    }
    assert_eq!(issuer.fetches(), 1);
    exchange_claims(&spoke, &theirs, &claims(&spoke, "ada")).await.is(200);
}

async fn whoever_guesses_is_slowed_down_and_whoever_is_right_is_not(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let good = theirs.sign(&claims(&spoke, "ada")).unwrap();
    for _ in 0..99 {
        exchange_from(&spoke, "192.0.2.1", "nonsense").await.problem("bad-token", 401);
    }
    for _ in 0..3 {
        exchange_from(&spoke, "192.0.2.1", &good).await.is(200);
    }
    exchange_from(&spoke, "192.0.2.1", "nonsense").await.problem("bad-token", 401);
    exchange_from(&spoke, "192.0.2.1", &good).await.problem("rate-limited", 429);
    exchange_from(&spoke, "192.0.2.2", &good).await.is(200);
}

async fn those_who_wait_for_an_issuer_s_keys_are_not_taken_for_guessers(engine: Engine) {
    let (old, new) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
    let issuer = Issuer::with(&[&old]).await;
    let settings = issuer.trusted(settings(engine));
    let spoke = settings.with("user.issuers.ext.require_email_verified=true").start().await;
    // A good token that opens no session: it costs no look into the store.
    let claims = claims(&spoke, "ada");
    exchange_claims(&spoke, &old, &claims).await.problem("forbidden", 403);
    issuer.publish(&[&old, &new]);
    let held = issuer.hold().await;
    let token = new.sign(&claims).unwrap();
    let flood = (0..110).map(|_| exchange_from(&spoke, "192.0.2.1", &token));
    let release = async {
        // The ones before have all come by the time that so many after them were answered.
        for _ in 0..40 {
            spoke.get("/.well-known/jwks.json").await.is(200);
        }
        drop(held);
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(flood), release);
    for answer in answers {
        answer.problem("forbidden", 403);
    }
}

const LINKING: &str = "user.issuers.ext.link_verified_email=true";

/// Another issuer's token made ada's account, so that her address is verified here.
async fn with_verified_ada(settings: Settings) -> (Spoke, TokenKey, Value) {
    let (firebase, theirs) = (key(KeyKind::Rs256), key(KeyKind::EdDsa));
    let (one, two) = (Issuer::with(&[&firebase]).await, Issuer::with(&[&theirs]).await);
    let spoke = two.trusted(one.trusted_as_firebase(settings)).start().await;
    let project = json!({
        "iss": "https://securetoken.google.com/my-project", "aud": "my-project",
        "auth_time": spoke.now().seconds(), "email": "ada@example.com", "email_verified": true,
    });
    let claims = claims_with(&spoke, "fire-ada", &project);
    let ada = exchange_claims(&spoke, &firebase, &claims).await.is(200);
    assert_eq!(ada["user"]["emailVerified"], true);
    (spoke, theirs, ada["user"]["id"].clone())
}

fn of_ada(spoke: &Spoke, verified: impl Into<Value>) -> Value {
    let said = json!({"email": "Ada@Example.com", "email_verified": verified.into()});
    claims_with(spoke, "ext-ada", &said)
}

async fn an_account_is_linked_when_everybody_agrees(engine: Engine) {
    let (spoke, theirs, id) = with_verified_ada(settings(engine).with(LINKING)).await;
    let token = theirs.sign(&of_ada(&spoke, true)).unwrap();
    let flood = (0..4).map(|_| exchange(&spoke, &token));
    for session in futures_util::future::join_all(flood).await {
        assert_eq!(session.is(200)["user"]["id"], id);
    }
    // From then on it is the subject that counts, whatever is said about addresses.
    let session = exchange_claims(&spoke, &theirs, &claims(&spoke, "ext-ada")).await.is(200);
    assert_eq!(session["user"]["id"], id);
}

async fn an_account_is_not_linked_unless_the_operator_says_so(engine: Engine) {
    let (spoke, theirs, _) = with_verified_ada(settings(engine)).await;
    exchange_claims(&spoke, &theirs, &of_ada(&spoke, true)).await.problem("taken", 409);
}

async fn an_account_whose_address_was_never_verified_here_is_not_linked(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine).with(LINKING)).start().await;
    // Whoever registered it may be anybody, and has a password.
    spoke.post("/api/register", &account("ada")).await.is(201);
    let linking = exchange_claims(&spoke, &theirs, &of_ada(&spoke, true)).await;
    let refused = linking.problem("taken", 409);
    // The same words as where linking is off: what was missing is nobody's to know.
    let (plain, theirs, _) = with_verified_ada(settings(engine)).await;
    let off = exchange_claims(&plain, &theirs, &of_ada(&plain, true)).await.problem("taken", 409);
    assert_eq!((&refused["error"], &refused["detail"]), (&off["error"], &off["detail"]));
}

async fn an_address_that_the_issuer_did_not_verify_is_nobodys(engine: Engine) {
    let (spoke, theirs, id) = with_verified_ada(settings(engine).with(LINKING)).await;
    for (n, verified) in [json!(false), json!("false"), json!(1), json!(null)].iter().enumerate() {
        let mut claims = of_ada(&spoke, verified.clone());
        claims["sub"] = json!(format!("eve-{n}"));
        let session = exchange_claims(&spoke, &theirs, &claims).await.is(200);
        assert_ne!(session["user"]["id"], id);
        assert_eq!(session["user"]["email"], Value::Null);
    }
}

async fn whoever_wants_verified_addresses_gets_no_others(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let settings = issuer.trusted(settings(engine));
    let spoke = settings.with("user.issuers.ext.require_email_verified=true").start().await;
    let without = of_ada(&spoke, false);
    exchange_claims(&spoke, &theirs, &without).await.problem("forbidden", 403);
    let none = claims(&spoke, "ext-ada");
    exchange_claims(&spoke, &theirs, &none).await.problem("forbidden", 403);
    exchange_claims(&spoke, &theirs, &of_ada(&spoke, "true")).await.is(200);
}

#[tokio::test]
async fn a_token_is_read_no_further_than_its_form_allows() {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(Engine::Sqlite)).start().await;
    let garbage = URL_SAFE_NO_PAD.encode([0xff; 64]);
    for token in [format!("{garbage}.{garbage}.{garbage}"), "ü.ü.ü".to_owned(), "....".to_owned()]
    {
        exchange(&spoke, &token).await.problem("bad-token", 401);
    }
    assert_eq!(issuer.fetches(), 0);
}
