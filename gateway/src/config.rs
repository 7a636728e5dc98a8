//! The gateway's configuration: as written, and as used. Every fault is found before a port is
//! bound.

mod http2;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::config::{Faults, Layers, Settings};
use chassis::identity;
use chassis::tokens::TokenSecret;
use http::Uri;
use serde::Deserialize;

use crate::cors::Cors;
use crate::limits::Limits;
use crate::route::{
    Auth, Forward, Goal, Matcher, Method, Methods, Own, QuotaId, Route, Table, UpstreamId, Written,
};
use crate::{access, auth, cors, health, quota};

pub use http2::Http2;
pub(crate) use upstream::{Address, Target};
pub use upstream::{Balance, Protocol, Upstream};

/// `[gateway]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where callers come in.
    pub listen: SocketAddr,
    /// Where operators come in.
    pub admin_listen: SocketAddr,
    /// Threads that serve requests; 0 is one for each core.
    pub threads: usize,
    /// Whether plain HTTP/1.1 goes the lean way; else everything goes the general one.
    pub lean_way: bool,
    /// How long callers are still let in after readiness has turned false.
    #[serde(with = "chassis::config::span")]
    pub drain_delay: Duration,
    /// Over how long a time the closing of tunnels is spread when the gateway drains.
    #[serde(with = "chassis::config::span")]
    pub drain_tunnels: Duration,
    /// Bounds of heads, bodies, connections and waits.
    pub limits: Limits,
    /// Bounds of connections that speak HTTP/2.
    pub http2: Http2,
    /// Whose tokens are good.
    pub auth: auth::Config,
    /// Which pages may call.
    pub cors: cors::Config,
    /// Who may call how often.
    pub quota: quota::Config,
    /// How upstreams are probed.
    pub health: health::Config,
    /// Where the line of each request goes.
    pub access_log: access::Config,
    /// What an upstream is that does not say so itself.
    pub upstream_defaults: Upstream,
    /// What is behind the gateway, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Which path leads where, by name.
    pub routes: BTreeMap<String, Written>,
    /// What signs users' tokens instead of the issuer's keys; stands in `[identity]`, for everybody.
    #[serde(skip)]
    pub token_secret: Option<TokenSecret>,
    /// Folder of the services' keys, which is `identity.keys_dir`.
    #[serde(skip)]
    keys_dir: PathBuf,
}

impl Settings for Config {
    fn read(layers: &Layers) -> Result<Self, Faults> {
        let layers = layers.filled("gateway.upstreams", "gateway.upstream_defaults");
        let mut faults = Faults::default();
        let config = faults.take(layers.section::<Self>("gateway"));
        let identity = faults.take(layers.section::<identity::Config>("identity"));
        let (Some(mut config), Some(identity)) = (config, identity) else { return Err(faults) };
        faults.take(config.plan());
        config.token_secret = faults.take(identity.token_secret()).flatten();
        config.keys_dir = identity.keys_dir;
        faults.or(Some(config))
    }
}

/// The configuration as used.
#[derive(Debug)]
pub(crate) struct Plan {
    pub limits: Limits,
    pub cors: Cors,
    pub table: Table,
    pub upstreams: Vec<Target>,
}

impl Config {
    /// The folder of the services' keys.
    pub(crate) fn keys_folder(&self, data: &Path) -> PathBuf {
        identity::keys_folder(&self.keys_dir, data)
    }

    /// The configuration as used, or everything that is wrong with it.
    pub(crate) fn plan(&self) -> Result<Plan, Faults> {
        let mut faults = Faults::default();
        let upstreams: Vec<_> = self
            .upstreams
            .iter()
            .filter_map(|(name, written)| faults.take(Target::read(name, written)))
            .collect();
        let mut routes: Vec<_> = self
            .routes
            .iter()
            .filter_map(|(name, written)| faults.take(self.route(name, written)))
            .collect();
        self.check(&mut faults);
        routes.extend(Own::ALL.map(|(own, path)| own_route(own, path)));
        faults.or(Some(Plan {
            limits: self.limits.clone(),
            cors: Cors::new(&self.cors),
            table: Table::new(routes),
            upstreams,
        }))
    }

