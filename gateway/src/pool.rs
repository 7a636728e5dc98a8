//! Connections of one core to one upstream: picks the endpoint of a request, and finds another when it
//! cannot be connected to. As long as there is no connection, nothing was sent.

mod connection;
mod endpoint;
mod kept;
mod shared;
mod turns;

use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{Http2, Target};
use crate::general::Upload;
use crate::metrics::PerUpstream;
use crate::wheel::Wheel;
use connection::Driver;
use endpoint::Endpoint;
use shared::Turn;
use turns::{Chance, News, Stands as _, Tried, Turns};

pub(crate) use connection::Connection;
pub(crate) use endpoint::Error;
pub(crate) use shared::{Age, Lease};

/// Largest head of an answer, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a request looks for an endpoint that takes its connection, in times of `connect_timeout`:
/// one that says nothing costs all of its own time, and another one still gets as much.
const CONNECT_TIMEOUTS: u32 = 2;

/// What an exchange runs on.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A connection of its own, of HTTP/1.1.
    Connection(Connection),
    /// A stream of one that others use, too.
    Stream(#[expect(dead_code, reason = "held as long as the exchange runs")] Lease),
}

/// What was done to find an endpoint that takes a connection.
#[derive(Debug)]
struct Search {
    began: Instant,
    tried: Tried,
}

impl Search {
    fn begin() -> Self {
        Self { began: Instant::now(), tried: Tried::default() }
    }
}

/// Connections of one core to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoints: Box<[Rc<Endpoint>]>,
    turns: Turns,
    connect_timeout: Duration,
    wheel: Rc<Wheel>,
    tasks: TaskTracker,
    http: http1::Builder,
    shared: shared::Opener,
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
        (wheel, tasks): (Rc<Wheel>, TaskTracker),
        http2: &Http2,
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
            shared: shared::Opener::new(http2, settings.h2c_streams_max, tasks.clone()),
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
        let mut search = Search::begin();
        loop {
            match self.connect_here(place, &mut search).await {
                Ok(stream) => return Ok(stream),
                Err(error) => self.move_on(place, &search).ok_or(error)?,
            }
        }
    }

    /// A new connection to the endpoint of `place`, as far as `search` has time.
    async fn connect_here(&self, place: &Place, search: &mut Search) -> Result<TcpStream, Error> {
        search.tried = search.tried.with(place.index);
        let left = self.search_time().saturating_sub(search.began.elapsed());
        match place.endpoint.connect(left.min(self.connect_timeout)).await {
            Ok(stream) => {
                place.is_taken();
                Ok(stream)
            }
            Err(error) => {
                self.has_failed(&place.endpoint, &error);
                Err(error)
            }
        }
    }

    /// Makes `place` one at an endpoint that was not tried, while there is time.
    fn move_on(&self, place: &mut Place, search: &Search) -> Option<()> {
        let is_in_time = search.began.elapsed() < self.search_time();
        *place = is_in_time.then(|| self.enter_but(search.tried)).flatten()?;
        Some(())
    }

    const fn search_time(&self) -> Duration {
        self.connect_timeout.saturating_mul(CONNECT_TIMEOUTS)
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

    /// A stream on a connection of HTTP/2: on one that is there, else on a new one, for which goes what
    /// [`Pool::connect`] says; and whether the connection is new. Waits where there may be no more
    /// connections, but not for longer than one may take to come about. Safe to drop.
    pub(crate) async fn lease(&self, place: &mut Place) -> Result<(Lease, Age), Error> {
        let mut search = Search::begin();
        let end = search.began + self.connect_timeout;
        loop {
            let endpoint = place.endpoint.clone();
            let mut news = pin!(endpoint.shared.news());
            news.as_mut().enable();
            match endpoint.shared.turn() {
                Turn::Lease(lease) => {
                    place.has_a_stream();
                    return Ok((lease, Age::Kept));
                }
                Turn::Open(opening) => {
                    let opened = self.connect_here(place, &mut search).await;
                    match opened {
                        Ok(stream) => {
                            let lease = endpoint.shared.add(self.shared.open(stream).await?);
                            drop(opening);
                            return Ok((lease, Age::New));
                        }
                        Err(error) => self.move_on(place, &search).ok_or(error)?,
                    }
                }
                Turn::Wait => timeout_at(end, news).await.map_err(|_| Error::Busy)?,
            }
        }
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
    /// The endpoint has a living connection with room. That ends a trial well, too: as long as there is
    /// one, requests need no other.
    fn has_a_stream(&self) {
        match self.chance {
            Chance::Usual => self.counts.requests.add(1),
            Chance::Trial => self.is_taken(),
        }
    }

    /// The endpoint has taken a connection, or a request of a trial.
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
