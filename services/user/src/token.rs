//! Access tokens: signed with a key of ours, checked by everybody with its public half; or signed
//! with a secret that everybody who checks has, too, where an operator wants that.

mod book;
mod folder;
mod ring;
mod rotation;

use std::time::Duration;

use chassis::tokens::{KeySet, KeySource, Rules, TokenKey};
use chassis::{Deps, Random, StartError};
use contract::caller::{Role, UserClaims};
use contract::scope::{Scope, Scopes};
use contract::{SessionId, Timestamp};
use tracing::warn;

pub(crate) use rotation::follow;
pub use rotation::{make_keys, make_token_keys, rotate_keys};

use crate::account::Account;
use crate::config::Config;
use book::Book;
pub(crate) use ring::Spans;

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Sign(&'static str),
    #[error("there is no key")]
    NoKey,
}

/// What a token has of an account when a machine key stands for it.
#[derive(Debug)]
pub(crate) struct Narrowed {
    pub(crate) scope: Scopes,
    pub(crate) until: Timestamp,
}

/// Makes access tokens, and publishes what checks them.
#[derive(Debug)]
pub(crate) struct Issuer {
    keys: Keys,
    rules: Rules,
    life: Duration,
}

#[derive(Debug)]
enum Keys {
    /// One secret, which is never published.
    Shared { key: TokenKey, set: KeySet },
    /// Those in the folder.
    Pairs(Book),
}

impl Issuer {
    /// Reads the token keys, or makes the first.
    pub(crate) fn open(config: &Config, deps: &Deps) -> Result<Self, StartError> {
        let keys = match config.identity.token_secret().map_err(StartError::Config)? {
            Some(secret) => {
                if let Some(weakness) = secret.weakness() {
                    warn!("Whoever guesses identity.jwt_secret can be anybody: {weakness}");
                }
                Keys::Shared { key: TokenKey::shared(&secret), set: KeySet::shared(&secret) }
            }
            None => Keys::Pairs(Book::open(config, &deps.data, deps.clock.now())?),
        };
        let identity = &config.identity;
        let rules = Rules { issuer: identity.issuer.clone(), audience: identity.audience.clone() };
        Ok(Self { keys, rules, life: config.section.access_token_life })
    }

    /// A token of `account`, good from `now` on.
    pub(crate) fn issue(
        &self,
        account: &Account,
        session: SessionId,
        now: Timestamp,
        random: &Random,
    ) -> Result<String, Error> {
        self.sign(&self.claims(account, session, now, random), now)
    }

    /// A token of `account` that is good for no more than `narrowed` says; `key` stands in the place of
    /// a session. An administrator's says so only where its scopes do.
    pub(crate) fn issue_narrowed(
        &self,
        account: &Account,
        key: SessionId,
        narrowed: Narrowed,
        now: Timestamp,
        random: &Random,
    ) -> Result<String, Error> {
        let mut claims = self.claims(account, key, now, random);
        let is_admin = narrowed.scope.contains(Scope::Admin);
        claims.roles.retain(|role| is_admin || *role != Role::Admin);
        claims.exp = narrowed.until.seconds();
        claims.scope = Some(narrowed.scope);
        self.sign(&claims, now)
    }

    fn claims(
        &self,
        account: &Account,
        session: SessionId,
        now: Timestamp,
        random: &Random,
    ) -> UserClaims {
        UserClaims {
            iss: self.rules.issuer.clone(),
            sub: account.id,
            aud: self.rules.audience.clone(),
            exp: now.plus(self.life).seconds(),
            nbf: now.seconds(),
            iat: now.seconds().max(account.tokens_from),
            jti: random.uuid_v7(now).to_string(),
            sid: session,
            name: account.username.as_str().to_owned(),
            roles: account.standing.roles.clone(),
            email_verified: account.email_verified,
            scope: None,
        }
    }

    fn sign(&self, claims: &UserClaims, now: Timestamp) -> Result<String, Error> {
        match &self.keys {
            Keys::Shared { key, .. } => key.sign(claims),
            Keys::Pairs(book) => book.signer(now).ok_or(Error::NoKey)?.sign(claims),
        }
        .map_err(Error::Sign)
    }

    /// How long a token is good.
    pub(crate) const fn life(&self) -> Duration {
        self.life
    }

    /// The public keys (RFC 7517 section 5), and for how long a copy of them will do.
    pub(crate) fn jwks(&self) -> (String, Duration) {
        match &self.keys {
            Keys::Shared { .. } => (r#"{"keys":[]}"#.to_owned(), Duration::ZERO),
            Keys::Pairs(book) => (book.jwks(), book.copy_life()),
        }
    }

    /// The keys that this service itself checks tokens with.
    pub(crate) fn key_source(&self) -> KeySource {
        match &self.keys {
            Keys::Shared { set, .. } => KeySource::issuer(set.clone()),
            Keys::Pairs(book) => book.source(),
        }
    }
}