    /// What the shape of a value does not show.
    fn check(&self, faults: &mut Faults) {
        let mut fault = |key: &str, wrong: bool, message: &str| {
            if wrong {
                faults.take::<()>(Err(Faults::one(format!("gateway.{key}"), message)));
            }
        };
        let limits = &self.limits;
        let uri = limits.uri_bytes_max;
        fault("limits.uri_bytes_max", !(1..=60_000).contains(&uri), "expected 1 to 60000 bytes");
        let head = limits.head_bytes_max;
        let message = "expected 8192 to 65536 bytes";
        fault("limits.head_bytes_max", !(8192..=65_536).contains(&head), message);
        let fields = limits.head_fields_max;
        fault("limits.head_fields_max", !(1..=100).contains(&fields), "expected 1 to 100 fields");
        fault("limits.connections_max", limits.connections_max == 0, "expected at least 1");
        fault("limits.in_flight_max", limits.in_flight_max == 0, "expected at least 1");
        self.http2.check(&mut fault);
        let url = http_url(&self.auth.jwks_url);
        fault("auth.jwks_url", url.is_none(), "expected a URL that begins with http://");
        let (trades, share) = (self.auth.exchanges_max, self.auth.exchanges_per_address_max);
        let message = "expected at least 1, and no more than exchanges_max";
        fault("auth.exchanges_per_address_max", !(1..=trades).contains(&share), message);
        for (name, rule) in &self.quota.rules {
            let zero = rule.calls == 0 || rule.burst == 0 || rule.window.is_zero();
            let key = format!("quota.rules.{name}");
            fault(&key, zero, "calls, window and burst have to be more than nothing");
        }
        for origin in &self.cors.origins {
            fault(
                "cors.origins",
                !is_origin(origin),
                "expected origins as in \"https://app.example\"",
            );
        }
    }

    fn route(&self, name: &str, written: &Written) -> Result<Route, Faults> {
        let mut faults = Faults::default();
        let key = |field: &str| format!("gateway.routes.{name}.{field}");
        let matcher = faults.take(matcher(written).map_err(|m| Faults::one(key("exact"), m)));
        let methods = faults.take(methods(written).map_err(|m| Faults::one(key("methods"), m)));
        let index = self.upstreams.keys().position(|known| *known == written.upstream);
        let unknown = || Faults::one(key("upstream"), "there is no upstream of this name");
        let upstream = faults.take(index.ok_or_else(unknown)).map(UpstreamId);
        let quota = written.quota.as_ref().and_then(|wanted| {
            let index = self.quota.rules.keys().position(|known| known == wanted);
            let unknown = || Faults::one(key("quota"), "there is no quota rule of this name");
            faults.take(index.ok_or_else(unknown)).map(QuotaId)
        });
        if written.rewrite.as_ref().is_some_and(|path| !is_canonical(path)) {
            let message = "expected a path that begins with a slash and needs no encoding";
            faults.take::<()>(Err(Faults::one(key("rewrite"), message)));
        }
        let timeout = written.response_timeout.or_else(|| {
            self.upstreams.get(&written.upstream).map(|upstream| upstream.response_timeout)
        });
        let protocol = self.upstreams.get(&written.upstream).map(|upstream| upstream.protocol);
        if written.websocket && protocol == Some(Protocol::H2c) {
            let message = "an upstream of HTTP/2 takes no WebSockets";
            faults.take::<()>(Err(Faults::one(key("websocket"), message)));
        }
        let route = matcher.zip(methods).zip(upstream).map(|((matcher, methods), upstream)| {
            let forward = Forward {
                upstream,
                rewrite: written.rewrite.as_deref().map(Into::into),
                response_timeout: timeout.unwrap_or_default(),
                websocket: written.websocket,
                protocol: protocol.unwrap_or(Protocol::Http1),
            };
            Route {
                name: name.into(),
                matcher,
                methods,
                goal: Goal::Upstream(forward),
                auth: written.auth.unwrap_or(Auth::Required),
                quota,
                body_bytes_max: written.body_bytes_max.unwrap_or(self.limits.body_bytes_max),
            }
        });
        faults.or(route)
    }
}

