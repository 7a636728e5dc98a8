//! Rings a chat service that shares no bus with this process: what waits goes in one call, in
//! order, a few tries, then it is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chassis::Stop;
use chassis::hop::Hop;
use chassis::peer::{On, Peer, PeerError};
use chassis::refuse::chain;
use contract::Event;
use contract::internal::{BATCH_ITEMS_MAX, Rings};
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::bell;

/// Where rings are handed in. The task behind it ends when the last of these is gone.
#[derive(Debug, Clone)]
pub(crate) struct Ringer {
    queue: mpsc::Sender<Event>,
    lost: Arc<AtomicU64>,
}

impl Ringer {
    /// Starts ringing `chat`.
    pub(crate) fn start(chat: Peer, config: &bell::Rings, stop: &Stop) -> Self {
        let (queue, events) = mpsc::channel(config.queue_events_max.get());
        let lost = Arc::new(AtomicU64::new(0));
        let caller = Caller {
            chat,
            tries_max: config.tries_max.max(1),
            pause: config.pause,
            lost: lost.clone(),
        };
        let cut = stop.clone();
        stop.spawn(async move {
            tokio::select! {
                () = caller.run(events) => {}
                () = cut.cancelled() => {}
            }
        });
        Self { queue, lost }
    }

    pub(crate) fn ring(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Caller {
    chat: Peer,
    tries_max: u32,
    pause: Duration,
    lost: Arc<AtomicU64>,
}

impl Caller {
    async fn run(self, mut queue: mpsc::Receiver<Event>) {
        let mut events = Vec::with_capacity(BATCH_ITEMS_MAX);
        let mut away = false;
        while queue.recv_many(&mut events, BATCH_ITEMS_MAX).await > 0 {
            let rings = Rings { events: std::mem::take(&mut events) };
            match self.call(&rings).await {
                Ok(()) if away => {
                    let lost = self.lost.swap(0, Ordering::Relaxed);
                    info!(lost, "The chat service hears rings again");
                    away = false;
                }
                Ok(()) => {}
                Err(error) => {
                    self.lost.fetch_add(rings.events.len() as u64, Ordering::Relaxed);
                    if !away {
                        warn!(cause = chain(&error), "The chat service does not hear rings");
                    }
                    away = true;
                }
            }
        }
    }

    async fn call(&self, rings: &Rings) -> Result<(), PeerError> {
        let mut tries = 1;
        loop {
            match self.call_once(rings).await {
                Err(_) if tries < self.tries_max => {
                    tries += 1;
                    sleep(self.pause).await;
                }
                done => return done,
            }
        }
    }

    async fn call_once(&self, rings: &Rings) -> Result<(), PeerError> {
        let hop = Hop::default();
        let call = self.chat.post::<_, IgnoredAny>("/internal/rings", rings, On::OwnBehalf, &hop);
        match call.await {
            Ok(_) => Ok(()),
            // What it answers is of no interest.
            Err(PeerError::Garbled(status)) if status.is_success() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
