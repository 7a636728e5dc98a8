//! Machine keys: what an account gives to a program, with scopes that say what it is good for.
//!
//! A key is 256 random bits, known here by its digest alone. It is never a session: it can only be
//! exchanged for access tokens that live a minute, carry its scopes, and have its id in the place of a
//! session's, so that deleting it ends them as signing out would. Scopes narrow what the account may do
//! at that moment; a key never outlives a right.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use chassis::identity::UserCaller;
use chassis::refuse;
use contract::caller::Role;
use contract::internal::accounts::Exchanged;
use contract::key::{self, Key, MadeKey, NewKey};
use contract::scope::{Scope, Scopes};
use contract::{SessionId, Timestamp, UserId};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::account::KeyName;
use crate::audit::{Action, Entry};
use crate::denied::Denied;
use crate::error::Error;
use crate::faults::Faults;
use crate::store::ends::Ends as _;
use crate::store::keys::{Added, Found};
use crate::token::Narrowed;
use crate::users::Users;

/// SHA-256 of a secret: all that is stored of it. It needs no salt, being random.
pub(crate) type Digest = [u8; 32];

/// Life of a token that a key is exchanged for.
const TOKEN_LIFE: Duration = Duration::from_mins(1);
/// How exactly it is kept when a key was last used.
const USE_STEP: Duration = Duration::from_mins(1);
/// Longest life of a key that has an end.
const LIFE_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// A body whose every field keeps the rules.
#[derive(Debug)]
struct Draft {
    name: KeyName,
    scopes: BTreeSet<Scope>,
    expires_at: Option<Timestamp>,
}

impl Draft {
    /// Reads `body`, or finds everything that is wrong with it.
    fn parse(body: &NewKey, now: Timestamp) -> Result<Self, Error> {
        let mut faults = Faults::default();
        let name = faults.parse("name", &body.name);
        let scopes: Result<BTreeSet<Scope>, _> =
            body.scopes.iter().map(|word| word.parse()).collect();
        let scopes = scopes.ok().filter(|scopes| !scopes.is_empty());
        if scopes.is_none() {
            let words: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            faults.add("scopes", &format!("must have at least one of {}", words.join(", ")));
        }
        let expires_at = end(&mut faults, body, now);
        match (name, scopes) {
            (Some(name), Some(scopes)) if faults.is_empty() => {
                Ok(Self { name, scopes, expires_at })
            }
            _ => Err(faults.into()),
        }
    }
}

/// When the key ends by itself, if it does.
fn end(faults: &mut Faults, body: &NewKey, now: Timestamp) -> Option<Timestamp> {
    let (field, at) = match (body.expires_in, body.expires_at) {
        (None, None) => return None,
        (Some(seconds), None) => ("expiresIn", now.plus(Duration::from_secs(seconds))),
        (None, Some(at)) => ("expiresAt", at),
        (Some(_), Some(_)) => {
            faults.add("expiresIn", "cannot be there together with expiresAt");
            return None;
        }
    };
    if at <= now || at > now.plus(LIFE_MAX) {
        faults.add(field, "must lie ahead, by ten years at most");
    }
    Some(at)
}

/// What a key of an account with `roles` may be used for.
fn allowed(roles: &[Role]) -> BTreeSet<Scope> {
    const EVERYBODY: [Scope; 5] = [
        Scope::UsersRead,
        Scope::RoomsRead,
        Scope::RoomsWrite,
        Scope::MessagesRead,
        Scope::MessagesWrite,
    ];
    let of_role = |role: &Role| -> &[Scope] {
        match role {
            Role::Customer => &[],
            Role::Operator => &[Scope::StoreRead],
            Role::Staff => &[Scope::StoreRead, Scope::StorePublish],
            Role::Admin => &Scope::ALL,
        }
    };
    EVERYBODY.iter().chain(roles.iter().flat_map(of_role)).copied().collect()
}

impl Users {
    /// Makes a key of the caller's; gives its secret, which nobody can give again.
    pub(crate) async fn make_key(
        &self,
        caller: &UserCaller,
        body: &NewKey,
        from: IpAddr,
    ) -> Result<MadeKey, Error> {
        let (of, now) = (caller.person.id, self.clock.now());
        let draft = Draft::parse(body, now)?;
        let allowed = allowed(&self.own_account(of).await?.standing.roles);
        if let Some(scope) = draft.scopes.difference(&allowed).next() {
            return Err(Denied::ScopeBeyond(*scope).into());
        }
        let about = Key {
            id: self.random.uuid_v7(now),
            name: draft.name.as_str().to_owned(),
            scopes: draft.scopes.into_iter().collect(),
            created_at: now,
            last_used_at: None,
            expires_at: draft.expires_at,
        };
        let key = key::written(&self.random.bytes());
        let entry = entry(Action::MakeKey, of, SessionId(about.id), from, now);
        let hash = digest(&key);
        match self.store.add_key(caller, &about, &hash, self.keys_max, &entry).await? {
            Added::Stored => Ok(MadeKey { about, key }),
            Added::SessionOver => Err(Denied::SessionOver.into()),
            // Such a session lasts minutes, a key may last for ever.
            Added::ServiceSession => Err(Denied::KeyForService.into()),
        }
    }

