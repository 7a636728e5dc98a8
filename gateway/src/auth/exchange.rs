//! Trades machine keys for access tokens at whoever issues them. Runs on the control plane, so that no
//! core ever calls anybody: a core asks, and tries the request again when there is an answer.
//!
//! One trade runs for a key at a time, and whoever comes with the same key waits for it. Trades, those of
//! one address, and those who wait are bounded; beyond the bounds the answer is that we are busy. A key is nobody's to
//! read: it is held until it is sent, and shown to no log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chassis::identity::ServiceTokens;
use chassis::secret::Secret;
use chassis::tokens::{BadToken, KeySource, Rules};
use chassis::{Clock, Deps, StartError, Stop, http_client, refuse};
use contract::internal::accounts::{Exchange as Body, Exchanged};
use contract::problem::TYPE_PREFIX;
use contract::{Kind, Problem};
use http::StatusCode;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tracing::{info, warn};

use super::Config;
use crate::quota::Key;

/// Questions that wait to be looked at; beyond them the answer is that we are busy.
const QUEUE_MAX: usize = 1_024;
/// Requests that wait for trades, of all keys together; likewise.
const WAITING_MAX: usize = 4_096;
/// How long a trade may take.
const WINDOW: Duration = Duration::from_secs(3);
/// Largest answer that is read, in bytes: a token and a little more.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// SHA-256 of a machine key: by which it is known here.
pub(crate) type Digest = [u8; 32];

/// A machine key that somebody came with.
#[derive(Debug)]
pub(crate) struct Presented {
    pub digest: Digest,
    pub key: Secret<Box<str>>,
}

/// What a trade came to.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The token is one that every door lets in, until this second.
    Token { token: Bytes, expires_at: i64 },
    /// There is no such key, or it has ended.
    Refused,
    /// It cannot be found out.
    Away,
    /// Too many are being traded.
    Busy,
}

/// A trade that is over.
type Trade = (Digest, Result<Outcome, NoAnswer>);

/// A question for a trade.
#[derive(Debug)]
struct Ask {
    presented: Presented,
    /// The address that asks.
    from: Key,
    answer: oneshot::Sender<Outcome>,
}

/// A trade that runs.
#[derive(Debug)]
struct Running {
    /// The address that asked first, for which it counts.
    from: Key,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

/// Asks for trades, from any core.
#[derive(Debug, Clone)]
pub(crate) struct Exchange(mpsc::Sender<Ask>);

impl Exchange {
    /// What `presented` is worth, to somebody who calls `from` there. Safe to drop.
    pub(crate) async fn trade(&self, presented: Presented, from: IpAddr) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        match self.0.try_send(Ask { presented, from: Key::address(from), answer }) {
            Ok(()) => outcome.await.unwrap_or(Outcome::Away),
            Err(mpsc::error::TrySendError::Full(_)) => Outcome::Busy,
            Err(mpsc::error::TrySendError::Closed(_)) => Outcome::Away,
        }
    }
}

/// Runs the trades.
#[derive(Debug)]
pub(crate) struct Exchanger {
    counter: Arc<Counter>,
    trades_max: usize,
    /// The same for one address.
    share_max: usize,
    asked: mpsc::Receiver<Ask>,
    trades: JoinSet<Trade>,
    running: HashMap<Digest, Running>,
    /// How many wait, of all keys together.
    waiters: usize,
    /// Whether the last trade found nobody at the counter.
    is_away: bool,
}

impl Exchanger {
    /// An exchanger with a key of ours in the folder `keys`, and a way to ask it.
    pub(crate) fn open(
        config: &Config,
        keys: &Path,
        source: Arc<KeySource>,
        deps: &Deps,
    ) -> Result<(Self, Exchange), StartError> {
        let (sender, asked) = mpsc::channel(QUEUE_MAX);
        let counter = Counter {
            url: config.exchange_url.clone(),
            authority: config.authority.clone(),
            client: http_client::open()?,
            tokens: ServiceTokens::open(super::NAME, keys, deps)?,
            rules: Rules { issuer: config.issuer.clone(), audience: config.audience.clone() },
            source,
            clock: deps.clock.clone(),
        };
        let exchanger = Self {
            counter: Arc::new(counter),
            trades_max: config.exchanges_max,
            share_max: config.exchanges_per_address_max,
            asked,
            trades: JoinSet::new(),
            running: HashMap::new(),
            waiters: 0,
            is_away: false,
        };
        Ok((exchanger, Exchange(sender)))
    }

