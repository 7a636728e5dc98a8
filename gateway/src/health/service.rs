//! What the probes have found of one upstream, endpoint by endpoint.

use std::time::Duration;

use contract::Timestamp;
use contract::health::{EndpointHealth, ServiceHealth, Status};

use super::Probe;
use crate::config::{Address, Target};

/// An upstream.
#[derive(Debug)]
pub(super) struct Service {
    name: String,
    /// How the best of its endpoints is.
    pub status: Status,
    pub critical: bool,
    /// Whether anybody asks how it is; else there is nothing to tell.
    pub is_probed: bool,
    since: Option<Timestamp>,
    /// How long the last probe took, and when it was.
    last: Option<(Duration, Timestamp)>,
    /// In the order of the configuration.
    endpoints: Vec<Endpoint>,
}

/// One endpoint of it.
#[derive(Debug)]
struct Endpoint {
    health: EndpointHealth,
    failures: u32,
}

/// What a probe has changed: the status before it and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub upstream: (Status, Status),
    pub endpoint: (Status, Status),
}

impl Service {
    pub(super) fn unknown(target: &Target) -> Self {
        Self {
            name: target.name.to_string(),
            status: Status::Unknown,
            critical: target.settings.critical,
            is_probed: target.is_probed(),
            since: None,
            last: None,
            endpoints: target.endpoints.iter().map(Endpoint::unknown).collect(),
        }
    }

    /// Takes over what a probe of the endpoint number `endpoint` found.
    pub(super) fn note(
        &mut self,
        endpoint: usize,
        probe: Probe,
        now: Timestamp,
        failures_max: u32,
    ) -> Option<Change> {
        let last = (probe.took, now);
        let endpoint = self.endpoints.get_mut(endpoint)?.note(probe, now, failures_max);
        let before = self.status;
        let statuses = self.endpoints.iter().map(|endpoint| endpoint.health.status);
        self.status = statuses.min_by_key(|status| badness(*status)).unwrap_or(before);
        if self.status != before {
            self.since = Some(now);
        }
        self.last = Some(last);
        Some(Change { upstream: (before, self.status), endpoint })
    }

    /// How it is, and how its endpoints are.
    pub(super) fn statuses(&self) -> (Status, Vec<Status>) {
        (self.status, self.endpoints.iter().map(|endpoint| endpoint.health.status).collect())
    }

    /// As everybody may see it.
    pub(super) fn public(&self) -> ServiceHealth {
        ServiceHealth {
            name: self.name.clone(),
            status: self.status,
            latency_ms: self.last.map(|(took, _)| millis(took)),
            last_checked_at: self.last.map(|(_, at)| at),
            since: self.since,
            error: None,
            instances: None,
            endpoints: None,
        }
    }

    /// As operators see it.
    pub(super) fn detailed(&self) -> ServiceHealth {
        let endpoints = self.endpoints.iter().map(|endpoint| endpoint.health.clone());
        ServiceHealth {
            error: self.endpoints.iter().find_map(|endpoint| endpoint.health.error.clone()),
            instances: Some(endpoints.clone().map(|endpoint| endpoint.url).collect()),
            endpoints: Some(endpoints.collect()),
            ..self.public()
        }
    }
}

impl Endpoint {
    fn unknown(address: &Address) -> Self {
        let health = EndpointHealth {
            url: address.url.to_string(),
            status: Status::Unknown,
            latency_ms: None,
            last_checked_at: None,
            since: None,
            error: None,
        };
        Self { health, failures: 0 }
    }

    fn note(&mut self, probe: Probe, now: Timestamp, failures_max: u32) -> (Status, Status) {
        let before = self.health.status;
        self.failures = match probe.status {
            Status::Unhealthy => self.failures.saturating_add(1),
            Status::Unknown | Status::Healthy | Status::Degraded => 0,
        };
        let works = matches!(before, Status::Healthy | Status::Degraded);
        let status = match probe.status {
            Status::Unhealthy if works && self.failures < failures_max => before,
            status => status,
        };
        if status != before {
            self.health.since = Some(now);
        }
        self.health.status = status;
        self.health.latency_ms = Some(millis(probe.took));
        self.health.last_checked_at = Some(now);
        self.health.error = probe.error;
        (before, status)
    }
}

/// How far a status is from the best.
const fn badness(status: Status) -> u8 {
    match status {
        Status::Healthy => 0,
        Status::Degraded => 1,
        Status::Unknown => 2,
        Status::Unhealthy => 3,
    }
}

/// In hundredths: finer is noise.
fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_two_decimals() {
        for (nanos, told) in [(1_234_567, 1.23), (3_999_999, 4.0), (0, 0.0), (999, 0.0)] {
            assert!((millis(Duration::from_nanos(nanos)) - told).abs() < f64::EPSILON, "{nanos}");
        }
    }
}
