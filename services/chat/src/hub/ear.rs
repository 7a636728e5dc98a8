//! Listens to the bus, notices what was not heard, and reads it from the store. The bus is a
//! doorbell: nothing depends on its ringing.

use std::sync::Arc;
use std::time::Duration;

use chassis::Stop;
use chassis::bus::{Heard, Subscription};
use contract::internal::HEADS_CHANNELS_MAX;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Hub;
use super::room::Hole;
use crate::conversations::{Conversations, LogFrom};

/// How long to wait before asking again when the store could not be asked.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the open rooms level with the store.
#[derive(Debug, Clone)]
pub(crate) struct Ear {
    pub(crate) hub: Arc<Hub>,
    pub(crate) conversations: Conversations,
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

    /// Compares heads now and then, and at once when something was missed. Safe to drop.
    pub(crate) async fn check(&self) {
        let mut pause = self.check_interval;
        loop {
            // Either way it is time.
            timeout(pause, self.hub.missed.notified()).await.ok();
            pause = match self.compare().await {
                Compared::Level => self.check_interval,
                Compared::Unknown => RETRY_PAUSE.min(self.check_interval),
            };
        }
    }

    async fn compare(&self) -> Compared {
        for channels in self.hub.open_channels().chunks(HEADS_CHANNELS_MAX) {
            match self.conversations.heads(channels).await {
                Ok(heads) => self.hub.check(&heads).into_iter().for_each(|hole| self.read(hole)),
                Err(error) => {
                    let cause = chassis::refuse::chain(&error);
                    warn!(cause, "The heads of the open rooms cannot be read");
                    return Compared::Unknown;
                }
            }
        }
        Compared::Level
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
                    sleep(RETRY_PAUSE).await;
                    self.hub.missed.notify_one();
                    None
                }
            };
        }
    }
}

/// Whether the store could be asked.
enum Compared {
    Level,
    Unknown,
}
