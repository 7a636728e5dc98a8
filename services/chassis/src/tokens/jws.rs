//! The three parts of a signed token (RFC 7515 section 7.1), read strictly: what two readers could
//! take for different things is refused.
//!
//! Nothing of the payload is parsed before the signature holds.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::verifier::Verifier;
use super::{BadToken, TOKEN_BYTES_MAX};

/// What `typ` may be besides absent: a plain token, or an access token (RFC 9068 section 2.1). Whatever
/// else an issuer signs with the same keys is no access token (RFC 8725 section 3.11).
const TYPES: [&str; 2] = ["JWT", "at+jwt"];
/// May stand before either (RFC 7515 section 4.1.9).
const TYPE_PREFIX: &str = "application/";
/// Header members that change how a token is to be read. We understand no extension, so `crit` is
/// always refused (RFC 7515 section 4.1.11), and `b64` with it (RFC 7797).
const REFUSED: [&str; 2] = ["crit", "b64"];

/// A token whose header was read and whose signature was not checked yet.
pub(super) struct Jws<'a> {
    header: Header,
    /// What is signed: the first two parts with the dot between them.
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
}

/// Reads the header of `token`.
pub(super) fn read(token: &str) -> Result<Jws<'_>, BadToken> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(BadToken::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
    // A dot more would be in the payload, where no decoder lets it pass.
    let (header, payload) = message.split_once('.').ok_or(BadToken::Malformed)?;
    let header = decode(header)?;
    let Names(names) = json(&header)?;
    if names.iter().any(|name| REFUSED.contains(&name.as_ref())) {
        return Err(BadToken::Malformed);
    }
    let header: Header = json(&header)?;
    if !header.typ.as_deref().is_none_or(is_access_token) {
        return Err(BadToken::Malformed);
    }
    Ok(Jws { header, message, payload, signature })
}

impl Jws<'_> {
    pub(super) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The claims, if `key` signed them with its algorithm.
    pub(super) fn signed_by<T: DeserializeOwned>(&self, key: &Verifier) -> Result<T, BadToken> {
        let (payload, signature) = (decode(self.payload)?, decode(self.signature)?);
        let is_pinned = self.header.alg == key.algorithm();
        if !is_pinned || !key.holds(self.message.as_bytes(), &signature) {
            return Err(BadToken::Forged);
        }
        let Names(_) = json(&payload)?;
        json(&payload)
    }
}

fn is_access_token(written: &str) -> bool {
    let prefix = written.get(..TYPE_PREFIX.len());
    let short = match prefix {
        Some(prefix) if prefix.eq_ignore_ascii_case(TYPE_PREFIX) => &written[TYPE_PREFIX.len()..],
        _ => written,
    };
    TYPES.iter().any(|name| short.eq_ignore_ascii_case(name))
}

/// Base64url without padding and with nothing in the bits that are left over, so that a token has one
/// spelling.
fn decode(part: &str) -> Result<Vec<u8>, BadToken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Malformed)
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadToken> {
    serde_json::from_slice(bytes).map_err(|_| BadToken::Malformed)
}

/// The names in an object, each there once (RFC 7515 section 4, RFC 7519 section 4).
struct Names<'a>(Vec<Cow<'a, str>>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Names<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Names<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose names are all different")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some((Name(name), IgnoredAny)) = map.next_entry()? {
            names.push(name);
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(serde::de::Error::custom("a name stands there twice"));
        }
        Ok(Names(names))
    }
}
