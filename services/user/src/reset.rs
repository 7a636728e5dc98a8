//! Forgotten passwords: whoever reads the account's mail may set a new one. What is answered to whoever
//! forgot it depends on nothing that is stored, and neither does how long the answer takes.

use std::net::IpAddr;
use std::time::Duration;

use chassis::refuse::Limit;
use contract::user::{ForgotPassword, ResetPassword};

use crate::account::Email;
use crate::audit::{Action, Entry, Outcome};
use crate::confirmation::{Letters, good};
use crate::errands::Fault;
use crate::error::Error;
use crate::faults::Faults;
use crate::mail::Letter;
use crate::one_time::{Purpose, Token};
use crate::password::rules::Names;
use crate::store::accounts::Name;
use crate::users::Users;

/// Requests of one address.
static BY_ADDRESS: Limit =
    Limit { name: "forgot-password", calls: 20, window: Duration::from_mins(15) };
/// Letters to one receiver.
static BY_RECEIVER: Limit =
    Limit { name: "resets-by-receiver", calls: 3, window: Duration::from_hours(1) };

impl Users {
    /// Writes to the account that has this address, if there is one.
    pub(crate) fn forgot_password(&self, body: &ForgotPassword, from: IpAddr) -> Result<(), Error> {
        let mut faults = Faults::default();
        let email: Option<Email> = faults.parse("email", &body.email);
        let Some(email) = email else { return Err(faults.into()) };
        let now = self.clock.now();
        let allowance = &self.letters.allowance;
        allowance.spend_address(&BY_ADDRESS, from, now).map_err(Error::TooManyRequests)?;
        if allowance.spend(&BY_RECEIVER, &email.key(), now).is_err() {
            // Whoever asks need not know who else did.
            return Ok(());
        }
        let letters = self.letters.clone();
        let errand = async move {
            let errands = &letters.errands;
            let letter = errands.insist(|| letters.prepare_reset(&email, from)).await;
            if let Some(Some(letter)) = letter {
                letters.post(letter).await;
            }
        };
        Ok(self.letters.errands.begin(errand)?)
    }

    /// Sets the password of the account that the token was sent to; all its sessions end.
    pub(crate) async fn reset_password(
        &self,
        body: &ResetPassword,
        from: IpAddr,
    ) -> Result<(), Error> {
        let token: Token = body.token.parse().map_err(|_| Error::UnknownToken)?;
        let now = self.clock.now();
        let account = good(self.store.find_token(&token.hash(), Purpose::Reset, now).await?)?;
        let mut faults = Faults::default();
        let names = Names::of(&account);
        let password = self.rules.read(&mut faults, "password", &body.password, names);
        let Some(password) = password else { return Err(faults.into()) };
        let phc = self.hash(&password).await?;
        let entry = |of| Entry::own(Action::ResetPassword, of, from, now);
        let told = self.store.reset_password(&token.hash(), &phc, entry, &self.feed, now).await?;
        self.feed.tell(good(told)?);
        // Whoever guesses meanwhile does not keep them from signing in with it.
        self.attempts.welcome(account.id, from, now);
        Ok(())
    }
}

impl Letters {
    /// `None`: there is nobody to write to.
    async fn prepare_reset(&self, email: &Email, from: IpAddr) -> Result<Option<Letter>, Fault> {
        let found = self.store.find_credentials(&Name::Email(email.clone())).await;
        let found = found.map_err(|error| Fault::passing(&error))?;
        let Some(account) = found.map(|found| found.account) else { return Ok(None) };
        // As its owner spelled it, not as whoever asks did.
        let Some(email) = account.email else { return Ok(None) };
        let entry = Entry {
            at: self.clock.now(),
            action: Action::ForgotPassword,
            outcome: Outcome::Done,
            actor: None,
            account: Some(account.id),
            address: Some(from),
            detail: None,
        };
        let life = self.lives.reset;
        let Some(token) = self.issue(Purpose::Reset, &email, life, &entry).await? else {
            return Ok(None);
        };
        Ok(Some(Letter::reset(email, &self.links.reset(&token), life, self.stamp())))
    }
}
