//! The wire of one socket: whoever has something to say queues it here and goes on. Nobody waits
//! for a peer but the socket's own task.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use contract::live::{CloseCode, ServerFrame};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::flush::Flusher;
use super::outbox::{Bounds, Full, Outbox};
use crate::codec;

/// Most frames that leave in one write.
const SLICES_MAX: usize = 64;
/// In which the `lagged` frames of a slow peer are counted.
const LAG_WINDOW: Duration = Duration::from_mins(1);
/// As many `lagged` frames within [`LAG_WINDOW`] end a socket.
const LAGS_MAX: usize = 4;

/// How a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// We say why.
    Close(CloseCode),
    /// The peer said that it is over.
    Answered,
    /// The connection is gone.
    Gone,
}

/// Why events of a channel are not pushed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lag {
    /// The peer took too little.
    Slow,
    /// The log went on in a way that cannot be pushed, which is not the peer's fault.
    Skipped,
}

/// How far a flush came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits any more.
    Drained,
    /// The peer takes nothing for the moment.
    Blocked,
    /// The connection is gone.
    Broken,
}

/// The wire.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    state: Mutex<State>,
    flusher: Arc<Flusher>,
    /// Rung when a write found the peer slow.
    blocked: Notify,
    /// Rung when nothing waits any more.
    drained: Notify,
    /// Rung when somebody ended the socket.
    ended: Notify,
    heard_at: Mutex<Instant>,
}

#[derive(Debug)]
struct State {
    outbox: Outbox,
    /// Whether the flusher knows that something waits.
    is_listed: bool,
    ending: Option<Ending>,
    lags: Vec<Instant>,
}

impl Line {
    pub(crate) fn new(stream: TcpStream, bounds: Bounds, flusher: Arc<Flusher>) -> Arc<Self> {
        let outbox = Outbox::new(bounds);
        let state = State { outbox, is_listed: false, ending: None, lags: Vec::new() };
        Arc::new(Self {
            stream,
            state: Mutex::new(state),
            flusher,
            blocked: Notify::new(),
            drained: Notify::new(),
            ended: Notify::new(),
            heard_at: Mutex::new(Instant::now()),
        })
    }

    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&self) {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The last sign of life.
    pub(crate) fn heard_at(&self) -> Instant {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame for this socket alone.
    pub(crate) fn say(self: &Arc<Self>, frame: &ServerFrame) {
        self.push(codec::text(frame));
    }

    /// Queues an encoded answer or control frame.
    pub(crate) fn push(self: &Arc<Self>, bytes: Bytes) {
        let mut state = self.state();
        if state.ending.is_none() {
            state.outbox.push(bytes);
            self.list(state);
        }
    }

    /// Queues an encoded event of the subscription `seat`.
    pub(crate) fn push_event(self: &Arc<Self>, seat: u64, bytes: Bytes) -> Result<(), Full> {
        let mut state = self.state();
        if state.ending.is_none() {
            state.outbox.push_event(seat, bytes)?;
            self.list(state);
        }
        Ok(())
    }

    /// Drops the queued events of the subscription `seat`.
    pub(crate) fn forget(&self, seat: u64) {
        self.state().outbox.forget(seat);
    }

    /// Drops the queued events of `seat` and says so with `lagged`. A peer that is too slow too
    /// often is let go.
    pub(crate) fn lag(self: &Arc<Self>, seat: u64, lag: Lag, lagged: &ServerFrame) {
        let now = Instant::now();
        let mut state = self.state();
        state.outbox.forget(seat);
        state.lags.retain(|at| now.duration_since(*at) < LAG_WINDOW);
        if lag == Lag::Slow {
            state.lags.push(now);
        }
        let is_hopeless = state.lags.len() >= LAGS_MAX;
        drop(state);
        self.say(lagged);
        if is_hopeless {
            self.end(Ending::Close(CloseCode::SlowConsumer));
        }
    }

    /// Ends the socket; the first reason counts.
    pub(crate) fn end(&self, ending: Ending) {
        self.state().ending.get_or_insert(ending);
        self.ended.notify_one();
    }

    /// The reason for which somebody ended the socket. Safe to drop.
    pub(crate) async fn ended(&self) -> Ending {
        loop {
            if let Some(ending) = self.state().ending {
                return ending;
            }
            self.ended.notified().await;
        }
    }

    /// Ends when so little waits that another request may be read. Safe to drop.
    pub(crate) async fn uncrowded(&self) {
        while self.state().outbox.is_crowded() {
            self.drained.notified().await;
        }
    }

    /// Ends when a write found the peer slow. Safe to drop.
    pub(crate) async fn blocked(&self) {
        self.blocked.notified().await;
    }

    /// Writes until nothing waits, however long the peer takes. Safe to drop.
    pub(crate) async fn drain(&self) -> Flushed {
        loop {
            match self.flush() {
                Flushed::Blocked => {}
                done @ (Flushed::Drained | Flushed::Broken) => return done,
            }
            if self.stream.writable().await.is_err() {
                return Flushed::Broken;
            }
        }
    }

    /// Puts `last` behind what has been begun, in place of everything that waits.
    pub(crate) fn set_last(&self, last: Bytes) {
        let mut state = self.state();
        state.outbox.clear();
        state.outbox.push(last);
    }

    /// Puts `last` behind everything that waits.
    pub(crate) fn append_last(&self, last: Bytes) {
        self.state().outbox.push(last);
    }

    /// Writes what the system takes, without waiting.
    pub(crate) fn flush(&self) -> Flushed {
        let mut state = self.state();
        state.is_listed = false;
        let flushed = write(&self.stream, &mut state.outbox);
        drop(state);
        match flushed {
            Flushed::Drained => self.drained.notify_one(),
            Flushed::Blocked => self.blocked.notify_one(),
            Flushed::Broken => self.end(Ending::Gone),
        }
        flushed
    }

    fn list(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let was_listed = std::mem::replace(&mut state.is_listed, true);
        drop(state);
        if !was_listed {
            self.flusher.list(self.clone());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(stream: &TcpStream, outbox: &mut Outbox) -> Flushed {
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let used = outbox.gather(&mut slices);
        let slices = slices.split_at(used).0;
        match stream.try_write_vectored(slices) {
            Ok(0) => return Flushed::Broken,
            Ok(written) => outbox.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
            Err(_) => return Flushed::Broken,
        }
    }
    Flushed::Drained
}
