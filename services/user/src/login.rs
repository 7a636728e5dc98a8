//! Signing in with a password. An unknown account and a wrong password get the same answer after
//! the same work.

use std::net::IpAddr;

use contract::UserId;
use contract::user::Login;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::attempts::{Target, subscriber};
use crate::audit::Action;
use crate::error::Error;
use crate::faults::Faults;
use crate::session::Granted;
use crate::store::accounts::Name;
use crate::store::sessions::Proof;
use crate::users::Users;
use crate::visitor::Visitor;

/// An account as a body names it.
#[derive(Debug, Clone)]
struct Named {
    /// `None`: a name that no account can have.
    name: Option<Name>,
    /// Stands for the name when no account has it.
    digest: [u8; 16],
}

impl Named {
    fn parse(body: &Login) -> Result<Self, Error> {
        let ways = [("email", &body.email), ("username", &body.username), ("phone", &body.phone)];
        let mut given = ways.into_iter().filter_map(|(way, text)| Some((way, text.as_deref()?)));
        let (Some((way, text)), None) = (given.next(), given.next()) else {
            return Err(not_one_name());
        };
        let name = match way {
            "email" => text.parse().ok().map(Name::Email),
            "username" => text.parse().ok().map(Name::Username),
            _ => text.parse().ok().map(Name::Phone),
        };
        // What would name the same account is counted together, and nothing else: otherwise the counts
        // would tell whether there is one.
        let spelled = name.as_ref().map_or_else(|| text.to_owned(), key);
        Ok(Self { name, digest: digest(way, &spelled) })
    }
}

fn not_one_name() -> Error {
    let mut faults = Faults::default();
    for field in ["email", "username", "phone"] {
        faults.add(field, "give exactly one of email, username and phone");
    }
    faults.into()
}

/// What the store compares.
fn key(name: &Name) -> String {
    match name {
        Name::Username(username) => username.key(),
        Name::Email(email) => email.key(),
        Name::Phone(phone) => phone.as_str().to_owned(),
    }
}

fn digest(way: &str, text: &str) -> [u8; 16] {
    let whole: [u8; 32] = Sha256::digest(format!("{way}:{text}")).into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

impl Users {
    /// Opens a session for whoever knows an account's password.
    pub(crate) async fn log_in(&self, body: &Login, by: Visitor) -> Result<Granted, Error> {
        let (named, from) = (Named::parse(body)?, by.address);
        let found = match &named.name {
            Some(name) => self.store.find_credentials(name).await?,
            None => None,
        };
        let (account, stored) =
            found.map_or((None, None), |found| (Some(found.account), found.password));
        let about = account.as_ref().map(|account| account.id);
        // The same question where there is no account: nobody has a session with this id.
        let asked = about.unwrap_or(UserId(Uuid::from_bytes(named.digest)));
        let counted = self.target(asked, from).await?;
        let target = about.map_or(Target::Nobody(named.digest), |_| counted);
        let _turn = self.attempts.turn(&target, from).await?;
        let now = self.clock.now();
        self.attempts.spend(&target, from, now)?;
        let judged = self.passwords.verify(&body.password, stored.clone()).await;
        let fits = judged.inspect_err(|_| self.attempts.take_back(Some(&target), from, now))?;
        let (Some(id), Some(stored), true) = (about, stored, fits) else {
            return Err(Error::WrongCredentials { about });
        };
        self.attempts.forgive(&target, from, now);
        self.sessions.open(id, Proof::Password(&stored), Action::LogIn, by).await
    }

    /// What an attempt from `address` at the account `id` is counted as: where its owner has had a
    /// session, alive or ended, others do not count.
    pub(crate) async fn target(&self, id: UserId, address: IpAddr) -> Result<Target, Error> {
        let from = subscriber(address);
        let home = Target::Home(id, from);
        if self.attempts.remember(&home) {
            return Ok(home);
        }
        let addresses = self.store.session_addresses(id).await?;
        let was_here = addresses.into_iter().any(|address| subscriber(address) == from);
        Ok(if was_here { home } else { Target::Account(id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_username(text: &str) -> Login {
        Login { username: Some(text.to_owned()), ..Login::default() }
    }

    #[test]
    fn an_account_is_named_in_exactly_one_way() {
        assert!(matches!(Named::parse(&Login::default()), Err(Error::Invalid(_))));
        let two = Login { phone: Some("+4930123456".to_owned()), ..by_username("ada") };
        assert!(matches!(Named::parse(&two), Err(Error::Invalid(_))));
        assert!(matches!(Named::parse(&by_username("ada")).unwrap().name, Some(Name::Username(_))));
    }

    #[test]
    fn a_name_that_nobody_can_have_is_an_unknown_one() {
        assert!(Named::parse(&by_username("no such name!")).unwrap().name.is_none());
    }

    #[test]
    fn an_unknown_name_is_one_target_however_it_is_spelled() {
        let digest = |text| Named::parse(&by_username(text)).unwrap().digest;
        assert_eq!(digest("Ada"), digest("ada"));
        assert_ne!(digest("ada"), digest("bob"));
        for other in [" ada", "ada\n", "\u{c4}da"] {
            assert_ne!(digest("ada"), digest(other), "{other:?} never names who ada is");
        }
        // The Kelvin sign is a k in lower case, and no character of a username.
        assert_ne!(digest("kim"), digest("\u{212a}im"));
    }
}
