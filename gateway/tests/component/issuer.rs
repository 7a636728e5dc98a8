//! Someone who makes tokens, and tells its keys.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use chassis::Clock;
use contract::caller::{Role, UserClaims};
use contract::{SessionId, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use uuid::Uuid;

/// Someone who makes tokens.
pub(crate) struct Issuer {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Issuer {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().unwrap() }
    }

    /// A token that is good for `seconds` from now.
    pub(crate) fn token(&self, seconds: i64, roles: &[Role]) -> String {
        self.sign(&Self::claims(seconds, roles))
    }

    /// The token that says `claims`.
    pub(crate) fn sign(&self, claims: &UserClaims) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.into());
        let der: Pkcs8V1Der<'_> = self.pair.as_der().unwrap();
        let key = EncodingKey::from_ed_der(der.as_ref());
        encode(&header, claims, &key).unwrap()
    }

    /// What such a token says.
    pub(crate) fn claims(seconds: i64, roles: &[Role]) -> UserClaims {
        let now = Clock::System.now().seconds();
        UserClaims {
            iss: "hubbub".into(),
            sub: UserId(Uuid::from_u128(7)),
            aud: "hubbub".into(),
            exp: now + seconds,
            nbf: now - 3600,
            iat: now - 3600,
            jti: "j".into(),
            sid: SessionId(Uuid::from_u128(9)),
            name: "ada".into(),
            roles: roles.to_vec(),
            email_verified: false,
            scope: None,
        }
    }

    /// An answer with the keys of `issuers`.
    pub(crate) fn answer(issuers: &[&Self]) -> String {
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let keys: Vec<_> = issuers
            .iter()
            .map(|issuer| {
                let x = engine.encode(issuer.pair.public_key().as_ref());
                serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": issuer.kid, "x": x})
            })
            .collect();
        let body = serde_json::json!({ "keys": keys }).to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}
