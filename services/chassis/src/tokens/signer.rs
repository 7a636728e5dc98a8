//! One key that signs tokens: made, read from PEM, published as a JWK.
//!
//! Its `kid` is its thumbprint (RFC 7638), so that two keys never share one. The private half leaves it
//! only as the PEM of a fresh key.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::verifier::{ED_DSA, ES256, HS256, RS256};
use super::{SHARED_ID, TokenSecret};
use crate::keys::pem;

/// The modulus of a fresh RSA key: what RFC 7518 section 3.3 asks for; a longer one makes every token
/// longer and every signature dearer.
const RSA_SIZE: KeySize = KeySize::Rsa2048;
const WANTED: &str =
    "expected an Ed25519, P-256 or RSA (2048 bits or more) private key in PKCS#8 PEM";

/// Which algorithm a pair of keys is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyKind {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

impl KeyKind {
    /// Its name as `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => ED_DSA,
            Self::Es256 => ES256,
            Self::Rs256 => RS256,
        }
    }
}

/// A key that signs tokens.
pub struct TokenKey {
    pair: Pair,
    id: String,
    /// The header of every token, encoded, with the dot after it.
    head: String,
    /// The public half, where there is one.
    public: Option<Value>,
}

enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
    Hs256(Box<hmac::Key>),
}

impl TokenKey {
    /// Makes a fresh key, and the PEM to keep it in.
    pub fn generate(kind: KeyKind) -> Result<(Self, String), &'static str> {
        let der = fresh(kind).map_err(|_| "no randomness for a new key")?;
        let pem = pem::write("PRIVATE KEY", &der);
        Ok((Self::from_pem(&pem)?, pem))
    }

    /// Reads a key in PKCS#8 PEM (RFC 5958), of whichever kind.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        let der = pem::read("PRIVATE KEY", text).ok_or(WANTED)?;
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self::new(Pair::EdDsa(pair)));
        }
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
        if let Ok(pair) = ec {
            return Ok(Self::new(Pair::Es256(pair)));
        }
        RsaKeyPair::from_pkcs8(&der).map(|pair| Self::new(Pair::Rs256(pair))).map_err(|_| WANTED)
    }

    /// The key that is a secret which everybody who checks has, too (HS256).
    #[must_use]
    pub fn shared(secret: &TokenSecret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
        Self::new(Pair::Hs256(Box::new(key)))
    }

    fn new(pair: Pair) -> Self {
        let (algorithm, id, public) = match pair.public() {
            Some((kind, members)) => {
                let id = URL_SAFE_NO_PAD.encode(Sha256::digest(members.to_string().as_bytes()));
                (kind.name(), id.clone(), Some(published(kind, &id, members)))
            }
            None => (HS256, SHARED_ID.to_owned(), None),
        };
        let head = json!({ "typ": "JWT", "alg": algorithm, "kid": id }).to_string();
        Self { pair, id, head: URL_SAFE_NO_PAD.encode(head) + ".", public }
    }

    /// Its `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which algorithm it signs with; `None` for a shared secret.
    #[must_use]
    pub const fn kind(&self) -> Option<KeyKind> {
        match &self.pair {
            Pair::EdDsa(_) => Some(KeyKind::EdDsa),
            Pair::Es256(_) => Some(KeyKind::Es256),
            Pair::Rs256(_) => Some(KeyKind::Rs256),
            Pair::Hs256(_) => None,
        }
    }

    /// Its public half as a JWK; `None` for a shared secret, which is never published.
    #[must_use]
    pub const fn jwk(&self) -> Option<&Value> {
        self.public.as_ref()
    }

    /// A token with `claims`.
    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<String, &'static str> {
        let claims = serde_json::to_vec(claims).map_err(|_| "the claims cannot be written")?;
        let mut token = self.head.clone();
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    pub(super) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        self.pair.sign(message)
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl Pair {
    /// The members that make the thumbprint, in its order: by name (RFC 7638 section 3.2).
    fn public(&self) -> Option<(KeyKind, Value)> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::EdDsa(pair) => {
                let x = text(pair.public_key().as_ref());
                Some((KeyKind::EdDsa, json!({ "crv": "Ed25519", "kty": "OKP", "x": x })))
            }
            Self::Es256(pair) => {
                let (_, point) = pair.public_key().as_ref().split_first()?;
                let (x, y) = point.split_at_checked(point.len() / 2)?;
                let (x, y) = (text(x), text(y));
                Some((KeyKind::Es256, json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })))
            }
            Self::Rs256(pair) => {
                let key = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let (e, n) = (text(&key.e), text(&key.n));
                Some((KeyKind::Rs256, json!({ "e": e, "kty": "RSA", "n": n })))
            }
            Self::Hs256(_) => None,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        const FAILED: &str = "signing failed";
        let random = SystemRandom::new();
        match self {
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Es256(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| FAILED)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let done = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                done.map(|()| signature).map_err(|_| FAILED)
            }
            Self::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

/// A private key in PKCS#8.
fn fresh(kind: KeyKind) -> Result<Vec<u8>, Unspecified> {
    match kind {
        KeyKind::EdDsa => Ed25519KeyPair::generate()?.to_pkcs8v1().map(|key| key.as_ref().to_vec()),
        KeyKind::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            pair.to_pkcs8v1().map(|key| key.as_ref().to_vec())
        }
        KeyKind::Rs256 => {
            let key: Pkcs8V1Der<'_> = RsaKeyPair::generate(RSA_SIZE)?.as_der()?;
            Ok(key.as_ref().to_vec())
        }
    }
}

/// The JWK with what whoever reads it has to know (RFC 7517 section 4).
fn published(kind: KeyKind, id: &str, mut members: Value) -> Value {
    members["alg"] = kind.name().into();
    members["use"] = "sig".into();
    members["kid"] = id.into();
    members
}