    /// The keys of `of`.
    pub(crate) async fn keys(&self, of: UserId) -> Result<Vec<Key>, Error> {
        Ok(self.store.keys_of(of).await?)
    }

    /// Deletes one of the caller's keys; tokens that it was exchanged for end with it.
    pub(crate) async fn delete_key(
        &self,
        caller: &UserCaller,
        id: SessionId,
        from: IpAddr,
    ) -> Result<(), Error> {
        let (of, now) = (caller.person.id, self.clock.now());
        let entry = entry(Action::DeleteKey, of, id, from, now);
        let deleted = self.store.delete_key(of, id, &self.feed.session(id), &entry).await?;
        self.feed.tell(deleted.ok_or(Denied::NoSuchKey)?);
        Ok(())
    }

    /// Trades a key for an access token.
    pub(crate) async fn exchange_key(&self, key: &str) -> Result<Exchanged, Error> {
        // The moment comes before the look: what ends meanwhile ends this token too.
        let now = self.clock.now();
        if !key::is_well_formed(key) {
            return Err(Denied::DeadKey { about: None }.into());
        }
        let found = self.store.find_key(&digest(key)).await?;
        let found = found.ok_or(Denied::DeadKey { about: None })?;
        let account = self.store.find_account(found.account).await?;
        let account = account.ok_or(Denied::DeadKey { about: None })?;
        let until = now.plus(TOKEN_LIFE);
        let until = found.expires_at.map_or(until, |end| end.min(until));
        // A token's end has whole seconds.
        let life = u64::try_from(until.seconds() - now.seconds()).unwrap_or(0);
        if until <= now || life == 0 {
            return Err(Denied::DeadKey { about: Some(account.id) }.into());
        }
        self.note_use(&found, now).await;
        let allowed = allowed(&account.standing.roles);
        let scope = Scopes(found.scopes.0.intersection(&allowed).copied().collect());
        let narrowed = Narrowed { scope, until };
        let issuer = &self.sessions.issuer;
        let token = issuer.issue_narrowed(&account, found.id, narrowed, now, &self.random)?;
        Ok(Exchanged { token, expires_in: life })
    }

    /// A key that cannot be noted as used is used all the same.
    async fn note_use(&self, key: &Found, now: Timestamp) {
        let step = i64::try_from(USE_STEP.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(now.0.saturating_sub(step));
        if key.last_used_at.is_some_and(|at| at > before) {
            return;
        }
        if let Err(error) = self.store.use_key(key.id, now, before).await {
            warn!(cause = refuse::chain(&error), "When a machine key was used is not kept");
        }
    }
}

fn entry(action: Action, of: UserId, key: SessionId, from: IpAddr, now: Timestamp) -> Entry {
    Entry { detail: Some(format!("key {key}")), ..Entry::own(action, of, from, now) }
}

/// What is stored of a secret.
pub(crate) fn digest(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_194_000_000);

    fn body() -> NewKey {
        let scopes = vec!["rooms:read".to_owned()];
        NewKey { name: "ci".to_owned(), scopes, ..NewKey::default() }
    }

    fn faulty_fields(body: &NewKey) -> Vec<String> {
        match Draft::parse(body, NOW) {
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let body = NewKey {
            name: "a\nb".to_owned(),
            scopes: vec!["rooms:read".to_owned(), "everything".to_owned()],
            expires_in: Some(0),
            ..body()
        };
        assert_eq!(faulty_fields(&body), ["name", "scopes", "expiresIn"]);
        assert_eq!(faulty_fields(&NewKey { scopes: Vec::new(), ..self::body() }), ["scopes"]);
    }

    #[test]
    fn a_key_ends_never_or_ahead_and_within_bounds() {
        assert_eq!(Draft::parse(&body(), NOW).unwrap().expires_at, None);
        let hour = NewKey { expires_in: Some(3600), ..body() };
        let end = Draft::parse(&hour, NOW).unwrap().expires_at;
        assert_eq!(end, Some(Timestamp(NOW.0 + 3_600_000)));
        assert_eq!(faulty_fields(&NewKey { expires_at: Some(NOW), ..body() }), ["expiresAt"]);
        assert_eq!(faulty_fields(&NewKey { expires_in: Some(u64::MAX), ..body() }), ["expiresIn"]);
        let both = NewKey { expires_at: Some(Timestamp(NOW.0 + 1)), ..hour };
        assert_eq!(faulty_fields(&both), ["expiresIn"]);
    }

    #[test]
    fn a_role_gives_its_scopes_and_admin_alone_gives_admin() {
        assert!(!allowed(&[Role::Customer]).contains(&Scope::StoreRead));
        assert!(allowed(&[Role::Operator]).contains(&Scope::StoreRead));
        assert!(!allowed(&[Role::Operator]).contains(&Scope::StorePublish));
        assert!(allowed(&[Role::Staff]).contains(&Scope::StorePublish));
        assert!(!allowed(&[Role::Staff, Role::Operator]).contains(&Scope::Admin));
        assert_eq!(allowed(&[Role::Admin]).len(), Scope::ALL.len());
    }
}
