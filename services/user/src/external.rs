//! Token exchange: an ID token of an external issuer (Firebase, Auth0, any `OpenID` Connect provider) is
//! traded for a session here. Nothing inside ever sees the token: it is held against the rules of the
//! issuer that the operator configured, tells whose account it is, and is forgotten.
//!
//! It promises that a token fetches nothing but the keys of a configured issuer; that an identity has
//! one account, however many first tokens come at once; that claims never give a role; and that nobody
//! gets into an account that was here before by saying that they have its e-mail address.

mod claims;
mod config;
mod issuers;
mod newcomer;
mod peek;
mod rules;

use std::time::Duration;

use chassis::refuse::Refusal;
use chassis::tokens::BadToken;
use contract::{Kind, Timestamp, UserId};

pub(crate) use config::{Written, read};
pub(crate) use issuers::Issuers;
pub(crate) use rules::Rules;

use crate::account::{Account, Email};
use crate::audit::{Action, Entry};
use crate::error::Error;
use crate::session::Granted;
use crate::store;
use crate::store::accounts::Name;
use crate::store::external::{Identity, Stored};
use crate::store::sessions::Proof;
use crate::users::Users;
use crate::visitor::Visitor;
use claims::Claims;
use issuers::Issuer;
use newcomer::Spelling;
use rules::{Emails, Linking};

/// How often it is tried to find or make the account: each further one means that somebody else was
/// quicker, or that a name is taken.
const TRIES_MAX: usize = 8;
/// How soon to come again when all of them failed, or when the issuer's keys are not known.
const WAIT: Duration = Duration::from_secs(1);

/// Why a token gets no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no such issuer is configured")]
    UnknownIssuer,
    #[error(transparent)]
    Token(#[from] BadToken),
    #[error("the issuer never told its keys")]
    NoKeys,
    #[error("the issuer does not say that the e-mail address is verified")]
    EmailNotVerified,
    /// `about` is for the audit.
    #[error("the e-mail address belongs to an account of another kind")]
    EmailTaken { about: UserId },
    #[error("others were quicker every time")]
    Outrun,
}

impl Refused {
    /// The account that was wanted, where it is known.
    pub(crate) const fn about(self) -> Option<UserId> {
        match self {
            Self::EmailTaken { about } => Some(about),
            Self::UnknownIssuer
            | Self::Token(_)
            | Self::NoKeys
            | Self::EmailNotVerified
            | Self::Outrun => None,
        }
    }

    /// Whether it may have been a guess: the token itself was wrong.
    const fn is_a_failure(self) -> bool {
        match self {
            Self::UnknownIssuer | Self::Token(_) => true,
            Self::NoKeys | Self::EmailNotVerified | Self::EmailTaken { .. } | Self::Outrun => false,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::UnknownIssuer => Self::new(Kind::BadToken)
                .detail("The subject token is of no issuer that is trusted here."),
            Refused::Token(bad) => Self::new(bad.kind())
                .detail(format!("The subject token cannot be exchanged: {bad}.")),
            Refused::NoKeys => Self::new(Kind::Unavailable)
                .detail("The keys of the token's issuer cannot be reached. Try again.")
                .retry_after(WAIT),
            Refused::EmailNotVerified => Self::new(Kind::Forbidden)
                .detail("Confirm your e-mail address with the token's issuer first."),
            // The issuer says that the caller owns the address, so that it learns nothing of others; it
            // does not learn either which of the conditions of linking was not met.
            Refused::EmailTaken { about: _ } => Self::new(Kind::Taken).detail(
                "An account here has this e-mail address. Sign in to it the way you did before.",
            ),
            Refused::Outrun => Self::new(Kind::Overloaded).retry_after(WAIT),
        }
    }
}

/// Somebody whom an issuer vouches for.
struct Vouched<'a> {
    issuer: &'a Issuer,
    identity: Identity,
    claims: Claims,
    now: Timestamp,
    by: Visitor,
}

impl Vouched<'_> {
    /// Its account did this, or had it done.
    fn entry(&self, action: Action, account: UserId) -> Entry {
        let detail = Some(self.issuer.rules.name.clone());
        Entry { detail, ..Entry::own(action, account, self.by.address, self.now) }
    }
}

impl Users {
    /// Opens a session for whom an external issuer vouches in `token`. Makes the account if there is none.
    pub(crate) async fn exchange(&self, token: &str, by: Visitor) -> Result<Granted, Error> {
        let (now, from) = (self.clock.now(), by.address);
        self.attempts.admit_address(from, now)?;
        let vouched = self.vouched(token, now, by).await;
        // Counted afterwards: many people at one address may wait for an issuer's keys, and a signature
        // is not guessed by trying many at once.
        if vouched.as_ref().is_err_and(|refused| refused.is_a_failure()) {
            self.attempts.spend_address(from, now)?;
        }
        self.open_for(&vouched?).await
    }