    /// Trades until the last core is gone.
    pub(crate) async fn run(mut self, stop: Stop) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        loop {
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(ask) => self.begin(ask),
                    None => return,
                },
                Some(traded) = self.trades.join_next() => self.settle(traded),
            }
        }
    }

    fn settle(&mut self, traded: Result<Trade, JoinError>) {
        let Ok((digest, outcome)) = traded else {
            // A trade that broke off does not say which it was: everybody hears of it.
            self.running.clear();
            self.waiters = 0;
            return;
        };
        let outcome = self.judge(outcome);
        self.end(digest, &outcome);
    }

    fn begin(&mut self, ask: Ask) {
        let Ask { presented, from, answer } = ask;
        let digest = presented.digest;
        let is_running = self.running.contains_key(&digest);
        let is_full = !is_running && self.is_full(from);
        if is_full || self.waiters >= WAITING_MAX {
            // Whoever asked may be gone, here and below.
            answer.send(Outcome::Busy).ok();
            return;
        }
        let running = || Running { from, waiting: Vec::new() };
        self.running.entry(digest).or_insert_with(running).waiting.push(answer);
        self.waiters += 1;
        if !is_running {
            let counter = self.counter.clone();
            self.trades.spawn(async move { (digest, counter.trade(&presented).await) });
        }
    }

    /// Whether no more trades may run, at all or for whoever is at `from`: made-up keys of one address
    /// leave room for the others.
    fn is_full(&self, from: Key) -> bool {
        let share = self.running.values().filter(|running| running.from == from).count();
        self.running.len() >= self.trades_max || share >= self.share_max
    }

    /// Tells the log when the exchange goes away and when it comes back, and not of every trade.
    fn judge(&mut self, outcome: Result<Outcome, NoAnswer>) -> Outcome {
        let was_away = std::mem::replace(&mut self.is_away, outcome.is_err());
        match outcome {
            Ok(outcome) => {
                if was_away {
                    info!("Machine keys can be exchanged again");
                }
                outcome
            }
            Err(error) => {
                if !was_away {
                    let cause = refuse::chain(&error);
                    warn!(url = self.counter.url, cause, "Machine keys cannot be exchanged");
                }
                Outcome::Away
            }
        }
    }

    fn end(&mut self, digest: Digest, outcome: &Outcome) {
        let waiting = self.running.remove(&digest).map_or_else(Vec::new, |ended| ended.waiting);
        self.waiters = self.waiters.saturating_sub(waiting.len());
        for answer in waiting {
            answer.send(outcome.clone()).ok();
        }
    }
}

/// Where keys are traded, and what the tokens are checked with.
#[derive(Debug)]
struct Counter {
    url: String,
    /// What it is called in service tokens.
    authority: String,
    client: reqwest::Client,
    tokens: ServiceTokens,
    rules: Rules,
    source: Arc<KeySource>,
    clock: Clock,
}

/// Why it cannot be found out what a key is worth.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the exchange cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("the exchange refused us with {0}")]
    Refused(StatusCode),
    #[error("the exchange answered what is no token of the issuer's")]
    Garbled,
    #[error("the exchange gave a token that does not hold")]
    BadToken(#[from] BadToken),
}

impl Counter {
    async fn trade(&self, presented: &Presented) -> Result<Outcome, NoAnswer> {
        let body = Body { key: presented.key.expose().to_string() };
        let token = self.tokens.plain(self.authority.clone());
        let request = self.client.post(&self.url).bearer_auth(token).json(&body).timeout(WINDOW);
        let mut response = request.send().await?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::Garbled);
            }
            answer.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK => self.check(&answer).await,
            StatusCode::UNAUTHORIZED if is_about_the_key(&answer) => Ok(Outcome::Refused),
            _ => Err(NoAnswer::Refused(status)),
        }
    }

    /// Sees to it that the token's key is here before anybody uses it.
    async fn check(&self, answer: &[u8]) -> Result<Outcome, NoAnswer> {
        let exchanged: Exchanged = serde_json::from_slice(answer).map_err(|_| NoAnswer::Garbled)?;
        let keys = self.source.current();
        let verified = match keys.verify(&exchanged.token, &self.rules, self.clock.now()) {
            Err(BadToken::UnknownKey) => {
                let keys = self.source.newer_than(keys.generation).await;
                keys.verify(&exchanged.token, &self.rules, self.clock.now())
            }
            verified => verified,
        };
        let expires_at = verified?.exp;
        Ok(Outcome::Token { token: exchanged.token.into(), expires_at })
    }
}

/// Whether a 401 is about the key: one about our own service token is of another kind.
fn is_about_the_key(problem: &[u8]) -> bool {
    let kind = serde_json::from_slice::<Problem>(problem).map(|problem| problem.kind);
    kind.is_ok_and(|kind| kind.strip_prefix(TYPE_PREFIX) == Some(Kind::WrongCredentials.slug()))
}
