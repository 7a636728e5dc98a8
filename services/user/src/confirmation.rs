//! Confirming an e-mail address: a letter goes to it, and whoever brings back what stands there reads
//! its mail.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::refuse::Limit;
use chassis::{Clock, Random};
use contract::user::VerifyEmail;
use contract::{Timestamp, UserId};
use uuid::Uuid;

use crate::account::{Account, Email};
use crate::allowance::Allowance;
use crate::audit::{Action, Entry};
use crate::errands::{Errands, Fault};
use crate::error::Error;
use crate::link::Links;
use crate::mail::{Letter, Sender};
use crate::one_time::{Purpose, Token};
use crate::store::Store;
use crate::store::one_time::{Found, NewToken};
use crate::users::Users;

/// Letters on behalf of one account, whatever it says its address is.
static BY_ACCOUNT: Limit =
    Limit { name: "verifications-by-account", calls: 5, window: Duration::from_hours(1) };
/// Letters to one receiver, whichever account says so.
static BY_RECEIVER: Limit =
    Limit { name: "verifications-by-receiver", calls: 3, window: Duration::from_hours(1) };

/// How long what stands in a letter is good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lives {
    pub(crate) verify: Duration,
    pub(crate) reset: Duration,
}

/// Everything that writing to people takes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Letters {
    pub(crate) store: Store,
    pub(crate) sender: Arc<Sender>,
    pub(crate) errands: Errands,
    pub(crate) allowance: Arc<Allowance>,
    pub(crate) links: Links,
    pub(crate) lives: Lives,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

impl Users {
    /// Writes to an account whose address is new. Who is written to too often, or when too many are, can
    /// ask again later.
    pub(crate) fn begin_verification(&self, account: &Account, from: IpAddr) {
        // What is lost is told of where it is lost.
        self.write_verification(account, from).ok();
    }

    /// Writes once more to the caller's account.
    pub(crate) async fn resend_verification(&self, id: UserId, from: IpAddr) -> Result<(), Error> {
        let account = self.own_account(id).await?;
        if account.email_verified { Ok(()) } else { self.write_verification(&account, from) }
    }

    fn write_verification(&self, account: &Account, from: IpAddr) -> Result<(), Error> {
        let (Some(email), now) = (account.email.clone(), self.clock.now()) else { return Ok(()) };
        let id = account.id;
        let allowance = &self.letters.allowance;
        let allowed = allowance.spend(&BY_ACCOUNT, &id.to_string(), now);
        let allowed = allowed.and_then(|()| allowance.spend(&BY_RECEIVER, &email.key(), now));
        allowed.map_err(Error::TooManyRequests)?;
        let letters = self.letters.clone();
        let errand = async move {
            let errands = &letters.errands;
            let letter = errands.insist(|| letters.prepare_verification(id, &email, from)).await;
            if let Some(Some(letter)) = letter {
                letters.post(letter).await;
            }
        };
        Ok(self.letters.errands.begin(errand)?)
    }

    /// Confirms the address that the token was sent to.
    pub(crate) async fn verify_email(&self, body: &VerifyEmail, from: IpAddr) -> Result<(), Error> {
        let token: Token = body.token.parse().map_err(|_| Error::UnknownToken)?;
        let now = self.clock.now();
        let entry = |of| Entry::own(Action::VerifyEmail, of, from, now);
        good(self.store.verify_email(&token.hash(), entry, now).await?)
    }
}

impl Letters {
    async fn prepare_verification(
        &self,
        of: UserId,
        email: &Email,
        from: IpAddr,
    ) -> Result<Option<Letter>, Fault> {
        let entry = Entry::own(Action::SendVerification, of, from, self.clock.now());
        let life = self.lives.verify;
        let Some(token) = self.issue(Purpose::Verify, email, life, &entry).await? else {
            return Ok(None);
        };
        let link = self.links.verify(&token);
        Ok(Some(Letter::verify(email.clone(), &link, life, self.stamp())))
    }

    /// A token of the account that `entry` is about; `None` when `email` is no longer its address.
    pub(crate) async fn issue(
        &self,
        purpose: Purpose,
        email: &Email,
        life: Duration,
        entry: &Entry,
    ) -> Result<Option<Token>, Fault> {
        let Some(of) = entry.account else { return Ok(None) };
        let token = Token::draw(&self.random);
        let new = NewToken {
            hash: token.hash(),
            purpose,
            of,
            email: email.clone(),
            now: entry.at,
            expires_at: entry.at.plus(life),
        };
        let stored = self.store.issue_token(&new, entry).await;
        Ok(stored.map_err(|error| Fault::passing(&error))?.then_some(token))
    }

    /// Hands `letter` over, however many tries that takes within the bounds.
    pub(crate) async fn post(&self, letter: Letter) {
        // Given up is told of already.
        self.errands.insist(|| self.sender.send(&letter)).await;
    }

    /// When a letter was written, and its id.
    pub(crate) fn stamp(&self) -> (Timestamp, Uuid) {
        let now = self.clock.now();
        (now, self.random.uuid_v7(now))
    }
}

/// What was found, when it is good.
pub(crate) fn good<T>(found: Found<T>) -> Result<T, Error> {
    match found {
        Found::Good(value) => Ok(value),
        Found::Spent => Err(Error::SpentToken),
        Found::Unknown => Err(Error::UnknownToken),
    }
}
