//! Connections of one core to one upstream: picks the endpoint of a request, and finds another when it
//! cannot be connected to. As long as there is no connection, nothing was sent.

mod connection;
mod endpoint;
mod kept;
mod turns;

use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::Target;
use crate::general::Upload;
use crate::metrics::PerUpstream;
use crate::wheel::Wheel;
use connection::Driver;
use endpoint::Endpoint;
use turns::{Chance, News, Stands as _, Tried, Turns};

pub(crate) use connection::Connection;
pub(crate) use endpoint::Error;

/// Largest head of an answer, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a request looks for an endpoint that takes its connection, in times of `connect_timeout`:
/// one that says nothing costs all of its own time, and another one still gets as much.
const CONNECT_TIMEOUTS: u32 = 2;

/// Connections of one core to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoints: Box<[Rc<Endpoint>]>,
    turns: Turns,
    connect_timeout: Duration,
    wheel: Rc<Wheel>,
    tasks: TaskTracker,
    http: http1::Builder,
}

/// A request's place at an endpoint: it counts as in flight there until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    endpoint: Rc<Endpoint>,
    chance: Chance,
}

impl Pool {
    /// The connections of the core number `core` to `target`. The first turn is another endpoint's on
    /// each core, so that they do not go round together.
    pub(crate) fn new(
        target: &Target,
        counts: &PerUpstream,
        core: usize,
        wheel: Rc<Wheel>,
        tasks: TaskTracker,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.max_buf_size(HEAD_BYTES_MAX);
        let settings = &target.settings;
        let connect_timeout = settings.connect_timeout;
        let endpoints = (0..).zip(target.endpoints.iter().zip(&counts.endpoints));
        Self {
            endpoints: endpoints
                .map(|(index, (address, counts))| {
                    Rc::new(Endpoint::new(index, target, address, counts.clone(), &wheel))
                })
                .collect(),
            turns: Turns::new(
                settings.balance,
                target.endpoints.len(),
                core,
                settings.connect_failure_pause.into(),
                connect_timeout.into(),
            ),
            connect_timeout,
            wheel,
            tasks,
            http,
        }
    }

    /// A place at the endpoint whose turn it is; there is one.
    pub(crate) fn enter(&self) -> Option<Place> {
        self.enter_but(Tried::default())
    }

    /// A new connection to the endpoint of `place`, or to another while none can be had, of which it is
    /// the place then: each once, and no longer than [`CONNECT_TIMEOUTS`]. Safe to drop.
    pub(crate) async fn connect(&self, place: &mut Place) -> Result<TcpStream, Error> {
        let (began, long) = (Instant::now(), self.connect_timeout.saturating_mul(CONNECT_TIMEOUTS));
        let mut tried = Tried::default();
        loop {
            tried = tried.with(place.index);
            let left = long.saturating_sub(began.elapsed());
            let error = match place.endpoint.connect(left.min(self.connect_timeout)).await {
                Ok(stream) => {
                    place.is_taken();
                    return Ok(stream);
                }
                Err(error) => error,
            };
            self.has_failed(&place.endpoint, &error);
            let is_in_time = began.elapsed() < long;
            let Some(next) = is_in_time.then(|| self.enter_but(tried)).flatten() else {
                return Err(error);
            };
            *place = next;
        }
    }

    /// As [`Pool::connect`], for the general way.
    pub(crate) async fn open(&self, place: &mut Place) -> Result<Connection, Error> {
        let (sender, driver) = self.handshake(place).await?;
        Ok(Connection::drive(sender, driver, &self.tasks))
    }

    /// As [`Pool::open`]; nobody drives the connection yet.
    pub(crate) async fn handshake(
        &self,
        place: &mut Place,
    ) -> Result<(SendRequest<Upload>, Driver), Error> {
        let stream = self.connect(place).await?;
        Ok(self.http.handshake(TokioIo::new(stream)).await?)
    }

    /// Closes what was not used for long, and what is dead; tells how many are in flight.
    pub(crate) fn tick(&self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.tick());
    }

    /// Closes what is unused, now and from now on.
    pub(crate) fn close(&self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.close());
    }

    fn enter_but(&self, tried: Tried) -> Option<Place> {
        let (endpoint, chance) = self.turns.pick(&self.endpoints, tried, self.wheel.age())?;
        endpoint.standing().enter();
        Some(Place { endpoint: endpoint.clone(), chance })
    }

    fn has_failed(&self, endpoint: &Rc<Endpoint>, error: &Error) {
        endpoint.counts.connect_failures.add(1);
        match self.turns.rest(endpoint.standing(), self.wheel.age()) {
            News::Changed => {
                let cause = chassis::refuse::chain(error);
                warn!(cause, "{} takes no connections: it is passed over", endpoint.name);
            }
            News::Same => {}
        }
    }
}

impl Place {
    /// The endpoint has taken a connection.
    fn is_taken(&self) {
        self.counts.requests.add(1);
        match self.endpoint.standing().serves() {
            News::Changed => info!("{} takes connections again", self.name),
            News::Same => {}
        }
    }

    /// A kept connection of the lean way that still works as far as is known. A trial has none: it is to
    /// find out whether there can be new ones.
    pub(crate) fn reuse_lean(&self) -> Option<TcpStream> {
        match self.chance {
            Chance::Usual => self.endpoint.lean.reuse().inspect(|_| self.counts.requests.add(1)),
            Chance::Trial => None,
        }
    }

    /// As [`Place::reuse_lean`], of the general way.
    pub(crate) fn reuse_general(&self) -> Option<Connection> {
        match self.chance {
            Chance::Usual => self.endpoint.general.reuse().inspect(|_| self.counts.requests.add(1)),
            Chance::Trial => None,
        }
    }
}

impl Deref for Place {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.standing().leave();
    }
}
