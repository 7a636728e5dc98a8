//! Access tokens of users: the keys they are signed with, and whether one holds.
//!
//! The check itself is pure and never waits; the gateway and every spoke make the same one. Keys
//! come from the issuer's JWKS (RFC 7517), or are one secret that issuer and spokes share. A key is
//! good for one algorithm and says which: a token that names another is forged (RFC 8725 section
//! 3.1). Nothing in a token leads anywhere: `kid` is compared with the keys that are here, and
//! `jwk`, `jku`, `x5u` and `x5c` are not looked at.

mod jwk;
mod jws;
mod signer;
mod source;
mod strength;
mod verifier;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod forger;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::caller::UserClaims;
use contract::{Kind, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use signer::{KeyKind, TokenKey};
pub use source::{KeySource, OwnKeys};
pub use strength::TokenSecret;
pub(crate) use verifier::Verifier;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Most keys of one issuer.
const KEYS_MAX: usize = 32;
/// How far ahead of ours the clock of whoever made a token may be.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// The last `exp` that is a time: the end of the year 9999, after which RFC 3339 has no words.
const EXP_MAX: i64 = 253_402_300_799;
/// The `kid` of the one key that is a shared secret. It tells nothing of the secret.
const SHARED_ID: &str = "shared";

/// Why a token does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is no signed JWT with the claims that we need.
    #[error("the token is malformed")]
    Malformed,
    /// No key of ours is named in it: perhaps the keys were rotated.
    #[error("the token names a key that is not known")]
    UnknownKey,
    /// The signature or the algorithm is wrong.
    #[error("the token's signature is wrong")]
    Forged,
    /// It comes from, or is for, somebody else.
    #[error("the token was issued by or for another")]
    Foreign,
    /// It is past its end.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
}

impl BadToken {
    /// What the public hears.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Expired => Kind::ExpiredToken,
            Self::Malformed | Self::UnknownKey | Self::Forged | Self::Foreign | Self::NotYet => {
                Kind::BadToken
            }
        }
    }
}

/// The names that a token has to carry.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}

/// The keys of one issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    /// Rises when the keys change: a cache of verified tokens is good for one generation.
    pub generation: u64,
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    /// Its `kid`, where the issuer gave it one.
    id: Option<String>,
    /// Its public numbers as published: what tells it from another.
    numbers: String,
    verifier: Verifier,
}

impl KeySet {
    /// Reads a JWKS; keys that we do not use are skipped. `None` when it is no JWKS.
    ///
    /// Of two keys with one `kid` the first stands: which of them was meant cannot be told, and what
    /// is appended to a set must not take the place of what stood there.
    #[must_use]
    pub fn parse(jwks: &[u8], generation: u64) -> Option<Self> {
        let mut keys: Vec<Key> = Vec::new();
        for key in jwk::read(jwks)? {
            let is_taken = key.id.is_some() && keys.iter().any(|known| known.id == key.id);
            if !is_taken && keys.len() < KEYS_MAX {
                keys.push(key);
            }
        }
        Some(Self { generation, keys })
    }

    /// The set of one key, which is a secret that the issuer shares (HS256). It never changes.
    #[must_use]
    pub fn shared(secret: &TokenSecret) -> Self {
        let verifier = Verifier::shared(secret);
        let key = Key { id: Some(SHARED_ID.to_owned()), numbers: String::new(), verifier };
        Self { generation: 1, keys: vec![key] }
    }

    /// Whether `token` holds at `now`, and what it says.
    pub fn verify(
        &self,
        token: &str,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<UserClaims, BadToken> {
        let claims: UserClaims = self.claims(token)?;
        if claims.iss != rules.issuer || claims.aud != rules.audience {
            return Err(BadToken::Foreign);
        }
        // One from the future was made by a clock that cannot be believed about `nbf` either.
        alive(claims.nbf.max(claims.iat), claims.exp, now)?;
        Ok(claims)
    }

    /// What a token of this issuer says, if one of these keys signed it. Names and times are the
    /// caller's to check: whoever takes the tokens of another issuer has rules of its own.
    pub fn claims<T: DeserializeOwned>(&self, token: &str) -> Result<T, BadToken> {
        let token = jws::read(token)?;
        let key = self.key_of(&token)?;
        token.signed_by(&key.verifier)
    }

    /// The key that a token names. Some issuers leave `kid` out (RFC 7515 section 4.1.4 lets them): then
    /// it is the one key that its algorithm fits, and if there are several none is tried.
    fn key_of(&self, token: &jws::Jws<'_>) -> Result<&Key, BadToken> {
        if !verifier::is_known(token.algorithm()) {
            return Err(BadToken::Forged);
        }
        let found = if let Some(id) = token.key_id() {
            self.keys.iter().find(|key| key.id.as_deref() == Some(id))
        } else {
            let mut fit =
                self.keys.iter().filter(|key| key.verifier.algorithm() == token.algorithm());
            fit.next().filter(|_| fit.next().is_none())
        };
        found.ok_or(BadToken::UnknownKey)
    }

    fn has_the_keys_of(&self, other: &Self) -> bool {
        let told = |key: &Key| (key.id.clone(), key.verifier.algorithm(), key.numbers.clone());
        self.keys.iter().map(told).eq(other.keys.iter().map(told))
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.as_deref().unwrap_or("-")).collect();
        write!(f, "KeySet({}, {ids:?})", self.generation)
    }
}

