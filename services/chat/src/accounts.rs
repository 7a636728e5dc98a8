//! What this service asks of the one that keeps accounts: whom a ticket is for, and tokens for machine
//! keys. Whoever opens a socket can make it ask, so that its calls are few at a time and short.

use std::sync::Arc;
use std::time::Duration;

use chassis::hop::Hop;
use chassis::peer::{On, Peer};
use chassis::refuse::Refusal;
use chassis::secret::Secret;
use contract::Kind;
use contract::internal::accounts::{Exchange, Exchanged, Redeem, Redeemed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest ticket or key that is asked about, in bytes; ours are shorter.
const SECRET_BYTES_MAX: usize = 512;
/// When to come again while the user service is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    peer: Peer,
    calls: Arc<Semaphore>,
    window: Duration,
}

impl Accounts {
    /// Calls `peer`, at most `calls_max` times at once; each of them ends within `window`.
    pub(crate) fn new(peer: Peer, calls_max: usize, window: Duration) -> Self {
        Self { peer, calls: Arc::new(Semaphore::new(calls_max)), window }
    }

    /// Whom `ticket` is for. It is used up by this.
    pub(crate) async fn redeem(&self, ticket: &Secret<String>) -> Result<Redeemed, Refusal> {
        let bad = "The ticket is not valid, or was used before: get another one.";
        let body = Redeem { ticket: ticket.expose().clone() };
        self.ask("/internal/tickets/redeem", ticket, &body, bad).await
    }

    /// An access token for `key`.
    pub(crate) async fn exchange(&self, key: &Secret<String>) -> Result<Exchanged, Refusal> {
        let body = Exchange { key: key.expose().clone() };
        self.ask("/internal/keys/exchange", key, &body, "The machine key is not valid.").await
    }

    async fn ask<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        secret: &Secret<String>,
        body: &B,
        bad: &'static str,
    ) -> Result<T, Refusal> {
        if !(1..=SECRET_BYTES_MAX).contains(&secret.expose().len()) {
            return Err(Refusal::new(Kind::BadToken).detail(bad));
        }
        let answer = async {
            // It is never closed.
            let _turn = self.calls.acquire().await;
            self.peer.post::<B, T>(path, body, On::OwnBehalf, &Hop::default()).await
        };
        match timeout(self.window, answer).await {
            Ok(Ok(answer)) => Ok(answer.body),
            Ok(Err(error)) if error.kind() == Some(Kind::WrongCredentials) => {
                Err(Refusal::new(Kind::BadToken).detail(bad))
            }
            // Also a 401 of another kind, which is about the token that we show: trouble between the two of
            // us is no reason to end anybody's socket.
            Ok(Err(error)) => {
                Err(Refusal::new(Kind::Unavailable).retry_after(RETRY_AFTER).caused_by(error))
            }
            Err(_) => Err(Refusal::new(Kind::Unavailable).retry_after(RETRY_AFTER)),
        }
    }
}
