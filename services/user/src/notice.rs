//! Tells the owner of an account that what lets people into it was changed: whoever did that may have
//! found an open browser. It goes to a confirmed address alone, or somebody could have letters written
//! to strangers, and nothing in it acts. No caller waits for it, and none hears whether it was sent.

use std::net::IpAddr;
use std::time::Duration;

use chassis::identity::UserCaller;
use chassis::refuse::Limit;
use contract::UserId;
use contract::user::{ChangePassword, ResetPassword};

use crate::account::Email;
use crate::confirmation::{Letters, good};
use crate::errands::Fault;
use crate::error::Error;
use crate::mail::Letter;
use crate::one_time::{Purpose, Token};
use crate::users::Users;

/// Letters to one receiver about addresses. Apart from the others, so that neither keep those away.
static ADDRESSES: Limit =
    Limit { name: "address-notices-by-receiver", calls: 5, window: Duration::from_hours(1) };
/// Letters to one receiver about passwords.
static PASSWORDS: Limit =
    Limit { name: "password-notices-by-receiver", calls: 5, window: Duration::from_hours(1) };

impl Users {
    /// Changes the caller's password, and tells its owner.
    pub(crate) async fn change_password_and_tell(
        &self,
        caller: &UserCaller,
        body: &ChangePassword,
        from: IpAddr,
    ) -> Result<(), Error> {
        self.change_password(caller, body, from).await?;
        let (letters, of) = (self.letters.clone(), caller.person.id);
        let errand = async move {
            let found = letters.errands.insist(|| letters.confirmed_address(of)).await;
            if let Some(Some(email)) = found {
                letters.tell_of_password(email).await;
            }
        };
        // What is lost is told of where it is lost.
        self.letters.errands.begin(errand).ok();
        Ok(())
    }

    /// Sets the password of the account that the token was sent to, and tells its owner: others may have
    /// read that letter.
    pub(crate) async fn reset_password_and_tell(
        &self,
        body: &ResetPassword,
        from: IpAddr,
    ) -> Result<(), Error> {
        let token: Token = body.token.parse().map_err(|_| Error::UnknownToken)?;
        let now = self.clock.now();
        let account = good(self.store.find_token(&token.hash(), Purpose::Reset, now).await?)?;
        self.reset_password(body, from).await?;
        // It counts as confirmed since this moment, and is still the one that the token was sent to.
        let Some(email) = account.email else { return Ok(()) };
        let letters = self.letters.clone();
        self.letters.errands.begin(async move { letters.tell_of_password(email).await }).ok();
        Ok(())
    }

    /// Tells the owner of `left`, a confirmed address, that an account has another one now.
    pub(crate) fn tell_of_address(&self, left: Email) {
        let letters = self.letters.clone();
        if letters.allowance.spend(&ADDRESSES, &left.key(), self.clock.now()).is_ok() {
            let errand = async move {
                let letter = Letter::address_changed(left, letters.stamp());
                letters.post(letter).await;
            };
            self.letters.errands.begin(errand).ok();
        }
    }
}

impl Letters {
    async fn confirmed_address(&self, of: UserId) -> Result<Option<Email>, Fault> {
        let found = self.store.find_account(of).await.map_err(|error| Fault::passing(&error))?;
        Ok(found.filter(|account| account.email_verified).and_then(|account| account.email))
    }

    async fn tell_of_password(&self, email: Email) {
        if self.allowance.spend(&PASSWORDS, &email.key(), self.clock.now()).is_ok() {
            self.post(Letter::password_changed(email, self.stamp())).await;
        }
    }
}
