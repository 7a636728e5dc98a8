//! Finding others, by the part of their accounts that everybody may see.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::UserId;
use contract::caller::Role;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::account::{Account, Username};
use crate::error::Error;
use crate::faults::Faults;
use crate::store::accounts::Search;
use crate::users::Users;

/// Accounts of a page that names no number.
const LIMIT_DEFAULT: u32 = 50;
/// Most accounts of a page.
const LIMIT_MAX: u32 = 200;
/// Most characters that are searched for.
const PART_MAX: usize = 80;

/// What a caller wants to see, as it was asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A part of the username or of the name that others read.
    #[serde(rename = "q")]
    #[param(max_length = 80, nullable = false)]
    pub(crate) part: Option<String>,
    /// Only accounts with this role.
    #[param(nullable = false)]
    pub(crate) role: Option<Role>,
    /// Accounts of a page: 50 when absent, at most 200.
    #[param(minimum = 1, nullable = false)]
    pub(crate) limit: Option<u32>,
    /// From the Link header of the page before.
    #[param(nullable = false)]
    pub(crate) cursor: Option<String>,
}

/// A page, and where the next one begins.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) accounts: Vec<Account>,
    pub(crate) next: Option<String>,
}

impl Wanted {
    fn parse(&self) -> Result<Search, Error> {
        let mut faults = Faults::default();
        let part = self.part.as_deref().unwrap_or_default().trim();
        if part.chars().count() > PART_MAX {
            faults.add("q", "must be at most 80 characters");
        }
        // No text can have it, and PostgreSQL would not even compare it.
        if part.contains('\0') {
            faults.add("q", "must not contain the character NUL");
        }
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 {
            faults.add("limit", "must be 1 to 200");
        }
        let after = self.cursor.as_deref().map_or(Some(String::new()), position);
        match after {
            Some(after) if faults.is_empty() => Ok(Search {
                part: part.to_owned(),
                role: self.role,
                after,
                limit: limit.min(LIMIT_MAX),
            }),
            Some(_) => Err(faults.into()),
            None => {
                faults.add("cursor", "must come from the Link header of a page");
                Err(faults.into())
            }
        }
    }
}

fn cursor(last: &Username) -> String {
    URL_SAFE_NO_PAD.encode(last.key())
}

fn position(cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(Username::from_str(&text).ok()?.key())
}

impl Users {
    /// A page of accounts, by username.
    pub(crate) async fn list(&self, wanted: &Wanted) -> Result<Page, Error> {
        let search = wanted.parse()?;
        // One more than is shown tells whether there is a next page.
        let more = Search { limit: search.limit.saturating_add(1), ..search.clone() };
        let mut accounts = self.store.search(&more).await?;
        let shown = usize::try_from(search.limit).unwrap_or(usize::MAX);
        let is_last = accounts.len() <= shown;
        accounts.truncate(shown);
        let last = accounts.last().filter(|_| !is_last);
        let next = last.map(|last| cursor(&last.username));
        Ok(Page { accounts, next })
    }

    /// The account `id`.
    pub(crate) async fn find(&self, id: UserId) -> Result<Account, Error> {
        self.store.find_account(id).await?.ok_or(Error::NoSuchAccount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty_field(wanted: &Wanted) -> String {
        match wanted.parse() {
            Err(Error::Invalid(faults)) => faults[0].field.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_page_is_bounded() {
        assert_eq!(Wanted::default().parse().unwrap().limit, LIMIT_DEFAULT);
        let greedy = Wanted { limit: Some(10_000), ..Wanted::default() };
        assert_eq!(greedy.parse().unwrap().limit, LIMIT_MAX);
        let nothing = Wanted { limit: Some(0), ..Wanted::default() };
        assert_eq!(faulty_field(&nothing), "limit");
        let long = Wanted { part: Some("x".repeat(81)), ..Wanted::default() };
        assert_eq!(faulty_field(&long), "q");
        let nul = Wanted { part: Some("a\0b".to_owned()), ..Wanted::default() };
        assert_eq!(faulty_field(&nul), "q");
    }

    #[test]
    fn a_cursor_is_one_of_ours_or_a_fault() {
        let last = "Ada".parse::<Username>().unwrap();
        assert_eq!(position(&cursor(&last)).as_deref(), Some("ada"));
        for bad in ["!", "AA", "_w"] {
            let wanted = Wanted { cursor: Some(bad.to_owned()), ..Wanted::default() };
            assert_eq!(faulty_field(&wanted), "cursor", "{bad}");
        }
    }
}
