//! Connections of one core to one upstream: kept while they are fresh, the last used first, so that
//! the others grow old and are closed before the upstream does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::config::Target;
use crate::forward::Upload;

/// How long an address is believed.
const ADDRESS_LIFE: Duration = Duration::from_secs(5);
/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

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

/// A connection and the task that drives it. Dropping it closes the connection at once, whatever is
/// still under way on it: a peer that takes no more bytes would hold it open for ever.
#[derive(Debug)]
pub(crate) struct Connection {
    pub sender: SendRequest<Upload>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Drives `connection` as one of `tasks`.
    pub(crate) fn drive(
        sender: SendRequest<Upload>,
        connection: http1::Connection<TokioIo<TcpStream>, Upload>,
        tasks: &TaskTracker,
    ) -> Self {
        let driver = tasks.spawn_local(async move {
            // Whoever waits for an answer on it is told; nobody else has to know.
            connection.await.ok();
        });
        Self { sender, driver }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection in use by one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub connection: Connection,
    /// Whether it served another request before: it may have died in the meantime.
    pub is_reused: bool,
}

/// Connections of one core to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    address: Box<str>,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_max: usize,
    idle: RefCell<VecDeque<Idle>>,
    resolved: Cell<Option<(SocketAddr, Instant)>>,
    is_closed: Cell<bool>,
    tasks: TaskTracker,
    http: http1::Builder,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(target: &Target, tasks: TaskTracker) -> Self {
        let mut http = http1::Builder::new();
        http.max_buf_size(HEAD_BYTES_MAX);
        Self {
            address: target.address.clone(),
            connect_timeout: target.settings.connect_timeout,
            idle_timeout: target.settings.idle_timeout,
            idle_max: target.settings.idle_connections_max,
            idle: RefCell::default(),
            resolved: Cell::new(None),
            is_closed: Cell::new(false),
            tasks,
            http,
        }
    }

    /// A kept connection that still works as far as is known.
    pub(crate) fn reuse(&self) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop_back() {
            let is_ready = last.connection.sender.is_ready();
            if is_ready && last.since.elapsed() < self.idle_timeout {
                return Some(Lease { connection: last.connection, is_reused: true });
            }
        }
        None
    }

    /// A new connection. Safe to drop.
    pub(crate) async fn open(&self) -> Result<Lease, Error> {
        let stream = self.connect().await?;
        let (sender, connection) = self.http.handshake(TokioIo::new(stream)).await?;
        let connection = Connection::drive(sender, connection, &self.tasks);
        Ok(Lease { connection, is_reused: false })
    }

    /// A socket to the upstream. Safe to drop.
    pub(crate) async fn connect(&self) -> Result<TcpStream, Error> {
        let connecting = async {
            let address = self.resolve().await?;
            TcpStream::connect(address).await.map_err(Error::Connect)
        };
        let stream = timeout(self.connect_timeout, connecting)
            .await
            .unwrap_or(Err(Error::Timeout(self.connect_timeout)))
            .inspect_err(|_| self.resolved.set(None))?;
        // A hint to the kernel; without it requests are only later.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn keep(&self, connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        if self.is_closed.get() || connection.sender.is_closed() {
            return;
        }
        if idle.len() >= self.idle_max {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: Instant::now() });
    }

    /// Closes what was not used for long, and what is dead.
    pub(crate) fn sweep(&self) {
        let fresh = |idle: &Idle| {
            idle.since.elapsed() < self.idle_timeout && !idle.connection.sender.is_closed()
        };
        self.idle.borrow_mut().retain(fresh);
    }

    /// Closes what is unused, now and from now on.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.idle.borrow_mut().clear();
    }

    async fn resolve(&self) -> Result<SocketAddr, Error> {
        if let Some((address, at)) = self.resolved.get()
            && at.elapsed() < ADDRESS_LIFE
        {
            return Ok(address);
        }
        let mut found = lookup_host(&*self.address).await.map_err(Error::Name)?;
        let address = found.next().ok_or(Error::NoAddress)?;
        self.resolved.set(Some((address, Instant::now())));
        Ok(address)
    }
}
