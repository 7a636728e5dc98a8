//! Accounts and sessions in the words of the wire.

use contract::internal::accounts::MinimalUser;
use contract::user::{PublicUser, Session, Tokens, User};

use crate::account::{
    About, Account, AvatarUrl, Bio, DisplayName, Email, FirstName, LastName, Location, Phone,
};
use crate::session::Granted;

pub(super) fn session(message: &str, granted: Granted) -> Session {
    Session {
        message: message.to_owned(),
        user: user(granted.account),
        token: granted.access_token.clone(),
        tokens: Tokens {
            access_token: granted.access_token,
            refresh_token: granted.refresh_token,
            token_type: "Bearer".to_owned(),
            expires_in: granted.expires_in.as_secs(),
        },
    }
}

/// All that its owner may see.
pub(super) fn user(account: Account) -> User {
    let About { display_name, first_name, last_name, avatar_url, bio, location } = account.about;
    User {
        id: account.id,
        username: account.username.as_str().to_owned(),
        email: text(account.email.as_ref().map(Email::as_str)),
        email_verified: account.email_verified,
        phone: text(account.phone.as_ref().map(Phone::as_str)),
        display_name: text(display_name.as_ref().map(DisplayName::as_str)),
        first_name: text(first_name.as_ref().map(FirstName::as_str)),
        last_name: text(last_name.as_ref().map(LastName::as_str)),
        avatar_url: text(avatar_url.as_ref().map(AvatarUrl::as_str)),
        bio: text(bio.as_ref().map(Bio::as_str)),
        location: text(location.as_ref().map(Location::as_str)),
        roles: account.standing.roles,
        store_id: account.standing.store_id,
        operator_group: account.standing.operator_group,
        created_at: account.created_at,
    }
}

/// What everybody may see.
pub(super) fn public(account: Account) -> PublicUser {
    let user = user(account);
    PublicUser {
        id: user.id,
        username: user.username,
        display_name: user.display_name,
        first_name: user.first_name,
        last_name: user.last_name,
        avatar_url: user.avatar_url,
        bio: user.bio,
        location: user.location,
        roles: user.roles,
        created_at: user.created_at,
    }
}

/// What other services may see.
pub(super) fn minimal(account: Account) -> MinimalUser {
    MinimalUser {
        id: account.id,
        username: account.username.as_str().to_owned(),
        display_name: text(account.about.display_name.as_ref().map(DisplayName::as_str)),
        roles: account.standing.roles,
        store_id: account.standing.store_id,
        operator_group: account.standing.operator_group,
    }
}

fn text(field: Option<&str>) -> Option<String> {
    field.map(str::to_owned)
}
