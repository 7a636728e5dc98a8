//! For tests: good tokens, and tokens put together by hand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::caller::UserClaims;
use contract::{SessionId, Timestamp, UserId};
use serde_json::json;
use uuid::Uuid;

use super::{KeyKind, KeySet, Rules, TokenKey};

/// When tokens are checked.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) fn rules() -> Rules {
    Rules { issuer: "hubbub".to_owned(), audience: "hubbub".to_owned() }
}

/// Claims of a token that was made just now.
pub(crate) fn claims() -> UserClaims {
    let now = NOW.seconds();
    UserClaims {
        iss: "hubbub".to_owned(),
        sub: UserId(Uuid::nil()),
        aud: "hubbub".to_owned(),
        exp: now + 900,
        nbf: now,
        iat: now,
        jti: "j".to_owned(),
        sid: SessionId(Uuid::nil()),
        name: "ada".to_owned(),
        roles: vec![],
        email_verified: false,
        scope: None,
    }
}

pub(crate) fn key(kind: KeyKind) -> TokenKey {
    TokenKey::generate(kind).unwrap().0
}

pub(crate) fn jwks_of(keys: &[&TokenKey]) -> String {
    let keys: Vec<_> = keys.iter().filter_map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

pub(crate) fn keys_of(keys: &[&TokenKey]) -> KeySet {
    KeySet::parse(jwks_of(keys).as_bytes(), 1).unwrap()
}

/// The claims above as they are written.
pub(crate) fn written() -> String {
    serde_json::to_string(&claims()).unwrap()
}

pub(crate) fn encoded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A header that is as good as that of `key`'s own tokens.
pub(crate) fn header(key: &TokenKey) -> String {
    let alg = key.kind().map_or("HS256", KeyKind::name);
    json!({ "typ": "JWT", "alg": alg, "kid": key.id() }).to_string()
}

/// A token whose header and payload are these very texts, signed with `key`.
pub(crate) fn forged(
    key: &TokenKey,
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
) -> String {
    sealed(header, payload, |message| key.signature(message).unwrap())
}

/// Likewise, with whatever signature `sign` makes.
pub(crate) fn sealed(
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let message = format!("{}.{}", encoded(header), encoded(payload));
    let signature = encoded(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
