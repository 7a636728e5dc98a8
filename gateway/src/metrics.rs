//! Counting. Each core counts for itself with plain stores, since nobody else writes there; a scrape
//! adds the cores up. Labels come from the configuration and from enums, never from a request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contract::Kind;
use contract::health::Status;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::config::{Plan, Target};
use crate::health::Board;
use crate::route::{Method, RouteId, UpstreamId};

/// Upper bounds of the buckets of durations, in microseconds.
const BUCKETS: [u64; 12] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];
/// The first digit of a status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The route of what took none.
const NO_ROUTE: &str = "none";

/// A count that one thread writes and others may read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(crate) fn put(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one core has counted.
#[derive(Debug)]
pub(crate) struct Counters {
    routes: Vec<PerRoute>,
    refusals: Vec<Count>,
    upstreams: Vec<PerUpstream>,
    pub connections: Count,
    pub connections_accepted: Count,
    pub connections_refused: Count,
    pub in_flight: Count,
    pub tunnels: Count,
    pub tunnels_opened: Count,
    tunnels_closed: [Count; TunnelEnd::ALL.len()],
    pub log_lines_lost: Count,
    pub lean_requests: Count,
    pub general_requests: Count,
}

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// The gateway drains.
    Drained,
    /// Nothing moved for too long.
    Idle,
    /// It lived for too long.
    Total,
    /// Its sides ended it.
    Ended,
    /// A side broke off.
    Broken,
}

impl TunnelEnd {
    const ALL: [(Self, &str); 5] = [
        (Self::Drained, "drained"),
        (Self::Idle, "idle"),
        (Self::Total, "total"),
        (Self::Ended, "ended"),
        (Self::Broken, "broken"),
    ];
}

#[derive(Debug, Default)]
struct PerRoute {
    /// By method and class.
    requests: [[Count; CLASSES.len()]; Method::ALL.len()],
    buckets: [Count; BUCKETS.len() + 1],
    micros: Count,
}

/// What one core has counted of one upstream.
#[derive(Debug, Default)]
pub(crate) struct PerUpstream {
    pub opened: Count,
    pub reused: Count,
    pub replaced: Count,
    pub failed: Count,
    /// In the order of the configuration.
    pub endpoints: Vec<Arc<PerEndpoint>>,
}

/// What one core has counted of one endpoint. On a line of its own in the processor's caches, so that
/// no core writes where another one counts.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct PerEndpoint {
    pub requests: Count,
    pub connect_failures: Count,
    pub in_flight: Count,
}

impl PerUpstream {
    fn new(target: &Target) -> Self {
        Self {
            endpoints: target.endpoints.iter().map(|_| Arc::default()).collect(),
            ..Self::default()
        }
    }
}

impl Counters {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            routes: (0..=plan.table.routes().len()).map(|_| PerRoute::default()).collect(),
            refusals: Kind::ALL.iter().map(|_| Count::default()).collect(),
            upstreams: plan.upstreams.iter().map(PerUpstream::new).collect(),
            connections: Count::default(),
            connections_accepted: Count::default(),
            connections_refused: Count::default(),
            in_flight: Count::default(),
            tunnels: Count::default(),
            tunnels_opened: Count::default(),
            tunnels_closed: Default::default(),
            log_lines_lost: Count::default(),
            lean_requests: Count::default(),
            general_requests: Count::default(),
        }
    }

    /// A request has been answered with `status` after `took`.
    pub(crate) fn answered(
        &self,
        route: Option<RouteId>,
        method: Method,
        status: u16,
        took: Duration,
    ) {
        let place = route.map_or(self.routes.len().saturating_sub(1), |route| route.0);
        let Some(route) = self.routes.get(place) else { return };
        let class = usize::from(status / 100).saturating_sub(1).min(CLASSES.len() - 1);
        if let Some(count) = route.requests.get(method as usize).and_then(|row| row.get(class)) {
            count.add(1);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        route.micros.add(micros);
        let bucket = BUCKETS.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = route.buckets.get(bucket) {
            count.add(1);
        }
    }

    /// A request was refused.
    pub(crate) fn refused(&self, kind: Kind) {
        if let Some(count) = self.refusals.get(kind as usize) {
            count.add(1);
        }
    }

    /// A tunnel has ended.
    pub(crate) fn tunnel_closed(&self, end: TunnelEnd) {
        if let Some(count) = self.tunnels_closed.get(end as usize) {
            count.add(1);
        }
    }

    /// In the order of the configuration.
    pub(crate) fn upstreams(&self) -> &[PerUpstream] {
        &self.upstreams
    }

    pub(crate) fn upstream(&self, id: UpstreamId) -> Option<&PerUpstream> {
        self.upstreams.get(id.0)
    }
}

