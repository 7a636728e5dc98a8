//! The rules of accounts and everything that they need. What can be done with it stands in
//! `register`, `setup`, `login`, `ends`, `standing`, `confirmation`, `reset`, `phone_code`, `profile` and
//! `directory`.

use chassis::{Clock, Random};
use contract::UserId;

use crate::account::Account;
use crate::attempts::Attempts;
use crate::confirmation::Letters;
use crate::error::Error;
use crate::external::Issuers;
use crate::feed::Feed;
use crate::password::rules::Rules;
use crate::password::{Passwords, SALT_BYTES};
use crate::phone_code::PhoneCodes;
use crate::session::{Granted, Sessions};
use crate::store::Store;
use crate::visitor::Visitor;

/// One of these serves every call.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) store: Store,
    pub(crate) passwords: Passwords,
    pub(crate) sessions: Sessions,
    pub(crate) attempts: Attempts,
    pub(crate) external: Issuers,
    pub(crate) rules: Rules,
    pub(crate) feed: Feed,
    /// Machine keys that an account may have.
    pub(crate) keys_max: u32,
    /// Tickets of a session that are good at a time.
    pub(crate) tickets_max: u32,
    pub(crate) letters: Letters,
    pub(crate) codes: PhoneCodes,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

impl Users {
    /// Trades a refresh token for a new pair of tokens.
    pub(crate) async fn refresh(&self, token: &str, by: Visitor) -> Result<Granted, Error> {
        self.sessions.renew(token, by).await
    }

    /// The caller's own account.
    pub(crate) async fn own_account(&self, id: UserId) -> Result<Account, Error> {
        self.store.find_account(id).await?.ok_or(Error::AccountGone)
    }

    pub(crate) fn draw_salt(&self) -> [u8; SALT_BYTES] {
        self.random.bytes()
    }
}
