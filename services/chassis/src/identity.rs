//! Who is calling a spoke: a user by an access token, or a service by a service token, and nothing
//! else. Headers that name a caller are never believed.

mod cache;
mod secret;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::caller::{Role, UserClaims};
use contract::scope::{Scope, Scopes};
use contract::{Kind, SessionId, Timestamp, UserId};
use serde::Deserialize;

use crate::refuse::Refusal;
use crate::revocation::{Feed, Revocations};
use crate::secret::Secret;
use crate::tokens::{BadToken, KeySet, KeySource, Rules, TOKEN_BYTES_MAX, claimed_issuer};
use crate::{Clock, Deps, StartError, Stop};

use cache::{Cache, Found};
use service::ServiceKeys;
pub use service::ServiceTokens;

/// When it makes sense to come again to a spoke that does not know yet what is revoked.
const KNOWN_SOON: Duration = Duration::from_secs(1);

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
    /// Where the user service tells what is revoked; empty: nobody is asked, and nothing is.
    #[serde(deserialize_with = "crate::revocation::feed_url")]
    pub revocations_url: String,
    /// Most of it that is remembered.
    pub revocations_max: usize,
    /// What the user service is called in service tokens.
    pub authority: String,
    /// What signs users' tokens instead of keys (HS256); empty: keys do.
    pub jwt_secret: Secret<String>,
    /// A file with it, read when `jwt_secret` is empty.
    pub jwt_secret_file: PathBuf,
    /// Whether a secret that can be guessed is taken all the same.
    pub weak_secret_allowed: bool,
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
        keys_folder(&self.keys_dir, data)
    }

    /// Begins to follow what is revoked, for the service `me` and until `stop`; while it drains for
    /// `linger`, as long as it lets callers in. Does not wait for the first answer.
    pub fn follow(
        &self,
        me: &'static str,
        linger: Duration,
        deps: &Deps,
        stop: &Stop,
    ) -> Result<Revocations, StartError> {
        let feed = Feed {
            url: &self.revocations_url,
            authority: &self.authority,
            keys: &self.keys_folder(&deps.data),
            items_max: self.revocations_max,
            linger,
        };
        feed.follow(me, deps, stop)
    }
}

/// The folder of the services' keys, where `identity.keys_dir` is `written`.
#[must_use]
pub fn keys_folder(written: &Path, data: &Path) -> PathBuf {
    if written.as_os_str().is_empty() { data.join("keys") } else { written.to_owned() }
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
    /// Redeem tickets of sockets.
    Redeem,
    /// Exchange machine keys for tokens.
    Exchange,
    /// Read what is revoked.
    Revocations,
    /// Look users up.
    Users,
    /// Make accounts.
    Accounts,
    /// Have access tokens made for accounts.
    GenerateToken,
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
    /// What the token may be used for, where it is a machine key's; `None`: for everything.
    pub scope: Option<Scopes>,
    /// When the token was made, a whole second.
    pub issued_at: Timestamp,
    /// Until when the token holds.
    pub expires_at: Timestamp,
}

impl UserCaller {
    /// Whether nothing that the caller holds forbids what takes `scope`; what the account itself may
    /// do is another question.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scope.as_ref().is_none_or(|scopes| scopes.contains(scope))
    }
}

