//! Who is calling. Looks a token up among those that were verified before, else verifies it; never
//! waits, except for keys that are not here yet.

mod cache;
mod exchange;
mod held;
mod jwks;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chassis::caller::bearer_bytes;
use chassis::revocation::{Feed, Revocations};
use chassis::secret::Secret;
use chassis::tokens::{BadToken, KeySet, KeySource, Rules};
use chassis::{Deps, StartError, Stop, http_client};
use contract::caller::{Role, UserClaims};
use contract::scope::Scope;
use contract::{Timestamp, UserId};
use http::HeaderValue;
use serde::Deserialize;
use tracing::warn;

pub(crate) use exchange::{Exchange, Exchanger, Outcome, Presented};
pub(crate) use jwks::{Asker, Fetcher};

use crate::head::{Head, Seen};
use crate::refusal::Refusal;
use crate::route::Auth;
use cache::{Cache, Known};
use exchange::Digest;
use held::{Held, Look};

/// What the gateway calls itself in service tokens, and its key's name.
pub(crate) const NAME: &str = "gateway";

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
    /// Where the issuer tells what is revoked; empty: nobody is asked, and nothing is.
    #[serde(deserialize_with = "chassis::revocation::feed_url")]
    pub revocations_url: String,
    /// Most of it that is remembered.
    pub revocations_max: usize,
    /// What the issuer is called in service tokens, with which it is asked.
    pub authority: String,
    /// Where machine keys are exchanged for tokens; empty: none is taken.
    #[serde(deserialize_with = "chassis::revocation::feed_url")]
    pub exchange_url: String,
    /// What of keys is exchanged at all.
    pub key_form: KeyForm,
    /// Machine keys that are exchanged at a time.
    pub exchanges_max: usize,
    /// Of those, at most so many for one address; an IPv6 address counts by its /64.
    pub exchanges_per_address_max: usize,
    /// Most machine keys whose tokens are remembered, in the whole process.
    pub cached_keys_max: usize,
    /// Most machine keys that are remembered as bad, likewise,
    pub refused_keys_max: usize,
    /// and for how long.
    #[serde(with = "chassis::config::span")]
    pub refused_key_pause: Duration,
    /// Most verified tokens that are remembered, in the whole process.
    pub cached_tokens_max: usize,
}

/// What a machine key looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// As Hubbub's user service makes them; anything else is refused without a question.
    Hubbub,
    /// As somebody else does.
    Any,
}

impl KeyForm {
    fn fits(self, key: &str) -> bool {
        match self {
            Self::Hubbub => contract::key::is_well_formed(key),
            Self::Any => true,
        }
    }
}

/// What tokens are checked with: the issuer's keys, or the secret that it shares with us.
pub(crate) fn open_keys(config: &crate::Config) -> Result<KeySource, StartError> {
    let Some(secret) = &config.token_secret else {
        let Config { jwks_url, refetch_cooldown, .. } = &config.auth;
        return Ok(KeySource::new(jwks_url, http_client::open()?, *refetch_cooldown));
    };
    if let Some(weakness) = secret.weakness() {
        warn!("Whoever guesses identity.jwt_secret can be anybody: {weakness}");
    }
    Ok(KeySource::issuer(KeySet::shared(secret)))
}

impl Config {
    /// Begins to follow what is revoked, with a key in the folder `keys`; while the gateway drains for
    /// `linger`. Does not wait for the first answer.
    pub(crate) fn follow(
        &self,
        keys: &Path,
        linger: Duration,
        deps: &Deps,
        stop: &Stop,
    ) -> Result<Revocations, StartError> {
        let feed = Feed {
            url: &self.revocations_url,
            authority: &self.authority,
            keys,
            items_max: self.revocations_max,
            linger,
        };
        feed.follow(NAME, deps, stop)
    }
}

/// How much of its owner's rights a token gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them: the owner is here.
    Whole,
    /// What its scopes say, as a machine key's does. Only who sees the token knows.
    Scoped,
}

/// A verified caller, ready to be told to an upstream.
#[derive(Debug)]
pub(crate) struct Caller {
    pub id: UserId,
    pub reach: Reach,
    /// Whether the token gives an administrator's rights: a scoped one has to say so.
    pub is_admin: bool,
    pub user_id: HeaderValue,
    pub user_name: HeaderValue,
    pub user_roles: HeaderValue,
    pub session_id: HeaderValue,
}

