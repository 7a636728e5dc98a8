//! How the upstreams are: asked in the background, told from memory, so that polling `/health`
//! costs them nothing. An upstream is as its best endpoint is. Nothing here decides where requests go.

mod prober;
mod service;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use contract::Timestamp;
use contract::health::{Aggregate, ServiceHealth, Status};
use serde::Deserialize;

use crate::config::Target;
use service::{Change, Service};

pub(crate) use prober::Prober;

/// `[gateway.health]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often every endpoint is asked.
    #[serde(with = "chassis::config::span")]
    pub interval: Duration,
    /// How long it may take to answer.
    #[serde(with = "chassis::config::span")]
    pub timeout: Duration,
    /// Failures in a row that make a healthy endpoint unhealthy.
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

/// Which endpoint of which upstream, both in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub upstream: usize,
    pub endpoint: usize,
}

/// What is known of every upstream.
#[derive(Debug)]
pub(crate) struct Board {
    services: Mutex<Vec<Service>>,
    told: ArcSwap<Told>,
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

    /// How every upstream is, with its endpoints, all in the order of the configuration.
    pub(crate) fn statuses(&self) -> Vec<(Status, Vec<Status>)> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.iter().map(Service::statuses).collect()
    }

    /// Takes over what a probe of the endpoint at `spot` found.
    fn note(&self, spot: Spot, probe: Probe, now: Timestamp) -> Option<Change> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let service = services.get_mut(spot.upstream)?;
        let change = service.note(spot.endpoint, probe, now, self.failures)?;
        self.told.store(Arc::new(tell(&services, now)));
        Some(change)
    }
}

