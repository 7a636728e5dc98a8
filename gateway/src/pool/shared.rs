//! Connections of HTTP/2 to one endpoint, each for many requests at a time: as few as do, within
//! bounds, and one that dies or says GOAWAY gets no more of them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::task::TaskTracker;

use super::endpoint::Error;
use crate::config::{Http2, Target};
use crate::general::Upload;
use crate::limits::{Gauge, Permit};
use crate::wheel::{Ticks, Wheel};

/// The largest window of flow control (RFC 9113 section 6.9.1).
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;

/// Opens connections as the configuration has them.
#[derive(Debug)]
pub(super) struct Opener {
    http: http2::Builder<Spawner>,
    tasks: TaskTracker,
}

impl Opener {
    /// Connections of `config`, with `streams_max` requests each.
    pub(super) fn new(config: &Http2, streams_max: usize, tasks: TaskTracker) -> Self {
        let mut http = http2::Builder::new(Spawner(tasks.clone()));
        http.timer(TokioTimer::new())
            .max_frame_size(config.frame_bytes_max)
            .max_header_list_size(u32::try_from(super::HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .initial_stream_window_size(config.stream_window_bytes)
            .initial_connection_window_size(trunk_window(config, streams_max))
            .max_send_buf_size(config.send_buffer_bytes_max)
            .keep_alive_interval(config.ping_interval)
            .keep_alive_timeout(config.ping_timeout)
            .keep_alive_while_idle(true);
        Self { http, tasks }
    }

    /// Begins to speak HTTP/2.
    pub(super) async fn open(&self, stream: TcpStream) -> Result<SendRequest<Upload>, Error> {
        let (sender, driver) = self.http.handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn_local(async move {
            // Whoever waits for an answer on it is told; nobody else has to know.
            driver.await.ok();
        });
        Ok(sender)
    }
}

/// The window of a connection that `streams_max` callers share: room for a full one of every stream, so
/// that answers which their callers do not take hold up no other (RFC 9113 section 5.2.2).
fn trunk_window(config: &Http2, streams_max: usize) -> u32 {
    let streams = u32::try_from(streams_max).unwrap_or(u32::MAX);
    let full = config.stream_window_bytes.saturating_mul(streams);
    full.max(config.connection_window_bytes).min(WINDOW_BYTES_MAX)
}

/// Runs what hyper has to do for a connection as tasks of a core.
#[derive(Debug, Clone)]
struct Spawner(TaskTracker);

impl<F: Future<Output = ()> + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        self.0.spawn_local(future);
    }
}

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Shared {
    trunks: RefCell<Vec<Rc<Trunk>>>,
    is_opening: Cell<bool>,
    is_closed: Cell<bool>,
    connections_max: usize,
    streams_max: usize,
    idle_timeout: Ticks,
    /// Told when a stream is free, or a connection there or not to be had.
    news: Rc<Notify>,
    wheel: Rc<Wheel>,
}

/// One connection. Without it, hyper ends the connection as soon as its last stream is over.
#[derive(Debug)]
struct Trunk {
    sender: SendRequest<Upload>,
    streams: Rc<Gauge>,
    is_retired: Cell<bool>,
    used: Cell<Ticks>,
}

/// What a request may do that needs a stream.
pub(super) enum Turn<'s> {
    Lease(Lease),
    /// Open a connection; nobody else does until this is dropped.
    Open(Opening<'s>),
    Wait,
}

/// Whether a connection was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    Kept,
    New,
}

/// The right to open a connection.
pub(super) struct Opening<'s>(&'s Shared);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.is_opening.set(false);
        self.0.news.notify_waiters();
    }
}

impl Shared {
    pub(super) fn new(target: &Target, wheel: &Rc<Wheel>) -> Self {
        let settings = &target.settings;
        Self {
            trunks: RefCell::default(),
            is_opening: Cell::new(false),
            is_closed: Cell::new(false),
            connections_max: settings.h2c_connections_max,
            streams_max: settings.h2c_streams_max,
            idle_timeout: settings.idle_timeout.into(),
            news: Rc::default(),
            wheel: wheel.clone(),
        }
    }

    /// What a request may do now that needs a stream.
    pub(super) fn turn(&self) -> Turn<'_> {
        let mut trunks = self.trunks.borrow_mut();
        trunks.retain(|trunk| trunk.stands());
        // The fullest that has room, so that the others grow old.
        let roomy = trunks.iter().filter(|trunk| trunk.streams.now() < self.streams_max);
        let fullest = roomy.max_by_key(|trunk| trunk.streams.now());
        if let Some(trunk) = fullest {
            return Turn::Lease(self.lease(trunk));
        }
        if trunks.len() >= self.connections_max || self.is_opening.replace(true) {
            return Turn::Wait;
        }
        Turn::Open(Opening(self))
    }

    /// Told of whatever may change the turn of one that waits.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// Takes in a connection, and gives its first stream.
    pub(super) fn add(&self, sender: SendRequest<Upload>) -> Lease {
        let trunk = Rc::new(Trunk {
            sender,
            streams: Gauge::new(self.streams_max),
            is_retired: Cell::new(false),
            used: Cell::new(self.wheel.age()),
        });
        let lease = self.lease(&trunk);
        self.trunks.borrow_mut().push(trunk);
        lease
    }

    fn lease(&self, trunk: &Rc<Trunk>) -> Lease {
        let (trunk, permit) = (trunk.clone(), trunk.streams.enter());
        Lease { trunk, permit, news: self.news.clone(), wheel: self.wheel.clone() }
    }

    /// Lets go of what was not used for long, and of what is dead.
    pub(super) fn sweep(&self) {
        let is_good = |trunk: &Rc<Trunk>| {
            let is_busy = trunk.streams.now() > 0;
            let is_fresh = self.wheel.since(trunk.used.get()) < self.idle_timeout;
            trunk.stands() && (is_busy || is_fresh && !self.is_closed.get())
        };
        self.trunks.borrow_mut().retain(is_good);
    }

    /// Lets go of what is unused, now and from now on.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.sweep();
    }
}

impl Trunk {
    fn stands(&self) -> bool {
        !self.is_retired.get() && !self.sender.is_closed()
    }
}

/// A place for one request on a connection.
#[derive(Debug)]
pub(crate) struct Lease {
    trunk: Rc<Trunk>,
    /// Taken out when the lease ends, before others are told.
    permit: Option<Permit>,
    news: Rc<Notify>,
    wheel: Rc<Wheel>,
}

impl Lease {
    /// What requests are sent with.
    pub(crate) fn sender(&self) -> SendRequest<Upload> {
        self.trunk.sender.clone()
    }

    /// Lets the connection serve no other request.
    pub(crate) fn retire(&self) {
        self.trunk.is_retired.set(true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.permit.take();
        self.trunk.used.set(self.wheel.age());
        self.news.notify_one();
    }
}
