//! The door of one core: what each kind of credentials gets, in each mode.

use chassis::keys::SigningKey;
use chassis::tokens::KeySet;
use contract::revocation::{Revocation, Revoked};
use contract::{Kind, SessionId};
use jsonwebtoken::{Algorithm, Header, encode};
use uuid::Uuid;

use super::*;
use crate::head::tests::both_ways;

/// When test tokens are issued, in seconds.
const ISSUED: i64 = 1_795_194_000;
const NOW: Timestamp = Timestamp(ISSUED * 1000 + 5000);

struct Issuer(SigningKey);

impl Issuer {
    fn new() -> Self {
        Self(SigningKey::generate().unwrap().0)
    }

    fn token(&self, change: impl FnOnce(&mut UserClaims)) -> String {
        self.token_as(&self.0.public().id(), change)
    }

    /// A token that names the key `kid`, whoever has that.
    fn token_as(&self, kid: &str, change: impl FnOnce(&mut UserClaims)) -> String {
        let mut claims = UserClaims {
            iss: "hubbub".into(),
            sub: UserId(Uuid::nil()),
            aud: "hubbub".into(),
            exp: ISSUED + 900,
            nbf: ISSUED,
            iat: ISSUED,
            jti: "j".into(),
            sid: SessionId(Uuid::nil()),
            name: "ada".into(),
            roles: vec![Role::Customer],
            email_verified: false,
            scope: None,
        };
        change(&mut claims);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid.to_owned());
        encode(&header, &claims, self.0.encoding()).unwrap()
    }

    fn keys(&self) -> KeySet {
        let (kid, x) = (self.0.public().id(), self.0.public().x());
        let key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x});
        let set = serde_json::json!({ "keys": [key] }).to_string();
        KeySet::parse(set.as_bytes(), 1).unwrap()
    }
}

fn door_with(keys: KeySource) -> Door {
    door_where(keys, &Revocations::unfollowed())
}

fn door_where(keys: KeySource, revocations: &Revocations) -> Door {
    door_at("", keys, revocations)
}

fn door_at(exchange_url: &str, keys: KeySource, revocations: &Revocations) -> Door {
    let config = Config {
        jwks_url: String::new(),
        issuer: "hubbub".into(),
        audience: "hubbub".into(),
        refresh_interval: Duration::from_mins(5),
        refetch_cooldown: Duration::from_secs(10),
        revocations_url: String::new(),
        revocations_max: 100,
        authority: "issuer".into(),
        exchange_url: exchange_url.into(),
        key_form: KeyForm::Any,
        exchanges_max: 8,
        exchanges_per_address_max: 8,
        cached_keys_max: 100,
        refused_keys_max: 100,
        refused_key_pause: Duration::from_secs(5),
        cached_tokens_max: 100,
    };
    Door::new(&Arc::new(keys), revocations, &config, 1)
}

fn door(issuer: &Issuer) -> Door {
    door_with(KeySource::issuer(issuer.keys()))
}

fn verdict(door: &Door, fields: &str, mode: Auth) -> String {
    verdict_at(door, fields, mode, NOW)
}

fn verdict_at(door: &Door, fields: &str, mode: Auth, now: Timestamp) -> String {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    both_ways(&head, |head| match door.check(head, mode, now) {
        Ok(Verdict::Pass(Some(caller)) | Verdict::Exchanged(caller, _)) => {
            caller.user_name.to_str().unwrap().to_owned()
        }
        Ok(Verdict::Pass(None)) => "nobody".to_owned(),
        Ok(Verdict::UnknownKey { .. }) => "unknown-key".to_owned(),
        Ok(Verdict::UnknownApiKey(_)) => "unknown-api-key".to_owned(),
        Err(refusal) => refusal.kind().slug().to_owned(),
    })
}