/// Adds the cores up for a scrape.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub plan: Arc<Plan>,
    pub cores: Vec<Arc<Counters>>,
    pub board: Arc<Board>,
}

/// Reads one count of a core.
type Read = fn(&Counters) -> &Count;

/// Counts of a whole core: name, help, and what is read.
const TOTALS: [(&str, &str, Read); 4] = [
    ("gateway_connections_accepted", "Connections of callers.", |c| &c.connections_accepted),
    ("gateway_connections_refused", "Connections beyond the limit.", |c| &c.connections_refused),
    ("gateway_tunnels_opened", "Upgraded connections.", |c| &c.tunnels_opened),
    ("gateway_access_log_lost", "Batches of access log that were lost.", |c| &c.log_lines_lost),
];
/// Levels of a whole core.
const LEVELS: [(&str, &str, Read); 3] = [
    ("gateway_connections", "Connections of callers that are open.", |c| &c.connections),
    ("gateway_in_flight_requests", "Requests that are being served.", |c| &c.in_flight),
    ("gateway_tunnels", "Upgraded connections that are open.", |c| &c.tunnels),
];
/// Reads one count of an upstream.
type ReadUpstream = fn(&PerUpstream) -> &Count;
/// Counts of an upstream.
const UPSTREAM_TOTALS: [(&str, &str, ReadUpstream); 4] = [
    ("gateway_upstream_connections_opened", "Connections made.", |u| &u.opened),
    ("gateway_upstream_connections_reused", "Requests on a kept connection.", |u| &u.reused),
    ("gateway_upstream_connections_replaced", "Kept connections that were dead.", |u| &u.replaced),
    ("gateway_upstream_failures", "Requests that the upstream failed.", |u| &u.failed),
];
/// Reads one count of an endpoint.
type ReadEndpoint = fn(&PerEndpoint) -> &Count;
/// Counts of an endpoint.
const ENDPOINT_TOTALS: [(&str, &str, ReadEndpoint); 2] = [
    ("gateway_upstream_endpoint_requests", "Requests that were sent there.", |e| &e.requests),
    ("gateway_upstream_endpoint_connect_failures", "Connections that could not be made.", |e| {
        &e.connect_failures
    }),
];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests(&mut encoder)?;
        self.durations(&mut encoder)?;
        self.refusals(&mut encoder)?;
        for (name, help, read) in TOTALS {
            let total = ConstCounter::new(self.sum(read));
            total.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        for (name, help, read) in LEVELS {
            let level = ConstGauge::new(self.sum(read));
            level.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        self.ways(&mut encoder)?;
        self.tunnels(&mut encoder)?;
        self.upstreams(&mut encoder)?;
        self.endpoints(&mut encoder)?;
        self.health(&mut encoder)
    }
}

impl Scrape {
    fn sum(&self, read: impl Fn(&Counters) -> &Count) -> u64 {
        self.cores.iter().map(|core| read(core).get()).sum()
    }

    fn routes(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.plan.table.routes().iter().map(|route| &*route.name);
        names.chain([NO_ROUTE]).enumerate()
    }

