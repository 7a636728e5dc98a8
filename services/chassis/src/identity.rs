//! Who is calling a spoke: a user by an access token, or a service by a service token, and nothing
//! else. Headers that name a caller are never believed.

mod cache;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::caller::{Role, UserClaims};
use contract::{Kind, SessionId, Timestamp, UserId};
use serde::Deserialize;

use crate::refuse::Refusal;
use crate::tokens::{BadToken, KeySource, Rules, TOKEN_BYTES_MAX, claimed_issuer};
use crate::{Clock, Deps, StartError};

use cache::Cache;
use service::ServiceKeys;
pub use service::ServiceTokens;

/// `[identity]`: what every spoke believes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `iss` of users' access tokens.
    pub issuer: String,
    /// `aud` of users' access tokens.
    pub audience: String,
    /// Where the user service publishes its keys.
    pub jwks_url: String,
    /// Shortest time between two fetches of the keys.
    #[serde(with = "crate::config::span")]
    pub jwks_cooldown: Duration,
    /// Most verified tokens that are remembered.
    pub cache_entries_max: usize,
    /// Folder of the services' keys; empty: `keys` in the data folder.
    pub keys_dir: PathBuf,
    /// Callee → calling service → what it may do.
    pub grants: BTreeMap<String, BTreeMap<String, BTreeSet<Grant>>>,
}

impl Config {
    /// The folder of the services' keys.
    #[must_use]
    pub fn keys_folder(&self, data: &Path) -> PathBuf {
        if self.keys_dir.as_os_str().is_empty() { data.join("keys") } else { self.keys_dir.clone() }
    }
}

/// What one service may do at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Call for the user named in the token.
    ActAs,
    /// Send batches of commands for the users named in them.
    Batch,
    /// Read logs.
    Log,
    /// Ask for heads.
    Heads,
    /// Ring.
    Rings,
}

/// Somebody for whom something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The account.
    pub id: UserId,
    /// The username.
    pub name: Arc<str>,
    /// The session, where one is known.
    pub session: Option<SessionId>,
}

/// A user with an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCaller {
    /// Who.
    pub person: Person,
    /// The session that the token belongs to.
    pub session: SessionId,
    /// What the account may be.
    pub roles: Arc<[Role]>,
    /// Until when the token holds.
    pub expires_at: Timestamp,
}

impl From<UserClaims> for UserCaller {
    fn from(claims: UserClaims) -> Self {
        let name = claims.name.into();
        Self {
            person: Person { id: claims.sub, name, session: Some(claims.sid) },
            session: claims.sid,
            roles: claims.roles.into(),
            expires_at: Timestamp(claims.exp.saturating_mul(1000)),
        }
    }
}

/// A service with a service token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCaller {
    /// Its name.
    pub service: Arc<str>,
    /// What it may do here.
    pub grants: Arc<BTreeSet<Grant>>,
    /// For whom it calls, where the token says so.
    pub on_behalf_of: Option<Person>,
    /// Until when the token holds.
    pub expires_at: Timestamp,
}

impl ServiceCaller {
    /// Refuses a service that was not granted `grant`.
    pub fn require(&self, grant: Grant) -> Result<(), Refusal> {
        if self.grants.contains(&grant) { Ok(()) } else { Err(Refusal::new(Kind::Forbidden)) }
    }
}

/// Whoever is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A user.
    User(UserCaller),
    /// A service.
    Service(ServiceCaller),
}

impl Caller {
    /// Until when the token holds.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        match self {
            Self::User(user) => user.expires_at,
            Self::Service(service) => service.expires_at,
        }
    }

    /// For whom the call is: the user, or the one on whose behalf a service acts, where it may.
    pub fn acting(self) -> Result<Person, Refusal> {
        match self {
            Self::User(user) => Ok(user.person),
            Self::Service(service) => {
                service.require(Grant::ActAs)?;
                let detail = "The service token names no user.";
                service.on_behalf_of.ok_or(Refusal::new(Kind::Forbidden).detail(detail))
            }
        }
    }
}

/// Checks tokens for one spoke. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Rules,
    users: KeySource,
    services: ServiceKeys,
    cache: Cache,
    clock: Clock,
}

impl Identity {
    /// The identity check of the spoke `me`. Keys are fetched when the first token comes, so that
    /// spokes start in any order.
    pub fn open(config: &Config, me: &'static str, deps: &Deps) -> Result<Self, StartError> {
        let client = crate::http_client::open()?;
        let users = KeySource::new(&*config.jwks_url, client, config.jwks_cooldown);
        Ok(Self::with_keys(config, me, deps, users))
    }

    /// The identity check of the spoke `me`, which has the keys of users' tokens from `users`.
    #[must_use]
    pub fn with_keys(config: &Config, me: &'static str, deps: &Deps, users: KeySource) -> Self {
        Self(Arc::new(Inner {
            rules: Rules { issuer: config.issuer.clone(), audience: config.audience.clone() },
            users,
            services: ServiceKeys::new(config, me, &deps.data),
            cache: Cache::new(config.cache_entries_max),
            clock: deps.clock.clone(),
        }))
    }

    /// Who holds `token`. Waits only for keys that are not known yet.
    pub async fn verify(&self, token: &str) -> Result<Caller, Refusal> {
        let inner = &*self.0;
        let now = inner.clock.now();
        if let Some(caller) = inner.cache.get(token, inner.users.current().generation, now) {
            return Ok(caller);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::new(BadToken::Malformed.kind()));
        }
        let issuer = claimed_issuer(token);
        let caller = if issuer.as_deref() == Some(&inner.rules.issuer) {
            Caller::User(inner.verify_user(token, now).await?)
        } else {
            let service = inner.services.verify(token, issuer.as_deref(), now);
            Caller::Service(service.map_err(refuse)?)
        };
        inner.cache.put(token, inner.users.current().generation, caller.clone());
        Ok(caller)
    }
}

impl Inner {
    async fn verify_user(&self, token: &str, now: Timestamp) -> Result<UserCaller, Refusal> {
        let keys = self.users.current();
        let checked = match keys.verify(token, &self.rules, now) {
            Err(BadToken::UnknownKey) => {
                let keys = self.users.newer_than(keys.generation).await;
                if keys.generation == 0 {
                    let detail = "The keys of the user service are not known yet.";
                    return Err(Refusal::new(Kind::Unavailable).detail(detail));
                }
                keys.verify(token, &self.rules, now)
            }
            checked => checked,
        };
        checked.map(UserCaller::from).map_err(refuse)
    }
}

fn refuse(bad: BadToken) -> Refusal {
    let detail = match bad {
        BadToken::Expired => "The token has expired: refresh it.",
        BadToken::NotYet => "The token is not valid yet.",
        BadToken::Malformed | BadToken::UnknownKey | BadToken::Forged | BadToken::Foreign => {
            "The token is not one of ours: sign in again."
        }
    };
    Refusal::new(bad.kind()).detail(detail)
}