#[test]
fn each_mode_has_its_verdict_on_each_kind_of_token() {
    let (ours, theirs) = (Issuer::new(), Issuer::new());
    let door = door(&ours);
    let good = format!("Authorization: Bearer {}\r\n", ours.token(|_| {}));
    let twice = good.repeat(2);
    let lower = format!("authorization: bearer  {}\r\n", ours.token(|_| {}));
    let forged =
        format!("Authorization: Bearer {}\r\n", theirs.token_as(&ours.0.public().id(), |_| {}));
    let unknown = format!("Authorization: Bearer {}\r\n", theirs.token(|_| {}));
    let old = format!("Authorization: Bearer {}\r\n", ours.token(|c| c.exp = ISSUED + 1));
    let early = format!("Authorization: Bearer {}\r\n", ours.token(|c| c.nbf = ISSUED + 99));
    let alien = format!("Authorization: Bearer {}\r\n", ours.token(|c| c.aud = "x".into()));
    let other = format!("Authorization: Bearer {}\r\n", ours.token(|c| c.iss = "x".into()));
    for (fields, required, optional, none) in [
        ("", "unauthenticated", "nobody", "nobody"),
        (&good, "ada", "ada", "ada"),
        (&lower, "ada", "ada", "ada"),
        (&forged, "bad-token", "bad-token", "nobody"),
        (&unknown, "unknown-key", "unknown-key", "unknown-key"),
        (&old, "expired-token", "expired-token", "nobody"),
        (&early, "bad-token", "bad-token", "nobody"),
        (&alien, "bad-token", "bad-token", "nobody"),
        (&other, "bad-token", "bad-token", "nobody"),
        ("Authorization: Bearer garbage\r\n", "bad-token", "bad-token", "nobody"),
        ("Authorization: Bearer a.b.c\r\n", "bad-token", "bad-token", "nobody"),
        ("Authorization: Bearer \r\n", "unauthenticated", "unauthenticated", "nobody"),
        ("Authorization: Basic YTpi\r\n", "unauthenticated", "unauthenticated", "nobody"),
        ("Authorization: InvalidFormat\r\n", "unauthenticated", "unauthenticated", "nobody"),
        (&twice, "unauthenticated", "unauthenticated", "nobody"),
        ("X-Api-Key: k\r\n", "unauthenticated", "unauthenticated", "nobody"),
    ] {
        assert_eq!(verdict(&door, fields, Auth::Required), required, "{fields}");
        assert_eq!(verdict(&door, fields, Auth::Optional), optional, "{fields}");
        assert_eq!(verdict(&door, fields, Auth::None), none, "{fields}");
        assert_eq!(verdict(&door, fields, Auth::Passthrough), "nobody", "{fields}");
    }
}

#[test]
fn a_remembered_token_expires_all_the_same() {
    let issuer = Issuer::new();
    let door = door(&issuer);
    let field = format!("Authorization: Bearer {}\r\n", issuer.token(|_| {}));
    assert_eq!(verdict(&door, &field, Auth::Required), "ada");
    let later = NOW.plus(Duration::from_hours(1));
    assert_eq!(verdict_at(&door, &field, Auth::Required, later), "expired-token");
}

#[test]
fn without_any_keys_nobody_is_to_blame() {
    let door = door_with(KeySource::issuer(KeySet::default()));
    let refusal = door.without_key(Auth::Required).unwrap_err();
    assert_eq!(refusal.kind(), Kind::Unavailable);
    assert!(door.without_key(Auth::None).unwrap().is_none());
}

#[test]
fn a_changed_token_is_not_the_remembered_one() {
    let issuer = Issuer::new();
    let door = door(&issuer);
    let token = issuer.token(|_| {});
    let field = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(verdict(&door, &field(&token), Auth::Required), "ada");
    let changed = token.replacen('.', ".e", 1);
    assert_eq!(verdict(&door, &field(&changed), Auth::Required), "bad-token");
}

fn ends(what: Revoked) -> Revocation {
    Revocation { what, not_before: NOW, until: NOW.plus(Duration::from_mins(15)) }
}

#[test]
fn what_is_revoked_is_refused_in_every_mode_that_looks_remembered_or_not() {
    let issuer = Issuer::new();
    let revocations = Revocations::unknown(8);
    revocations.mark_known();
    let door = door_where(KeySource::issuer(issuer.keys()), &revocations);
    let other = SessionId(Uuid::from_u128(1));
    let field =
        |change: fn(&mut UserClaims)| format!("Authorization: Bearer {}\r\n", issuer.token(change));
    let seen = field(|_| {});
    let unseen = field(|claims| claims.jti = "k".into());
    let spared = field(|claims| claims.sid = SessionId(Uuid::from_u128(2)));
    assert_eq!(verdict(&door, &seen, Auth::Required), "ada");
    let alike = [other, SessionId(Uuid::nil())];
    revocations.apply(&alike.map(|sid| ends(Revoked::Session { sid })), NOW);
    for fields in [&seen, &seen, &unseen] {
        assert_eq!(verdict(&door, fields, Auth::Required), "revoked-token");
        assert_eq!(verdict(&door, fields, Auth::Optional), "revoked-token");
        assert_eq!(verdict(&door, fields, Auth::None), "nobody");
        assert_eq!(verdict(&door, fields, Auth::Passthrough), "nobody");
    }
    assert_eq!(verdict(&door, &spared, Auth::Required), "ada");
}