    fn per_route(&self, index: usize, read: impl Fn(&PerRoute) -> Option<&Count>) -> u64 {
        let counts = self.cores.iter().filter_map(|core| read(core.routes.get(index)?));
        counts.map(Count::get).sum()
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that were answered.";
        let mut metric =
            encoder.encode_descriptor("gateway_requests", help, None, MetricType::Counter)?;
        for (index, route) in self.routes() {
            for (row, (_, method)) in Method::ALL.iter().enumerate() {
                for (column, class) in CLASSES.iter().enumerate() {
                    let count = self.per_route(index, |route| route.requests.get(row)?.get(column));
                    if count > 0 {
                        let labels = [("route", route), ("method", *method), ("status", *class)];
                        ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn ways(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("gateway_way_requests", "Requests by the way that they took.");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let ways: [(&str, Read); 2] =
            [("lean", |c| &c.lean_requests), ("general", |c| &c.general_requests)];
        for (way, read) in ways {
            ConstCounter::new(self.sum(read)).encode(metric.encode_family(&[("way", way)])?)?;
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("gateway_request_duration_seconds", "From head to last byte.");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (index, route) in self.routes() {
            let bounds = BUCKETS.iter().map(|micros| seconds(*micros)).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds
                .enumerate()
                .map(|(at, bound)| (bound, self.per_route(index, |route| route.buckets.get(at))))
                .collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            if count > 0 {
                let sum = seconds(self.per_route(index, |route| Some(&route.micros)));
                let labels = [("route", route)];
                let mut family = metric.encode_family(&labels)?;
                family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that the gateway refused.";
        let mut metric =
            encoder.encode_descriptor("gateway_refusals", help, None, MetricType::Counter)?;
        for kind in Kind::ALL {
            let counts = self.cores.iter().filter_map(|core| core.refusals.get(*kind as usize));
            let count: u64 = counts.map(Count::get).sum();
            if count > 0 {
                let labels = [("kind", kind.slug())];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn tunnels(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("gateway_tunnels_closed", "Upgraded connections that have ended.");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (end, cause) in TunnelEnd::ALL {
            let counts = self.cores.iter().filter_map(|c| c.tunnels_closed.get(end as usize));
            let count: u64 = counts.map(Count::get).sum();
            ConstCounter::new(count).encode(metric.encode_family(&[("cause", cause)])?)?;
        }
        Ok(())
    }

    fn upstreams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, read) in UPSTREAM_TOTALS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (index, target) in self.plan.upstreams.iter().enumerate() {
                let counts = self.cores.iter().filter_map(|core| core.upstreams.get(index));
                let count: u64 = counts.map(|upstream| read(upstream).get()).sum();
                let labels = [("upstream", &*target.name)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn health(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let gauge = |status| ConstGauge::new(u64::from(status == Status::Healthy));
        let statuses = self.board.statuses();
        let all = || self.plan.upstreams.iter().zip(&statuses);
        let upstreams = || all().filter(|(target, _)| target.is_probed());
        let (name, help) = ("gateway_upstream_healthy", "Whether an endpoint of it is healthy.");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (target, (status, _)) in upstreams() {
            gauge(*status).encode(metric.encode_family(&[("upstream", &*target.name)])?)?;
        }
        let name = "gateway_upstream_endpoint_healthy";
        let help = "Whether the last probes went well.";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (target, (_, endpoints)) in upstreams() {
            for (address, status) in target.endpoints.iter().zip(endpoints) {
                let labels = [("upstream", &*target.name), ("endpoint", &*address.authority)];
                gauge(*status).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn endpoints(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, read) in ENDPOINT_TOTALS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, count) in self.per_endpoint(read) {
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let name = "gateway_upstream_endpoint_in_flight";
        let help = "Requests and tunnels that are there now.";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, count) in self.per_endpoint(|endpoint| &endpoint.in_flight) {
            ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A count of each endpoint, with the names of upstream and endpoint.
    fn per_endpoint(
        &self,
        read: ReadEndpoint,
    ) -> impl Iterator<Item = ([(&'static str, &str); 2], u64)> {
        let upstreams = self.plan.upstreams.iter().enumerate();
        upstreams.flat_map(move |(index, target)| {
            target.endpoints.iter().enumerate().map(move |(place, address)| {
                let cores = self.cores.iter();
                let counts = cores.filter_map(|c| c.upstreams.get(index)?.endpoints.get(place));
                let count = counts.map(|endpoint| read(endpoint).get()).sum();
                ([("upstream", &*target.name), ("endpoint", &*address.authority)], count)
            })
        })
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