    async fn vouched(
        &self,
        token: &str,
        now: Timestamp,
        by: Visitor,
    ) -> Result<Vouched<'_>, Refused> {
        let (issuer, claims) = self.external.verify(token, now).await?;
        let has_email = claims.verified_email::<Email>().is_some();
        match issuer.rules.emails {
            Emails::Required if !has_email => return Err(Refused::EmailNotVerified),
            Emails::Required | Emails::Optional => {}
        }
        let identity = Identity { issuer: claims.iss.clone(), subject: claims.sub.clone() };
        Ok(Vouched { issuer, identity, claims, now, by })
    }

    /// Looks for the account, then for one to link, then makes one; and looks again when somebody else
    /// did meanwhile what would have been done.
    async fn open_for(&self, vouched: &Vouched<'_>) -> Result<Granted, Error> {
        for tried in 0..TRIES_MAX {
            if let Some(account) = self.store.find_external(&vouched.identity).await? {
                match self.open_known(vouched, account).await {
                    // It was deleted meanwhile, and its identity with it.
                    Err(Error::WrongCredentials { about: None }) => continue,
                    opened => return opened,
                }
            }
            let email: Option<Email> = vouched.claims.verified_email();
            let same = match &email {
                Some(email) => self.store.find_credentials(&Name::Email(email.clone())).await?,
                None => None,
            };
            if let (Some(email), Some(found)) = (&email, same) {
                // Another token of the same subject may have made that account since it was looked for.
                if self.store.find_external(&vouched.identity).await?.is_none() {
                    self.link(vouched, email, &found.account).await?;
                }
                continue;
            }
            let spelling = if tried == 0 { Spelling::Plain } else { Spelling::Numbered };
            if let Some(granted) = self.open_new(vouched, spelling).await? {
                return Ok(granted);
            }
        }
        Err(Refused::Outrun.into())
    }

    async fn open_known(&self, vouched: &Vouched<'_>, of: UserId) -> Result<Granted, Error> {
        let entry = vouched.entry(Action::ExchangeToken, of);
        let proof = Proof::External(&vouched.identity);
        self.sessions.open_with(of, proof, &entry, vouched.by.clone()).await
    }

    /// Puts the identity to `account`, which has the same e-mail address.
    ///
    /// Both sides have to know that the address belongs to whoever has it. Here, too: an account can be
    /// registered with any address, so that somebody may have done so with a victim's and wait, password in
    /// hand, until the victim comes by way of the issuer and fills the account ("pre-hijacking", Sudhodanan
    /// and Paverd, USENIX Security 2022). And the operator has to want it: whoever runs the issuer, or
    /// breaks into it, could otherwise enter any account here.
    async fn link(
        &self,
        vouched: &Vouched<'_>,
        email: &Email,
        account: &Account,
    ) -> Result<(), Error> {
        let may_be = match vouched.issuer.rules.linking {
            Linking::Never => false,
            Linking::ByVerifiedEmail => account.email_verified,
        };
        if !may_be {
            return Err(Refused::EmailTaken { about: account.id }.into());
        }
        let entry = vouched.entry(Action::LinkIdentity, account.id);
        Ok(self.store.link_external(&vouched.identity, email, &entry, account.id).await?)
    }

    /// Makes an account; `None` when that has to be tried again.
    async fn open_new(
        &self,
        vouched: &Vouched<'_>,
        spelling: Spelling,
    ) -> Result<Option<Granted>, Error> {
        let Vouched { issuer, claims, now, .. } = vouched;
        let made = newcomer::account(&issuer.rules, claims, spelling, *now, &self.random);
        let Some(mut account) = made else { return Ok(None) };
        if let Some(phone) = &account.phone
            && self.store.find_credentials(&Name::Phone(phone.clone())).await?.is_some()
        {
            (account.phone, account.phone_verified) = (None, false);
        }
        let entry = vouched.entry(Action::ExchangeToken, account.id);
        let (session, token) = self.sessions.draw(vouched.by.clone());
        let identity = &vouched.identity;
        match self.store.register_external(&account, identity, &session, &entry).await {
            Ok(Stored::New) => {
                self.sessions.grant(account, session.id, token, session.now).map(Some)
            }
            Ok(Stored::KnownMeanwhile) | Err(store::Error::Taken(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
