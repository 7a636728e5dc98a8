//! Registering: a new account, whose owner is signed in at once.

use contract::user::Register;
use contract::{Timestamp, UserId};

use crate::account::{
    About, Account, DisplayName, Email, FirstName, LastName, Phone, Standing, Username,
};
use crate::audit::{Action, Entry};
use crate::error::Error;
use crate::faults::Faults;
use crate::password::rules::{Names, Password, Rules};
use crate::session::Granted;
use crate::users::Users;
use crate::visitor::Visitor;

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
        let names = Names { username: &body.username, email: &body.email };
        let password = rules.read(&mut faults, "password", &body.password, names);
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
    pub(crate) fn account(&self, id: UserId, standing: Standing, now: Timestamp) -> Account {
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
            standing,
            created_at: now,
            tokens_from: 0,
        }
    }
}

impl Users {
    /// Makes a customer's account.
    pub(crate) async fn register(&self, body: &Register, by: Visitor) -> Result<Granted, Error> {
        let draft = Draft::parse(body, self.rules)?;
        let hash = self.check_and_hash(&draft).await?;
        let account = self.draw_account(&draft, Standing::customer());
        let entry = Entry::own(Action::Register, account.id, by.address, account.created_at);
        let from = by.address;
        let (session, token) = self.sessions.draw(by);
        self.store.register(&account, &hash, &session, &entry).await?;
        self.begin_verification(&account, from);
        self.sessions.grant(account, session.id, token, session.now)
    }

    /// Hashes the draft's password, which is dear, unless the draft cannot become an account.
    pub(crate) async fn check_and_hash(&self, draft: &Draft) -> Result<String, Error> {
        let taken = self.store.taken(&draft.username, &draft.email, draft.phone.as_ref()).await?;
        if !taken.is_empty() {
            return Err(Error::Taken(taken));
        }
        self.hash(&draft.password).await
    }

    pub(crate) fn draw_account(&self, draft: &Draft, standing: Standing) -> Account {
        let now = self.clock.now();
        draft.account(UserId(self.random.uuid_v7(now)), standing, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::rules::Common;

    const RULES: Rules = Rules { length_min: 8, common: Common::Allowed };

    fn body() -> Register {
        Register {
            username: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            password: "correct horse".to_owned(),
            ..Register::default()
        }
    }

    fn faulty_fields(body: &Register) -> Vec<String> {
        match Draft::parse(body, RULES) {
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
            faulty_fields(&body),
            ["username", "email", "password", "phone", "displayName", "firstName", "lastName"]
        );
    }

    #[test]
    fn an_empty_optional_field_is_an_absent_one() {
        let body =
            Register { phone: Some(String::new()), last_name: Some(" ".to_owned()), ..body() };
        let draft = Draft::parse(&body, RULES).unwrap();
        assert!(draft.phone.is_none() && draft.last_name.is_none());
    }
}