fn tell(services: &[Service], now: Timestamp) -> Told {
    let asked = || services.iter().filter(|service| service.is_probed);
    let broken = asked().any(|s| s.critical && s.status == Status::Unhealthy);
    let status = if broken {
        Status::Unhealthy
    } else if asked().all(|service| service.status == Status::Healthy) {
        Status::Healthy
    } else {
        Status::Degraded
    };
    let write = |services: Vec<ServiceHealth>| {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let aggregate = Aggregate { status, version, timestamp: now, services };
        Bytes::from(serde_json::to_vec(&aggregate).unwrap_or_default())
    };
    Told {
        code: if broken { 503 } else { 200 },
        public: write(asked().map(Service::public).collect()),
        detailed: write(asked().map(Service::detailed).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, Balance, Protocol, Upstream};

    const HEALTHY: Probe =
        Probe { status: Status::Healthy, took: Duration::from_millis(3), error: None };

    fn failed() -> Probe {
        let error = Some("connection refused".to_owned());
        Probe { status: Status::Unhealthy, took: Duration::ZERO, error }
    }

    fn address(port: u16) -> Address {
        let authority = format!("127.0.0.1:{port}");
        Address { url: format!("http://{authority}").into(), authority: authority.into() }
    }

    fn target(name: &str, critical: bool, endpoints: u16) -> Target {
        let second = Duration::from_secs(1);
        Target {
            name: name.into(),
            endpoints: (1..=endpoints).map(address).collect(),
            settings: Upstream {
                endpoints: Vec::new(),
                balance: Balance::LeastRequests,
                connect_failure_pause: second,
                critical,
                forward_authorization: false,
                health_path: "/health".into(),
                protocol: Protocol::Http1,
                h2c_connections_max: 1,
                h2c_streams_max: 1,
                connect_timeout: second,
                response_timeout: second,
                idle_timeout: second,
                idle_connections_max: 1,
            },
        }
    }

    fn board() -> Board {
        let config = Config { interval: Duration::ZERO, timeout: Duration::ZERO, failures: 2 };
        let targets = [target("vital", true, 1), target("extra", false, 2)];
        Board::new(&targets, &config, Timestamp(0))
    }

    const fn at(upstream: usize, endpoint: usize) -> Spot {
        Spot { upstream, endpoint }
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
        board.note(at(0, 0), HEALTHY, Timestamp(1));
        board.note(at(1, 0), failed(), Timestamp(1));
        assert_eq!(status(&board), (200, "degraded".to_owned()));
        board.note(at(1, 0), HEALTHY, Timestamp(2));
        assert_eq!(status(&board), (200, "healthy".to_owned()));
        board.note(at(0, 0), failed(), Timestamp(3));
        assert_eq!(status(&board).0, 200, "one failure is none");
        board.note(at(0, 0), failed(), Timestamp(4));
        assert_eq!(status(&board), (503, "unhealthy".to_owned()));
        board.note(at(0, 0), HEALTHY, Timestamp(5));
        assert_eq!(status(&board).0, 200);
    }

    #[test]
    fn since_tells_when_the_status_changed_last() {
        let board = board();
        board.note(at(0, 0), HEALTHY, Timestamp(1000));
        board.note(at(0, 0), HEALTHY, Timestamp(2000));
        let value: serde_json::Value = serde_json::from_slice(&board.told().public).unwrap();
        assert_eq!(value["services"][0]["since"], "1970-01-01T00:00:01.000Z");
        assert_eq!(value["services"][0]["lastCheckedAt"], "1970-01-01T00:00:02.000Z");
    }

    #[test]
    fn why_and_where_is_for_operators_alone() {
        let board = board();
        board.note(at(0, 0), failed(), Timestamp(1));
        let told = board.told();
        let (public, detailed) = (&told.public, &told.detailed);
        let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
        assert!(!has(public, "refused") && !has(public, "127.0.0.1"));
        assert!(has(detailed, "refused") && has(detailed, "127.0.0.1"));
    }
    #[test]
    fn an_upstream_is_as_its_best_endpoint_is() {
        let board = board();
        let degraded = || Probe { status: Status::Degraded, ..HEALTHY };
        board.note(at(0, 0), HEALTHY, Timestamp(1));
        for (endpoint, probe, expected) in [
            (0, failed(), "unknown"),
            (1, failed(), "unhealthy"),
            (1, degraded(), "degraded"),
            (0, HEALTHY, "healthy"),
            (1, failed(), "healthy"),
            (1, failed(), "healthy"),
            (0, failed(), "healthy"),
            (0, failed(), "unhealthy"),
        ] {
            board.note(at(1, endpoint), probe, Timestamp(2));
            let value: serde_json::Value = serde_json::from_slice(&board.told().public).unwrap();
            assert_eq!(value["services"][1]["status"], expected);
        }
        assert_eq!(board.note(at(1, 2), HEALTHY, Timestamp(3)), None, "there is no third one");
    }

    #[test]
    fn how_each_endpoint_is_stands_in_the_details() {
        let board = board();
        board.note(at(1, 0), HEALTHY, Timestamp(1000));
        board.note(at(1, 1), failed(), Timestamp(2000));
        let told = board.told();
        let value: serde_json::Value = serde_json::from_slice(&told.detailed).unwrap();
        let service = &value["services"][1];
        assert_eq!(service["status"], "healthy");
        assert_eq!(service["error"], "connection refused");
        assert_eq!(
            service["instances"],
            serde_json::json!(["http://127.0.0.1:1", "http://127.0.0.1:2"])
        );
        let [well, ill] = [0, 1].map(|place| &service["endpoints"][place]);
        assert_eq!(
            (&well["url"], &well["status"]),
            (&"http://127.0.0.1:1".into(), &"healthy".into())
        );
        assert_eq!(
            (&ill["url"], &ill["status"]),
            (&"http://127.0.0.1:2".into(), &"unhealthy".into())
        );
        assert!(well.get("error").is_none() && ill["error"].is_string());
        assert_eq!(ill["since"], "1970-01-01T00:00:02.000Z");
        let value: serde_json::Value = serde_json::from_slice(&told.public).unwrap();
        let keys: Vec<_> = value["services"][1].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["lastCheckedAt", "latencyMs", "name", "since", "status"]);
    }
}
