//! The groups in which calls are shown.

pub(super) const SIGN_IN: &str = "sign-in";
pub(super) const SESSIONS: &str = "sessions";
pub(super) const EMAIL: &str = "e-mail";
pub(super) const ACCOUNT: &str = "account";
pub(super) const USERS: &str = "users";
pub(super) const ADMINISTRATION: &str = "administration";
pub(super) const KEYS: &str = "keys";

/// Each with what it is about, in the order in which they are shown.
pub(super) const ALL: [(&str, &str); 7] = [
    (SIGN_IN, "Making an account, and signing in."),
    (SESSIONS, "What a sign-in gives, and what ends it."),
    (EMAIL, "What is sent to an address, and brought back."),
    (ACCOUNT, "One's own account."),
    (USERS, "Other people's accounts, as far as everybody may see them."),
    (ADMINISTRATION, "For administrators."),
    (KEYS, "Keys of machines, and of tokens."),
];
