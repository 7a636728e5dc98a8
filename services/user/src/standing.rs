//! What an account may be: an administrator says so.

use std::net::IpAddr;

use chassis::identity::UserCaller;
use contract::UserId;
use contract::caller::Role;
use contract::user::ChangeRoles;

use crate::account::{Account, Standing};
use crate::audit::{Action, Entry, Outcome};
use crate::error::Error;
use crate::faults::Faults;
use crate::users::Users;

/// Longest id of a store, and longest name of a group.
const NAME_MAX: usize = 64;

impl Standing {
    /// Reads `body`, or finds everything that is wrong with it.
    fn parse(body: &ChangeRoles) -> Result<Self, Error> {
        let mut faults = Faults::default();
        let standing = Self::read(&mut faults, body);
        if faults.is_empty() { Ok(standing) } else { Err(faults.into()) }
    }

    /// What `body` says, as far as it is right.
    pub(crate) fn read(faults: &mut Faults, body: &ChangeRoles) -> Self {
        let mut roles = body.roles.clone();
        roles.sort_unstable();
        roles.dedup();
        if roles.is_empty() {
            faults.add("roles", "must have at least one of customer, operator, staff and admin");
        }
        let in_store = roles.contains(&Role::Operator) || roles.contains(&Role::Staff);
        let in_group = roles.contains(&Role::Operator);
        let store_id = place(faults, "storeId", body.store_id.as_deref(), in_store);
        let operator_group =
            place(faults, "operatorGroup", body.operator_group.as_deref(), in_group);
        Self { roles, store_id, operator_group }
    }
}

/// A place that some roles have and the others have not; an empty text is an absent one.
fn place(faults: &mut Faults, field: &str, text: Option<&str>, has_one: bool) -> Option<String> {
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) if has_one && is_name(text) => return Some(text.to_owned()),
        Some(_) if has_one => {
            faults.add(field, "must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'");
        }
        Some(_) => faults.add(field, "goes with the roles operator and staff alone"),
        None if has_one => faults.add(field, "has to be there for these roles"),
        None => {}
    }
    None
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

impl Users {
    /// Makes the account `id` what `body` says. Its access tokens end, for they say otherwise; its
    /// sessions go on.
    pub(crate) async fn change_roles(
        &self,
        caller: &UserCaller,
        id: UserId,
        body: &ChangeRoles,
        from: IpAddr,
    ) -> Result<Account, Error> {
        // Not by the token alone: who may say this is too much to be a moment late.
        let own = self.own_account(caller.person.id).await?;
        if !own.standing.roles.contains(&Role::Admin) {
            return Err(Error::NotAdmin);
        }
        let standing = Standing::parse(body)?;
        let now = self.clock.now();
        let entry = Entry {
            at: now,
            action: Action::ChangeRoles,
            outcome: Outcome::Done,
            actor: Some(caller.person.id),
            account: Some(id),
            address: Some(from),
            detail: Some(standing.to_string()),
        };
        let changed = self.store.change_standing(id, &standing, &self.feed, &entry).await;
        let (account, told) = changed.map_err(|error| match Error::from(error) {
            Error::AccountGone => Error::NoSuchAccount,
            error => error,
        })?;
        self.feed.tell(told);
        Ok(account)
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let roles: Vec<_> = self.roles.iter().map(|role| role.as_str()).collect();
        f.write_str(&roles.join(","))?;
        if let Some(store) = &self.store_id {
            write!(f, " at {store}")?;
        }
        if let Some(group) = &self.operator_group {
            write!(f, " in {group}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(roles: &[Role], store: Option<&str>, group: Option<&str>) -> Result<Standing, usize> {
        let body = ChangeRoles {
            roles: roles.to_vec(),
            store_id: store.map(str::to_owned),
            operator_group: group.map(str::to_owned),
        };
        Standing::parse(&body).map_err(|error| match error {
            Error::Invalid(faults) => faults.len(),
            error => panic!("{error}"),
        })
    }

    #[test]
    fn roles_have_the_places_that_go_with_them() {
        assert!(parse(&[Role::Customer], None, None).is_ok());
        assert!(parse(&[Role::Staff], Some("7"), None).is_ok());
        assert!(parse(&[Role::Operator, Role::Admin], Some("7"), Some("sales")).is_ok());
        assert_eq!(parse(&[], None, None), Err(1));
        assert_eq!(parse(&[Role::Staff], None, None), Err(1));
        assert_eq!(parse(&[Role::Operator], None, None), Err(2));
        assert_eq!(parse(&[Role::Customer], Some("7"), Some("sales")), Err(2));
        assert_eq!(parse(&[Role::Staff], Some("no place"), None), Err(1));
    }

    #[test]
    fn a_role_that_is_named_twice_is_one() {
        let standing = parse(&[Role::Admin, Role::Customer, Role::Admin], None, None).unwrap();
        assert_eq!(standing.roles, [Role::Customer, Role::Admin]);
    }
}
