//! Listens to the bus, notices what was not heard, and reads it from the store. The bus is a
//! doorbell: nothing depends on its ringing.

use std::sync::Arc;
use std::time::Duration;

use chassis::bus::{Heard, Subscription};
use chassis::peer::PeerError;
use chassis::{Random, Stop};
use contract::internal::HEADS_CHANNELS_MAX;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::Hub;
use super::room::Hole;
use crate::conversations::{Conversations, LogFrom};

/// How long to wait before asking again when the store could not be asked; it doubles each time.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(250);
/// Up to this: what was missed is to be pushed within seconds of the store's return.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Over which the nodes spread their questions after a gap: all of them lose a broker, and find it
/// again, in the same moment. What is missed meanwhile is asked for together.
const SPREAD: Duration = Duration::from_millis(250);

/// Keeps the open rooms level with the store.
#[derive(Debug, Clone)]
pub(crate) struct Ear {
    pub(crate) hub: Arc<Hub>,
    pub(crate) conversations: Conversations,
    pub(crate) random: Random,
    pub(crate) stop: Stop,
    /// Between two comparisons of every open room's head with the store.
    pub(crate) check_interval: Duration,
}

impl Ear {
    /// Passes on what the bus says, until it is gone. Safe to drop.
    pub(crate) async fn listen(&self, mut subscription: Subscription) {
        while let Some(heard) = subscription.next().await {
            match heard {
                Heard::Event(event) => {
                    if let Some(hole) = self.hub.hear(&event) {
                        self.read(hole);
                    }
                }
                Heard::Gap => self.hub.missed.notify_one(),
            }
        }
    }

    /// Compares heads now and then, and soon when something was missed, again and again until the
    /// store has answered. Safe to drop.
    pub(crate) async fn check(&self) {
        let mut failures = 0;
        loop {
            if timeout(self.pause(failures), self.hub.missed.notified()).await.is_ok() {
                sleep(drawn(&self.random, SPREAD)).await;
            }
            match (self.compare().await, failures) {
                (Ok(()), 0) => {}
                (Ok(()), _) => {
                    info!("The heads of the open rooms can be read again");
                    failures = 0;
                }
                (Err(error), before) => {
                    if before == 0 {
                        let cause = chassis::refuse::chain(&error);
                        warn!(cause, "The heads of the open rooms cannot be read");
                    }
                    failures = before.saturating_add(1);
                }
            }
        }
    }

    /// Until the next comparison, after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return self.check_interval };
        let pause = RETRY_PAUSE_MIN.saturating_mul(2_u32.saturating_pow(doublings));
        let half = pause.min(RETRY_PAUSE_MAX).min(self.check_interval) / 2;
        half + drawn(&self.random, half)
    }

    async fn compare(&self) -> Result<(), PeerError> {
        for channels in self.hub.open_channels().chunks(HEADS_CHANNELS_MAX) {
            let heads = self.conversations.heads(channels).await?;
            self.hub.check(&heads).into_iter().for_each(|hole| self.read(hole));
        }
        Ok(())
    }

    /// Reads what was not heard, in a task of its own: other rooms go on.
    fn read(&self, hole: Hole) {
        let ear = self.clone();
        self.stop.spawn(async move {
            tokio::select! {
                () = ear.stop.cancelled() => {}
                () = ear.fill(hole) => {}
            }
        });
    }

    async fn fill(&self, hole: Hole) {
        let mut next = Some(hole);
        while let Some(hole) = next {
            let (channel, after) = (&hole.channel, hole.after);
            debug!(room.channel = %channel, after, "Reading events that were not heard");
            let from = LogFrom { after, epoch: Some(&hole.epoch), limit: None };
            next = match self.conversations.log(channel, from).await {
                Ok(log) => self.hub.fill(&hole, log),
                Err(error) => {
                    let cause = chassis::refuse::chain(&error);
                    warn!(room.channel = %channel, cause, "The log of a room cannot be read");
                    self.hub.give_up_filling(&hole);
                    sleep(RETRY_PAUSE_MAX).await;
                    self.hub.missed.notify_one();
                    None
                }
            };
        }
    }
}

/// A moment within `window`.
fn drawn(random: &Random, window: Duration) -> Duration {
    Duration::from_millis(random.below(u64::try_from(window.as_millis()).unwrap_or(0)))
}
