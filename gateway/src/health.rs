//! How the upstreams are: asked in the background, told from memory, so that polling `/health`
//! costs them nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chassis::{Clock, Stop};
use contract::Timestamp;
use contract::health::{Aggregate, ServiceHealth, Status};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::config::Target;

/// Longest answer to a probe that is read, in bytes.
const BYTES_MAX: usize = 64 * 1024;

/// `[gateway.health]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often every upstream is asked.
    #[serde(with = "chassis::config::span")]
    pub interval: Duration,
    /// How long it may take to answer.
    #[serde(with = "chassis::config::span")]
    pub timeout: Duration,
    /// Failures in a row that make a healthy upstream unhealthy.
    pub failures: u32,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probe {
    pub status: Status,
    pub took: Duration,
    pub error: Option<String>,
}

/// The aggregate, ready to be sent.
#[derive(Debug)]
pub(crate) struct Told {
    pub code: u16,
    /// For everybody.
    pub public: Bytes,
    /// With errors and endpoints.
    pub detailed: Bytes,
}

/// What is known of every upstream.
#[derive(Debug)]
pub(crate) struct Board {
    services: Mutex<Vec<Service>>,
    told: ArcSwap<Told>,
    failures: u32,
}

#[derive(Debug)]
struct Service {
    health: ServiceHealth,
    critical: bool,
    failures: u32,
}

impl Board {
    /// Nothing is known of `targets` yet.
    pub(crate) fn new(targets: &[Target], config: &Config, now: Timestamp) -> Self {
        let services: Vec<_> = targets.iter().map(Service::unknown).collect();
        let told = ArcSwap::from_pointee(tell(&services, now));
        Self { services: Mutex::new(services), told, failures: config.failures.max(1) }
    }

    /// The aggregate as of the last probe.
    pub(crate) fn told(&self) -> Arc<Told> {
        self.told.load_full()
    }

    /// How every upstream is, in the order of the configuration.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.iter().map(|service| service.health.status).collect()
    }

    /// Takes over what a probe of the upstream at `index` found; gives its status before and after.
    pub(crate) fn note(
        &self,
        index: usize,
        probe: Probe,
        now: Timestamp,
    ) -> Option<(Status, Status)> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let change = services.get_mut(index)?.note(probe, now, self.failures);
        self.told.store(Arc::new(tell(&services, now)));
        Some(change)
    }
}

impl Service {
    fn unknown(target: &Target) -> Self {
        let health = ServiceHealth {
            name: target.name.to_string(),
            status: Status::Unknown,
            latency_ms: None,
            last_checked_at: None,
            since: None,
            error: None,
            instances: Some(vec![target.url.to_string()]),
        };
        Self { health, critical: target.settings.critical, failures: 0 }
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

/// In hundredths: finer is noise.
fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 100_000.0).round() / 100.0
}

fn tell(services: &[Service], now: Timestamp) -> Told {
    let is = |service: &Service, status| service.health.status == status;
    let broken = services.iter().any(|s| s.critical && is(s, Status::Unhealthy));
    let status = if broken {
        Status::Unhealthy
    } else if services.iter().all(|service| is(service, Status::Healthy)) {
        Status::Healthy
    } else {
        Status::Degraded
    };
    let write = |services: Vec<ServiceHealth>| {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let aggregate = Aggregate { status, version, timestamp: now, services };
        Bytes::from(serde_json::to_vec(&aggregate).unwrap_or_default())
    };
    let plain =
        |health: &ServiceHealth| ServiceHealth { error: None, instances: None, ..health.clone() };
    Told {
        code: if broken { 503 } else { 200 },
        public: write(services.iter().map(|service| plain(&service.health)).collect()),
        detailed: write(services.iter().map(|service| service.health.clone()).collect()),
    }
}

/// What counts of an upstream's answer to a probe.
#[derive(Deserialize)]
struct Word {
    status: Status,
}

/// Asks one upstream, again and again.
#[derive(Debug)]
pub(crate) struct Prober {
    pub index: usize,
    pub name: Box<str>,
    pub url: String,
    pub client: reqwest::Client,
    pub interval: Duration,
    pub board: Arc<Board>,
    pub clock: Clock,
}

