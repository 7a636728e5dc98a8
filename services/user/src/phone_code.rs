//! Signing in with a code that is sent to a telephone: whoever reads it has the number.
//!
//! A code is six digits, good once, for minutes and a handful of guesses, and known here behind argon2id
//! alone. What is answered to whoever asks for one depends on nothing that is stored. Never logged.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chassis::config::Faults as ConfigFaults;
use chassis::refuse::Limit;
use chassis::secret::Secret;
use chassis::{Clock, Random};
use contract::UserId;
use contract::user::{AskCode, CheckCode};
use serde::Deserialize;

use crate::account::{About, Account, Phone, Standing, Username};
use crate::allowance::Allowance;
use crate::audit::Entry;
use crate::errands::{Bounds, Errands, Fault};
use crate::error::Error;
use crate::faults::Faults;
use crate::link::Url;
use crate::password::{Passwords, SALT_BYTES};
use crate::session::Granted;
use crate::store::Store;
use crate::store::ends::Ends as _;
use crate::store::phone_codes::{Arrival, Sending};
use crate::users::Users;
use crate::visitor::Visitor;

mod file;
mod provider;
mod webhook;

pub(crate) use provider::{Message, Provider};

/// How many codes there are: all texts of six digits.
const CODES: u64 = 1_000_000;
/// Codes that one address asks for.
static BY_ADDRESS: Limit =
    Limit { name: "phone-codes", calls: 30, window: Duration::from_mins(15) };

/// `[user.phone_codes]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    provider: Kind,
    /// Seen from the data folder.
    file: PathBuf,
    file_bytes_max: u64,
    url: Url,
    secret: Secret<String>,
    /// Read when `secret` is empty.
    secret_file: PathBuf,
    #[serde(with = "chassis::config::span")]
    timeout: Duration,
    #[serde(with = "chassis::config::span")]
    life: Duration,
    guesses_max: u32,
    per_window_max: u32,
    #[serde(with = "chassis::config::span")]
    window: Duration,
    per_day_max: u32,
    pub(crate) sending: Bounds,
}

/// Who brings codes to telephones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Webhook,
}

impl Config {
    pub(crate) fn check(&self, faults: &mut ConfigFaults) {
        let mut require = |holds: bool, key: &str, message: &str| {
            if !holds {
                let key = format!("user.phone_codes.{key}");
                faults.0.extend(ConfigFaults::one(key, message).0);
            }
        };
        let is_safe = self.provider != Kind::Webhook || self.url.is_https() || self.url.is_here();
        require(is_safe, "url", "expected one that begins with https://, or is on this machine");
        require(!self.timeout.is_zero(), "timeout", "expected more than 0s");
        require(!self.life.is_zero(), "life", "expected more than 0s");
        require((1..=10).contains(&self.guesses_max), "guesses_max", "expected 1 to 10");
        require(self.per_window_max > 0, "per_window_max", "expected at least 1");
        require(self.per_day_max > 0, "per_day_max", "expected at least 1");
        require(self.sending.parallel > 0, "sending.parallel", "expected at least 1");
        require(self.sending.tries_max > 0, "sending.tries_max", "expected at least 1");
    }

    pub(crate) const fn limits(&self) -> Limits {
        Limits {
            life: self.life,
            guesses_max: self.guesses_max,
            per_window_max: self.per_window_max,
            window: self.window,
            per_day_max: self.per_day_max,
        }
    }
}

/// What a number may be sent, and guessed at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of a code.
    pub(crate) life: Duration,
    /// Guesses at one code.
    pub(crate) guesses_max: u32,
    /// Codes in a window,
    pub(crate) per_window_max: u32,
    /// this long,
    pub(crate) window: Duration,
    /// and in a day.
    pub(crate) per_day_max: u32,
}

/// Everything that sending codes takes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct PhoneCodes {
    pub(crate) store: Store,
    pub(crate) passwords: Passwords,
    pub(crate) provider: Arc<Provider>,
    pub(crate) errands: Errands,
    pub(crate) allowance: Arc<Allowance>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

