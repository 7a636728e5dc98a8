//! What one core owns: nothing in here is shared with another, so nothing is locked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use bytes::Bytes;
use chassis::revocation::Revocations;
use chassis::tokens::KeySource;
use chassis::{Clock, Random, Stop};
use contract::Timestamp;
use http::HeaderValue;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Plan};
use crate::head::Scratch;
use crate::health::Board;
use crate::limits::Gauge;
use crate::metrics::Counters;
use crate::name::Names;
use crate::pool::{Place, Pool};
use crate::quota::Buckets;
use crate::route::UpstreamId;
use crate::spares::Spares;
use crate::wheel::{TICK, Ticks, Wheel};
use crate::wire::Date;
use crate::{access, auth};

/// Size of the buffer through which a core reads, in bytes: a large body and its head in one go.
const BUFFER_BYTES: usize = 72 * 1024;

/// What the cores share; none of it is written on the ordinary way of a request.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: Config,
    pub plan: Arc<Plan>,
    pub keys: Arc<KeySource>,
    pub revocations: Revocations,
    pub asker: auth::Asker,
    /// Where machine keys are traded, if they are taken.
    pub exchange: Option<auth::Exchange>,
    pub buckets: Buckets,
    pub board: Arc<Board>,
    /// The answer to `GET /`.
    pub index: Bytes,
    /// What this gateway calls itself in `Via`; no other does.
    pub pseudonym: Box<str>,
    pub clock: Clock,
    pub random: Random,
    pub stop: Stop,
    pub started: Instant,
    pub log: Option<SyncSender<Vec<u8>>>,
}

/// The waits of an exchange, in ticks.
#[derive(Debug)]
pub(crate) struct Waits {
    pub head: Ticks,
    pub keep_alive: Ticks,
    pub body_idle: Ticks,
    pub tunnel_idle: Ticks,
    pub half_close: Ticks,
}

/// Which of how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nth {
    /// Counted from 0.
    pub index: usize,
    pub of: usize,
}

/// One core.
#[derive(Debug)]
pub(crate) struct Core {
    pub shared: Arc<Shared>,
    pub plan: Arc<Plan>,
    pub counters: Arc<Counters>,
    pub wheel: Rc<Wheel>,
    pub waits: Waits,
    /// Every task of this core.
    pub tasks: TaskTracker,
    pub door: auth::Door,
    pools: Vec<Pool>,
    pub log: access::Batch,
    pub scratch: Scratch,
    pub spares: Spares,
    pub date: Date,
    /// What is read passes through here, never across a wait.
    pub buffer: RefCell<Box<[u8]>>,
    pub names: Names,
    pub in_flight: Rc<Gauge>,
    pub connections: Rc<Gauge>,
    pub tunnels: Rc<Gauge>,
    /// `1.1` and the pseudonym.
    pub via: HeaderValue,
    /// `2.0` and the pseudonym.
    pub via_http2: HeaderValue,
    closing: Cell<bool>,
    over: Cell<bool>,
    /// A moment by both clocks.
    moment: Cell<(Instant, Timestamp)>,
    ticks: Cell<u64>,
    log_ticks: u64,
}

impl Core {
    /// The core of this number, all of them alike.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        counters: Arc<Counters>,
        Nth { index, of: cores }: Nth,
    ) -> Self {
        let config = &shared.config;
        let limits = &config.limits;
        let share = |whole: usize| whole.div_ceil(cores.max(1));
        let wheel = Wheel::new();
        let tasks = TaskTracker::new();
        let http2 = &config.http2;
        let pool = |(target, counts)| {
            Pool::new(target, counts, index, (wheel.clone(), tasks.clone()), http2)
        };
        let pools = shared.plan.upstreams.iter().zip(counters.upstreams()).map(pool).collect();
        let via = |version| {
            let via = HeaderValue::try_from(format!("{version} {}", shared.pseudonym));
            via.unwrap_or(HeaderValue::from_static("1.1 hubbub"))
        };
        Self {
            plan: shared.plan.clone(),
            counters,
            waits: Waits {
                head: limits.head_timeout.into(),
                keep_alive: limits.keep_alive_timeout.into(),
                body_idle: limits.body_idle_timeout.into(),
                tunnel_idle: limits.tunnel_idle_timeout.into(),
                half_close: limits.tunnel_half_close_timeout.into(),
            },
            door: auth::Door::new(&shared.keys, &shared.revocations, &config.auth, cores),
            pools,
            log: access::Batch::new(shared.log.clone(), &config.access_log),
            scratch: Scratch::default(),
            spares: Spares::default(),
            date: Date::default(),
            buffer: RefCell::new(vec![0; BUFFER_BYTES].into()),
            names: Names::new(&shared.random),
            in_flight: Gauge::new(share(limits.in_flight_max)),
            connections: Gauge::new(share(limits.connections_max)),
            tunnels: Gauge::new(usize::MAX),
            via: via("1.1"),
            via_http2: via("2.0"),
            closing: Cell::new(false),
            over: Cell::new(false),
            moment: Cell::new((Instant::now(), shared.clock.now())),
            ticks: Cell::new(0),
            log_ticks: Ticks::from(config.access_log.interval).count().max(1),
            shared: shared.clone(),
            wheel,
            tasks,
        }
    }

    /// The connections to the upstream `id`, and a place at the endpoint whose turn it is.
    pub(crate) fn enter(&self, id: UpstreamId) -> Option<(&Pool, Place)> {
        let pool = self.pools.get(id.0)?;
        Some((pool, pool.enter()?))
    }

    /// Whether connections end after the request that they are serving.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Ends what is idle, and tells the rest to end.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.pools.iter().for_each(Pool::close);
        self.wheel.wake_all();
        self.tasks.close();
    }

    /// Spawns nothing any more: what is left is about to be dropped.
    pub(crate) fn end(&self) {
        self.over.set(true);
    }

    /// Whether tasks may still be spawned.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// What is done from time to time.
    pub(crate) fn tick(&self) {
        self.moment.set((Instant::now(), self.shared.clock.now()));
        let tick = self.ticks.get().wrapping_add(1);
        self.ticks.set(tick);
        self.counters.connections.put(self.connections.now());
        self.counters.in_flight.put(self.in_flight.now());
        self.counters.tunnels.put(self.tunnels.now());
        self.pools.iter().for_each(Pool::tick);
        if tick.is_multiple_of(self.log_ticks) {
            self.log.hand_over(&self.counters.log_lines_lost);
        }
    }

    /// This moment by both clocks, for the price of one: the wall's clock is looked at every tick.
    pub(crate) fn moment(&self) -> (Instant, Timestamp) {
        let now = Instant::now();
        let (then, at) = self.moment.get();
        (now, at.plus(now.saturating_duration_since(then)))
    }

    /// How long the gateway has been there.
    pub(crate) fn age(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// A moment within `window`, so that many who wait for theirs do not end together.
    pub(crate) fn spread(&self, window: Duration) -> Ticks {
        let ticks = u64::try_from(window.as_millis() / TICK.as_millis()).unwrap_or(0);
        Ticks::new(self.shared.random.below(ticks.saturating_add(1)))
    }
}

impl Drop for Core {
    /// The lines of requests that were cut off are the last ones.
    fn drop(&mut self) {
        self.log.hand_over(&self.counters.log_lines_lost);
    }
}
