//! An upstream: as written, and as used.

use std::time::Duration;

use chassis::config::Faults;
use serde::Deserialize;

use super::{http_url, is_canonical};

/// Most endpoints of an upstream: which of them a request has tried fits into one word.
pub(crate) const ENDPOINTS_MAX: usize = 64;

/// `[gateway.upstreams.<name>]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where it is: 1 to 64 URLs with nothing but scheme, host and port, all of them different.
    pub endpoints: Vec<String>,
    /// Which endpoint gets the next request.
    pub balance: Balance,
    /// How long an endpoint that could not be connected to is passed over while others are not; 0:
    /// not at all.
    #[serde(with = "chassis::config::span")]
    pub connect_failure_pause: Duration,
    /// Whether the gateway is unhealthy when this is.
    pub critical: bool,
    /// Whether it gets the caller's token.
    pub forward_authorization: bool,
    /// Where each endpoint says how it is; empty: nobody asks, and nobody is told.
    pub health_path: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Most connections of HTTP/2 that each thread has to an endpoint.
    pub h2c_connections_max: usize,
    /// Most requests under way on one of them.
    pub h2c_streams_max: usize,
    /// How long a connection to an endpoint may take to come about, and half of how long a request
    /// may look for one that takes it.
    #[serde(with = "chassis::config::span")]
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's head.
    #[serde(with = "chassis::config::span")]
    pub response_timeout: Duration,
    /// How long an unused connection is kept; shorter than the upstream keeps it.
    #[serde(with = "chassis::config::span")]
    pub idle_timeout: Duration,
    /// Most unused connections that each thread keeps to an endpoint.
    pub idle_connections_max: usize,
}

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3).
    H2c,
}

/// Which endpoint of an upstream gets the next request. Each core decides for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// The next in turn.
    RoundRobin,
    /// The one with the fewest requests and tunnels of this core; the next in turn of several.
    LeastRequests,
}

/// An upstream as used.
#[derive(Debug)]
pub(crate) struct Target {
    pub name: Box<str>,
    /// At least one, at most [`ENDPOINTS_MAX`].
    pub endpoints: Box<[Address]>,
    pub settings: Upstream,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `host:port` to connect to.
    pub authority: Box<str>,
    /// The endpoint as written.
    pub url: Box<str>,
}

impl Target {
    /// Whether its endpoints are asked how they are.
    pub(crate) fn is_probed(&self) -> bool {
        !self.settings.health_path.is_empty()
    }

    /// The upstream `name`, or everything that is wrong with it.
    pub(super) fn read(name: &str, written: &Upstream) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let key = |field: &str| format!("gateway.upstreams.{name}.{field}");
        let mut fault = |field: &str, message: String| {
            faults.take::<()>(Err(Faults::one(key(field), message)));
        };
        let count = written.endpoints.len();
        if !(1..=ENDPOINTS_MAX).contains(&count) {
            fault("endpoints", format!("expected 1 to {ENDPOINTS_MAX} endpoints"));
        }
        let mut endpoints = Vec::<Address>::with_capacity(count);
        for (number, url) in (1_usize..).zip(&written.endpoints) {
            // Told by its place: a URL that is wrong may have a password in it.
            match Address::of(url) {
                None => {
                    let expected = "expected a URL as in \"http://host:port\", without a path";
                    fault("endpoints", format!("{expected}; number {number} is none"));
                }
                Some(address) if endpoints.iter().any(|known| known.is_as(&address)) => {
                    fault("endpoints", format!("number {number} stands there twice"));
                }
                Some(address) => endpoints.push(address),
            }
        }
        if !written.health_path.is_empty() && !is_canonical(&written.health_path) {
            let message = "expected a path that begins with a slash and needs no encoding";
            fault("health_path", message.to_owned());
        }
        if written.h2c_connections_max == 0 {
            fault("h2c_connections_max", "expected at least 1".to_owned());
        }
        if written.h2c_streams_max == 0 {
            fault("h2c_streams_max", "expected at least 1".to_owned());
        }
        faults.or(Some(Self {
            name: name.into(),
            endpoints: endpoints.into(),
            settings: written.clone(),
        }))
    }
}

impl Address {
    /// The place that `url` names, if that is all it does.
    fn of(url: &str) -> Option<Self> {
        let uri = http_url(url).filter(|uri| uri.path() == "/" && uri.query().is_none())?;
        let authority = uri.authority()?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return None;
        }
        let port = authority.port_u16().unwrap_or(80);
        Some(Self {
            authority: format!("{}:{port}", authority.host()).into(),
            url: url.trim_end_matches('/').into(),
        })
    }

    fn is_as(&self, other: &Self) -> bool {
        self.authority.eq_ignore_ascii_case(&other.authority)
    }
}

#[cfg(test)]
mod tests {
    use chassis::config::{Layers, Settings as _};

    use crate::Config;

    fn faults(setting: &str) -> String {
        let mut layers = Layers::defaults();
        layers.command_line(setting);
        Config::read(&layers).map_or_else(|faults| faults.to_string(), |_| String::new())
    }

    fn faults_of(endpoints: &[String]) -> String {
        faults(&format!("gateway.upstreams.chat.endpoints={endpoints:?}"))
    }

    #[test]
    fn an_upstream_has_one_endpoint_or_several() {
        let many = |count: u16| (1..=count).map(|port| format!("http://a:{port}")).collect();
        let all: [Vec<String>; 3] = [many(1), many(2), many(64)];
        for good in all {
            assert_eq!(faults_of(&good), "", "{good:?}");
        }
        for bad in [many(0), many(65)] {
            let text = faults_of(&bad);
            assert!(text.contains("gateway.upstreams.chat.endpoints"), "{text}");
            assert!(text.contains("expected 1 to 64 endpoints"), "{text}");
        }
    }

    #[test]
    fn every_endpoint_that_is_wrong_is_told_by_its_number() {
        let text = faults_of(&[
            "http://a:1".to_owned(),
            "ftp://a".to_owned(),
            "http://user:secret@a".to_owned(),
            "http://A:1/".to_owned(),
            "http://b/path".to_owned(),
        ]);
        for number in ["number 2 is none", "number 3 is none", "number 5 is none"] {
            assert!(text.contains(number), "{text}");
        }
        assert!(text.contains("number 4 stands there twice"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let same = ["http://a".to_owned(), "http://a:80".to_owned()];
        assert!(faults_of(&same).contains("number 2 stands there twice"));
    }

    #[test]
    fn there_are_two_ways_to_balance() {
        for balance in ["round-robin", "least-requests"] {
            assert_eq!(faults(&format!("gateway.upstreams.chat.balance={balance}")), "");
        }
        let text = faults("gateway.upstream_defaults.balance=random");
        assert!(text.contains("balance") && text.contains("least-requests"), "{text}");
    }
}
