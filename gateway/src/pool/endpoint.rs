//! One endpoint of an upstream, as one core knows it: where it is, what is kept open to it, and how
//! it stands.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::connection::Connection;
use super::kept::Kept;
use super::shared::Shared;
use super::turns::{Standing, Stands};
use crate::config::{Address, Target};
use crate::metrics::PerEndpoint;
use crate::wheel::{Ticks, Wheel};

/// How long an address that was connected to is believed.
const ADDRESS_LIFE: Duration = Duration::from_secs(5);

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
    /// As many connections and streams as there may be are there.
    #[error("all of its connections are busy")]
    Busy,
}

/// One endpoint of an upstream.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Which of the upstream's it is.
    pub(super) index: usize,
    /// What the log calls it: the upstream's name and its own `host:port`.
    pub name: Box<str>,
    /// `host:port`.
    authority: Box<str>,
    /// The same, for requests that name no host.
    pub host: HeaderValue,
    pub counts: Arc<PerEndpoint>,
    /// Kept connections of the lean way.
    pub lean: Kept<TcpStream>,
    /// Kept connections of the general way.
    pub general: Kept<Connection>,
    /// Connections of HTTP/2.
    pub(super) shared: Shared,
    standing: Standing,
    /// The last address that was connected to, and when it was looked up.
    known: Cell<Option<(SocketAddr, Ticks)>>,
    wheel: Rc<Wheel>,
}

impl Endpoint {
    pub(super) fn new(
        index: usize,
        target: &Target,
        address: &Address,
        counts: Arc<PerEndpoint>,
        wheel: &Rc<Wheel>,
    ) -> Self {
        Self {
            index,
            name: format!("{} at {}", target.name, address.authority).into(),
            authority: address.authority.clone(),
            host: HeaderValue::from_str(&address.authority).unwrap_or(HeaderValue::from_static("")),
            counts,
            lean: Kept::new(target, wheel),
            general: Kept::new(target, wheel),
            shared: Shared::new(target, wheel),
            standing: Standing::default(),
            known: Cell::new(None),
            wheel: wheel.clone(),
        }
    }

    /// A new connection within `long`. Safe to drop.
    pub(super) async fn connect(&self, long: Duration) -> Result<TcpStream, Error> {
        let stream = timeout(long, self.dial())
            .await
            .unwrap_or(Err(Error::Timeout(long)))
            .inspect_err(|_| self.known.set(None))?;
        // A hint to the kernel; without it requests are only later.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    /// Closes what was not used for long, and what is dead; tells how many are in flight.
    pub(super) fn tick(&self) {
        self.lean.sweep();
        self.general.sweep();
        self.shared.sweep();
        self.counts.in_flight.put(self.standing.in_flight());
    }

    /// Closes what is unused, now and from now on.
    pub(super) fn close(&self) {
        self.lean.close();
        self.general.close();
        self.shared.close();
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
        for address in lookup_host(&*self.authority).await.map_err(Error::Name)? {
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

impl Stands for Rc<Endpoint> {
    fn standing(&self) -> &Standing {
        &self.standing
    }
}
