//! Rings a chat service that shares no bus with this process: what waits goes in one call, in
//! order, a few tries, then it is given up.

use std::mem;
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

/// Most bytes of the data in one call, or a single event: the other side takes a bounded body.
const RINGS_BYTES_MAX: usize = 512 * 1024;

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

/// Whether the last call was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chat {
    Hears,
    Away,
}

impl Caller {
    async fn run(self, mut queue: mpsc::Receiver<Event>) {
        let mut events = Vec::with_capacity(BATCH_ITEMS_MAX);
        let mut chat = Chat::Hears;
        while queue.recv_many(&mut events, BATCH_ITEMS_MAX).await > 0 {
            while !events.is_empty() {
                let rest = events.split_off(fitting(&events));
                let rings = Rings { events: mem::replace(&mut events, rest) };
                chat = self.tell(&rings, chat).await;
            }
        }
    }

    /// Makes one call; the log hears when the chat service goes away and when it is back.
    async fn tell(&self, rings: &Rings, before: Chat) -> Chat {
        match (self.call(rings).await, before) {
            (Ok(()), Chat::Hears) => Chat::Hears,
            (Ok(()), Chat::Away) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                info!(lost, "The chat service hears rings again");
                Chat::Hears
            }
            (Err(error), before) => {
                self.lost.fetch_add(rings.events.len() as u64, Ordering::Relaxed);
                if before == Chat::Hears {
                    warn!(cause = chain(&error), "The chat service does not hear rings");
                }
                Chat::Away
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

/// How many of the events, at least one, go into one call.
fn fitting(events: &[Event]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.data.get().len();
        bytes <= RINGS_BYTES_MAX
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use contract::{EventKind, Timestamp};
    use serde_json::value::to_raw_value;

    use super::*;

    fn event(bytes: usize) -> Event {
        Event {
            channel: "room:tea".parse().unwrap(),
            epoch: "e".to_owned(),
            seq: 1,
            kind: EventKind::MessageCreated,
            ts: Timestamp(0),
            data: to_raw_value(&"x".repeat(bytes - 2)).unwrap(),
        }
    }

    #[test]
    fn a_call_carries_what_fits_and_one_event_at_least() {
        let half = RINGS_BYTES_MAX / 2;
        assert_eq!(fitting(&[event(half), event(half), event(half)]), 2);
        assert_eq!(fitting(&[event(half), event(half + 1)]), 1);
        assert_eq!(fitting(&[event(RINGS_BYTES_MAX + 1)]), 1);
    }
}