/// The claims of a token that `key` signed. Times and names are the caller's to check.
pub(crate) fn signed<T: DeserializeOwned>(token: &str, key: &Verifier) -> Result<T, BadToken> {
    jws::read(token)?.signed_by(key)
}

/// Whether a token with these claims lives at `now`.
pub(crate) fn alive(nbf: i64, exp: i64, now: Timestamp) -> Result<(), BadToken> {
    if exp > EXP_MAX {
        Err(BadToken::Malformed)
    } else if now.seconds() >= exp {
        Err(BadToken::Expired)
    } else if nbf > now.plus(CLOCK_SKEW).seconds() {
        Err(BadToken::NotYet)
    } else {
        Ok(())
    }
}

/// The `iss` that a token claims to have, before anything is believed.
pub(crate) fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        iss: String,
    }
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice::<Claimed>(&payload).ok().map(|claimed| claimed.iss)
}

#[cfg(test)]
mod tests {
    use super::forger::{NOW, claims, key, keys_of, rules};
    use super::*;

    #[test]
    fn a_good_token_of_each_kind_holds_until_the_second_of_its_end() {
        for kind in [KeyKind::EdDsa, KeyKind::Es256, KeyKind::Rs256] {
            let key = key(kind);
            let (set, token) = (keys_of(&[&key]), key.sign(&claims()).unwrap());
            assert_eq!(set.verify(&token, &rules(), NOW), Ok(claims()), "{kind:?}");
            let late = NOW.plus(Duration::from_mins(15));
            assert_eq!(set.verify(&token, &rules(), late), Err(BadToken::Expired));
        }
    }

    #[test]
    fn what_is_wrong_with_a_token_is_told_apart() {
        let (key, other) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
        let set = keys_of(&[&key]);
        let verify = |key: &TokenKey, claims: &UserClaims| {
            set.verify(&key.sign(claims).unwrap(), &rules(), NOW).unwrap_err()
        };
        assert_eq!(verify(&other, &claims()), BadToken::UnknownKey);
        let foreign = UserClaims { iss: "evil".to_owned(), ..claims() };
        assert_eq!(verify(&key, &foreign), BadToken::Foreign);
        let aimed = UserClaims { aud: "other".to_owned(), ..claims() };
        assert_eq!(verify(&key, &aimed), BadToken::Foreign);
        let early = UserClaims { nbf: NOW.seconds() + 3600, ..claims() };
        assert_eq!(verify(&key, &early), BadToken::NotYet);
        assert_eq!(set.verify("garbage", &rules(), NOW), Err(BadToken::Malformed));
    }

    #[test]
    fn whoever_takes_tokens_of_another_issuer_reads_its_own_claims() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Theirs {
            iss: String,
            phone_number: String,
        }
        let key = key(KeyKind::Rs256);
        let said = serde_json::json!({"iss": "https://issuer.example/p", "phone_number": "+49"});
        let token = key.sign(&said).unwrap();
        let theirs: Theirs = keys_of(&[&key]).claims(&token).unwrap();
        assert_eq!(theirs.iss, "https://issuer.example/p");
        assert_eq!(keys_of(&[]).claims::<Theirs>(&token), Err(BadToken::UnknownKey));
    }

    #[test]
    fn of_two_keys_with_one_name_the_first_stands() {
        let (first, second) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
        let mut appended = second.jwk().unwrap().clone();
        appended["kid"] = first.id().into();
        let jwks = serde_json::json!({"keys": [first.jwk(), appended]}).to_string();
        let set = KeySet::parse(jwks.as_bytes(), 1).unwrap();
        assert_eq!(set.keys.len(), 1);
        assert!(set.verify(&first.sign(&claims()).unwrap(), &rules(), NOW).is_ok());
    }

    #[test]
    fn a_set_is_read_as_far_as_it_is_of_use() {
        let good = key(KeyKind::Es256).jwk().unwrap().clone();
        let with = |name: &str, value: serde_json::Value| {
            let mut key = good.clone();
            key[name] = value;
            key
        };
        let all = [
            ("as it is", good.clone(), 1),
            ("for signatures", with("key_ops", serde_json::json!(["verify"])), 1),
            ("for encryption", with("use", "enc".into()), 0),
            ("for signing alone", with("key_ops", serde_json::json!(["sign"])), 0),
            ("for another algorithm", with("alg", "ES384".into()), 0),
            ("on another curve", with("crv", "secp256k1".into()), 0),
            ("not on the curve", with("x", good["y"].clone()), 0),
            ("cut short", with("y", "AAAA".into()), 0),
            ("with a name that is no text", with("kid", 7.into()), 0),
            ("a secret", serde_json::json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}), 0),
            ("no object", "key".into(), 0),
            ("RSA of 1024 bits", rsa(&[0xff; 128], &[1, 0, 1]), 0),
            ("RSA of 8200 bits", rsa(&[0xff; 1025], &[1, 0, 1]), 0),
            ("RSA with the exponent 1", rsa(&[0xff; 256], &[1]), 0),
            ("RSA of 2048 bits", rsa(&[0xff; 256], &[1, 0, 1]), 1),
        ];
        for (what, key, usable) in all {
            let jwks = serde_json::json!({"keys": [key]}).to_string();
            assert_eq!(KeySet::parse(jwks.as_bytes(), 1).unwrap().keys.len(), usable, "{what}");
        }
        assert!(KeySet::parse(b"nonsense", 1).is_none());
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> serde_json::Value {
        let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        serde_json::json!({"kty": "RSA", "kid": "r", "n": text(modulus), "e": text(exponent)})
    }
}
