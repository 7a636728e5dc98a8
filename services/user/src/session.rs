//! Sessions: one for each sign-in, kept alive by refresh tokens of which only the newest is good.
//!
//! A refresh token is 256 random bits, known here by its digest alone. Using it replaces it; using
//! it twice shows that two parties hold it, and ends its session.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::{Clock, Random};
use contract::{SessionId, Timestamp};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::account::Account;
use crate::error::Error;
use crate::store::sessions::{NewSession, Renewal, Spent};
use crate::store::{self, Store};
use crate::token::Issuer;

/// SHA-256 of a refresh token: all that is stored of it. It needs no salt, being random.
pub(crate) type RefreshHash = [u8; 32];

/// `[user.sessions]`: how long sessions live.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "keys of the configuration say that they are bounds")]
pub(crate) struct Lives {
    /// Without being used.
    #[serde(with = "chassis::config::span")]
    pub(crate) idle_max: Duration,
    /// Whatever happens.
    #[serde(with = "chassis::config::span")]
    pub(crate) age_max: Duration,
    /// Sessions of one account; the least recently used goes first.
    pub(crate) per_account_max: u32,
}

/// A stored session, as far as renewing it matters.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) id: SessionId,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) ended: bool,
}

/// What whoever signed in gets.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) account: Account,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    /// Life of the access token.
    pub(crate) expires_in: Duration,
}

/// Opens, renews and forgets sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) store: Store,
    pub(crate) issuer: Issuer,
    pub(crate) lives: Lives,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

impl Sessions {
    /// Opens a session of an account that was just checked.
    pub(crate) async fn open(&self, account: Account) -> Result<Granted, Error> {
        let (session, token) = self.draw();
        self.store.open_session(account.id, &session).await?;
        self.grant(account, session.id, token)
    }

    /// Trades a refresh token for the next one and a new access token.
    pub(crate) async fn renew(&self, token: &str) -> Result<Granted, Error> {
        let next = self.draw_token();
        let renewal = Renewal { hash: digest(&next), now: self.clock.now() };
        let expiry = |family: &Family| self.expiry(family.created_at, renewal.now);
        match self.store.spend(&digest(token), &renewal, expiry).await? {
            Spent::Renewed { session, account } => self.grant(*account, session, next),
            Spent::Reused { session } => {
                warn!(session.id = %session, "A refresh token was used twice; its session has ended");
                Err(Error::DeadRefreshToken)
            }
            Spent::Ended | Spent::Unknown => Err(Error::DeadRefreshToken),
            Spent::Expired => Err(Error::SessionExpired),
        }
    }

    /// A session about to be stored, and its first refresh token.
    pub(crate) fn draw(&self) -> (NewSession, String) {
        let (now, token) = (self.clock.now(), self.draw_token());
        let session = NewSession {
            id: SessionId(self.random.uuid_v7(now)),
            hash: digest(&token),
            now,
            expires_at: self.expiry(now, now),
            per_account_max: self.lives.per_account_max,
        };
        (session, token)
    }

    /// The answer for a session that is stored.
    pub(crate) fn grant(
        &self,
        account: Account,
        session: SessionId,
        refresh_token: String,
    ) -> Result<Granted, Error> {
        let now = self.clock.now();
        let access_token = self.issuer.issue(&account, session, now, &self.random)?;
        Ok(Granted { account, access_token, refresh_token, expires_in: self.issuer.life() })
    }

    /// Forgets up to `limit` dead sessions and spent tokens too old to be alive; says how many.
    pub(crate) async fn sweep(&self, limit: u32) -> Result<u64, store::Error> {
        let now = self.clock.now();
        let idle = i64::try_from(self.lives.idle_max.as_millis()).unwrap_or(i64::MAX);
        let forget = Timestamp(now.0.saturating_sub(idle));
        self.store.sweep(now, forget, limit).await
    }

    fn expiry(&self, created_at: Timestamp, now: Timestamp) -> Timestamp {
        now.plus(self.lives.idle_max).min(created_at.plus(self.lives.age_max))
    }

    fn draw_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random.bytes::<32>())
    }
}

fn digest(token: &str) -> RefreshHash {
    Sha256::digest(token.as_bytes()).into()
}
