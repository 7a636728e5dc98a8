//! Changing one's own account.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use contract::UserId;
use contract::user::{Change as Wanted, ProfileChange};

use crate::account::{
    Account, AvatarUrl, Bio, Broken, DisplayName, Email, FirstName, LastName, Location, Phone,
};
use crate::audit::{Action, Entry};
use crate::error::Error;
use crate::faults::Faults;
use crate::users::Users;

/// What to do with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change<T> {
    Keep,
    Clear,
    Set(T),
}

impl<T: FromStr<Err = Broken>> Change<T> {
    /// An empty text, as forms send it, clears the field like `null`.
    fn parse(faults: &mut Faults, field: &str, wanted: &Wanted) -> Self {
        match wanted {
            Wanted::Keep => Self::Keep,
            Wanted::Set(text) if !text.trim().is_empty() => {
                faults.parse(field, text).map_or(Self::Keep, Self::Set)
            }
            Wanted::Set(_) | Wanted::Clear => Self::Clear,
        }
    }
}

impl<T: Clone> Change<T> {
    fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }
}

/// A body whose every field keeps the rules.
#[derive(Debug)]
struct Changes {
    display_name: Change<DisplayName>,
    first_name: Change<FirstName>,
    last_name: Change<LastName>,
    avatar_url: Change<AvatarUrl>,
    bio: Change<Bio>,
    location: Change<Location>,
    email: Change<Email>,
    phone: Change<Phone>,
}

impl Changes {
    fn parse(body: &ProfileChange) -> Result<Self, Error> {
        let mut faults = Faults::default();
        let changes = Self {
            display_name: Change::parse(&mut faults, "displayName", &body.display_name),
            first_name: Change::parse(&mut faults, "firstName", &body.first_name),
            last_name: Change::parse(&mut faults, "lastName", &body.last_name),
            avatar_url: Change::parse(&mut faults, "avatarUrl", &body.avatar_url),
            bio: Change::parse(&mut faults, "bio", &body.bio),
            location: Change::parse(&mut faults, "location", &body.location),
            email: Change::parse(&mut faults, "email", &body.email),
            phone: Change::parse(&mut faults, "phone", &body.phone),
        };
        if changes.email == Change::Clear {
            faults.add("email", "cannot be removed, only changed");
        }
        if faults.is_empty() { Ok(changes) } else { Err(faults.into()) }
    }

    /// A changed address or number has to be confirmed again.
    fn apply(&self, account: &mut Account) {
        let address_before = account.email.as_ref().map(Email::key);
        let number_before = account.phone.clone();
        self.display_name.apply(&mut account.about.display_name);
        self.first_name.apply(&mut account.about.first_name);
        self.last_name.apply(&mut account.about.last_name);
        self.avatar_url.apply(&mut account.about.avatar_url);
        self.bio.apply(&mut account.about.bio);
        self.location.apply(&mut account.about.location);
        self.phone.apply(&mut account.phone);
        self.email.apply(&mut account.email);
        account.email_verified &= account.email.as_ref().map(Email::key) == address_before;
        account.phone_verified &= account.phone == number_before;
    }
}

/// What a change does to where the account's owner is written to.
#[derive(Debug)]
enum Move {
    Stays,
    /// Somewhere else, from an address that was never confirmed, or from none.
    To,
    /// Somewhere else, from here.
    From(Email),
}

impl Move {
    fn between(before: &Account, after: &Account) -> Self {
        let key = |account: &Account| account.email.as_ref().map(Email::key);
        if key(before) == key(after) {
            return Self::Stays;
        }
        before.email.clone().filter(|_| before.email_verified).map_or(Self::To, Self::From)
    }
}

impl Users {
    /// Changes the caller's own account, and returns it as it is now.
    pub(crate) async fn change_profile(
        &self,
        id: UserId,
        body: &ProfileChange,
        from: IpAddr,
    ) -> Result<Account, Error> {
        let changes = Changes::parse(body)?;
        let entry = Entry::own(Action::ChangeProfile, id, from, self.clock.now());
        let moved = Mutex::new(Move::Stays);
        let change = |account: &mut Account| {
            let before = account.clone();
            changes.apply(account);
            let made = Move::between(&before, account);
            *moved.lock().unwrap_or_else(PoisonError::into_inner) = made;
        };
        let account = self.store.change_account(id, &entry, change).await?;
        match moved.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Move::Stays => {}
            Move::To => self.begin_verification(&account, from),
            Move::From(left) => {
                self.begin_verification(&account, from);
                self.tell_of_address(left);
            }
        }
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use contract::user::Register;
    use contract::{Timestamp, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::account::Standing;
    use crate::password::rules::{Common, Rules};
    use crate::register::Draft;

    fn verified() -> Account {
        let body = Register {
            username: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            password: "correct horse".to_owned(),
            phone: Some("+4930123456".to_owned()),
            display_name: Some("Ada".to_owned()),
            ..Register::default()
        };
        let draft = Draft::parse(&body, Rules { length_min: 8, common: Common::Allowed }).unwrap();
        let account = draft.account(UserId(Uuid::nil()), Standing::customer(), Timestamp(0));
        Account { email_verified: true, phone_verified: true, ..account }
    }

    fn changed(json: &str) -> Account {
        let body = serde_json::from_str(json).unwrap();
        let mut account = verified();
        Changes::parse(&body).unwrap().apply(&mut account);
        account
    }

    #[test]
    fn what_is_absent_stays_and_null_clears() {
        let account = changed(r#"{"bio": "counts"}"#);
        assert_eq!(account.about.display_name.unwrap().as_str(), "Ada");
        assert_eq!(account.about.bio.unwrap().as_str(), "counts");
        assert!(changed(r#"{"displayName": null}"#).about.display_name.is_none());
        assert!(changed(r#"{"displayName": ""}"#).about.display_name.is_none());
    }

    #[test]
    fn an_address_is_changed_and_never_removed() {
        let body = serde_json::from_str(r#"{"email": null}"#).unwrap();
        assert!(matches!(Changes::parse(&body), Err(Error::Invalid(_))));
    }

    #[test]
    fn another_address_has_to_be_confirmed_again() {
        assert!(!changed(r#"{"email": "ada@example.org"}"#).email_verified);
        let respelled = changed(r#"{"email": "Ada@Example.com"}"#);
        assert!(respelled.email_verified);
        assert_eq!(respelled.email.unwrap().as_str(), "Ada@Example.com");
    }

    #[test]
    fn another_number_has_to_be_confirmed_again() {
        assert!(!changed(r#"{"phone": "+4930123457"}"#).phone_verified);
        assert!(!changed(r#"{"phone": null}"#).phone_verified);
        assert!(changed(r#"{"phone": "+4930123456"}"#).phone_verified);
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let json = r#"{"email": "x", "phone": "y", "avatarUrl": "javascript:z", "bio": "\u0000"}"#;
        let body = serde_json::from_str(json).unwrap();
        let Err(Error::Invalid(faults)) = Changes::parse(&body) else { panic!("it has faults") };
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["avatarUrl", "bio", "email", "phone"]);
    }
}
