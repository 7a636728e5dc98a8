//! What time it is: the system's, or one that a test holds still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use contract::Timestamp;

/// A source of wall-clock time. Deadlines and intervals are tokio's, which tests can pause.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's.
    System,
    /// Milliseconds since the epoch, moved by hand.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `now` until it is moved through the handle.
    #[must_use]
    pub fn fixed(now: Timestamp) -> (Self, Arc<AtomicI64>) {
        let hands = Arc::new(AtomicI64::new(now.0));
        (Self::Fixed(hands.clone()), hands)
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => system_now(),
            Self::Fixed(hands) => Timestamp(hands.load(Ordering::Relaxed)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else takes")]
fn system_now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
