//! One key that checks signatures, with the one algorithm that it is good for.

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};

use super::TokenSecret;

/// `alg` of an Ed25519 signature (RFC 8037 section 3.1).
pub(super) const ED_DSA: &str = "EdDSA";
/// `alg` of an ECDSA signature with P-256 and SHA-256 (RFC 7518 section 3.4).
pub(super) const ES256: &str = "ES256";
/// `alg` of an RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 7518 section 3.3).
pub(super) const RS256: &str = "RS256";
/// `alg` of an HMAC with SHA-256 (RFC 7518 section 3.2).
pub(super) const HS256: &str = "HS256";

/// Bytes of an Ed25519 public key, and of each coordinate of P-256.
const NUMBER_BYTES: usize = 32;
/// Before the coordinates of a point that is not compressed (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// The least length of an RSA modulus in bits (RFC 7518 section 3.3), and the most: a longer one costs
/// whoever checks too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The longest public exponent of RSA, in bytes; what is in use is 65537.
const EXPONENT_BYTES_MAX: usize = 4;

/// Whether there can be a key for `algorithm`; `none` is not among them.
pub(super) fn is_known(algorithm: &str) -> bool {
    [ED_DSA, ES256, RS256, HS256].contains(&algorithm)
}

/// A key, parsed once. The variant is the algorithm, so that bytes of one kind are never used as
/// another kind of key.
#[derive(Clone)]
pub(crate) enum Verifier {
    EdDsa(Arc<ParsedPublicKey>),
    Es256(Arc<ParsedPublicKey>),
    Rs256(Arc<ParsedPublicKey>),
    Hs256(Arc<hmac::Key>),
}

impl Verifier {
    /// An Ed25519 key of 32 bytes.
    pub(crate) fn ed25519(bytes: &[u8]) -> Option<Self> {
        let key = (bytes.len() == NUMBER_BYTES).then(|| ParsedPublicKey::new(&ED25519, bytes));
        key?.ok().map(|key| Self::EdDsa(Arc::new(key)))
    }

    /// A point of P-256; `None` when it does not lie on the curve.
    pub(super) fn p256(x: &[u8], y: &[u8]) -> Option<Self> {
        if x.len() != NUMBER_BYTES || y.len() != NUMBER_BYTES {
            return None;
        }
        let point = [&[UNCOMPRESSED], x, y].concat();
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
        Some(Self::Es256(Arc::new(key)))
    }

    /// An RSA key of a length that is neither weak nor a burden.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let first = modulus.first().copied().filter(|first| *first > 0)?;
        let bits = modulus.len() * 8 - first.leading_zeros() as usize;
        // 1 is no exponent at all, and an even one has no inverse.
        let is_sound = exponent.last().is_some_and(|last| last % 2 == 1) && exponent != [1];
        if !RSA_BITS.contains(&bits) || !is_sound || exponent.len() > EXPONENT_BYTES_MAX {
            return None;
        }
        let key = RsaPublicKeyComponents { n: modulus, e: exponent };
        let key = key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
        Some(Self::Rs256(Arc::new(key)))
    }

    /// A secret that whoever signs has, too.
    pub(super) fn shared(secret: &TokenSecret) -> Self {
        Self::Hs256(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret.bytes())))
    }

    /// The only `alg` that a token of this key may have.
    pub(super) const fn algorithm(&self) -> &'static str {
        match self {
            Self::EdDsa(_) => ED_DSA,
            Self::Es256(_) => ES256,
            Self::Rs256(_) => RS256,
            Self::Hs256(_) => HS256,
        }
    }

    /// Whether this key made `signature` over `message`.
    pub(super) fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::EdDsa(key) | Self::Es256(key) | Self::Rs256(key) => {
                key.verify_sig(message, signature).is_ok()
            }
            // Compared in constant time.
            Self::Hs256(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}
