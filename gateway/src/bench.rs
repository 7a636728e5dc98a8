//! What the doors of the corridor cost, for benchmarks: each one is called as a request calls it, on
//! what a request brings along. Compiled with the feature `bench` alone.

mod callers;

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path as FilePath;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::task::{Context, Waker};
use std::time::Duration;

use chassis::Clock;
use chassis::config::{Layers, Settings as _};
use chassis::revocation::Revocations;
use chassis::tokens::{KeySet, KeySource};
use contract::{Timestamp, UserId};
use tokio::time::Instant;

pub use callers::{Between, Callers, Shows, Trust};

use crate::access::{Batch, Entry};
use crate::auth::{Door, Verdict};
use crate::config::{Config, Plan};
use crate::head::{Head, Scratch};
use crate::limits::{self, Gauge};
use crate::metrics::{Count, Counters};
use crate::route::{
    Auth, Forward, Goal, Matcher, Method, Methods, Path, Route, RouteId, Table, UpstreamId,
};
use crate::wheel::{Ticks, Timer, Wheel};
use crate::wire;

/// Where the measured request goes.
const TARGET: &str = "/bench/1024";
/// Batches of log that may wait, and are written by the same thread after so many lines.
const BATCHES: usize = 8;
const LINES_BETWEEN: u64 = 256;
/// Different targets that are looked for in turns, so that not one place of the table stays warm.
const TARGETS_MAX: usize = 4096;

/// Which paths the routes of a table take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// One each.
    Exact,
    /// One each and all below it.
    Prefix,
}

/// How long it takes to find a route `calls` times, from the target as it came, in a table of so many.
#[must_use]
pub fn route_match(paths: Paths, routes: usize, calls: u64) -> Duration {
    let path = |number: usize| format!("/api/v1/service-{number}/things");
    let table = Table::new((0..routes).map(|number| route(paths, &path(number))).collect());
    let step = routes.div_ceil(TARGETS_MAX).max(1);
    let targets: Vec<String> = (0..routes)
        .step_by(step)
        .map(|number| match paths {
            Paths::Exact => path(number),
            Paths::Prefix => format!("{}/42/parts?page=2", path(number)),
        })
        .collect();
    let mut in_turns = targets.iter().cycle();
    timed(calls, |_| {
        let target = in_turns.next().map_or("/", String::as_str);
        Path::canonical(black_box(target)).is_ok_and(|path| {
            let found = table.find(&path.path, Method::Get);
            black_box(&found).is_ok()
        })
    })
}

fn route(paths: Paths, path: &str) -> Route {
    let forward = Forward {
        upstream: UpstreamId(0),
        rewrite: None,
        response_timeout: Duration::from_secs(30),
        websocket: false,
        protocol: crate::config::Protocol::Http1,
    };
    Route {
        name: path.into(),
        matcher: match paths {
            Paths::Exact => Matcher::Exact(path.into()),
            Paths::Prefix => Matcher::Prefix(path.into()),
        },
        methods: Methods::ALL,
        goal: Goal::Upstream(forward),
        auth: Auth::Required,
        quota: None,
        body_bytes_max: 0,
    }
}

/// What a request passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// The head's bounds, the body's, and a place among the requests in flight.
    Limits,
    /// The canonical path and its route, among those of the defaults.
    Route,
    /// The token, which is remembered.
    Auth,
    /// The counts of an answer.
    Metrics,
    /// The line of an answer; its part of writing a batch to a file is in it.
    Log,
    /// Every deadline that is set, looked at and taken away.
    Deadlines,
    /// When it came and how long it took, which counts and lines are made of.
    Clock,
}

impl Feature {
    /// Every feature, with its name.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Limits, "limits"),
        (Self::Route, "route"),
        (Self::Auth, "auth"),
        (Self::Metrics, "metrics"),
        (Self::Log, "log"),
        (Self::Deadlines, "deadlines"),
        (Self::Clock, "clock"),
    ];
}

/// The doors, with the gateway's defaults.
#[derive(Debug)]
pub struct Doors {
    plan: Plan,
    door: Door,
    counters: Counters,
    gauge: Rc<Gauge>,
    log: Batch,
    batches: Receiver<Vec<u8>>,
    file: File,
    timers: [Timer; 2],
    scratch: Scratch,
    head: String,
    now: Timestamp,
}

