//! Registering: a new account, whose owner is signed in at once.

use contract::caller::Role;
use contract::user::Register;
use contract::{Timestamp, UserId};

use crate::account::Username;
use crate::account::{About, Account, DisplayName, Email, FirstName, LastName, Password, Phone};
use crate::error::Error;
use crate::faults::Faults;
use crate::password::common;
use crate::session::Granted;
use crate::users::Users;

/// What an installation asks of passwords beyond their length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Nothing.
    AnyPassword,
    /// Not one that is guessed first.
    UncommonPassword,
}

/// A body whose every field keeps the rules.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    username: Username,
    email: Email,
    phone: Option<Phone>,
    password: Password,
    display_name: Option<DisplayName>,
    first_name: Option<FirstName>,
    last_name: Option<LastName>,
}

impl Draft {
    /// Reads `body`, or finds everything that is wrong with it.
    pub(crate) fn parse(body: &Register, rules: Rules) -> Result<Self, Error> {
        let mut faults = Faults::default();
        let username = faults.parse("username", &body.username);
        let email = faults.parse("email", &body.email);
        let password = password(&mut faults, body, rules);
        let phone = faults.parse_optional("phone", body.phone.as_deref());
        let display_name = faults.parse_optional("displayName", body.display_name.as_deref());
        let first_name = faults.parse_optional("firstName", body.first_name.as_deref());
        let last_name = faults.parse_optional("lastName", body.last_name.as_deref());
        match (username, email, password) {
            (Some(username), Some(email), Some(password)) if faults.is_empty() => {
                Ok(Self { username, email, phone, password, display_name, first_name, last_name })
            }
            _ => Err(faults.into()),
        }
    }

    /// The account that this makes.
    pub(crate) fn account(&self, id: UserId, roles: Vec<Role>, now: Timestamp) -> Account {
        Account {
            id,
            username: self.username.clone(),
            email: Some(self.email.clone()),
            email_verified: false,
            phone: self.phone.clone(),
            phone_verified: false,
            about: About {
                display_name: self.display_name.clone(),
                first_name: self.first_name.clone(),
                last_name: self.last_name.clone(),
                ..About::default()
            },
            roles,
            store_id: None,
            operator_group: None,
            created_at: now,
        }
    }
}

fn password(faults: &mut Faults, body: &Register, rules: Rules) -> Option<Password> {
    let password = faults.parse("password", &body.password)?;
    let guessed = common::contains(&body.password)
        || body.password.eq_ignore_ascii_case(&body.username)
        || body.password.eq_ignore_ascii_case(&body.email);
    if rules == Rules::UncommonPassword && guessed {
        faults.add("password", "is one of those that are guessed first; choose another");
        return None;
    }
    Some(password)
}

impl Users {
    /// Makes a customer's account.
    pub(crate) async fn register(&self, body: &Register) -> Result<Granted, Error> {
        let draft = Draft::parse(body, self.rules)?;
        let hash = self.check_and_hash(&draft).await?;
        let account = self.draw_account(&draft, vec![Role::Customer]);
        let (session, token) = self.sessions.draw();
        self.store.register(&account, &hash, &session).await?;
        self.sessions.grant(account, session.id, token)
    }

    /// Hashes the draft's password, which is dear, unless the draft cannot become an account.
    pub(crate) async fn check_and_hash(&self, draft: &Draft) -> Result<String, Error> {
        let taken = self.store.taken(&draft.username, &draft.email, draft.phone.as_ref()).await?;
        if !taken.is_empty() {
            return Err(Error::Taken(taken));
        }
        Ok(self.passwords.hash(draft.password.as_str(), self.draw_salt()).await?)
    }

    pub(crate) fn draw_account(&self, draft: &Draft, roles: Vec<Role>) -> Account {
        let now = self.clock.now();
        draft.account(UserId(self.random.uuid_v7(now)), roles, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Register {
        Register {
            username: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            password: "correct horse".to_owned(),
            ..Register::default()
        }
    }

    fn faulty_fields(body: &Register, rules: Rules) -> Vec<String> {
        match Draft::parse(body, rules) {
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let body = Register {
            username: "a".to_owned(),
            email: "nowhere".to_owned(),
            password: "short".to_owned(),
            phone: Some("12".to_owned()),
            first_name: Some("a\nb".to_owned()),
            last_name: Some("x".repeat(81)),
            display_name: Some("\0".to_owned()),
        };
        assert_eq!(
            faulty_fields(&body, Rules::AnyPassword),
            ["username", "email", "password", "phone", "displayName", "firstName", "lastName"]
        );
    }

    #[test]
    fn an_empty_optional_field_is_an_absent_one() {
        let body =
            Register { phone: Some(String::new()), last_name: Some(" ".to_owned()), ..body() };
        let draft = Draft::parse(&body, Rules::AnyPassword).unwrap();
        assert!(draft.phone.is_none() && draft.last_name.is_none());
    }

    #[test]
    fn a_common_password_is_refused_where_the_installation_says_so() {
        let common = Register { password: "Password123".to_owned(), ..body() };
        assert!(Draft::parse(&common, Rules::AnyPassword).is_ok());
        assert_eq!(faulty_fields(&common, Rules::UncommonPassword), ["password"]);
        let own = Register { password: "Ada@example.com".to_owned(), ..body() };
        assert_eq!(faulty_fields(&own, Rules::UncommonPassword), ["password"]);
    }
}
