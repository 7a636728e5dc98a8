//! The client for calls to our own services: bounded, direct, and careful with idle connections.

use std::time::Duration;

use crate::StartError;

/// How long a connection to another service may take to open.
const CONNECT_WINDOW: Duration = Duration::from_secs(1);
/// Idle connections are closed before the other side closes them.
const IDLE_WINDOW: Duration = Duration::from_secs(4);
/// Most idle connections to one service.
const IDLE_MAX: usize = 64;

/// A client for calls to our own services: no proxy, no redirects.
pub fn open() -> Result<reqwest::Client, StartError> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_WINDOW)
        .pool_idle_timeout(IDLE_WINDOW)
        .pool_max_idle_per_host(IDLE_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .build()
        .map_err(|error| StartError::Other(error.into()))
}
