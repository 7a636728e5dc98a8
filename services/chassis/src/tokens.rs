//! Access tokens of users: the keys they are signed with, and whether one holds.
//!
//! The check itself is pure and never waits; the gateway and every spoke make the same one. Keys
//! come from the issuer's JWKS (RFC 7517); the algorithm is pinned by the key, never by the token.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::caller::UserClaims;
use contract::{Kind, Timestamp};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Most keys of one issuer.
const KEYS_MAX: usize = 32;
/// How far ahead of ours the clock of whoever made a token may be.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// How long a JWKS may take to come.
const FETCH_WINDOW: Duration = Duration::from_secs(3);
/// Largest JWKS that is read, in bytes.
const JWKS_BYTES_MAX: usize = 256 * 1024;

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

/// The keys of one issuer, as fetched.
#[derive(Clone, Default)]
pub struct KeySet {
    /// Rises when the keys change: a cache of verified tokens is good for one generation.
    pub generation: u64,
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    /// As published: what tells it from another.
    x: String,
    decoding: DecodingKey,
}

impl KeySet {
    /// Reads a JWKS; keys that we do not use are skipped. `None` when it is no JWKS.
    #[must_use]
    pub fn parse(jwks: &[u8], generation: u64) -> Option<Self> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Jwk>,
        }
        #[derive(Deserialize)]
        struct Jwk {
            kid: Option<String>,
            crv: Option<String>,
            x: Option<String>,
        }
        let jwks: Jwks = serde_json::from_slice(jwks).ok()?;
        let usable = jwks.keys.into_iter().take(KEYS_MAX).filter_map(|key| {
            if key.crv.as_deref() != Some("Ed25519") {
                return None;
            }
            let (id, x) = (key.kid?, key.x?);
            Some(Key { decoding: DecodingKey::from_ed_components(&x).ok()?, id, x })
        });
        Some(Self { generation, keys: usable.collect() })
    }

    /// Whether `token` holds at `now`, and what it says.
    pub fn verify(
        &self,
        token: &str,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<UserClaims, BadToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadToken::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| BadToken::Malformed)?;
        let key = self.keys.iter().find(|key| Some(&key.id) == header.kid.as_ref());
        let claims: UserClaims = signed(token, &key.ok_or(BadToken::UnknownKey)?.decoding)?;
        if claims.iss != rules.issuer || claims.aud != rules.audience {
            return Err(BadToken::Foreign);
        }
        alive(claims.nbf, claims.exp, now)?;
        Ok(claims)
    }

    fn has_the_keys_of(&self, other: &Self) -> bool {
        let ours = self.keys.iter().map(|key| (&key.id, &key.x));
        ours.eq(other.keys.iter().map(|key| (&key.id, &key.x)))
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| &key.id).collect();
        write!(f, "KeySet({}, {ids:?})", self.generation)
    }
}

/// The claims of a token that `key` signed with EdDSA. Times and names are the caller's to check.
pub(crate) fn signed<T: DeserializeOwned>(token: &str, key: &DecodingKey) -> Result<T, BadToken> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    // Checked by our own clock and rules.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode(token, key, &validation).map(|token| token.claims).map_err(|error| {
        match error.kind() {
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidAlgorithmName => BadToken::Forged,
            _ => BadToken::Malformed,
        }
    })
}

