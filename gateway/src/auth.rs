//! Who is calling. Looks a token up among those that were verified before, else verifies it; never
//! waits, except for keys that are not here yet.

mod cache;
mod jwks;
mod keys;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache as Snapshot};
use contract::caller::{Role, UserClaims};
use contract::{Timestamp, UserId};
use http::HeaderValue;
use serde::Deserialize;

pub(crate) use jwks::{Asker, Fetcher};
pub(crate) use keys::KeySet;

use crate::head::{Head, Seen};
use crate::refusal::Refusal;
use crate::route::Auth;
use cache::Cache;
use keys::Judged;

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
    /// How far the issuer's clock may be off.
    #[serde(with = "chassis::config::span")]
    pub leeway: Duration,
    /// How often the keys are fetched anew.
    #[serde(with = "chassis::config::span")]
    pub refresh_interval: Duration,
    /// How long after a fetch an unknown key leads to no other.
    #[serde(with = "chassis::config::span")]
    pub refetch_cooldown: Duration,
    /// How long a fetch may take.
    #[serde(with = "chassis::config::span")]
    pub fetch_timeout: Duration,
    /// Most verified tokens that are remembered, in the whole process.
    pub cached_tokens_max: usize,
    /// Longest token that is looked at, in bytes.
    pub token_bytes_max: usize,
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
    /// The token's key is not here; it may be at the issuer.
    UnknownKey,
}

/// The door of one core.
#[derive(Debug)]
pub(crate) struct Door {
    keys: RefCell<Snapshot<Arc<ArcSwap<KeySet>>, Arc<KeySet>>>,
    cache: RefCell<Cache>,
    token_bytes_max: usize,
}

impl Door {
    /// A door that follows `keys` and remembers `cached_max` tokens.
    pub(crate) fn new(keys: &Arc<ArcSwap<KeySet>>, config: &Config, cached_max: usize) -> Self {
        Self {
            keys: RefCell::new(Snapshot::new(keys.clone())),
            cache: RefCell::new(Cache::new(cached_max)),
            token_bytes_max: config.token_bytes_max,
        }
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
                let known = self.keys.borrow_mut().load().was_fetched();
                Err(if known { Refusal::BadToken } else { Refusal::NoKeys })
            }
        }
    }

    fn verify(&self, token: &[u8], now: Timestamp) -> Result<Verdict, Refusal> {
        if token.len() > self.token_bytes_max {
            return Err(Refusal::BadToken);
        }
        let mut keys = self.keys.borrow_mut();
        let keys = keys.load();
        let mut cache = self.cache.borrow_mut();
        if let Some(known) = cache.find(token, keys.generation()) {
            keys.in_time(known.times, now)?;
            return Ok(Verdict::Pass(Some(known.caller.clone())));
        }
        match keys.judge(token)? {
            Judged::UnknownKey => Ok(Verdict::UnknownKey),
            Judged::Genuine(claims) => {
                let times = keys::Times { from: claims.nbf, until: claims.exp };
                keys.in_time(times, now)?;
                let caller = Rc::new(Caller::of(&claims).ok_or(Refusal::BadToken)?);
                let known = cache::Known { caller: caller.clone(), times };
                cache.keep(token, keys.generation(), known);
                Ok(Verdict::Pass(Some(caller)))
            }
        }
    }
}

