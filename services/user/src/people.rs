//! Accounts for other services: found by what those know, made for those who come by another way, and
//! told of when they are gone.

use std::net::IpAddr;

use chassis::identity::ServiceCaller;
use contract::UserId;
use contract::caller::Role;
use contract::internal::accounts::{
    DELETED_ITEMS_MAX, DeletedAccounts, DeletedQuery, NewAccount, USERS_FOUND_MAX, USERS_IDS_MAX,
    UsersQuery,
};
use contract::user::ChangeRoles;

use crate::account::{About, Account, Standing};
use crate::audit::{Action, Entry, Outcome};
use crate::denied::Denied;
use crate::error::Error;
use crate::faults::Faults;
use crate::store::people::Whom;
use crate::users::Users;

impl Whom {
    /// Reads `query`, or finds everything that is wrong with it.
    fn parse(query: &UsersQuery) -> Result<Self, Error> {
        let UsersQuery { ids, phone, username, role, store_id, operator_group } = query;
        let mut faults = Faults::default();
        let narrows = store_id.is_some() || operator_group.is_some();
        let whom = match (ids, phone, username, role) {
            (Some(ids), None, None, None) => self::ids(&mut faults, ids).map(Self::Ids),
            (None, Some(phone), None, None) => faults.parse("phone", phone).map(Self::Phone),
            (None, None, Some(name), None) => faults.parse("username", name).map(Self::Username),
            (None, None, None, Some(role)) => Some(Self::Role {
                role: *role,
                store_id: store_id.clone(),
                operator_group: operator_group.clone(),
                limit: USERS_FOUND_MAX,
            }),
            _ => {
                faults.add("ids", "name exactly one of ids, phone, username and role");
                None
            }
        };
        if narrows && role.is_none() {
            faults.add("role", "has to be there with storeId and operatorGroup");
        }
        whom.filter(|_| faults.is_empty()).ok_or_else(|| faults.into())
    }
}

fn ids(faults: &mut Faults, text: &str) -> Option<Vec<UserId>> {
    let mut words = text.split(',').filter(|word| !word.is_empty());
    let first = words.by_ref().take(USERS_IDS_MAX);
    let ids: Result<Vec<UserId>, _> = first.map(str::parse).collect();
    match ids {
        Ok(ids) if words.next().is_none() => Some(ids),
        Ok(_) => {
            faults.add("ids", &format!("must be at most {USERS_IDS_MAX}"));
            None
        }
        Err(_) => {
            faults.add("ids", "must be ids of accounts with commas between them");
            None
        }
    }
}

impl Users {
    /// Those that a service asks for, as far as they have accounts.
    pub(crate) async fn find_people(&self, query: &UsersQuery) -> Result<Vec<Account>, Error> {
        Ok(self.store.find_people(&Whom::parse(query)?).await?)
    }

    /// Makes an account for `service`. It has no password, so that nobody can sign in to it before its
    /// owner has set one; and it is no administrator's, whatever is asked for.
    pub(crate) async fn make_account(
        &self,
        service: &ServiceCaller,
        body: &NewAccount,
        from: IpAddr,
    ) -> Result<Account, Error> {
        if body.roles.contains(&Role::Admin) {
            return Err(Denied::NoAdminThisWay.into());
        }
        let account = self.read_account(body)?;
        let entry = Entry {
            at: account.created_at,
            action: Action::MakeAccount,
            outcome: Outcome::Done,
            actor: None,
            account: Some(account.id),
            address: Some(from),
            detail: Some(format!("by {}: {}", service.service, account.standing)),
        };
        self.store.add_account(&account, &entry).await?;
        Ok(account)
    }

    /// The account that `body` asks for, or everything that is wrong with it.
    fn read_account(&self, body: &NewAccount) -> Result<Account, Error> {
        let mut faults = Faults::default();
        let username = faults.parse("username", &body.username);
        let phone = faults.parse_optional("phone", body.phone.as_deref());
        let about = About {
            display_name: faults.parse_optional("displayName", body.display_name.as_deref()),
            location: faults.parse_optional("location", body.location.as_deref()),
            ..About::default()
        };
        let roles = if body.roles.is_empty() { vec![Role::Customer] } else { body.roles.clone() };
        let (store_id, operator_group) = (body.store_id.clone(), body.operator_group.clone());
        let standing =
            Standing::read(&mut faults, &ChangeRoles { roles, store_id, operator_group });
        let now = self.clock.now();
        match username {
            Some(username) if faults.is_empty() => Ok(Account {
                id: UserId(self.random.uuid_v7(now)),
                username,
                email: None,
                email_verified: false,
                phone,
                phone_verified: false,
                about,
                standing,
                created_at: now,
                tokens_from: 0,
            }),
            _ => Err(faults.into()),
        }
    }

    /// Accounts that were deleted, a stretch at a time.
    pub(crate) async fn deleted(&self, query: DeletedQuery) -> Result<DeletedAccounts, Error> {
        let limit = query.limit.unwrap_or(DELETED_ITEMS_MAX).clamp(1, DELETED_ITEMS_MAX);
        Ok(self.store.deleted_after(query.after.unwrap_or(0), limit).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty_fields(query: &UsersQuery) -> Vec<String> {
        match Whom::parse(query) {
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn people_are_named_in_exactly_one_way() {
        assert_eq!(faulty_fields(&UsersQuery::default()), ["ids"]);
        let two = UsersQuery {
            phone: Some("+4930123456".to_owned()),
            role: Some(Role::Staff),
            ..UsersQuery::default()
        };
        assert_eq!(faulty_fields(&two), ["ids"]);
        let narrowed = UsersQuery {
            username: Some("ada".to_owned()),
            store_id: Some("7".to_owned()),
            ..UsersQuery::default()
        };
        assert_eq!(faulty_fields(&narrowed), ["role"]);
    }

    #[test]
    fn ids_are_ids_and_not_too_many() {
        let id = "01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b";
        let asked = |ids: String| UsersQuery { ids: Some(ids), ..UsersQuery::default() };
        let many = |count: usize| asked(vec![id; count].join(","));
        assert!(matches!(Whom::parse(&many(100)), Ok(Whom::Ids(ids)) if ids.len() == 100));
        assert_eq!(faulty_fields(&many(101)), ["ids"]);
        assert_eq!(faulty_fields(&asked("ada".to_owned())), ["ids"]);
    }
}
