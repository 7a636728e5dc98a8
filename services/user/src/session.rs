//! Sessions: one for each sign-in, kept alive by refresh tokens of which only the newest is good.
//!
//! A refresh token is 256 random bits, known here by its digest alone. Using it replaces it; using
//! it twice shows that two parties hold it, and ends its session.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::{Clock, Random};
use contract::{SessionId, Timestamp, UserId};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::account::Account;
use crate::audit::{Action, Entry};
use crate::error::Error;
use crate::feed::Feed;
use crate::store::ends::Ends as _;
use crate::store::sessions::{NewSession, Proof, Renewal, Spent};
use crate::store::{self, Store};
use crate::token::Issuer;
use crate::visitor::Visitor;

/// How much longer than it has to be an entry of the audit is kept: the engine looks at its own clock.
const AUDIT_MARGIN: Duration = Duration::from_mins(1);

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
    /// `None`: it went another way.
    pub(crate) refresh_token: Option<String>,
    /// Life of the access token.
    pub(crate) expires_in: Duration,
    /// Life of the refresh token.
    pub(crate) refresh_in: Duration,
}

/// Opens, renews and forgets sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) store: Store,
    pub(crate) issuer: Issuer,
    pub(crate) lives: Lives,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) feed: Feed,
}

impl Sessions {
    /// Opens a session of the account `of`, whose owner was just checked by `proof`.
    pub(crate) async fn open(
        &self,
        of: UserId,
        proof: Proof<'_>,
        action: Action,
        by: Visitor,
    ) -> Result<Granted, Error> {
        let entry = Entry::own(action, of, by.address, self.clock.now());
        self.open_with(of, proof, &entry, by).await
    }

    /// The same, with more to tell the audit.
    pub(crate) async fn open_with(
        &self,
        of: UserId,
        proof: Proof<'_>,
        entry: &Entry,
        by: Visitor,
    ) -> Result<Granted, Error> {
        let (session, token) = self.draw(by);
        let end = |sid| self.feed.session(sid);
        let stored = self.store.open_session(of, proof, &session, entry, end).await;
        let (account, told) = stored.map_err(|error| outrun(error, of))?;
        self.feed.tell(told);
        self.grant(account, session.id, token, session.now)
    }

    /// Trades a refresh token for the next one and a new access token.
    pub(crate) async fn renew(&self, token: &str, by: Visitor) -> Result<Granted, Error> {
        let next = self.draw_token();
        let renewal = Renewal { hash: digest(&next), now: self.clock.now(), by };
        let expiry = |family: &Family| self.expiry(family.created_at, renewal.now);
        let end = |sid| self.feed.session(sid);
        match self.store.spend(&digest(token), &renewal, expiry, end).await? {
            Spent::Renewed { session, account } => self.grant(*account, session, next, renewal.now),
            Spent::Reused { session, account, told } => {
                self.feed.tell(told);
                warn!(session.id = %session, "A refresh token was used twice; its session has ended");
                Err(Error::DeadRefreshToken { about: Some(account) })
            }
            Spent::Ended | Spent::Unknown => Err(Error::DeadRefreshToken { about: None }),
            Spent::Expired => Err(Error::SessionExpired),
        }
    }

    /// A session about to be stored, and its first refresh token.
    pub(crate) fn draw(&self, by: Visitor) -> (NewSession, String) {
        let (now, token) = (self.clock.now(), self.draw_token());
        let session = NewSession {
            id: SessionId(self.random.uuid_v7(now)),
            hash: digest(&token),
            now,
            expires_at: self.expiry(now, now),
            per_account_max: self.lives.per_account_max,
            by,
        };
        (session, token)
    }

    /// The answer for a session that is stored. The token is of the moment `now` before that: whatever
    /// ended the account's tokens since, it ended this one.
    pub(crate) fn grant(
        &self,
        account: Account,
        session: SessionId,
        refresh_token: String,
        now: Timestamp,
    ) -> Result<Granted, Error> {
        let access_token = self.issuer.issue(&account, session, now, &self.random)?;
        Ok(Granted {
            account,
            access_token,
            refresh_token: Some(refresh_token),
            expires_in: self.issuer.life(),
            refresh_in: self.lives.idle_max,
        })
    }

    /// Forgets up to `limit` dead sessions and spent tokens too old to be alive; says how many.
    pub(crate) async fn sweep(&self, limit: u32) -> Result<u64, store::Error> {
        let now = self.clock.now();
        let store = &self.store;
        let forget = before(now, self.lives.idle_max);
        // What one of them cannot do keeps none of the others from its turn.
        let swept = [
            store.sweep_feed(now, limit).await,
            store.sweep_audit(before(now, AUDIT_MARGIN), limit).await,
            store.sweep_tickets(now, limit).await,
            store.sweep_keys(now, limit).await,
            store.sweep_tokens(now, limit).await,
            store.sweep_codes(now, limit).await,
            store.sweep(now, forget, limit).await,
        ];
        swept.into_iter().sum()
    }

    fn expiry(&self, created_at: Timestamp, now: Timestamp) -> Timestamp {
        now.plus(self.lives.idle_max).min(created_at.plus(self.lives.age_max))
    }

    fn draw_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random.bytes::<32>())
    }
}

/// The account went, or its password, between checking and opening: as if it had been so before.
fn outrun(error: store::Error, about: UserId) -> Error {
    match error {
        store::Error::AccountGone => Error::WrongCredentials { about: None },
        store::Error::PasswordChanged => Error::WrongCredentials { about: Some(about) },
        error => error.into(),
    }
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(span))
}

fn digest(token: &str) -> RefreshHash {
    Sha256::digest(token.as_bytes()).into()
}
