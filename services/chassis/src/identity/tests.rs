//! Tokens of users against a spoke whose clock, keys and revocations are set by hand.

use std::sync::atomic::{AtomicI64, Ordering};

use contract::revocation::{Revocation, Revoked};
use jsonwebtoken::{Algorithm, Header};
use uuid::Uuid;

use super::*;
use crate::config::Layers;
use crate::keys::SigningKey;
use crate::tokens::{KeySet, OwnKeys};
use crate::{Bus, Random};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const ADA: UserId = UserId(Uuid::from_u128(7));
const PHONE: SessionId = SessionId(Uuid::from_u128(9));

struct Spoke {
    _data: tempfile::TempDir,
    key: SigningKey,
    identity: Identity,
    /// What the spoke has the keys of users' tokens from.
    keys: OwnKeys,
    hands: Arc<AtomicI64>,
}

/// A spoke that knows what is in `revocations`.
fn spoke(revocations: Revocations) -> Spoke {
    let data = tempfile::tempdir().unwrap();
    let (clock, hands) = Clock::fixed(NOW);
    let (bus, random) = (Bus::local(1), Random::System);
    let deps = Deps { bus, clock, random, data: data.path().to_owned() };
    let config: Config = Layers::defaults().section("identity").unwrap();
    let (key, _) = SigningKey::generate().unwrap();
    let (kid, x) = (key.public().id(), key.public().x());
    let jwks = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#);
    let keys = OwnKeys::new(KeySet::parse(jwks.as_bytes(), 1).unwrap());
    let identity = Identity::with_keys(&config, "chat", &deps, keys.source(), revocations);
    Spoke { _data: data, key, identity, keys, hands }
}

impl Spoke {
    /// A token of Ada's phone, made `ago` seconds before now.
    fn token(&self, ago: i64) -> String {
        let iat = NOW.seconds() - ago;
        let claims = UserClaims {
            iss: "hubbub".to_owned(),
            sub: ADA,
            aud: "hubbub".to_owned(),
            exp: iat + 900,
            nbf: iat,
            iat,
            jti: "j".to_owned(),
            sid: PHONE,
            name: "ada".to_owned(),
            roles: vec![Role::Customer],
            email_verified: false,
            scope: Some("rooms:read").map(|text| Scopes([text.parse().unwrap()].into())),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key.public().id());
        jsonwebtoken::encode(&header, &claims, self.key.encoding()).unwrap()
    }

    async fn verdict(&self, token: &str) -> Result<Caller, Kind> {
        self.identity.verify(token).await.map_err(|refusal| refusal.kind())
    }
}

fn known() -> Revocations {
    let revocations = Revocations::unknown(8);
    revocations.mark_known();
    revocations
}

fn ends(what: Revoked) -> Revocation {
    Revocation { what, not_before: NOW, until: NOW.plus(Duration::from_mins(15)) }
}

#[tokio::test]
async fn a_token_of_an_ended_session_is_refused_remembered_or_not() {
    let revocations = known();
    let spoke = spoke(revocations.clone());
    let (seen, unseen) = (spoke.token(1), spoke.token(2));
    assert!(spoke.verdict(&seen).await.is_ok());
    revocations.apply(&[ends(Revoked::Session { sid: PHONE })], NOW);
    for token in [&seen, &seen, &unseen] {
        assert_eq!(spoke.verdict(token).await, Err(Kind::RevokedToken));
    }
}

#[tokio::test]
async fn a_users_tokens_are_refused_up_to_a_moment() {
    let revocations = known();
    let spoke = spoke(revocations.clone());
    let (before, after) = (spoke.token(1), spoke.token(0));
    for token in [&before, &after] {
        assert!(spoke.verdict(token).await.is_ok());
    }
    revocations.apply(&[ends(Revoked::User { user_id: ADA })], NOW);
    assert_eq!(spoke.verdict(&before).await, Err(Kind::RevokedToken));
    assert!(spoke.verdict(&after).await.is_ok());
}

#[tokio::test]
async fn what_is_not_revoked_stays_remembered_whatever_else_ends() {
    let revocations = known();
    let spoke = spoke(revocations.clone());
    let token = spoke.token(0);
    assert!(spoke.verdict(&token).await.is_ok());
    let other = Revoked::Session { sid: SessionId(Uuid::from_u128(1)) };
    revocations.apply(&[ends(other)], NOW);
    assert!(spoke.verdict(&token).await.is_ok());
    spoke.hands.fetch_add(900_000, Ordering::Relaxed);
    assert_eq!(spoke.verdict(&token).await, Err(Kind::ExpiredToken));
}

#[tokio::test]
async fn until_it_is_known_what_is_revoked_nobody_is_let_in_and_nobody_blamed() {
    let revocations = Revocations::unknown(8);
    let spoke = spoke(revocations.clone());
    assert_eq!(spoke.verdict("garbage").await, Err(Kind::BadToken));
    assert_eq!(spoke.verdict(&spoke.token(0)).await, Err(Kind::Unavailable));
    revocations.mark_known();
    assert!(spoke.verdict(&spoke.token(0)).await.is_ok());
}

#[tokio::test]
async fn a_caller_tells_what_its_token_is_for_and_when_it_was_made() {
    let spoke = spoke(known());
    let Ok(Caller::User(user)) = spoke.verdict(&spoke.token(3)).await else { panic!() };
    assert_eq!(user.issued_at.seconds(), NOW.seconds() - 3);
    assert_eq!(user.scope.unwrap().to_string(), "rooms:read");
}

#[tokio::test]
async fn what_a_key_said_that_was_taken_back_meanwhile_is_not_remembered() {
    let spoke = spoke(known());
    let (token, inner) = (spoke.token(0), &spoke.identity.0);
    let seen = inner.revocations.generation();
    let checked = inner.verify_user(&token, NOW).await.unwrap();
    spoke.keys.publish(KeySet::parse(br#"{"keys":[]}"#, 2).unwrap());
    inner.remember(&token, seen, &checked);
    assert_eq!(spoke.verdict(&token).await, Err(Kind::BadToken));
}