impl Prober {
    /// Asks until the gateway drains.
    pub(crate) async fn run(self, stop: Stop) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ask = async {
            loop {
                ticks.tick().await;
                self.ask().await;
            }
        };
        tokio::select! {
            () = stop.drain_began() => {}
            () = ask => {}
        }
    }

    async fn ask(&self) {
        let began = Instant::now();
        let (status, error) = match self.get().await {
            Ok(status) => (status, None),
            Err(error) => (Status::Unhealthy, Some(chassis::refuse::chain(&error))),
        };
        let probe = Probe { status, took: began.elapsed(), error: error.clone() };
        match self.board.note(self.index, probe, self.clock.now()) {
            Some((before, after)) if before != after => {
                let (upstream, cause) = (&self.name, error.unwrap_or_default());
                if after == Status::Unhealthy {
                    warn!(%upstream, cause, "The upstream {upstream} is unhealthy");
                } else {
                    info!(%upstream, "The upstream {upstream} is {after:?}");
                }
            }
            _ => {}
        }
    }

    /// What the upstream says of itself; its word counts for less than its status code.
    async fn get(&self) -> Result<Status, reqwest::Error> {
        let mut response = self.client.get(&self.url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            if body.len() + part.len() <= BYTES_MAX {
                body.extend_from_slice(&part);
            }
        }
        let word = serde_json::from_slice::<Word>(&body).map_or(Status::Healthy, |w| w.status);
        Ok(if word == Status::Unknown { Status::Healthy } else { word })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Upstream;

    const HEALTHY: Probe =
        Probe { status: Status::Healthy, took: Duration::from_millis(3), error: None };

    fn failed() -> Probe {
        let error = Some("connection refused".to_owned());
        Probe { status: Status::Unhealthy, took: Duration::ZERO, error }
    }

    fn target(name: &str, critical: bool) -> Target {
        let second = Duration::from_secs(1);
        Target {
            name: name.into(),
            address: "127.0.0.1:1".into(),
            url: "http://127.0.0.1:1".into(),
            settings: Upstream {
                endpoints: Vec::new(),
                critical,
                forward_authorization: false,
                health_path: "/health".into(),
                connect_timeout: second,
                response_timeout: second,
                idle_timeout: second,
                idle_connections_max: 1,
            },
        }
    }

    fn board() -> Board {
        let config = Config { interval: Duration::ZERO, timeout: Duration::ZERO, failures: 2 };
        let targets = [target("vital", true), target("extra", false)];
        Board::new(&targets, &config, Timestamp(0))
    }

    fn status(board: &Board) -> (u16, String) {
        let told = board.told();
        let value: serde_json::Value = serde_json::from_slice(&told.public).unwrap();
        (told.code, value["status"].as_str().unwrap().to_owned())
    }

    #[test]
    fn what_is_not_known_yet_is_degraded_and_every_key_is_there() {
        let board = board();
        assert_eq!(status(&board), (200, "degraded".to_owned()));
        let value: serde_json::Value = serde_json::from_slice(&board.told().public).unwrap();
        for key in ["latencyMs", "lastCheckedAt", "since"] {
            assert_eq!(value["services"][0].get(key), Some(&serde_json::Value::Null), "{key}");
        }
    }

    #[test]
    fn only_what_is_critical_makes_the_whole_unhealthy() {
        let board = board();
        board.note(0, HEALTHY, Timestamp(1));
        board.note(1, failed(), Timestamp(1));
        assert_eq!(status(&board), (200, "degraded".to_owned()));
        board.note(1, HEALTHY, Timestamp(2));
        assert_eq!(status(&board), (200, "healthy".to_owned()));
        board.note(0, failed(), Timestamp(3));
        assert_eq!(status(&board).0, 200, "one failure is none");
        board.note(0, failed(), Timestamp(4));
        assert_eq!(status(&board), (503, "unhealthy".to_owned()));
        board.note(0, HEALTHY, Timestamp(5));
        assert_eq!(status(&board).0, 200);
    }

    #[test]
    fn since_tells_when_the_status_changed_last() {
        let board = board();
        board.note(0, HEALTHY, Timestamp(1000));
        board.note(0, HEALTHY, Timestamp(2000));
        let value: serde_json::Value = serde_json::from_slice(&board.told().public).unwrap();
        assert_eq!(value["services"][0]["since"], "1970-01-01T00:00:01.000Z");
        assert_eq!(value["services"][0]["lastCheckedAt"], "1970-01-01T00:00:02.000Z");
    }

    #[test]
    fn a_latency_has_two_decimals() {
        for (nanos, told) in [(1_234_567, 1.23), (3_999_999, 4.0), (0, 0.0), (999, 0.0)] {
            assert!((millis(Duration::from_nanos(nanos)) - told).abs() < f64::EPSILON, "{nanos}");
        }
    }

    #[test]
    fn why_and_where_is_for_operators_alone() {
        let board = board();
        board.note(0, failed(), Timestamp(1));
        let told = board.told();
        let (public, detailed) = (&told.public, &told.detailed);
        let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
        assert!(!has(public, "refused") && !has(public, "127.0.0.1"));
        assert!(has(detailed, "refused") && has(detailed, "127.0.0.1"));
    }
}
