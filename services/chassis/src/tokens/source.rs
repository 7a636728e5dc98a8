//! Where the keys of tokens come from, and when they are fetched anew.
//!
//! A source never forgets good keys for bad ones, and never fetches because of what stands in a token
//! more often than its cooldown allows.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::KeySet;

/// How long a JWKS may take to come.
const FETCH_WINDOW: Duration = Duration::from_secs(3);
/// Largest JWKS that is read, in bytes.
const JWKS_BYTES_MAX: usize = 256 * 1024;

/// An issuer's keys over HTTP: the last good ones are kept, one fetch runs at a time, and a fetch
/// that failed is not repeated before the cooldown is over either.
#[derive(Debug)]
pub struct KeySource {
    origin: Origin,
    cooldown: Duration,
    current: Arc<ArcSwap<KeySet>>,
    /// When a fetch last began.
    fetching: Mutex<Option<Instant>>,
    /// When a fetch that gave keys began.
    fetched: std::sync::Mutex<Option<Instant>>,
}

/// Where keys come from.
#[derive(Debug)]
enum Origin {
    Url(String, reqwest::Client),
    /// Whoever issues the tokens knows its own keys, and whoever shares a secret has it.
    Issuer,
}

impl KeySource {
    /// Keys from `url`; nothing is fetched yet.
    #[must_use]
    pub fn new(url: impl Into<String>, client: reqwest::Client, cooldown: Duration) -> Self {
        let origin = Origin::Url(url.into(), client);
        Self::of(origin, cooldown, Arc::default())
    }

    fn of(origin: Origin, cooldown: Duration, current: Arc<ArcSwap<KeySet>>) -> Self {
        let (fetching, fetched) = (Mutex::new(None), std::sync::Mutex::new(None));
        Self { origin, cooldown, current, fetching, fetched }
    }

    /// Keys that never change; nothing is ever fetched.
    #[must_use]
    pub fn issuer(keys: KeySet) -> Self {
        OwnKeys::new(keys).source()
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

    /// The newest good keys, fetched anew when the issuer last gave them longer than `age` ago: a key that
    /// it took back is then forgotten though no token names another. One caller waits for that; others
    /// go on with the keys there are, and so does everybody when the issuer is away.
    pub async fn no_older_than(&self, age: Duration) -> Arc<KeySet> {
        let current = self.current();
        let fetched = *self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = fetched.is_some_and(|fetched| fetched.elapsed() < age);
        let is_asked_for = current.generation > 0 && self.fetching.try_lock().is_err();
        if is_fresh || is_asked_for {
            return current;
        }
        self.newer_than(current.generation).await
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
                if set.is_some() {
                    *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                }
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

/// The keys of whoever issues tokens, for its own check of them: it changes them here, and every
/// source of them follows at once.
#[derive(Debug, Clone)]
pub struct OwnKeys(Arc<ArcSwap<KeySet>>);

impl OwnKeys {
    /// Begins with `keys`.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys)))
    }

    /// Puts `keys` in the place of the ones before, which were of an earlier generation.
    pub fn publish(&self, keys: KeySet) {
        self.0.store(Arc::new(keys));
    }

    /// A source that has these keys; nothing is ever fetched.
    #[must_use]
    pub fn source(&self) -> KeySource {
        let (origin, current) = (Origin::Issuer, self.0.clone());
        KeySource::of(origin, Duration::ZERO, current)
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
    use super::super::forger::{NOW, claims, jwks_of, key, keys_of, rules};
    use super::super::{KeyKind, TokenKey};
    use super::*;

    fn sign(key: &TokenKey) -> String {
        key.sign(&claims()).unwrap()
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

    #[tokio::test]
    async fn keys_are_kept_when_the_issuer_fails_and_renewed_when_they_change() {
        let (one, two) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
        let answers = vec![
            (200, jwks_of(&[&one])),
            (200, jwks_of(&[&one])),
            (500, String::new()),
            (200, "nonsense".to_owned()),
            (200, jwks_of(&[&two])),
        ];
        let (url, serving) = issuer(answers).await;
        let client = crate::http_client::open().unwrap();
        let source = KeySource::new(url, client, Duration::ZERO);
        assert_eq!(source.newer_than(0).await.generation, 1);
        for what in ["the same keys", "a failure", "no key set"] {
            assert_eq!(source.newer_than(1).await.generation, 1, "{what}");
            assert!(source.current().verify(&sign(&one), &rules(), NOW).is_ok());
        }
        assert_eq!(source.newer_than(1).await.generation, 2);
        assert!(source.current().verify(&sign(&two), &rules(), NOW).is_ok());
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn many_that_miss_a_key_cause_one_fetch_and_the_next_one_waits() {
        let key = key(KeyKind::EdDsa);
        let (url, serving) = issuer(vec![(200, jwks_of(&[&key]))]).await;
        let client = crate::http_client::open().unwrap();
        let source = KeySource::new(url, client, Duration::from_mins(1));
        let asked = futures_util::future::join_all((0..20).map(|_| source.newer_than(0))).await;
        assert!(asked.iter().all(|keys| keys.generation == 1));
        // The issuer answers once: another fetch would fail, and a failed one would be logged.
        serving.await.unwrap();
        assert_eq!(source.newer_than(1).await.generation, 1);
    }

    #[tokio::test]
    async fn keys_that_are_old_are_fetched_again_and_kept_when_that_fails() {
        let (one, two) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
        let answers = vec![(200, jwks_of(&[&one])), (500, String::new()), (200, jwks_of(&[&two]))];
        let (url, serving) = issuer(answers).await;
        let client = crate::http_client::open().unwrap();
        let source = KeySource::new(url, client, Duration::ZERO);
        let (old, fresh) = (Duration::ZERO, Duration::from_hours(1));
        for age in [fresh, fresh, old] {
            let keys = source.no_older_than(age).await;
            assert!(keys.verify(&sign(&one), &rules(), NOW).is_ok());
        }
        let keys = source.no_older_than(old).await;
        assert!(keys.verify(&sign(&one), &rules(), NOW).is_err());
        assert!(keys.verify(&sign(&two), &rules(), NOW).is_ok());
        serving.await.unwrap();
    }

    #[test]
    fn what_an_issuer_publishes_its_own_check_follows_at_once() {
        let (one, two) = (key(KeyKind::EdDsa), key(KeyKind::EdDsa));
        let own = OwnKeys::new(keys_of(&[&one]));
        let source = own.source();
        assert!(source.peek().verify(&sign(&two), &rules(), NOW).is_err());
        own.publish(KeySet { generation: 2, ..keys_of(&[&two, &one]) });
        assert_eq!(source.peek().generation, 2);
        for key in [&one, &two] {
            assert!(source.peek().verify(&sign(key), &rules(), NOW).is_ok());
        }
    }
}