#[test]
fn a_users_tokens_are_refused_up_to_a_moment() {
    let issuer = Issuer::new();
    let revocations = Revocations::unknown(8);
    revocations.mark_known();
    let door = door_where(KeySource::issuer(issuer.keys()), &revocations);
    let before = format!("Authorization: Bearer {}\r\n", issuer.token(|_| {}));
    let after = issuer.token(|claims| claims.iat = NOW.seconds());
    let after = format!("Authorization: Bearer {after}\r\n");
    assert_eq!(verdict(&door, &before, Auth::Required), "ada");
    revocations.apply(&[ends(Revoked::User { user_id: UserId(Uuid::nil()) })], NOW);
    assert_eq!(verdict(&door, &before, Auth::Required), "revoked-token");
    assert_eq!(verdict(&door, &after, Auth::Required), "ada");
}

#[test]
fn a_machine_key_is_as_good_as_the_token_that_it_was_exchanged_for() {
    let issuer = Issuer::new();
    let revocations = Revocations::unknown(8);
    revocations.mark_known();
    let door = door_at("http://a", KeySource::issuer(issuer.keys()), &revocations);
    let field = "X-Api-Key: k\r\n";
    let learn = |outcome| door.learn(&held::digest("k"), &outcome, NOW);
    let traded = |jti: &str| Outcome::Token {
        token: issuer.token(|claims| claims.jti = jti.into()).into(),
        expires_at: ISSUED + 60,
    };
    for mode in [Auth::Required, Auth::Optional, Auth::None] {
        assert_eq!(verdict(&door, field, mode), "unknown-api-key");
    }
    assert_eq!(verdict(&door, field, Auth::Passthrough), "nobody");
    learn(traded("one"));
    assert_eq!(verdict(&door, field, Auth::Required), "ada");
    assert_eq!(verdict(&door, field, Auth::None), "ada");
    let what = Revoked::Session { sid: SessionId(Uuid::nil()) };
    revocations.apply(&[ends(what)], NOW);
    assert_eq!(verdict(&door, field, Auth::Required), "unknown-api-key");
    learn(traded("two"));
    assert_eq!(verdict(&door, field, Auth::Required), "unknown-api-key", "as dead as the first");
    learn(Outcome::Refused);
    assert_eq!(verdict(&door, field, Auth::Required), "wrong-credentials");
    assert_eq!(verdict(&door, field, Auth::None), "nobody");
}

#[test]
fn a_key_that_could_not_be_exchanged_is_refused_where_a_caller_is_needed() {
    let said = |mode, outcome| match Door::without_token(mode, &outcome) {
        Ok(caller) => caller.map_or("nobody", |_| "somebody"),
        Err(refusal) => refusal.kind().slug(),
    };
    for mode in [Auth::Required, Auth::Optional] {
        assert_eq!(said(mode, Outcome::Away), "unavailable");
        assert_eq!(said(mode, Outcome::Busy), "overloaded");
        assert_eq!(said(mode, Outcome::Refused), "wrong-credentials");
    }
    assert_eq!(said(Auth::None, Outcome::Away), "nobody");
}

#[test]
fn until_it_is_known_what_is_revoked_nobody_is_to_blame() {
    let issuer = Issuer::new();
    let revocations = Revocations::unknown(8);
    let door = door_where(KeySource::issuer(issuer.keys()), &revocations);
    let field = format!("Authorization: Bearer {}\r\n", issuer.token(|_| {}));
    assert_eq!(verdict(&door, &field, Auth::Required), "unavailable");
    assert_eq!(verdict(&door, &field, Auth::Optional), "unavailable");
    assert_eq!(verdict(&door, &field, Auth::None), "nobody");
    revocations.mark_known();
    assert_eq!(verdict(&door, &field, Auth::Required), "ada");
}
