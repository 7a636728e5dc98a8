//! Reading the audit, page by page, the newest first.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::identity::UserCaller;
use contract::caller::Role;
use contract::user::AuditEntry;
use contract::{Timestamp, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Error;
use crate::faults::Faults;
use crate::store::audit::Search;
use crate::users::Users;

/// Entries of a page that names no number.
const LIMIT_DEFAULT: u32 = 50;
/// Most entries of a page.
const LIMIT_MAX: u32 = 200;

/// What an administrator wants to see, as it was asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// RFC 3339: from this moment on.
    #[param(format = DateTime, nullable = false)]
    from: Option<String>,
    /// RFC 3339: before this moment.
    #[param(format = DateTime, nullable = false)]
    to: Option<String>,
    /// What this account did, and what was done to it.
    #[param(format = "uuid", nullable = false)]
    user: Option<String>,
    /// Entries of a page: 50 when absent, at most 200.
    #[param(minimum = 1, nullable = false)]
    limit: Option<u32>,
    /// From the Link header of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// A page, and where the next one begins.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<AuditEntry>,
    pub(crate) next: Option<String>,
}

impl Wanted {
    fn parse(&self) -> Result<Search, Error> {
        let mut faults = Faults::default();
        let from = moment(&mut faults, "from", self.from.as_deref(), i64::MIN);
        let to = moment(&mut faults, "to", self.to.as_deref(), i64::MAX);
        let user: Option<UserId> = match self.user.as_deref().map(str::parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                faults.add("user", "must be the id of an account");
                None
            }
        };
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 {
            faults.add("limit", "must be 1 to 200");
        }
        let before = self.cursor.as_deref().map_or(Some(u64::MAX), position);
        if before.is_none() {
            faults.add("cursor", "must come from the Link header of a page");
        }
        let before = before.unwrap_or(0);
        if faults.is_empty() {
            Ok(Search { before, from, to, user, limit: limit.min(LIMIT_MAX) })
        } else {
            Err(faults.into())
        }
    }

    /// RFC 8288 section 3; the path is the same through the gateway.
    pub(crate) fn next_link(&self, cursor: &str) -> String {
        let others = [("from", &self.from), ("to", &self.to), ("user", &self.user)];
        let others = others.into_iter().filter_map(|(name, value)| {
            // Moments and ids have been read, so they have no characters that mean more.
            Some(format!("&{name}={}", value.as_deref()?.replace('+', "%2B")))
        });
        let others: String = others.collect();
        let limit = self.limit.map_or(String::new(), |limit| format!("&limit={limit}"));
        format!("</api/users/audit?cursor={cursor}{limit}{others}>; rel=\"next\"")
    }
}

fn moment(faults: &mut Faults, field: &str, text: Option<&str>, absent: i64) -> Timestamp {
    let Some(text) = text else { return Timestamp(absent) };
    text.parse().unwrap_or_else(|_| {
        faults.add(field, "must be a time such as 2026-11-20T17:00:00Z (RFC 3339)");
        Timestamp(absent)
    })
}

fn cursor(last: &AuditEntry) -> String {
    URL_SAFE_NO_PAD.encode(last.id.to_string())
}

fn position(cursor: &str) -> Option<u64> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?.parse().ok()
}

impl Users {
    /// A page of the audit, for an administrator.
    pub(crate) async fn read_audit(
        &self,
        caller: &UserCaller,
        wanted: &Wanted,
    ) -> Result<Page, Error> {
        require_admin(caller)?;
        let search = wanted.parse()?;
        let entries = self.store.audit_page(&search).await?;
        let is_full = entries.len() >= usize::try_from(search.limit).unwrap_or(usize::MAX);
        let next = entries.last().filter(|_| is_full).map(cursor);
        Ok(Page { entries, next })
    }
}

/// Refuses everybody but administrators.
pub(crate) fn require_admin(caller: &UserCaller) -> Result<(), Error> {
    if caller.roles.contains(&Role::Admin) { Ok(()) } else { Err(Error::NotAdmin) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_asks_for_the_same_again() {
        let wanted = Wanted {
            from: Some("2026-11-20T17:00:00+01:00".to_owned()),
            limit: Some(2),
            ..Wanted::default()
        };
        assert_eq!(
            wanted.next_link("MTI"),
            "</api/users/audit?cursor=MTI&limit=2&from=2026-11-20T17:00:00%2B01:00>; rel=\"next\""
        );
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let bad = || Some("no".to_owned());
        let wanted = Wanted { from: bad(), to: bad(), user: bad(), limit: Some(0), cursor: bad() };
        let Err(Error::Invalid(faults)) = wanted.parse() else { panic!("it was taken") };
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["from", "to", "user", "limit", "cursor"]);
    }
}