impl From<UserClaims> for UserCaller {
    fn from(claims: UserClaims) -> Self {
        let name = claims.name.into();
        Self {
            person: Person { id: claims.sub, name, session: Some(claims.sid) },
            session: claims.sid,
            roles: claims.roles.into(),
            scope: claims.scope,
            issued_at: Timestamp(claims.iat.saturating_mul(1000)),
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

    /// As [`UserCaller::may`]. Of a service nothing is forbidden: it answers for the users that it names.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        match self {
            Self::User(user) => user.may(scope),
            Self::Service(_) => true,
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
    revocations: Revocations,
    services: ServiceKeys,
    cache: Cache,
    clock: Clock,
}

impl Identity {
    /// The identity check of the spoke `me`, which refuses what is in `revocations`. Keys are fetched
    /// when the first token comes, so that spokes start in any order.
    pub fn open(
        config: &Config,
        me: &'static str,
        deps: &Deps,
        revocations: Revocations,
    ) -> Result<Self, StartError> {
        let users = if let Some(secret) = config.token_secret().map_err(StartError::Config)? {
            KeySource::issuer(KeySet::shared(&secret))
        } else {
            let client = crate::http_client::open()?;
            KeySource::new(&*config.jwks_url, client, config.jwks_cooldown)
        };
        Ok(Self::with_keys(config, me, deps, users, revocations))
    }

    /// The identity check of the spoke `me`, which has the keys of users' tokens from `users` and
    /// refuses what is in `revocations`. Whoever issues and ends tokens itself shares both.
    #[must_use]
    pub fn with_keys(
        config: &Config,
        me: &'static str,
        deps: &Deps,
        users: KeySource,
        revocations: Revocations,
    ) -> Self {
        Self(Arc::new(Inner {
            rules: Rules { issuer: config.issuer.clone(), audience: config.audience.clone() },
            users,
            revocations,
            services: ServiceKeys::new(config, me, &deps.data),
            cache: Cache::new(config.cache_entries_max),
            clock: deps.clock.clone(),
        }))
    }

    /// What is revoked, for whoever has to end what a token began.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Who holds `token`. Waits only for keys that are not known yet.
    pub async fn verify(&self, token: &str) -> Result<Caller, Refusal> {
        let inner = &*self.0;
        let now = inner.clock.now();
        let keys = inner.users.current().generation;
        // Before anything is looked at: what is revoked meanwhile is looked at the next time.
        let seen = inner.revocations.generation();
        match inner.cache.get(token, keys, now, &inner.revocations) {
            Found::Nothing => {}
            Found::Revoked => return Err(revoked()),
            Found::Alive(caller) => return Ok(caller),
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::new(BadToken::Malformed.kind()));
        }
        let issuer = claimed_issuer(token);
        let checked = if issuer.as_deref() == Some(&inner.rules.issuer) {
            inner.verify_user(token, now).await?
        } else {
            let service = inner.services.verify(token, issuer.as_deref(), now);
            Checked { caller: Caller::Service(service.map_err(refuse)?), keys }
        };
        inner.remember(token, seen, &checked);
        Ok(checked.caller)
    }
}

/// Somebody whose token was just checked.
#[derive(Debug)]
struct Checked {
    caller: Caller,
    /// The generation of the users' keys at the check: when others have taken their place meanwhile, what
    /// these said is not to be remembered as said by the others.
    keys: u64,
}

impl Inner {
    async fn verify_user(&self, token: &str, now: Timestamp) -> Result<Checked, Refusal> {
        let mut keys = self.users.current();
        let checked = match keys.verify(token, &self.rules, now) {
            Err(BadToken::UnknownKey) => {
                keys = self.users.newer_than(keys.generation).await;
                if keys.generation == 0 {
                    let detail = "The keys of the user service are not known yet.";
                    return Err(Refusal::new(Kind::Unavailable).detail(detail));
                }
                keys.verify(token, &self.rules, now)
            }
            checked => checked,
        };
        let user = checked.map(UserCaller::from).map_err(refuse)?;
        if !self.revocations.is_known() {
            let detail = "Which sessions have ended is not known yet.";
            return Err(Refusal::new(Kind::Unavailable).detail(detail).retry_after(KNOWN_SOON));
        }
        if self.revocations.is_revoked(user.session, user.person.id, user.issued_at) {
            return Err(revoked());
        }
        Ok(Checked { caller: Caller::User(user), keys: keys.generation })
    }

    /// Remembers what was found, with nothing revoked beyond the generation `seen`.
    fn remember(&self, token: &str, seen: u64, checked: &Checked) {
        self.cache.put(token, checked.keys, seen, checked.caller.clone());
    }
}

fn revoked() -> Refusal {
    Refusal::new(Kind::RevokedToken).detail("Refresh the token, or sign in again.")
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

#[cfg(test)]
mod tests;