/// The bearer token of `head` (RFC 6750 section 2.1), which there may be one of.
fn credentials<'a>(head: &Head<'a>) -> Result<&'a [u8], Refusal> {
    if !head.seen.has(Seen::AUTHORIZATION) {
        let key = head.seen.has(Seen::API_KEY);
        return Err(if key { Refusal::ApiKey } else { Refusal::Anonymous });
    }
    let mut lines = head.all("authorization");
    let (Some(value), None) = (lines.next(), lines.next()) else { return Err(Refusal::BadToken) };
    let (scheme, token) = value.split_at_checked(7).ok_or(Refusal::BadToken)?;
    let token = token.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"bearer ") || token.is_empty() {
        return Err(Refusal::BadToken);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use contract::Kind;

    use super::*;
    use crate::head::tests::both_ways;
    use keys::tests::{ISSUED, Issuer, key_set};

    const NOW: Timestamp = Timestamp(ISSUED * 1000 + 5000);

    fn door(issuers: &[&Issuer]) -> Door {
        let keys = Arc::new(ArcSwap::from_pointee(key_set(issuers)));
        Door::new(&keys, &keys::tests::config(), 100)
    }

    fn verdict(door: &Door, fields: &str, mode: Auth) -> String {
        verdict_at(door, fields, mode, NOW)
    }

    fn verdict_at(door: &Door, fields: &str, mode: Auth, now: Timestamp) -> String {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        both_ways(&head, |head| match door.check(head, mode, now) {
            Ok(Verdict::Pass(Some(caller))) => caller.user_name.to_str().unwrap().to_owned(),
            Ok(Verdict::Pass(None)) => "nobody".to_owned(),
            Ok(Verdict::UnknownKey) => "unknown-key".to_owned(),
            Err(refusal) => refusal.kind().slug().to_owned(),
        })
    }

    #[test]
    fn each_mode_has_its_verdict_on_each_kind_of_token() {
        let (ours, theirs) = (Issuer::new("one"), Issuer::new("one"));
        let door = door(&[&ours]);
        let good = format!("Authorization: Bearer {}\r\n", ours.token(|_| {}));
        let lower = format!("authorization: bearer  {}\r\n", ours.token(|_| {}));
        let forged = format!("Authorization: Bearer {}\r\n", theirs.token(|_| {}));
        let unknown = format!("Authorization: Bearer {}\r\n", Issuer::new("two").token(|_| {}));
        let old = format!("Authorization: Bearer {}\r\n", ours.token(|c| c.exp = ISSUED + 1));
        let early = format!("Authorization: Bearer {}\r\n", ours.token(|c| c.nbf = ISSUED + 999));
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
            ("Authorization: Bearer \r\n", "bad-token", "bad-token", "nobody"),
            ("Authorization: Basic YTpi\r\n", "bad-token", "bad-token", "nobody"),
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
        let issuer = Issuer::new("one");
        let door = door(&[&issuer]);
        let field = format!("Authorization: Bearer {}\r\n", issuer.token(|_| {}));
        assert_eq!(verdict(&door, &field, Auth::Required), "ada");
        let later = NOW.plus(Duration::from_hours(1));
        assert_eq!(verdict_at(&door, &field, Auth::Required, later), "expired-token");
    }

    #[test]
    fn a_remembered_token_dies_with_its_key() {
        let issuer = Issuer::new("one");
        let keys = Arc::new(ArcSwap::from_pointee(key_set(&[&issuer])));
        let door = Door::new(&keys, &keys::tests::config(), 100);
        let field = format!("Authorization: Bearer {}\r\n", issuer.token(|_| {}));
        assert_eq!(verdict(&door, &field, Auth::Required), "ada");
        keys.store(Arc::new(key_set(&[&Issuer::new("two")]).after(&keys.load())));
        assert_eq!(verdict(&door, &field, Auth::Required), "unknown-key");
    }

    #[test]
    fn without_any_keys_nobody_is_to_blame() {
        let keys = Arc::new(ArcSwap::from_pointee(KeySet::none(&keys::tests::config())));
        let door = Door::new(&keys, &keys::tests::config(), 1);
        let refusal = door.without_key(Auth::Required).unwrap_err();
        assert_eq!(refusal.kind(), Kind::Unavailable);
        assert!(door.without_key(Auth::None).unwrap().is_none());
    }

    #[test]
    fn a_changed_token_is_not_the_remembered_one() {
        let issuer = Issuer::new("one");
        let door = door(&[&issuer]);
        let token = issuer.token(|_| {});
        let field = |token: &str| format!("Authorization: Bearer {token}\r\n");
        assert_eq!(verdict(&door, &field(&token), Auth::Required), "ada");
        let changed = token.replacen('.', ".e", 1);
        assert_eq!(verdict(&door, &field(&changed), Auth::Required), "bad-token");
    }
}