impl Users {
    /// Sends a code to a number, unless too many were sent there.
    pub(crate) fn ask_code(&self, body: &AskCode, from: IpAddr) -> Result<(), Error> {
        let mut faults = Faults::default();
        let phone: Option<Phone> = faults.parse("phone", &body.phone);
        let Some(phone) = phone else { return Err(faults.into()) };
        let allowed = self.codes.allowance.spend_address(&BY_ADDRESS, from, self.clock.now());
        allowed.map_err(Error::TooManyRequests)?;
        let codes = self.codes.clone();
        let errand = async move {
            let message = codes.errands.insist(|| codes.prepare(&phone)).await;
            if let Some(Some(message)) = message {
                codes.errands.insist(|| codes.provider.send(&message)).await;
            }
        };
        Ok(self.codes.errands.begin(errand)?)
    }

    /// Opens a session of whoever has the number, in an account that is made at the first time.
    ///
    /// An account that merely claims the number was not shown to be this person's: it loses the number
    /// to the one who has it, and nobody is signed in to it. Else whoever wrote a stranger's number into
    /// an account would find the stranger there later, and share all that they write.
    pub(crate) async fn enter_code(&self, body: &CheckCode, by: Visitor) -> Result<Granted, Error> {
        let mut faults = Faults::default();
        let phone: Option<Phone> = faults.parse("phone", &body.phone);
        let Some(phone) = phone else { return Err(faults.into()) };
        let (from, now) = (by.address, self.clock.now());
        self.attempts.spend_address(from, now)?;
        let give_back = || self.attempts.take_back(None, from, now);
        let guessed = self.store.guess_code(&phone, self.codes.limits.guesses_max, now).await;
        let stored = guessed.inspect_err(|_| give_back())?;
        // The same work when nothing was sent there.
        let judged = self.passwords.verify(&body.code, stored.clone()).await;
        let fits = judged.inspect_err(|_| give_back())?;
        let (Some(stored), true) = (stored, fits) else { return Err(Error::WrongCode) };
        let granted = self.arrive(&phone, &stored, by).await?;
        give_back();
        Ok(granted)
    }

    async fn arrive(&self, phone: &Phone, code: &str, by: Visitor) -> Result<Granted, Error> {
        let (from, now) = (by.address, self.clock.now());
        let (session, token) = self.sessions.draw(by);
        let fresh = self.draw_account_of(phone);
        let arrival = Arrival { phone, code, fresh: &fresh, session: &session };
        let entry = |action, of: UserId| Entry::own(action, of, from, now);
        let end = |sid| self.feed.session(sid);
        let arrived = self.store.arrive(&arrival, entry, end).await?;
        let (account, told) = arrived.ok_or(Error::WrongCode)?;
        self.feed.tell(told);
        self.sessions.grant(account, session.id, token, session.now)
    }

    /// The account of somebody of whom nothing but the number is known.
    fn draw_account_of(&self, phone: &Phone) -> Account {
        let now = self.clock.now();
        Account {
            id: UserId(self.random.uuid_v7(now)),
            username: Username::draw(&self.random),
            email: None,
            email_verified: false,
            phone: Some(phone.clone()),
            phone_verified: true,
            about: About::default(),
            standing: Standing::customer(),
            created_at: now,
            tokens_from: 0,
        }
    }
}

impl PhoneCodes {
    /// Stores a new code; `None` when the number got too many.
    async fn prepare(&self, phone: &Phone) -> Result<Option<Message>, Fault> {
        let code = draw(&self.random);
        let salt = self.random.bytes::<SALT_BYTES>();
        let phc = self.passwords.hash(&code, salt).await.map_err(|error| Fault::passing(&error))?;
        let now = self.clock.now();
        let sending = Sending { phone, code: &phc, now, limits: self.limits };
        let stored = self.store.offer_code(&sending).await;
        let stored = stored.map_err(|error| Fault::passing(&error))?;
        let id = self.random.uuid_v7(now);
        Ok(stored.then(|| Message::new(phone.clone(), code, self.limits.life, (now, id))))
    }
}

/// Each of [`CODES`] as likely as the others, but for one part in 2⁴⁴.
fn draw(random: &Random) -> String {
    format!("{:06}", random.below(CODES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_six_digits_and_every_digit_comes_first_as_often() {
        let random = Random::seeded(1);
        let mut firsts = [0_u32; 10];
        for _ in 0..10_000 {
            let code = draw(&random);
            assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
            firsts[usize::from(code.as_bytes()[0] - b'0')] += 1;
        }
        assert!(firsts.iter().all(|count| (850..1_150).contains(count)), "{firsts:?}");
    }
}
