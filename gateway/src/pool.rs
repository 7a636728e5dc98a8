//! Connections of one core to one upstream: kept while they are fresh, the last used first, so that
//! the others grow old and are closed before the upstream does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::config::Target;
use crate::farewell;
use crate::general::Upload;
use crate::wheel::{Ticks, Wheel};

/// How long an address that was connected to is believed.
const ADDRESS_LIFE: Duration = Duration::from_secs(5);
/// Largest head of an answer, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the name cannot be resolved: {0}")]
    Name(#[source] io::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("cannot connect within {0:?}")]
    Timeout(Duration),
    #[error("cannot begin to speak HTTP: {0}")]
    Handshake(#[from] hyper::Error),
}

/// What moves the bytes of a connection.
pub(crate) type Driver = http1::Connection<TokioIo<TcpStream>, Upload>;

/// A connection and the task that drives it. Dropping it closes the connection at once, whatever is
/// still under way on it: a peer that takes no more bytes would hold it open for ever.
#[derive(Debug)]
pub(crate) struct Connection {
    pub sender: SendRequest<Upload>,
    driver: JoinHandle<()>,
    is_retired: bool,
}

impl Connection {
    /// Drives `connection` as one of `tasks`.
    pub(crate) fn drive(
        sender: SendRequest<Upload>,
        connection: Driver,
        tasks: &TaskTracker,
    ) -> Self {
        let driver = tasks.spawn_local(async move {
            // Whoever waits for an answer on it is told; nobody else has to know.
            connection.await.ok();
        });
        Self { sender, driver, is_retired: false }
    }

    /// Lets it serve no other request.
    pub(crate) const fn retire(&mut self) {
        self.is_retired = true;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection that may serve another request.
pub(crate) trait Reusable {
    /// Whether it still stands, as far as the event loop has heard.
    fn stands(&self) -> bool;
    /// Whether it can take a request now.
    fn is_ready(&self) -> bool;
}

impl Reusable for Connection {
    fn stands(&self) -> bool {
        !self.is_retired && !self.sender.is_closed()
    }

    fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }
}

impl Reusable for TcpStream {
    /// Costs a call only when the event loop has heard of something.
    fn stands(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Bytes that nobody asked for would be taken for the next answer (RFC 9112 section 9.2): they end
    /// a connection as its end does. Asks the kernel, since the event loop may not have heard of them.
    fn is_ready(&self) -> bool {
        farewell::has_nothing_unread(self)
    }
}

/// Unused connections, the last used last.
#[derive(Debug)]
pub(crate) struct Kept<C> {
    idle: RefCell<VecDeque<Idle<C>>>,
    idle_timeout: Ticks,
    idle_max: usize,
    is_closed: Cell<bool>,
    wheel: Rc<Wheel>,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: Ticks,
}

impl<C: Reusable> Kept<C> {
    fn new(target: &Target, wheel: &Rc<Wheel>) -> Self {
        Self {
            idle: RefCell::default(),
            idle_timeout: target.settings.idle_timeout.into(),
            idle_max: target.settings.idle_connections_max,
            is_closed: Cell::new(false),
            wheel: wheel.clone(),
        }
    }

    /// A kept connection that still works as far as is known.
    pub(crate) fn reuse(&self) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop_back() {
            let is_fresh = self.wheel.since(last.since) < self.idle_timeout;
            if is_fresh && last.connection.is_ready() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn keep(&self, connection: C) {
        let mut idle = self.idle.borrow_mut();
        if self.is_closed.get() || !connection.stands() {
            return;
        }
        if idle.len() >= self.idle_max {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: self.wheel.age() });
    }

    /// Closes what was not used for long, and what is dead.
    fn sweep(&self) {
        let is_good = |idle: &Idle<C>| {
            self.wheel.since(idle.since) < self.idle_timeout && idle.connection.stands()
        };
        self.idle.borrow_mut().retain(is_good);
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.idle.borrow_mut().clear();
    }
}

/// Connections of one core to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    address: Box<str>,
    connect_timeout: Duration,
    /// The last address that was connected to, and when it was looked up.
    known: Cell<Option<(SocketAddr, Ticks)>>,
    wheel: Rc<Wheel>,
    tasks: TaskTracker,
    http: http1::Builder,
    /// Of the lean way.
    pub lean: Kept<TcpStream>,
    /// Of the general way.
    pub general: Kept<Connection>,
}

impl Pool {
    pub(crate) fn new(target: &Target, wheel: Rc<Wheel>, tasks: TaskTracker) -> Self {
        let mut http = http1::Builder::new();
        http.max_buf_size(HEAD_BYTES_MAX);
        Self {
            address: target.address.clone(),
            connect_timeout: target.settings.connect_timeout,
            known: Cell::new(None),
            lean: Kept::new(target, &wheel),
            general: Kept::new(target, &wheel),
            wheel,
            tasks,
            http,
        }
    }

    /// A new connection of the general way. Safe to drop.
    pub(crate) async fn open(&self) -> Result<Connection, Error> {
        let (sender, driver) = self.handshake().await?;
        Ok(Connection::drive(sender, driver, &self.tasks))
    }

    /// A new connection of the general way that nobody drives yet. Safe to drop.
    pub(crate) async fn handshake(&self) -> Result<(SendRequest<Upload>, Driver), Error> {
        let stream = self.connect().await?;
        Ok(self.http.handshake(TokioIo::new(stream)).await?)
    }

    /// A new connection. Safe to drop.
    pub(crate) async fn connect(&self) -> Result<TcpStream, Error> {
        let stream = timeout(self.connect_timeout, self.dial())
            .await
            .unwrap_or(Err(Error::Timeout(self.connect_timeout)))
            .inspect_err(|_| self.known.set(None))?;
        // A hint to the kernel; without it requests are only later.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    /// Closes what was not used for long, and what is dead.
    pub(crate) fn sweep(&self) {
        self.lean.sweep();
        self.general.sweep();
    }

    /// Closes what is unused, now and from now on.
    pub(crate) fn close(&self) {
        self.lean.close();
        self.general.close();
    }

    /// Connects to the address that worked a moment ago, else to the first of the name's that does:
    /// a name may have one of IPv6 where the upstream listens on IPv4 alone.
    async fn dial(&self) -> Result<TcpStream, Error> {
        if let Some((address, at)) = self.known.get()
            && self.wheel.since(at) < ADDRESS_LIFE.into()
            && let Ok(stream) = TcpStream::connect(address).await
        {
            return Ok(stream);
        }
        let at = self.wheel.age();
        let mut failure = Error::NoAddress;
        for address in lookup_host(&*self.address).await.map_err(Error::Name)? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    self.known.set(Some((address, at)));
                    return Ok(stream);
                }
                Err(error) => failure = Error::Connect(error),
            }
        }
        Err(failure)
    }
}
