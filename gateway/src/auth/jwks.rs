//! Keeps the issuer's keys fresh: at the start, from time to time, and when a token names one that
//! is not here. Runs on the control plane, so that no core ever fetches anything.

use std::sync::Arc;
use std::time::Duration;

use chassis::Stop;
use chassis::tokens::KeySource;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::info;

/// Most requests that wait for one fetch; beyond it nobody waits.
const WAITING_MAX: usize = 1024;
/// How soon keys that never came are asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Somebody who waits for keys newer than the generation that it has seen.
type Wait = (u64, oneshot::Sender<()>);

/// Asks for a fetch, from any core.
#[derive(Debug, Clone)]
pub(crate) struct Asker(mpsc::Sender<Wait>);

impl Asker {
    /// Ends when the keys are as new as they will get for now. Safe to drop.
    pub(crate) async fn newer_than(&self, seen: u64) {
        let (done, end) = oneshot::channel();
        if self.0.try_send((seen, done)).is_ok() {
            // A fetcher that is gone answers nobody, and nobody has to know.
            end.await.ok();
        }
    }
}

/// Keeps the keys fresh.
#[derive(Debug)]
pub(crate) struct Fetcher {
    source: Arc<KeySource>,
    refresh_interval: Duration,
    waiting: mpsc::Receiver<Wait>,
}

impl Fetcher {
    /// A fetcher for `source`, and a way to ask it.
    pub(crate) fn new(source: Arc<KeySource>, refresh_interval: Duration) -> (Self, Asker) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        (Self { source, refresh_interval, waiting }, Asker(sender))
    }

    /// Fetches until the gateway drains: what is in flight then lives with the keys that are here.
    pub(crate) async fn run(mut self, stop: Stop) {
        tokio::select! {
            () = stop.drain_began() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        loop {
            let seen = self.source.peek().generation;
            let generation = self.source.newer_than(seen).await.generation;
            if seen == 0 && generation > 0 {
                info!("Took the issuer's keys over");
            }
            let wait = if generation == 0 { RETRY } else { self.refresh_interval };
            let next = Instant::now() + wait;
            loop {
                let (seen, done) = tokio::select! {
                    () = sleep_until(next) => break,
                    wait = self.waiting.recv() => match wait {
                        Some(wait) => wait,
                        None => return,
                    },
                };
                self.source.newer_than(seen).await;
                // Whoever asked may be gone.
                done.send(()).ok();
            }
        }
    }
}
