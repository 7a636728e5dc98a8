//! Writes to many sockets at once: what was queued since the last round leaves each socket in one
//! write. Below saturation a round is one frame; above it, the frames of a round share the call.

use std::sync::{Arc, Mutex, PoisonError};

use chassis::Stop;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::admission::Admission;
use super::line::Line;

/// Sockets written to before other tasks of this core get their turn.
const LINES_PER_TURN: usize = 32;

/// The sockets of one core for which something waits.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    lines: Mutex<Vec<Arc<Line>>>,
    bell: Notify,
}

impl Flusher {
    /// Something waits for `line`. Each line is listed once, so the list is bounded by the sockets.
    pub(crate) fn list(&self, line: Arc<Line>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        self.bell.notify_one();
    }

    /// Runs until there are no sockets any more: those that drain still have something to say.
    async fn run(self: Arc<Self>, admission: Arc<Admission>, stop: Stop) {
        tokio::select! {
            () = admission.ended(&stop) => {}
            () = self.rounds() => {}
        }
    }

    async fn rounds(&self) {
        let mut round = Vec::new();
        loop {
            self.bell.notified().await;
            // Whoever is queueing at this moment may finish, so that its frames share the write.
            yield_now().await;
            self.swap(&mut round);
            for (index, line) in round.drain(..).enumerate() {
                line.flush();
                if index % LINES_PER_TURN == LINES_PER_TURN - 1 {
                    yield_now().await;
                }
            }
        }
    }

    fn swap(&self, round: &mut Vec<Arc<Line>>) {
        std::mem::swap(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner), round);
    }
}

/// One flusher per core; sockets are dealt out in turn.
#[derive(Debug)]
pub(crate) struct Flushers(Vec<Arc<Flusher>>);

impl Flushers {
    /// Starts `count` of them, at least one, on the part's tracker.
    pub(crate) fn start(count: usize, admission: &Arc<Admission>, stop: &Stop) -> Self {
        let flushers: Vec<_> = (0..count.max(1)).map(|_| Arc::<Flusher>::default()).collect();
        for flusher in &flushers {
            stop.spawn(flusher.clone().run(admission.clone(), stop.clone()));
        }
        Self(flushers)
    }

    /// The flusher for the socket `number`.
    pub(crate) fn pick(&self, number: u64) -> Arc<Flusher> {
        let index = usize::try_from(number).unwrap_or(0) % self.0.len().max(1);
        self.0.get(index).cloned().unwrap_or_default()
    }
}
