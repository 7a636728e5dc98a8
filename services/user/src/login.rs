//! Signing in with a password. An unknown account and a wrong password get the same answer after
//! the same work.

use std::net::IpAddr;

use contract::user::Login;
use sha2::{Digest as _, Sha256};

use crate::attempts::Target;
use crate::error::Error;
use crate::faults::Faults;
use crate::session::Granted;
use crate::store::accounts::Name;
use crate::users::Users;

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
        Ok(Self { name, digest: digest(way, text) })
    }
}

fn not_one_name() -> Error {
    let mut faults = Faults::default();
    for field in ["email", "username", "phone"] {
        faults.add(field, "give exactly one of email, username and phone");
    }
    faults.into()
}

fn digest(way: &str, text: &str) -> [u8; 16] {
    let whole: [u8; 32] = Sha256::digest(format!("{way}:{}", text.trim().to_lowercase())).into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

impl Users {
    /// Opens a session for whoever knows an account's password.
    pub(crate) async fn log_in(&self, body: &Login, from: IpAddr) -> Result<Granted, Error> {
        let named = Named::parse(body)?;
        let found = match &named.name {
            Some(name) => self.store.find_credentials(name).await?,
            None => None,
        };
        let (account, stored) =
            found.map_or((None, None), |found| (Some(found.account), found.password));
        let nobody = Target::Nobody(named.digest);
        let target = account.as_ref().map_or(nobody, |account| Target::Account(account.id));
        let _turn = self.attempts.turn(&target, from).await?;
        let now = self.clock.now();
        self.attempts.spend(&target, from, now)?;
        let judged = self.passwords.verify(&body.password, stored).await;
        let fits = judged.inspect_err(|_| self.attempts.take_back(Some(&target), from, now))?;
        let Some(account) = account.filter(|_| fits) else { return Err(Error::WrongCredentials) };
        self.attempts.forgive(&target, from, now);
        self.sessions.open(account).await
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
    }
}
