//! Who is calling. Looks a token up among those that were verified before, else verifies it; never
//! waits, except for keys that are not here yet.

mod cache;
mod jwks;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chassis::caller::bearer_bytes;
use chassis::tokens::{BadToken, KeySource, Rules};
use contract::caller::{Role, UserClaims};
use contract::{Timestamp, UserId};
use http::HeaderValue;
use serde::Deserialize;

pub(crate) use jwks::{Asker, Fetcher};

use crate::head::{Head, Seen};
use crate::refusal::Refusal;
use crate::route::Auth;
use cache::{Cache, Known};

/// `[gateway.auth]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the issuer's public keys are.
    pub jwks_url: String,
    /// `iss` of a good token.
    pub issuer: String,
    /// `aud` of a good token.
    pub audience: String,
    /// How often the keys are fetched anew.
    #[serde(with = "chassis::config::span")]
    pub refresh_interval: Duration,
    /// How long after a fetch an unknown key leads to no other.
    #[serde(with = "chassis::config::span")]
    pub refetch_cooldown: Duration,
    /// Most verified tokens that are remembered, in the whole process.
    pub cached_tokens_max: usize,
}

/// A verified caller, ready to be told to an upstream.
#[derive(Debug)]
pub(crate) struct Caller {
    pub id: UserId,
    pub is_admin: bool,
    pub user_id: HeaderValue,
    pub user_name: HeaderValue,
    pub user_roles: HeaderValue,
    pub session_id: HeaderValue,
}

impl Caller {
    fn of(claims: &UserClaims) -> Option<Self> {
        let roles = claims.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",");
        Some(Self {
            id: claims.sub,
            is_admin: claims.roles.contains(&Role::Admin),
            user_id: HeaderValue::try_from(claims.sub.to_string()).ok()?,
            user_name: HeaderValue::from_bytes(claims.name.as_bytes()).ok()?,
            user_roles: HeaderValue::try_from(roles).ok()?,
            session_id: HeaderValue::try_from(claims.sid.to_string()).ok()?,
        })
    }
}

/// What the door says.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Go on, as this caller or as nobody.
    Pass(Option<Rc<Caller>>),
    /// The token's key is not among those of this generation; it may be at the issuer.
    UnknownKey { seen: u64 },
}

/// The door of one core.
#[derive(Debug)]
pub(crate) struct Door {
    keys: Arc<KeySource>,
    rules: Rules,
    cache: RefCell<Cache>,
}

impl Door {
    /// A door that follows `keys` and remembers `cached_max` tokens.
    pub(crate) fn new(keys: &Arc<KeySource>, config: &Config, cached_max: usize) -> Self {
        let rules = Rules { issuer: config.issuer.clone(), audience: config.audience.clone() };
        Self { keys: keys.clone(), rules, cache: RefCell::new(Cache::new(cached_max)) }
    }

    /// Whether `head` may use a route with `mode`.
    pub(crate) fn check(
        &self,
        head: &Head<'_>,
        mode: Auth,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let verdict = match mode {
            Auth::Passthrough => return Ok(Verdict::Pass(None)),
            Auth::Required | Auth::Optional | Auth::None => match credentials(head) {
                Ok(token) => self.verify(token, now),
                Err(Refusal::Anonymous) if mode != Auth::Required => Ok(Verdict::Pass(None)),
                Err(refusal) => Err(refusal),
            },
        };
        match verdict {
            Err(_) if mode == Auth::None => Ok(Verdict::Pass(None)),
            verdict => verdict,
        }
    }

    /// What to say when the key is unknown for good.
    pub(crate) fn without_key(&self, mode: Auth) -> Result<Option<Rc<Caller>>, Refusal> {
        match mode {
            Auth::None | Auth::Passthrough => Ok(None),
            Auth::Required | Auth::Optional => {
                let was_fetched = self.keys.peek().generation > 0;
                Err(if was_fetched { Refusal::BadToken } else { Refusal::NoKeys })
            }
        }
    }

    fn verify(&self, token: &[u8], now: Timestamp) -> Result<Verdict, Refusal> {
        let keys = self.keys.peek();
        let mut cache = self.cache.borrow_mut();
        if let Some(known) = cache.find(token, keys.generation) {
            if now.seconds() >= known.expires_at {
                return Err(Refusal::ExpiredToken);
            }
            return Ok(Verdict::Pass(Some(known.caller.clone())));
        }
        let text = str::from_utf8(token).map_err(|_| Refusal::NoBearer)?;
        let claims = match keys.verify(text, &self.rules, now) {
            Ok(claims) => claims,
            Err(BadToken::UnknownKey) => {
                return Ok(Verdict::UnknownKey { seen: keys.generation });
            }
            Err(BadToken::Expired) => return Err(Refusal::ExpiredToken),
            Err(BadToken::Malformed | BadToken::Forged | BadToken::Foreign | BadToken::NotYet) => {
                return Err(Refusal::BadToken);
            }
        };
        let caller = Rc::new(Caller::of(&claims).ok_or(Refusal::BadToken)?);
        let known = Known { caller: caller.clone(), expires_at: claims.exp };
        cache.keep(token, keys.generation, known);
        Ok(Verdict::Pass(Some(caller)))
    }
}

/// The bearer token of `head` (RFC 6750 section 2.1), which there may be one of.
fn credentials<'a>(head: &Head<'a>) -> Result<&'a [u8], Refusal> {
    if !head.seen.has(Seen::AUTHORIZATION) {
        let key = head.seen.has(Seen::API_KEY);
        return Err(if key { Refusal::ApiKey } else { Refusal::Anonymous });
    }
    let mut lines = head.each(Seen::AUTHORIZATION);
    let (Some(value), None) = (lines.next(), lines.next()) else { return Err(Refusal::NoBearer) };
    bearer_bytes(value).ok_or(Refusal::NoBearer)
}

#[cfg(test)]
mod tests {
    use chassis::keys::SigningKey;
    use chassis::tokens::KeySet;
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
        let config = Config {
            jwks_url: String::new(),
            issuer: "hubbub".into(),
            audience: "hubbub".into(),
            refresh_interval: Duration::from_mins(5),
            refetch_cooldown: Duration::from_secs(10),
            cached_tokens_max: 100,
        };
        Door::new(&Arc::new(keys), &config, 100)
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
            Ok(Verdict::Pass(Some(caller))) => caller.user_name.to_str().unwrap().to_owned(),
            Ok(Verdict::Pass(None)) => "nobody".to_owned(),
            Ok(Verdict::UnknownKey { .. }) => "unknown-key".to_owned(),
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
}
