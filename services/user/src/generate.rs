//! An access token for an account on the word of a service that may ask for it.
//!
//! It belongs to a session that ends with it and that its owner sees among the others, so that it can
//! be ended like them. There is none for accounts that are more than a customer's, and none that would
//! push another session out.

use chassis::identity::{Grant, ServiceCaller};
use chassis::refuse::Refusal;
use contract::UserId;

use crate::account::Email;
use crate::audit::{Action, Entry};
use crate::error::Error;
use crate::faults::Faults;
use crate::store::accounts::Name;
use crate::store::ends::Ends as _;
use crate::store::sessions::Proof;
use crate::users::Users;
use crate::visitor::{Visitor, device_of_service};

impl Users {
    /// Makes a token of the account with the address `email`, for `service`, which calls from where
    /// `by` does.
    pub(crate) async fn generate_token(
        &self,
        email: &str,
        service: &ServiceCaller,
        by: Visitor,
    ) -> Result<String, Error> {
        let email = read(email)?;
        let found = self.store.find_credentials(&Name::Email(email)).await?;
        // Anybody may register with an address that is not theirs: it names nobody until it is confirmed.
        let found = found.map(|found| found.account).filter(|account| account.email_verified);
        let id = found.ok_or(Error::NoSuchAccount)?.id;
        let by = Visitor { device: Some(told(service)), ..by };
        self.open_for_service(id, service, by).await
    }

    async fn open_for_service(
        &self,
        id: UserId,
        service: &ServiceCaller,
        by: Visitor,
    ) -> Result<String, Error> {
        let address = by.address;
        // Nobody is told of its refresh token: it is as if it had none.
        let (mut session, token) = self.sessions.draw(by);
        session.expires_at = session.now.plus(self.sessions.issuer.life());
        // Half of the places stay for those who sign in themselves.
        session.per_account_max = (session.per_account_max / 2).max(1);
        let entry = Entry {
            actor: None,
            detail: Some(told(service)),
            ..Entry::own(Action::GenerateToken, id, address, session.now)
        };
        let end = |sid| self.feed.session(sid);
        let stored = self.store.open_session(id, Proof::Service, &session, &entry, end).await;
        let (account, told) = stored.map_err(|error| match Error::from(error) {
            Error::AccountGone => Error::NoSuchAccount,
            error => error,
        })?;
        self.feed.tell(told);
        Ok(self.sessions.grant(account, session.id, token, session.now)?.access_token)
    }
}

/// Refuses everybody but services that were granted this.
pub(crate) fn may_generate(service: &ServiceCaller) -> Result<(), Refusal> {
    service.require(Grant::GenerateToken)
}

/// How a session and an entry of the audit name the service that asked.
pub(crate) fn told(service: &ServiceCaller) -> String {
    device_of_service(&service.service)
}

fn read(email: &str) -> Result<Email, Error> {
    email.parse().map_err(|broken: crate::account::Broken| {
        let mut faults = Faults::default();
        faults.add("email", broken.0);
        faults.into()
    })
}
