//! Reads the keys of a JWKS (RFC 7517), each by itself: one that we cannot use takes no other along.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::Key;
use super::verifier::Verifier;

/// Most keys of a set that are looked at.
const LOOKED_AT_MAX: usize = 128;

/// The keys of a set that can check signatures of ours; `None` when it is no set.
pub(super) fn read(jwks: &[u8]) -> Option<Vec<Key>> {
    #[derive(Deserialize)]
    struct Jwks {
        keys: Vec<Value>,
    }
    let jwks: Jwks = serde_json::from_slice(jwks).ok()?;
    let written = jwks.keys.into_iter().take(LOOKED_AT_MAX);
    Some(written.filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.key()).collect())
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// The key, if it is for signatures (RFC 7517 sections 4.2 and 4.3) with an algorithm that we use. One
    /// of `kty` "oct" is none: a secret that is published is no secret.
    fn key(self) -> Option<Key> {
        let for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let may_check =
            self.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !for_signatures || !may_check {
            return None;
        }
        let (verifier, numbers) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                let x = self.x?;
                (Verifier::ed25519(&number(&x)?)?, x)
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (self.x?, self.y?);
                (Verifier::p256(&number(&x)?, &number(&y)?)?, format!("{x}.{y}"))
            }
            ("RSA", None) => {
                let (n, e) = (self.n?, self.e?);
                (Verifier::rsa(&number(&n)?, &number(&e)?)?, format!("{n}.{e}"))
            }
            _ => return None,
        };
        // RFC 7517 section 4.4: it is meant for this algorithm and no other.
        let is_ours = self.alg.is_none_or(|alg| alg == verifier.algorithm());
        is_ours.then_some(Key { id: self.kid, numbers, verifier })
    }
}

fn number(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
