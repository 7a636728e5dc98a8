//! The issuer's public keys and what makes a token genuine (RFC 7515, RFC 7519, RFC 8725): the
//! algorithm belongs to the key and is never taken from the token.

use std::collections::HashMap;

use contract::Timestamp;
use contract::caller::UserClaims;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use super::Config;
use crate::refusal::Refusal;

/// Most keys that are taken from an issuer.
const KEYS_MAX: usize = 32;

/// When a token is good, in seconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub from: i64,
    /// The first second in which it no longer is.
    pub until: i64,
}

/// What a token turned out to be.
#[derive(Debug)]
pub(super) enum Judged {
    Genuine(Box<UserClaims>),
    UnknownKey,
}

/// Keys as fetched at one moment.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: HashMap<Box<str>, DecodingKey>,
    rules: Validation,
    leeway_seconds: i64,
    /// 0 before anything was fetched; another number for every other set of keys.
    generation: u64,
    source: JwkSet,
}

impl KeySet {
    /// No keys yet.
    pub(crate) fn none(config: &Config) -> Self {
        Self {
            keys: HashMap::new(),
            rules: rules(config),
            leeway_seconds: i64::try_from(config.leeway.as_secs()).unwrap_or(i64::MAX),
            generation: 0,
            source: JwkSet { keys: Vec::new() },
        }
    }

    /// The keys in `source`. What is not an Ed25519 key with a name is passed over.
    pub(crate) fn of(source: JwkSet, config: &Config) -> Self {
        let usable = source.keys.iter().take(KEYS_MAX).filter_map(usable);
        Self { keys: usable.collect(), generation: 1, ..Self::none(config) }.from(source)
    }

    fn from(self, source: JwkSet) -> Self {
        Self { source, ..self }
    }

    /// These keys as what follows `earlier`: the same generation when nothing changed, so that
    /// verified tokens stay known.
    pub(crate) fn after(self, earlier: &Self) -> Self {
        let same = earlier.was_fetched() && self.source == earlier.source;
        Self { generation: earlier.generation + u64::from(!same), ..self }
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether these keys came from the issuer at all.
    pub(crate) const fn was_fetched(&self) -> bool {
        self.generation > 0
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether `token` was made by the issuer for us. Its times are judged apart.
    pub(super) fn judge(&self, token: &[u8]) -> Result<Judged, Refusal> {
        let header = decode_header(token).map_err(|_| Refusal::BadToken)?;
        if header.alg != Algorithm::EdDSA {
            return Err(Refusal::BadToken);
        }
        let kid = header.kid.ok_or(Refusal::BadToken)?;
        let Some(key) = self.keys.get(kid.as_str()) else { return Ok(Judged::UnknownKey) };
        let token = decode::<UserClaims>(token, key, &self.rules);
        token.map(|token| Judged::Genuine(Box::new(token.claims))).map_err(|_| Refusal::BadToken)
    }

    /// Whether a token with `times` is good `now`.
    pub(super) fn in_time(&self, times: Times, now: Timestamp) -> Result<(), Refusal> {
        let now = now.seconds();
        if now >= times.until.saturating_add(self.leeway_seconds) {
            return Err(Refusal::ExpiredToken);
        }
        if now < times.from.saturating_sub(self.leeway_seconds) {
            return Err(Refusal::BadToken);
        }
        Ok(())
    }
}

/// The name and the key of an Ed25519 key for signatures.
fn usable(jwk: &Jwk) -> Option<(Box<str>, DecodingKey)> {
    let AlgorithmParameters::OctetKeyPair(pair) = &jwk.algorithm else { return None };
    if pair.curve != EllipticCurve::Ed25519 {
        return None;
    }
    let name = jwk.common.key_id.as_deref()?;
    Some((name.into(), DecodingKey::from_ed_components(&pair.x).ok()?))
}

fn rules(config: &Config) -> Validation {
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_issuer(&[&config.issuer]);
    rules.set_audience(&[&config.audience]);
    rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    // Judged by our own clock, on every use.
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use contract::caller::Role;
    use contract::{SessionId, UserId};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use uuid::Uuid;

    use super::*;

    /// When test tokens are issued, in seconds.
    pub(crate) const ISSUED: i64 = 1_795_194_000;

    pub(crate) struct Issuer {
        kid: &'static str,
        pair: Ed25519KeyPair,
    }

    impl Issuer {
        pub(crate) fn new(kid: &'static str) -> Self {
            Self { kid, pair: Ed25519KeyPair::generate().unwrap() }
        }

        pub(crate) fn token(&self, change: impl FnOnce(&mut UserClaims)) -> String {
            let mut claims = UserClaims {
                iss: "hubbub".into(),
                sub: UserId(Uuid::nil()),
                aud: "hubbub".into(),
                exp: ISSUED + 900,
                nbf: ISSUED,
                iat: ISSUED,
                jti: "j".into(),
                sid: SessionId(Uuid::nil()),
                name: "ada".into(),
                roles: vec![Role::Customer],
                email_verified: false,
            };
            change(&mut claims);
            let mut header = Header::new(Algorithm::EdDSA);
            header.kid = Some(self.kid.into());
            let der: Pkcs8V1Der<'_> = self.pair.as_der().unwrap();
            encode(&header, &claims, &EncodingKey::from_ed_der(der.as_ref())).unwrap()
        }

        fn jwk(&self) -> serde_json::Value {
            use base64::Engine as _;
            let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let x = engine.encode(self.pair.public_key().as_ref());
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x})
        }
    }

    pub(crate) fn config() -> Config {
        Config {
            jwks_url: String::new(),
            issuer: "hubbub".into(),
            audience: "hubbub".into(),
            leeway: Duration::ZERO,
            refresh_interval: Duration::from_mins(5),
            refetch_cooldown: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(1),
            cached_tokens_max: 100,
            token_bytes_max: 4096,
        }
    }

    pub(crate) fn key_set(issuers: &[&Issuer]) -> KeySet {
        let keys: Vec<_> = issuers.iter().map(|issuer| issuer.jwk()).collect();
        let set = serde_json::from_value(serde_json::json!({"keys": keys})).unwrap();
        KeySet::of(set, &config())
    }

    #[test]
    fn a_token_cannot_choose_its_algorithm() {
        let issuer = Issuer::new("one");
        let keys = key_set(&[&issuer]);
        for header in [
            r#"{"alg":"none","kid":"one"}"#,
            r#"{"alg":"HS256","kid":"one"}"#,
            r#"{"alg":"ES256","kid":"one"}"#,
            r#"{"alg":"EdDSA"}"#,
        ] {
            use base64::Engine as _;
            let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let token = issuer.token(|_| {});
            let rest = token.split_once('.').unwrap().1;
            let forged = format!("{}.{rest}", engine.encode(header));
            assert!(keys.judge(forged.as_bytes()).is_err(), "{header}");
        }
    }

    #[test]
    fn the_same_keys_again_are_of_the_same_generation() {
        let issuer = Issuer::new("one");
        let first = key_set(&[&issuer]).after(&KeySet::none(&config()));
        let again = key_set(&[&issuer]).after(&first);
        let other = key_set(&[&Issuer::new("two")]).after(&again);
        assert_eq!(first.generation(), again.generation());
        assert_ne!(other.generation(), again.generation());
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let set = serde_json::json!({"keys": [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        ]});
        assert_eq!(KeySet::of(serde_json::from_value(set).unwrap(), &config()).len(), 0);
    }
}
