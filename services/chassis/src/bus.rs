//! Where events are rung. The store is the truth, the bus is a doorbell: a subscriber hears an
//! event, or that it missed some, and then reads the store.

use std::sync::Arc;

use contract::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Carries events from those who store them to those who show them. Never waits for a listener.
#[derive(Debug, Clone)]
pub enum Bus {
    /// Inside one process.
    Local(broadcast::Sender<Arc<Event>>),
}

impl Bus {
    /// A bus within this process, on which a listener may lag by `capacity` events.
    #[must_use]
    pub fn local(capacity: usize) -> Self {
        Self::Local(broadcast::Sender::new(capacity.max(1)))
    }

    /// Rings `event`. It is lost when nobody listens: the store has it.
    pub fn publish(&self, event: Arc<Event>) {
        match self {
            Self::Local(sender) => {
                sender.send(event).ok();
            }
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        match self {
            Self::Local(sender) => Subscription::Local(sender.subscribe()),
        }
    }
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// This happened.
    Event(Arc<Event>),
    /// Something was missed: read the store.
    Gap,
}

/// One listener.
#[derive(Debug)]
pub enum Subscription {
    /// Inside one process.
    Local(broadcast::Receiver<Arc<Event>>),
}

impl Subscription {
    /// The next thing heard; `None` when the bus is gone. Safe to drop: nothing is lost by it.
    pub async fn next(&mut self) -> Option<Heard> {
        match self {
            Self::Local(receiver) => match receiver.recv().await {
                Ok(event) => Some(Heard::Event(event)),
                Err(RecvError::Lagged(_)) => Some(Heard::Gap),
                Err(RecvError::Closed) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{EventKind, Timestamp};

    use super::*;

    fn event(seq: u64) -> Arc<Event> {
        Arc::new(Event {
            channel: "room:general".parse().unwrap(),
            epoch: "e".to_owned(),
            seq,
            kind: EventKind::MessageCreated,
            ts: Timestamp(0),
            data: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
        })
    }

    #[tokio::test]
    async fn a_listener_hears_events_in_order() {
        let bus = Bus::local(8);
        let mut ear = bus.subscribe();
        bus.publish(event(1));
        bus.publish(event(2));
        for want in [1, 2] {
            let Some(Heard::Event(heard)) = ear.next().await else { panic!("no event") };
            assert_eq!(heard.seq, want);
        }
    }

    #[tokio::test]
    async fn a_listener_that_lags_hears_a_gap_and_then_what_is_left() {
        let bus = Bus::local(2);
        let mut ear = bus.subscribe();
        (1..=5).for_each(|seq| bus.publish(event(seq)));
        assert!(matches!(ear.next().await, Some(Heard::Gap)));
        let Some(Heard::Event(heard)) = ear.next().await else { panic!("no event") };
        assert_eq!(heard.seq, 4);
    }
}
