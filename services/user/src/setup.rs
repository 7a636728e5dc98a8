//! The set-up code: the only way to the first administrator. It is good once, and only its digest
//! is kept.

use std::net::IpAddr;

use chassis::Random;
use chassis::secret::Secret;
use contract::caller::Role;
use contract::user::{Register, Setup as Body};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::account::Standing;
use crate::audit::{Action, Entry};
use crate::error::Error;
use crate::register::Draft;
use crate::session::Granted;
use crate::store::setup::{Offer, Setup};
use crate::store::{self, Store};
use crate::users::Users;
use crate::visitor::Visitor;

/// SHA-256 of the code.
pub(crate) type CodeHash = [u8; 32];

/// Without the letters that look like digits (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Groups of [`GROUP_LENGTH`] characters: 100 bits in all.
const GROUPS: usize = 4;
const GROUP_LENGTH: usize = 5;

/// Puts the code in force: the `configured` one, else one drawn at the first start, which is
/// returned to be told once, by one replica alone.
pub(crate) async fn offer(
    store: &Store,
    configured: Option<&Secret<String>>,
    random: &Random,
) -> Result<Option<String>, store::Error> {
    if let Some(code) = configured {
        store.offer_setup(&digest(code.expose())).await?;
        return Ok(None);
    }
    let code = draw(random);
    Ok(match store.offer_first_setup(&digest(&code)).await? {
        Offer::Ours => Some(code),
        Offer::Earlier => None,
    })
}

fn draw(random: &Random) -> String {
    let group =
        |_| random.bytes::<GROUP_LENGTH>().map(|byte| char::from(ALPHABET[usize::from(byte) % 32]));
    let groups = (0..GROUPS).map(group).map(|group| group.iter().collect::<String>());
    groups.collect::<Vec<_>>().join("-")
}

fn digest(code: &str) -> CodeHash {
    Sha256::digest(code.trim().as_bytes()).into()
}

impl Users {
    /// Makes the first administrator's account for whoever knows the code.
    pub(crate) async fn set_up(&self, body: Body, by: Visitor) -> Result<Granted, Error> {
        let Body { code, username, email, password } = body;
        let register = Register { username, email, password, ..Register::default() };
        let draft = Draft::parse(&register, self.rules)?;
        self.check_code(&code, by.address).await?;
        let hash = self.check_and_hash(&draft).await?;
        let standing = Standing::of(vec![Role::Customer, Role::Admin]);
        let account = self.draw_account(&draft, standing);
        let entry = Entry::own(Action::SetUp, account.id, by.address, account.created_at);
        let from = by.address;
        let (session, token) = self.sessions.draw(by);
        self.store.register_first(&account, &hash, &session, &entry).await?;
        self.begin_verification(&account, from);
        self.sessions.grant(account, session.id, token, session.now)
    }

    async fn check_code(&self, code: &str, from: IpAddr) -> Result<(), Error> {
        let now = self.clock.now();
        self.attempts.spend_address(from, now)?;
        let setup = self.store.find_setup().await;
        let Some(Setup::Offered(hash)) =
            setup.inspect_err(|_| self.attempts.take_back(None, from, now))?
        else {
            return Err(Error::SetupUsed);
        };
        if !bool::from(hash.ct_eq(&digest(code))) {
            return Err(Error::WrongSetupCode);
        }
        self.attempts.take_back(None, from, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_code_is_long_enough_not_to_be_guessed_and_easy_to_type() {
        let code = draw(&Random::System);
        let groups: Vec<_> = code.split('-').collect();
        assert_eq!(groups.len(), GROUPS);
        for group in groups {
            assert_eq!(group.len(), GROUP_LENGTH);
            assert!(group.bytes().all(|byte| ALPHABET.contains(&byte)), "{group}");
        }
        assert_ne!(code, draw(&Random::System));
    }

    #[test]
    fn space_around_a_typed_code_does_not_matter() {
        assert_eq!(digest(" 12345\n"), digest("12345"));
        assert_ne!(digest("12345"), digest("12346"));
    }
}