/// Whether a token with these claims lives at `now`.
pub(crate) fn alive(nbf: i64, exp: i64, now: Timestamp) -> Result<(), BadToken> {
    if now.seconds() >= exp {
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

/// An issuer's keys over HTTP: the last good ones are kept, one fetch runs at a time, and a fetch
/// that failed is not repeated before the cooldown is over either.
#[derive(Debug)]
pub struct KeySource {
    origin: Origin,
    cooldown: Duration,
    current: ArcSwap<KeySet>,
    /// When a fetch last began.
    fetching: Mutex<Option<Instant>>,
}

/// Where keys come from.
#[derive(Debug)]
enum Origin {
    Url(String, reqwest::Client),
    /// Whoever issues the tokens knows its own keys.
    Issuer,
}

impl KeySource {
    /// Keys from `url`; nothing is fetched yet.
    #[must_use]
    pub fn new(url: impl Into<String>, client: reqwest::Client, cooldown: Duration) -> Self {
        let origin = Origin::Url(url.into(), client);
        Self { origin, cooldown, current: ArcSwap::default(), fetching: Mutex::new(None) }
    }

    /// The issuer's own keys; nothing is ever fetched.
    #[must_use]
    pub fn issuer(keys: KeySet) -> Self {
        let (origin, cooldown) = (Origin::Issuer, Duration::ZERO);
        Self { origin, cooldown, current: ArcSwap::from_pointee(keys), fetching: Mutex::new(None) }
    }

    /// The newest good keys; empty before the first fetch.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        self.current.load_full()
    }

    /// The same, to look at and let go: no count is touched that other threads touch too.
    pub fn peek(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.current.load()
    }

    /// Fetches when `seen` is still the newest generation and the cooldown allows it. Whoever comes
    /// while a fetch runs waits for that one. Gives the newest keys, new or not.
    pub async fn newer_than(&self, seen: u64) -> Arc<KeySet> {
        let Origin::Url(url, client) = &self.origin else { return self.current() };
        let mut began = self.fetching.lock().await;
        let current = self.current();
        let now = Instant::now();
        // Before the first success there is nothing to lose by asking soon again.
        let wait = if seen == 0 { self.cooldown / 10 } else { self.cooldown };
        let cooling = began.is_some_and(|began| now.duration_since(began) < wait);
        if current.generation != seen || cooling {
            return current;
        }
        *began = Some(now);
        match fetch(url, client).await {
            Ok(body) => {
                let set = KeySet::parse(&body, seen + 1);
                match set {
                    Some(set) if seen > 0 && set.has_the_keys_of(&current) => {}
                    Some(set) => self.current.store(Arc::new(set)),
                    None => tracing::warn!(url, "The key set is no JWKS"),
                }
            }
            Err(error) => {
                let cause = crate::refuse::chain(&error);
                tracing::warn!(url, cause, "The key set cannot be fetched");
            }
        }
        self.current()
    }
}

async fn fetch(url: &str, client: &reqwest::Client) -> Result<Vec<u8>, reqwest::Error> {
    let request = client.get(url).timeout(FETCH_WINDOW);
    let mut response = request.send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > JWKS_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use contract::SessionId;
    use jsonwebtoken::{EncodingKey, Header};
    use uuid::Uuid;

    use super::*;
    use crate::keys::SigningKey;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn rules() -> Rules {
        Rules { issuer: "hubbub".to_owned(), audience: "hubbub".to_owned() }
    }

    fn claims() -> UserClaims {
        let now = NOW.seconds();
        UserClaims {
            iss: "hubbub".to_owned(),
            sub: contract::UserId(Uuid::nil()),
            aud: "hubbub".to_owned(),
            exp: now + 900,
            nbf: now,
            iat: now,
            jti: "j".to_owned(),
            sid: SessionId(Uuid::nil()),
            name: "ada".to_owned(),
            roles: vec![],
            email_verified: false,
        }
    }

    fn key() -> (SigningKey, KeySet) {
        let (key, _) = SigningKey::generate().unwrap();
        let (kid, x) = (key.public().id(), key.public().x());
        let jwks = format!(
            r#"{{"keys":[{{"kty":"RSA","kid":"r"}},{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#
        );
        (key, KeySet::parse(jwks.as_bytes(), 1).unwrap())
    }

    fn sign(key: &SigningKey, claims: &UserClaims) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.public().id());
        jsonwebtoken::encode(&header, claims, key.encoding()).unwrap()
    }

    #[test]
    fn a_good_token_holds_until_the_second_of_its_end() {
        let (key, set) = key();
        let token = sign(&key, &claims());
        assert_eq!(set.verify(&token, &rules(), NOW), Ok(claims()));
        let late = NOW.plus(Duration::from_mins(15));
        assert_eq!(set.verify(&token, &rules(), late), Err(BadToken::Expired));
    }

    #[test]
    fn what_is_wrong_with_a_token_is_told_apart() {
        let (key, set) = key();
        let (other, _) = SigningKey::generate().unwrap();
        let good = sign(&key, &claims());
        let verify = |token: &str| set.verify(token, &rules(), NOW).unwrap_err();

        assert_eq!(verify("garbage"), BadToken::Malformed);
        assert_eq!(verify(&sign(&other, &claims())), BadToken::UnknownKey);
        let foreign = UserClaims { iss: "evil".to_owned(), ..claims() };
        assert_eq!(verify(&sign(&key, &foreign)), BadToken::Foreign);
        let aimed = UserClaims { aud: "other".to_owned(), ..claims() };
        assert_eq!(verify(&sign(&key, &aimed)), BadToken::Foreign);
        let early = UserClaims { nbf: NOW.seconds() + 3600, ..claims() };
        assert_eq!(verify(&sign(&key, &early)), BadToken::NotYet);

        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.public().id());
        let forged = jsonwebtoken::encode(&header, &claims(), other.encoding()).unwrap();
        assert_eq!(verify(&forged), BadToken::Forged);

        header.alg = Algorithm::HS256;
        let secret = EncodingKey::from_secret(key.public().x().as_bytes());
        let confused = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
        assert_eq!(verify(&confused), BadToken::Forged);
        assert!(set.verify(&good, &rules(), NOW).is_ok());
    }

    /// An issuer that answers `answers` one after the other, a connection each.
    async fn issuer(answers: Vec<(u16, String)>) -> (String, tokio::task::JoinHandle<()>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let tasks = tokio_util::task::TaskTracker::new();
        let serving = tasks.spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await.unwrap();
                let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
                let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, serving)
    }

    fn jwks(key: &SigningKey) -> String {
        let (kid, x) = (key.public().id(), key.public().x());
        format!(r#"{{"keys":[{{"crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#)
    }

    #[tokio::test]
    async fn keys_are_kept_when_the_issuer_fails_and_renewed_when_they_change() {
        let (one, two) = (SigningKey::generate().unwrap().0, SigningKey::generate().unwrap().0);
        let answers = vec![
            (200, jwks(&one)),
            (200, jwks(&one)),
            (500, String::new()),
            (200, "nonsense".to_owned()),
            (200, jwks(&two)),
        ];
        let (url, serving) = issuer(answers).await;
        let client = crate::http_client::open().unwrap();
        let source = KeySource::new(url, client, Duration::ZERO);
        assert_eq!(source.newer_than(0).await.generation, 1);
        for what in ["the same keys", "a failure", "no key set"] {
            assert_eq!(source.newer_than(1).await.generation, 1, "{what}");
            assert!(source.current().verify(&sign(&one, &claims()), &rules(), NOW).is_ok());
        }
        assert_eq!(source.newer_than(1).await.generation, 2);
        assert!(source.current().verify(&sign(&two, &claims()), &rules(), NOW).is_ok());
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn many_that_miss_a_key_cause_one_fetch_and_the_next_one_waits() {
        let (key, _) = key();
        let (url, serving) = issuer(vec![(200, jwks(&key))]).await;
        let client = crate::http_client::open().unwrap();
        let source = KeySource::new(url, client, Duration::from_mins(1));
        let asked = futures_util::future::join_all((0..20).map(|_| source.newer_than(0))).await;
        assert!(asked.iter().all(|keys| keys.generation == 1));
        // The issuer answers once: another fetch would fail, and a failed one would be logged.
        serving.await.unwrap();
        assert_eq!(source.newer_than(1).await.generation, 1);
    }
}