fn http_url(text: &str) -> Option<Uri> {
    text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"))
}

/// Scheme, host and port as a browser writes them, and nothing else.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']))
}

fn is_canonical(path: &str) -> bool {
    crate::route::Path::canonical(path).is_ok_and(|canonical| canonical.path == path)
}

fn matcher(written: &Written) -> Result<Matcher, &'static str> {
    match (written.exact.as_deref(), written.prefix.as_deref()) {
        (Some(path), None) if is_canonical(path) => Ok(Matcher::Exact(path.into())),
        (None, Some(path)) if is_canonical(path) && (path == "/" || !path.ends_with('/')) => {
            Ok(Matcher::Prefix(path.trim_end_matches('/').into()))
        }
        (Some(_), None) => Err("expected a path that begins with a slash and needs no encoding"),
        (None, Some(_)) => Err("a prefix begins with a slash and does not end with one"),
        (None, None) | (Some(_), Some(_)) => Err("expected either exact or prefix"),
    }
}

fn methods(written: &Written) -> Result<Methods, &'static str> {
    let Some(names) = &written.methods else { return Ok(Methods::ALL) };
    let mut methods = Methods::default();
    for name in names {
        match Method::of(name) {
            Method::Other => return Err("expected methods in capitals, as in \"GET\""),
            Method::Get => methods = methods.with(Method::Get).with(Method::Head),
            method => methods = methods.with(method),
        }
    }
    if names.is_empty() { Err("expected at least one method") } else { Ok(methods) }
}

fn own_route(own: Own, path: &str) -> Route {
    Route {
        name: path.into(),
        matcher: Matcher::Exact(path.into()),
        methods: Methods::default().with(Method::Get).with(Method::Head),
        goal: Goal::Own(own),
        auth: Auth::None,
        quota: None,
        body_bytes_max: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(overlay: &[&str]) -> Result<Config, Faults> {
        let mut layers = Layers::defaults();
        for setting in overlay {
            layers.command_line(setting);
        }
        Config::read(&layers)
    }

    #[test]
    fn the_defaults_are_good() {
        let config = read(&[]).unwrap();
        assert_eq!(config.listen.port(), 8000);
        assert!(config.cors.origins.is_empty(), "nobody is let in by default");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = read(&[
            "gateway.routes.x.exact=\"/a/../b\"",
            "gateway.routes.x.prefix=\"/a\"",
            "gateway.routes.x.upstream=\"nobody\"",
            "gateway.routes.x.quota=\"nothing\"",
            "gateway.routes.x.methods=[\"get\"]",
            "gateway.upstreams.y.endpoints=[\"ftp://x\"]",
            "gateway.limits.in_flight_max=0",
            "gateway.cors.origins=[\"*\"]",
        ]);
        // A missing key of the new upstream is found before the values are looked at.
        let text = faults.unwrap_err().to_string();
        assert!(text.contains("gateway.upstreams.y"), "{text}");
        let text = read(&[
            "gateway.routes.x.exact=\"/a/../b\"",
            "gateway.routes.x.prefix=\"/a\"",
            "gateway.routes.x.upstream=\"nobody\"",
            "gateway.routes.x.quota=\"nothing\"",
            "gateway.routes.x.methods=[\"get\"]",
            "gateway.limits.in_flight_max=0",
            "gateway.cors.origins=[\"*\"]",
        ])
        .unwrap_err()
        .to_string();
        for key in ["x.exact", "x.upstream", "x.quota", "x.methods", "in_flight_max", "origins"] {
            assert!(text.contains(key), "{key} is not in\n{text}");
        }
    }

    #[test]
    fn no_service_is_named_in_the_code() {
        // The names come from the configuration alone: another set of them is as good.
        let config = read(&[]).unwrap();
        let plan = config.plan().unwrap();
        assert_eq!(plan.upstreams.len(), config.upstreams.len());
    }
}