impl Doors {
    /// Doors that let `token` in, which the keys of `jwks` have signed; the log goes to the file
    /// `log`.
    pub fn open(jwks: &str, token: &str, log: &FilePath) -> io::Result<Self> {
        let mut layers = Layers::defaults();
        layers.command_line("gateway.routes.bench.prefix=\"/bench\"");
        layers.command_line("gateway.routes.bench.upstream=\"user\"");
        let config =
            Config::read(&layers).map_err(|faults| io::Error::other(faults.to_string()))?;
        let plan = config.plan().map_err(|faults| io::Error::other(faults.to_string()))?;
        let keys = KeySet::parse(jwks.as_bytes(), 1).ok_or(io::ErrorKind::InvalidData)?;
        let (to, batches) = sync_channel(BATCHES);
        let wheel = Wheel::new();
        Ok(Self {
            door: Door::new(
                &Arc::new(KeySource::issuer(keys)),
                &Revocations::unfollowed(),
                &config.auth,
                1,
            ),
            counters: Counters::new(&plan),
            gauge: Gauge::new(config.limits.in_flight_max),
            log: Batch::new(Some(to), &config.access_log),
            plan,
            batches,
            file: File::create(log)?,
            timers: [wheel.timer(), wheel.timer()],
            scratch: Scratch::default(),
            head: format!(
                "GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: bench\r\n\
                 Accept: */*\r\nAuthorization: Bearer {token}\r\n\r\n"
            ),
            now: Clock::System.now(),
        })
    }

    /// How long `calls` requests take at `feature`; `None` when one of them was refused.
    #[must_use]
    pub fn time(&mut self, feature: Feature, calls: u64) -> Option<Duration> {
        let head = wire::request(self.head.as_bytes(), &self.plan.limits, &self.scratch).ok()??;
        let head = &head.head();
        let path = Path::canonical(TARGET).ok()?;
        let (id, user) = (self.plan.table.find(&path.path, Method::Get).ok()?.id, self.user(head)?);
        let mut is_good = true;
        let took = timed(calls, |call| {
            let head = black_box(head);
            let passed = match feature {
                Feature::Limits => self.limits(head),
                Feature::Route => self.route(head),
                Feature::Auth => self.user(head).is_some(),
                Feature::Metrics => self.count(id),
                Feature::Log => self.line(id, user, call),
                Feature::Deadlines => self.deadlines(),
                Feature::Clock => clock(),
            };
            is_good &= passed;
            passed
        });
        is_good.then_some(took)
    }

    fn limits(&self, head: &Head<'_>) -> bool {
        limits::check(head).is_ok()
            && limits::body(head, self.plan.limits.body_bytes_max).is_ok()
            && self.gauge.enter().is_some()
    }

    fn route(&self, head: &Head<'_>) -> bool {
        let Ok(path) = Path::canonical(head.target) else { return false };
        black_box(self.plan.table.find(&path.path, Method::of(head.method))).is_ok()
    }

    fn user(&self, head: &Head<'_>) -> Option<UserId> {
        match self.door.check(head, Auth::Required, black_box(self.now)) {
            Ok(Verdict::Pass(caller)) => caller.map(|caller| caller.id),
            Ok(Verdict::Exchanged(caller, _)) => Some(caller.id),
            Ok(Verdict::UnknownKey { .. } | Verdict::UnknownApiKey(_)) | Err(_) => None,
        }
    }

    fn count(&self, id: RouteId) -> bool {
        let took = black_box(Duration::from_micros(700));
        self.counters.answered(Some(id), black_box(Method::Get), black_box(200), took);
        self.counters.upstream(UpstreamId(0)).is_some_and(|upstream| {
            upstream.reused.add(1);
            true
        })
    }

    fn line(&self, id: RouteId, user: UserId, call: u64) -> bool {
        let entry = Entry {
            at: Timestamp(self.now.0.wrapping_add(i64::try_from(call / 100).unwrap_or(0))),
            request_id: b"4bf92f3577b34da6a3ce929d0e0e4736",
            method: "GET",
            target: TARGET,
            status: 200,
            route: self.plan.table.routes().get(id.0).map(|route| &*route.name),
            refusal: None,
            user: Some(user),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            took: Duration::from_micros(call % 10_000),
            bytes_in: 0,
            bytes_out: 1024,
        };
        let lost = Count::default();
        self.log.add(black_box(&entry), &lost);
        if !call.is_multiple_of(LINES_BETWEEN) {
            return true;
        }
        self.batches.try_iter().all(|batch| (&self.file).write_all(&batch).is_ok())
    }

    /// A head is awaited, served, answered by an upstream, and the next one is awaited.
    fn deadlines(&self) -> bool {
        let cx = &Context::from_waker(Waker::noop());
        let [caller, exchange] = &self.timers;
        let after = black_box(Ticks::new(600));
        // Between two requests, and when the next one is here.
        let is_slow = caller.poll(cx).is_ready() || caller.poll(cx).is_ready();
        caller.clear();
        // From the connection in hand, and from the last byte of the request.
        exchange.set(after);
        exchange.set(after);
        let is_late = exchange.poll(cx).is_ready();
        exchange.clear();
        exchange.clear();
        caller.set(after);
        !is_slow && !is_late
    }
}

fn clock() -> bool {
    let began = Instant::now();
    black_box(Clock::System.now());
    black_box(began.elapsed()) < Duration::MAX
}

/// How long `calls` calls take.
fn timed(calls: u64, mut call: impl FnMut(u64) -> bool) -> Duration {
    let began = Instant::now();
    for number in 0..calls {
        black_box(call(number));
    }
    began.elapsed()
}
