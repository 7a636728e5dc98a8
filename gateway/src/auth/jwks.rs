//! Fetches the issuer's keys: at the start, from time to time, and when a token names one that is
//! not here. The last good ones are kept whatever happens to the issuer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chassis::Stop;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Config, KeySet};

/// Most requests that wait for one fetch; beyond it nobody waits.
const WAITING_MAX: usize = 1024;
/// Longest key set that is read, in bytes.
const BYTES_MAX: usize = 256 * 1024;
/// How soon a failed fetch is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Asks for a fetch, from any core.
#[derive(Debug, Clone)]
pub(crate) struct Asker(mpsc::Sender<oneshot::Sender<()>>);

impl Asker {
    /// Ends when the keys are as new as they will get for now. Safe to drop.
    pub(crate) async fn refresh(&self) {
        let (done, end) = oneshot::channel();
        if self.0.try_send(done).is_ok() {
            // A fetcher that is gone answers nobody, and nobody has to know.
            end.await.ok();
        }
    }
}

/// Keeps the keys fresh.
#[derive(Debug)]
pub(crate) struct Fetcher {
    config: Config,
    client: reqwest::Client,
    keys: Arc<ArcSwap<KeySet>>,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    last: Option<Instant>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the issuer cannot be reached")]
    Http(#[from] reqwest::Error),
    #[error("the issuer's answer is no key set")]
    Json(#[from] serde_json::Error),
    #[error("the key set is longer than {BYTES_MAX} bytes")]
    TooLong,
    #[error("the key set has no key that can be used")]
    Empty,
}

impl Fetcher {
    /// A fetcher, the keys that it keeps fresh, and a way to ask it.
    pub(crate) fn new(
        config: &Config,
    ) -> Result<(Self, Arc<ArcSwap<KeySet>>, Asker), reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(config.fetch_timeout)
            .connect_timeout(config.fetch_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let keys = Arc::new(ArcSwap::from_pointee(KeySet::none(config)));
        let (sender, asked) = mpsc::channel(WAITING_MAX);
        let fetcher =
            Self { config: config.clone(), client, keys: keys.clone(), asked, last: None };
        Ok((fetcher, keys, Asker(sender)))
    }

    /// Fetches until the gateway drains: what is in flight then lives with the keys that are here.
    pub(crate) async fn run(mut self, stop: Stop) {
        tokio::select! {
            () = stop.drain_began() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        let mut retry = RETRY.0;
        loop {
            let wait = match self.fetch().await {
                Ok(()) => {
                    retry = RETRY.0;
                    self.config.refresh_interval
                }
                Err(error) => {
                    let cause = chassis::refuse::chain(&error);
                    warn!(cause, "Could not fetch the issuer's keys; the last ones stay");
                    retry = (retry * 2).min(RETRY.1);
                    retry
                }
            };
            if self.answer_until(Instant::now() + wait).await.is_err() {
                return;
            }
        }
    }

    /// Answers those who ask, until `end` or until an asker makes a fetch worth while.
    async fn answer_until(&mut self, end: Instant) -> Result<(), ()> {
        loop {
            let asker = tokio::select! {
                () = tokio::time::sleep_until(end) => return Ok(()),
                asker = self.asked.recv() => asker.ok_or(())?,
            };
            let was_fetched = self.keys.load().was_fetched();
            let pause = if was_fetched { self.config.refetch_cooldown } else { RETRY.0 };
            let rests = self.last.is_some_and(|at| at.elapsed() < pause);
            if !rests && let Err(error) = self.fetch().await {
                let cause = chassis::refuse::chain(&error);
                warn!(cause, "Could not fetch an unknown key");
            }
            // Whoever asked in the meantime has the same answer.
            asker.send(()).ok();
            while let Ok(asker) = self.asked.try_recv() {
                asker.send(()).ok();
            }
        }
    }

    async fn fetch(&mut self) -> Result<(), Error> {
        let fetched = self.get().await;
        self.last = Some(Instant::now());
        let earlier = self.keys.load();
        let keys = KeySet::of(fetched?, &self.config).after(&earlier);
        if keys.len() == 0 {
            return Err(Error::Empty);
        }
        if keys.generation() != earlier.generation() {
            info!(keys = keys.len(), "Took the issuer's keys over");
            self.keys.store(Arc::new(keys));
        }
        Ok(())
    }

    async fn get(&self) -> Result<JwkSet, Error> {
        let mut response =
            self.client.get(&self.config.jwks_url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            body.extend_from_slice(&part);
            if body.len() > BYTES_MAX {
                return Err(Error::TooLong);
            }
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
