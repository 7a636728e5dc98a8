//! The hub: an API gateway that knows HTTP and its own configuration, and no service's name.
//!
//! A request walks a straight corridor; each door may refuse, and none waits:
//!
//! ```text
//! listen -> wire -> limits -> route -> auth -> quota -> exchange -> visit
//!   |        |        |         |        |       |         |          '- counted and logged when its last byte has left
//!   |        |        |         |        |       |         '- pool: an endpoint, a connection of this core; bodies streamed both ways
//!   |        |        |         |        |       '- tokens per caller or address
//!   |        |        |         |        '- bearer token -> caller, remembered per core
//!   |        |        |         '- the canonical path, matched, authorised and forwarded as one
//!   |        |        '- what a head may look like
//!   |        '- HTTP to the letter
//!   '- one thread per core: its own listener, connections, counters and caches
//! ```
//!
//! Two ways lead through it: `lean`, our own relay for plain HTTP/1.1, and `general`, with hyper at
//! both ends. Doors look at a type of our own for heads, never at a library's. The control plane
//! (operators' listener, probes, the issuer's keys and what it revokes) runs on the runtime that called [`start`]; nothing
//! that a request passes is shared between cores but what nobody writes.

mod access;
mod admin;
mod auth;
#[cfg(feature = "bench")]
pub mod bench;
mod config;
mod core;
mod corridor;
mod cors;
mod farewell;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod general;
mod grpc;
mod head;
mod health;
mod lean;
mod limits;
mod link;
mod listen;
mod metrics;
mod name;
mod pool;
mod quota;
mod refusal;
mod rewrite;
mod route;
mod spares;
mod tunnel;
mod visit;
mod way;
mod wheel;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use chassis::keys::SigningKey;
use chassis::process::Program;
use chassis::tokens::KeySource;
use chassis::{Deps, Running, StartError, Stop};
use tokio::time::Instant;

pub use config::{Balance, Config, Http2, Protocol, Upstream};

use crate::config::Plan;
use crate::core::Shared;
use crate::health::{Board, Prober, Spot};
use crate::metrics::Scrape;

/// The binary `gateway`.
pub const PROGRAM: Program = Program {
    name: "gateway",
    version: env!("CARGO_PKG_VERSION"),
    profile: None,
    listen_key: "gateway.listen",
    keys: &[make_keys],
    token_keys: None,
};

/// Makes the key that the gateway signs its own calls with, where it is not there yet.
pub fn make_keys(folder: &Path) -> Result<(), StartError> {
    SigningKey::load_or_make(folder, auth::NAME).map(drop)
}

/// Starts the gateway: checks, binds, then serves on threads of its own until it is drained.
pub async fn start(config: Config, deps: Deps) -> Result<Running, StartError> {
    let plan = Arc::new(config.plan().map_err(StartError::Config)?);
    let stop = Stop::new();
    let keys = Arc::new(auth::open_keys(&config)?);
    let (fetcher, asker) = auth::Fetcher::new(keys.clone(), config.auth.refresh_interval);
    let board = Arc::new(Board::new(&plan.upstreams, &config.health, deps.clock.now()));
    let cores = match config.threads {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let linger = config.drain_delay;
    let keys_folder = config.keys_folder(&deps.data);
    let revocations = config.auth.follow(&keys_folder, linger, &deps, &stop)?;
    let exchange = exchange(&config, &keys, &deps, &stop)?;
    let admin = chassis::serve::bind(config.admin_listen)?;
    let (address, sockets) = listen::bind(config.listen, cores)?;
    let log = access::open(&config.access_log, &deps.data, &stop)?;
    probe(&config, &plan, &board, &deps, &stop)?;
    let fetching = stop.clone();
    stop.spawn(fetcher.run(fetching));
    let shared = Arc::new(Shared {
        buckets: quota::Buckets::new(&config.quota),
        index: index(&plan),
        pseudonym: format!("hubbub-{:08x}", u32::from_be_bytes(deps.random.bytes())).into(),
        plan: plan.clone(),
        keys,
        revocations: revocations.clone(),
        asker,
        exchange,
        board: board.clone(),
        clock: deps.clock,
        random: deps.random,
        stop: stop.clone(),
        started: Instant::now(),
        log,
        config,
    });
    let counters = listen::start(&shared, sockets)?;
    let scrape = Scrape { plan, cores: counters, board };
    let admin = admin::serve(admin, scrape, revocations.clone(), linger, &stop)?;
    revocations.settled().await;
    Ok(Running::new("gateway", address, stop).line("admin", format!("http://{admin}")))
}

/// Begins to trade machine keys, where they are taken.
fn exchange(
    config: &Config,
    source: &Arc<KeySource>,
    deps: &Deps,
    stop: &Stop,
) -> Result<Option<auth::Exchange>, StartError> {
    if config.auth.exchange_url.is_empty() {
        return Ok(None);
    }
    let keys = config.keys_folder(&deps.data);
    let (exchanger, exchange) = auth::Exchanger::open(&config.auth, &keys, source.clone(), deps)?;
    stop.spawn(exchanger.run(stop.clone()));
    Ok(Some(exchange))
}

/// Begins to ask every endpoint how it is.
fn probe(
    config: &Config,
    plan: &Plan,
    board: &Arc<Board>,
    deps: &Deps,
    stop: &Stop,
) -> Result<(), StartError> {
    let client = reqwest::Client::builder()
        .timeout(config.health.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Endpoints are asked in the clear: it starts where the system has no certificates, too.
        .tls_certs_only([])
        .build()
        .map_err(|error| StartError::Other(error.into()))?;
    let asked = plan.upstreams.iter().enumerate().filter(|(_, target)| target.is_probed());
    let spots = asked.flat_map(|(upstream, target)| {
        let endpoints = target.endpoints.iter().enumerate();
        endpoints.map(move |(endpoint, address)| (Spot { upstream, endpoint }, target, address))
    });
    for (spot, target, address) in spots {
        let prober = Prober {
            spot,
            upstream: target.name.clone(),
            endpoint: address.authority.clone(),
            url: format!("{}{}", address.url, target.settings.health_path),
            client: client.clone(),
            interval: config.health.interval,
            board: board.clone(),
            clock: deps.clock.clone(),
        };
        stop.spawn(prober.run(stop.clone()));
    }
    Ok(())
}

/// The answer to `GET /`: what is here and where it is.
fn index(plan: &Plan) -> Bytes {
    let routes: Vec<_> = plan
        .table
        .routes()
        .iter()
        .map(|route| {
            let path = match &route.matcher {
                route::Matcher::Exact(path) => path.to_string(),
                route::Matcher::Prefix(path) => format!("{path}/*"),
            };
            serde_json::json!({ "path": path, "methods": route.methods.list() })
        })
        .collect();
    let index = serde_json::json!({
        "name": "hubbub",
        "version": env!("CARGO_PKG_VERSION"),
        "links": { "health": "/health", "live": "/health/live", "ready": "/health/ready" },
        "routes": routes,
    });
    Bytes::from(index.to_string())
}