impl Caller {
    fn of(claims: &UserClaims) -> Option<Self> {
        let roles = claims.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",");
        let scopes = claims.scope.as_ref();
        let may_administrate = scopes.is_none_or(|scopes| scopes.0.contains(&Scope::Admin));
        Some(Self {
            id: claims.sub,
            reach: if scopes.is_some() { Reach::Scoped } else { Reach::Whole },
            is_admin: may_administrate && claims.roles.contains(&Role::Admin),
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
    /// Go on, as the caller that a machine key stands for; the upstream gets this in the place of the key.
    Exchanged(Rc<Caller>, HeaderValue),
    /// A machine key for which there is no token here; it may be had.
    UnknownApiKey(Presented),
    /// The token's key is not among those of this generation; it may be at the issuer.
    UnknownKey { seen: u64 },
}

/// The door of one core.
#[derive(Debug)]
pub(crate) struct Door {
    keys: Arc<KeySource>,
    revocations: Revocations,
    rules: Rules,
    cache: RefCell<Cache>,
    key_form: KeyForm,
    /// Machine keys, where they are taken at all.
    held: Option<RefCell<Held>>,
}

impl Door {
    /// One of `cores` doors that follow `keys` and `revocations`, and share what may be remembered.
    pub(crate) fn new(
        keys: &Arc<KeySource>,
        revocations: &Revocations,
        config: &Config,
        cores: usize,
    ) -> Self {
        let share = |whole: usize| whole.div_ceil(cores.max(1));
        let takes_keys = !config.exchange_url.is_empty();
        let held = || {
            let (known, refused) = (share(config.cached_keys_max), share(config.refused_keys_max));
            RefCell::new(Held::new(known, refused, config.refused_key_pause))
        };
        Self {
            keys: keys.clone(),
            revocations: revocations.clone(),
            rules: Rules { issuer: config.issuer.clone(), audience: config.audience.clone() },
            cache: RefCell::new(Cache::new(share(config.cached_tokens_max))),
            key_form: config.key_form,
            held: takes_keys.then(held),
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
                Ok(Credentials::Token(token)) => self.verify(token, now),
                Ok(Credentials::ApiKey(key)) => self.admit(key, now),
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

    /// What to say when a machine key could not be exchanged.
    pub(crate) fn without_token(
        mode: Auth,
        outcome: &Outcome,
    ) -> Result<Option<Rc<Caller>>, Refusal> {
        match (mode, outcome) {
            (Auth::None | Auth::Passthrough, _) => Ok(None),
            (_, Outcome::Refused) => Err(Refusal::BadApiKey),
            (_, Outcome::Busy) => Err(Refusal::Overloaded),
            (_, Outcome::Token { .. } | Outcome::Away) => Err(Refusal::NoExchange),
        }
    }

    /// Remembers what became of the machine key with this digest.
    pub(crate) fn learn(&self, digest: &Digest, outcome: &Outcome, now: Timestamp) {
        if let Some(held) = &self.held {
            held.borrow_mut().learn(digest, outcome, now);
        }
    }

    /// Lets a machine key in by the token that it was exchanged for, which is checked like any other.
    fn admit(&self, key: &[u8], now: Timestamp) -> Result<Verdict, Refusal> {
        let held = self.held.as_ref().ok_or(Refusal::ApiKey)?;
        let key = held::readable(key).ok_or(Refusal::BadApiKey)?;
        let digest = held::digest(key);
        let look = held.borrow_mut().look(&digest, now);
        match look {
            Look::Refused => Err(Refusal::BadApiKey),
            Look::Unknown if !self.key_form.fits(key) => Err(Refusal::BadApiKey),
            Look::Unknown => Ok(unknown(digest, key)),
            Look::Token(field) => match bearer_bytes(field.as_bytes()).map(|t| self.verify(t, now))
            {
                Some(Ok(Verdict::Pass(Some(caller)))) => Ok(Verdict::Exchanged(caller, field)),
                // It ended before its time; the key may be good for another one.
                _ => Ok(unknown(digest, key)),
            },
        }
    }

    fn verify(&self, token: &[u8], now: Timestamp) -> Result<Verdict, Refusal> {
        let keys = self.keys.peek();
        // Before anything is looked at: what is revoked meanwhile is looked at the next time.
        let generation = self.revocations.generation();
        let mut cache = self.cache.borrow_mut();
        if let Some(known) = cache.find(token, keys.generation) {
            if now.seconds() >= known.expires_at {
                return Err(Refusal::ExpiredToken);
            }
            if known.alive_at != generation {
                known.check(&self.revocations)?;
                known.alive_at = generation;
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
        if !self.revocations.is_known() {
            return Err(Refusal::NoRevocations);
        }
        let caller = Rc::new(Caller::of(&claims).ok_or(Refusal::BadToken)?);
        let known = Known {
            caller: caller.clone(),
            session: claims.sid,
            issued_at: Timestamp(claims.iat.saturating_mul(1000)),
            expires_at: claims.exp,
            alive_at: generation,
        };
        known.check(&self.revocations)?;
        cache.keep(token, keys.generation, known);
        Ok(Verdict::Pass(Some(caller)))
    }
}

fn unknown(digest: Digest, key: &str) -> Verdict {
    Verdict::UnknownApiKey(Presented { digest, key: Secret::new(key.into()) })
}

/// What a caller shows.
enum Credentials<'a> {
    Token(&'a [u8]),
    ApiKey(&'a [u8]),
}

/// The bearer token of `head` (RFC 6750 section 2.1), or its machine key: one of either. Whoever sends
/// both may be two (a key that a proxy adds, a token that somebody smuggles in): nobody guesses which
/// is meant, and a route without authentication takes it for nobody.
fn credentials<'a>(head: &Head<'a>) -> Result<Credentials<'a>, Refusal> {
    match (head.seen.has(Seen::AUTHORIZATION), head.seen.has(Seen::API_KEY)) {
        (false, false) => Err(Refusal::Anonymous),
        (true, true) => Err(Refusal::TwoCredentials),
        (true, false) => {
            let value = only(head, Seen::AUTHORIZATION).ok_or(Refusal::NoBearer)?;
            bearer_bytes(value).map(Credentials::Token).ok_or(Refusal::NoBearer)
        }
        (false, true) => {
            only(head, Seen::API_KEY).map(Credentials::ApiKey).ok_or(Refusal::BadApiKey)
        }
    }
}

/// The value of the only line of its kind.
fn only<'a>(head: &Head<'a>, kind: Seen) -> Option<&'a [u8]> {
    let mut lines = head.each(kind);
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests;
